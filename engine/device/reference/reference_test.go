package reference_test

import (
	"testing"

	"github.com/godwit-ai/godwit/engine/device/devicetest"
	"github.com/godwit-ai/godwit/engine/device/reference"
)

func TestTheReferenceDeviceConforms(t *testing.T) { devicetest.Run(t, reference.New()) }

func TestTheReferenceDeviceAgreesWithTransformersOnARealModel(t *testing.T) {
	if testing.Short() {
		t.Skip("short mode: two prompts of a real model take half a minute on this device")
	}
	a := devicetest.CheckSmolLM2Every(t, reference.New(), "", 10)
	if a.Worst > 1e-3 || a.Divergences > 0 {
		t.Errorf("the oracle is off: %s", a)
	}
}
