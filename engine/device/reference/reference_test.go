package reference_test

import (
	"testing"

	"github.com/godwit-ai/godwit/engine/device/devicetest"
	"github.com/godwit-ai/godwit/engine/device/reference"
)

func TestTheReferenceDeviceConforms(t *testing.T) { devicetest.Run(t, reference.New()) }
