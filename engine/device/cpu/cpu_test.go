package cpu

import (
	"testing"

	"github.com/godwit-ai/godwit/engine/device/devicetest"
)

func TestEveryLevelPassesTheConformanceSuite(t *testing.T) {
	for _, level := range Levels() {
		t.Run(level, func(t *testing.T) {
			dev, err := New(Options{Threads: 2, Level: level})
			if err != nil {
				t.Fatal(err)
			}
			devicetest.Run(t, dev)
		})
	}
}

func TestRealModelAgreesWithTransformers(t *testing.T) {
	path := devicetest.SmolLM2Path(t)
	levels := Levels()
	if len(levels) > 1 {
		levels = levels[:len(levels)-1] // pure Go takes minutes; its kernels are compared one by one
	}
	for _, level := range levels {
		t.Run(level, func(t *testing.T) {
			dev, err := New(Options{Threads: 2, Level: level})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(devicetest.CheckSmolLM2(t, dev, path))
		})
	}
}

func TestNewRefusesWhatItCannotDo(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"an unknown level", Options{Level: "mmx"}},
		{"negative threads", Options{Threads: -1}},
		{"absurdly many threads", Options{Threads: 1 << 20}},
	} {
		if dev, err := New(c.o); err == nil {
			t.Errorf("%s: got %s", c.name, dev.Info())
		}
	}
	t.Setenv(LevelEnv, "go")
	dev, err := New(Options{Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	if total, free := dev.MemoryBytes(); free > total {
		t.Errorf("%d of %d bytes are free", free, total)
	}
	if d := dev.(*Device); d.k.name != "go" || d.threads != 3 {
		t.Errorf("%s does not follow %s and Threads", dev.Info(), LevelEnv)
	}
}
