package modeltest_test

import (
	"context"
	"slices"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// lastLogits runs a short prompt through the checkpoint at path.
func lastLogits(t *testing.T, path string) []float32 {
	t.Helper()
	c, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := model.Build(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	e, err := reference.New().Compile(context.Background(), p, c, device.Options{Pages: 2, PageTokens: 16, MaxRows: 16, MaxSeqs: 1, MaxOutputs: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	pending, err := e.Launch(&device.Batch{
		Tokens: []int32{300, 5, 77, 258, 12}, Seqs: []device.Seq{{Rows: 5, Pages: []int32{1}}},
		Outputs: []device.OutputRow{{Row: 4, Target: -1, Logits: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	outs, err := pending.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return outs[0].Logits
}

func TestTheTinyModelSpeaksTheSameFromAFolderAndFromGGUF(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2", "qwen3"} {
		t.Run(arch, func(t *testing.T) {
			folder := lastLogits(t, modeltest.TinyModel(t, arch))
			file := lastLogits(t, modeltest.TinyGGUF(t, arch, quant.F32))
			for i := range folder {
				if d := folder[i] - file[i]; d > 1e-4 || d < -1e-4 {
					t.Fatalf("logit %d is %v from the folder and %v from the file", i, folder[i], file[i])
				}
			}
			if small := lastLogits(t, modeltest.TinyGGUF(t, arch, quant.Q4_0)); slices.Equal(small, file) {
				t.Error("4 bits change nothing")
			}
		})
	}
}
