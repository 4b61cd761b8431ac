package devicetest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/weights"
)

// Accuracy limits for a real quantised model against transformers in float32.
const (
	LogprobTolerance = 0.1  // of a token's log-probability
	MarginTolerance  = 0.05 // greedy may diverge where the reference's lead is smaller
	likely           = 1e-3 // tokens less probable than this are not compared
)

// smolReference is engine/model/testdata/smollm2-reference.json.
type smolReference struct {
	Model  string
	SHA256 string
	Cases  []smolCase
}

type smolCase struct {
	Name   string
	Prompt []int32
	Steps  []smolStep
}

// smolStep is the distribution after the prompt and the steps before: the greedy
// id, its lead over the second, and the most likely ids.
type smolStep struct {
	ID       int32
	Margin   float64
	IDs      []int32
	Logprobs []float64
}

// Accuracy is what CheckSmolLM2 found: how far log-probabilities were off, and at
// how many steps the best token was another.
type Accuracy struct {
	Tokens      int     // compared
	Worst, Mean float64 // absolute difference of log-probabilities
	Steps       int
	Divergences int
	WorstMargin float64 // largest lead of the reference at a divergence
}

func (a Accuracy) String() string {
	return fmt.Sprintf("%d log-probabilities, worst difference %.4f, mean %.5f; %d of %d greedy steps diverge, at margins up to %.4f",
		a.Tokens, a.Worst, a.Mean, a.Divergences, a.Steps, a.WorstMargin)
}

// SmolLM2Path finds the SmolLM2 file named by GODWIT_TEST_MODEL or in the user's
// cache folder, and skips the test when there is none.
func SmolLM2Path(t testing.TB) string {
	t.Helper()
	const name = "SmolLM2-135M-Instruct.Q4_1.gguf"
	paths := []string{os.Getenv("GODWIT_TEST_MODEL")}
	if dir, err := os.UserCacheDir(); err == nil {
		paths = append(paths, filepath.Join(dir, "godwit", "models", name))
	}
	for _, p := range paths {
		if _, err := os.Stat(p); p != "" && err == nil {
			return p
		}
	}
	t.Skipf("no %s: set GODWIT_TEST_MODEL or put it into the user's cache folder", name)
	return ""
}

// CheckSmolLM2 holds the device to transformers' float32 results for a real
// quantised model: over 20 prompts and the reference's own 32 greedy continuations,
// the log-probabilities of all tokens that the reference gives at least one in a
// thousand agree within LogprobTolerance, and where the best token differs the
// reference's lead is below MarginTolerance. modelPath "" looks for the file as
// SmolLM2Path does. In short mode only every fifth prompt runs.
func CheckSmolLM2(t *testing.T, dev device.Device, modelPath string) Accuracy {
	t.Helper()
	every := 1
	if testing.Short() {
		every = 5
	}
	return CheckSmolLM2Every(t, dev, modelPath, every)
}

// CheckSmolLM2Every is CheckSmolLM2 with every n-th prompt only, for slow devices.
func CheckSmolLM2Every(t *testing.T, dev device.Device, modelPath string, n int) Accuracy {
	t.Helper()
	if modelPath == "" {
		modelPath = SmolLM2Path(t)
	}
	ref := readSmolReference(t)
	checkDigest(t, modelPath, ref.SHA256)
	m := openModel(t, dev, modelPath)
	var a Accuracy
	for i, c := range ref.Cases {
		if i%n == 0 {
			m.checkSmolCase(t, &c, &a)
		}
	}
	if a.Tokens > 0 {
		a.Mean /= float64(a.Tokens)
	}
	t.Logf("%s: %s", dev.Name(), a)
	return a
}

func readSmolReference(t testing.TB) *smolReference {
	t.Helper()
	path := filepath.Join(modeltest.Root(t), "engine", "model", "testdata", "smollm2-reference.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ref smolReference
	if err := json.Unmarshal(data, &ref); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return &ref
}

func checkDigest(t testing.TB, path, want string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Fatalf("%s has SHA-256 %s, the reference was made from %s", path, got, want)
	}
}

// openModel compiles a checkpoint for a single sequence of up to 512 tokens.
func openModel(t *testing.T, dev device.Device, path string) *machine {
	t.Helper()
	c, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := model.Build(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	return start(t, dev, p, c, device.Options{Pages: 32, PageTokens: 16, MaxRows: 512, MaxSeqs: 1, MaxOutputs: 8})
}

// checkSmolCase feeds the prompt and then the reference's tokens one by one, so
// that one divergence does not end the comparison.
func (m *machine) checkSmolCase(t *testing.T, c *smolCase, a *Accuracy) {
	t.Helper()
	var s sequence
	defer m.release(&s)
	tokens := c.Prompt
	for i := range c.Steps {
		b := m.batch(part{&s, tokens})
		b.Outputs = b.Outputs[len(b.Outputs)-1:]
		if err := a.add(m.launch(b)[0].Logits, &c.Steps[i]); err != nil {
			t.Errorf("%s, step %d: %v", c.Name, i, err)
		}
		tokens = []int32{c.Steps[i].ID}
	}
}

// add compares one distribution with the reference's.
func (a *Accuracy) add(logits []float32, want *smolStep) error {
	var errs []error
	lse := logSumExp(logits)
	for i, id := range want.IDs {
		if want.Logprobs[i] < math.Log(likely) {
			continue
		}
		d := math.Abs(float64(logits[id]) - lse - want.Logprobs[i])
		a.Tokens, a.Mean = a.Tokens+1, a.Mean+d
		a.Worst = max(a.Worst, d)
		if !(d <= LogprobTolerance) {
			errs = append(errs, fmt.Errorf("log-probability of token %d is %.4f, transformers has %.4f", id, float64(logits[id])-lse, want.Logprobs[i]))
		}
	}
	a.Steps++
	if best := argmax(logits); best != want.ID {
		a.Divergences++
		a.WorstMargin = max(a.WorstMargin, want.Margin)
		if want.Margin >= MarginTolerance {
			errs = append(errs, fmt.Errorf("best token is %d, transformers has %d with a lead of %.4f", best, want.ID, want.Margin))
		}
	}
	return errors.Join(errs...)
}

func logSumExp(logits []float32) float64 {
	top, sum := float64(logits[argmax(logits)]), 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	return top + math.Log(sum)
}
