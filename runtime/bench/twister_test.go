package bench

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// The goldens were drawn by CPython; testdata/offline.py says how.
func TestTheOfflineWorkloadIsPythons(t *testing.T) {
	src, err := os.ReadFile("testdata/offline.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Seed          uint32
		N             int
		Input, Output int
		SHA256        string
		InputLengths  []int `json:"input_lengths"`
		OutputLengths []int `json:"output_lengths"`
	}
	if err := json.Unmarshal(src, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		w := OfflineWorkload(c.N, c.Seed)
		in, out := w.Tokens()
		if in != c.Input || out != c.Output {
			t.Errorf("seed %d: %d tokens in and %d out, Python has %d and %d", c.Seed, in, out, c.Input, c.Output)
		}
		var lengths []int
		h := sha256.New()
		for _, p := range w.Prompts {
			lengths = append(lengths, len(p))
			for _, id := range p {
				h.Write(binary.LittleEndian.AppendUint32(nil, uint32(id)))
			}
		}
		if !slices.Equal(lengths, c.InputLengths) || !slices.Equal(w.Lengths, c.OutputLengths) {
			t.Errorf("seed %d: the lengths are not Python's", c.Seed)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != c.SHA256 {
			t.Errorf("seed %d: the ids are not Python's", c.Seed)
		}
	}
	if len(cases) < 4 || cases[0].Input != 142827 || cases[0].Output != 133966 {
		t.Errorf("the published workload has 142827 tokens in and 133966 out: %+v", cases[0])
	}
}
