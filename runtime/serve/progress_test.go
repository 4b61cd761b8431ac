package serve

import (
	"strings"
	"testing"
	"time"
)

func TestStagesAreWordedAsInTheTutorial(t *testing.T) {
	var said []string
	f := func(p Progress) { said = append(said, p.Text(1500*time.Millisecond)) }
	load, record := loading(f, "smollm2"), recording(f)
	load("fetch", 1e6, 0)
	load("device", 1, 1)
	load("weights", 50e6, 100e6)
	record(8, 5, 20, 71_200_000_000)
	load("ready", 1, 1)
	f(Progress{Stage: "Computing on cpu", Done: 1, Total: 1})
	want := []string{
		"Fetching smollm2: 1.0 MB [1.50 s]",
		"Loading weights:  50% Completed | 50.0/100.0 MB [1.50 s]",
		"Capturing batches (bs=8 avail_mem=71.20 GB):  25% Completed | 5/20 [1.50 s]",
		"Computing on cpu",
	}
	if strings.Join(said, "\n") != strings.Join(want, "\n") {
		t.Errorf("said\n%s", strings.Join(said, "\n"))
	}
	if (Progress{Done: 3, Total: 0}).Full() || !(Progress{Done: 3, Total: 3}).Full() {
		t.Error("a stage of unknown length is never at its end")
	}
}
