package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/godwit-ai/godwit/engine/tokenizer"
)

func TestStructuredRowsGoOnUntilTheyAreCounted(t *testing.T) {
	var err error
	for range 10 { // where rows wait long for their masks, others may end before they are counted
		if err = structuredRows(t); err == nil {
			break
		}
		t.Log(err)
	}
	if err != nil {
		t.Error(err)
	}
	for name, d := range map[string]Structured{"negative rows": {Rows: -1}, "too many steps": {Steps: maxTokens + 1}} {
		if _, err := StructuredBench(t.Context(), tiny(), d); err == nil {
			t.Errorf("%s are taken", name)
		}
	}
}

// structuredRows measures and looks at the figures.
func structuredRows(t *testing.T) error {
	r, err := StructuredBench(t.Context(), tiny(), Structured{Rows: 4, Steps: 40, Context: 20, Temperature: 1})
	if err != nil {
		return err
	}
	if len(r.Rows) != 3 {
		return fmt.Errorf("rows %v", r.Rows)
	}
	for i, row := range r.Rows {
		forced, drawn, tokens := row["forced"].(float64), row["drawn_per_second"].(float64), row["tokens_per_second"].(float64)
		if row["constrained"] != 2*i || drawn <= 0 || (forced > 0) != (i > 0) || (tokens > drawn) != (i > 0) {
			return fmt.Errorf("row %d: %v", i, row)
		}
	}
	return nil
}

func TestTheVocabularyThatIsMadeUpIsATokenizer(t *testing.T) {
	dir := t.TempDir()
	const n = 20_000
	if err := writeVocabulary(dir, n); err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.FromJSON(src, nil)
	if err != nil {
		t.Fatal(err)
	}
	if tok.VocabSize() != n {
		t.Errorf("%d tokens", tok.VocabSize())
	}
	const text = "[{\"name\":\"Zoë \x00\n \U0001F600\",\"n\":-1.5e3}] 你好"
	ids := tok.Encode(text, false)
	if got := tok.Decode(ids, false); got != text || len(ids) >= len(text) {
		t.Errorf("%q comes back as %q from %d tokens", text, got, len(ids))
	}
	for id := range int32(n) {
		if len(tok.TokenBytes(id)) == 0 {
			t.Fatalf("token %d is empty", id)
		}
	}
}

func TestPaceBesideEachCompany(t *testing.T) {
	r, err := PaceBench(t.Context(), tiny(), Pace{Streams: 2, Others: 2, Tokens: 6, Context: 8})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != len(companies) {
		t.Fatalf("rows %v", r.Rows)
	}
	for i, row := range r.Rows {
		_, hostile := row["refused"]
		if row["gaps"] != 2*5 || row["p99"].(float64) <= 0 || hostile != companies[i].hostile {
			t.Errorf("beside %s: %v", companies[i].name, row)
		}
	}
	if _, err := PaceBench(t.Context(), tiny(), Pace{Streams: -1}); err == nil {
		t.Error("negative streams are taken")
	}
}
