package modeltest

import (
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/weights"
)

// Names lists the models of engine/model/testdata.
func Names() []string {
	return []string{"llama3", "llama-untied", "llama-linear-bias", "mistral", "qwen2", "qwen3"}
}

// Golden is a tiny random model and what transformers computed with it.
type Golden struct {
	Name    string
	Config  []byte // config.json
	Program *op.Program
	Weights Weights
	Cases   []Case
}

// Case is a prompt with the logits of every position, [len(Prompt)][vocab], and 64
// greedy ids after it. On the way the best logit leads by at least Margin times
// the largest logit.
type Case struct {
	Prompt []int32     `json:"prompt"`
	Greedy []int32     `json:"greedy"`
	Margin float64     `json:"margin"`
	Logits [][]float32 `json:"-"`
}

// Load reads a golden model from engine/model/testdata.
func Load(t testing.TB, name string) *Golden {
	t.Helper()
	folder := filepath.Join(Root(t), "engine", "model", "testdata", name)
	g := &Golden{Name: name, Weights: Weights{}}
	file, err := weights.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	g.Config = slices.Clone(file.Config())
	if g.Program, err = model.Build(g.Config); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, name := range file.Names() {
		x, err := file.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		x.Data = slices.Clone(x.Data)
		g.Weights[name] = x
	}
	golden := struct{ Cases *[]Case }{&g.Cases}
	if err := json.Unmarshal(read(t, filepath.Join(folder, "golden.json")), &golden); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	g.readLogits(t, filepath.Join(folder, "logits.bin.gz"))
	return g
}

func (g *Golden) readLogits(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for i := range g.Cases {
		c := &g.Cases[i]
		for range c.Prompt {
			row := make([]byte, 4*g.Program.Vocab)
			if _, err := io.ReadFull(unzip, row); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			c.Logits = append(c.Logits, floats(row))
		}
	}
}

func floats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// Root returns the folder of go.mod, looking upwards from the working directory.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = up
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
