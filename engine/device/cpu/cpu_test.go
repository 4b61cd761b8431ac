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
	for _, level := range Levels() {
		if level == "go" && testing.Short() {
			continue
		}
		t.Run(level, func(t *testing.T) {
			dev, err := New(Options{Threads: 2, Level: level})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(devicetest.CheckSmolLM2(t, dev, path))
		})
	}
}
