package cpu

import (
	"context"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
)

func TestCeilingsAreMeasured(t *testing.T) {
	d, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.(device.Meter).Ceilings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("copy %.1f GB/s, read %.1f GB/s", c.CopyBytes/1e9, c.ReadBytes/1e9)
	if c.CopyBytes <= 0 || c.ReadBytes <= 0 || c.Bandwidth() < c.ReadBytes {
		t.Errorf("%+v", c)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.(device.Meter).Ceilings(ended); err == nil {
		t.Error("a measurement whose context had ended gave figures")
	}
}
