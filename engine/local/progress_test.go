package local

import (
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
)

func TestALoadTellsItsStagesInOrderAndWhatComputes(t *testing.T) {
	var stages []string
	chosen := ""
	e, err := Open(t.Context(), Options{ModelPath: modeltest.TinyModel(t, "llama"), Device: "cpu",
		Progress: func(stage string, done, total int64) {
			if len(stages) == 0 || stages[len(stages)-1] != stage {
				stages = append(stages, stage)
			}
		},
		Chosen: func(info string) { chosen = info }})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if !slices.Equal(stages, []string{"device", "weights", "ready"}) {
		t.Errorf("stages %q", stages)
	}
	if !strings.HasPrefix(chosen, "cpu: ") || chosen != e.Info() {
		t.Errorf("chosen %q, the engine says %q", chosen, e.Info())
	}
}

func TestStatsCountStepsAndKnowTheDevice(t *testing.T) {
	e, err := Open(t.Context(), Options{ModelPath: modeltest.TinyModel(t, "llama"), Device: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Generate(t.Context(), &engine.Request{TokenIDs: []int32{1, 2, 3}, Sampling: engine.Sampling{MaxTokens: 5, IgnoreEOS: true}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Collect(s); err != nil {
		t.Fatal(err)
	}
	st := e.Stats()
	steps := int64(0)
	for _, n := range st.StepTimes.Counts {
		steps += n
	}
	if st.Steps < 5 || steps < 5 || st.StepTimes.Seconds <= 0 || st.Preemptions != 0 {
		t.Errorf("%+v", st)
	}
	if total, free := e.dev.MemoryBytes(); total > 0 && (st.DeviceTotal != int64(total) || free > 0 && st.DeviceFree <= 0) {
		t.Errorf("the device has %d bytes, the stats say %d and %d free", total, st.DeviceTotal, st.DeviceFree)
	}
	if e.TokenBytes() <= 0 || e.Program() == nil {
		t.Errorf("%d bytes a token", e.TokenBytes())
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if st := e.Stats(); st.DeviceTotal != 0 || st.Steps < 5 {
		t.Errorf("after Close: %+v", st)
	}
}

func TestBuiltInShapesNeedNoFile(t *testing.T) {
	e, err := Open(t.Context(), Options{ModelPath: "tiny", LoadFormat: "dummy", Device: "cpu", MaxTotalTokens: 256})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.HasTokenizer() || e.Models()[0].VocabSize != 10240 {
		t.Errorf("%+v", e.Models())
	}
	if _, err := e.Generate(t.Context(), &engine.Request{Prompt: "text"}); err == nil {
		t.Error("text was taken without a tokenizer")
	}
}
