package grammar

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// byteVocabulary has a token per byte and one end token, 256.
func byteVocabulary() *Vocabulary {
	tokens := make([][]byte, 257)
	for i := range 256 {
		tokens[i] = []byte{byte(i)}
	}
	return NewVocabulary(tokens, []int32{256})
}

func sharedData(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("outside the module")
		}
		dir = filepath.Dir(dir)
	}
	full := filepath.Join(dir, "..", "shared", "data", path)
	if _, err := os.Stat(full); err != nil {
		t.Skip("the test data is not here: " + path)
	}
	return full
}

func accepts(gr *Grammar, text string) bool {
	m := gr.NewMatcher()
	return m.AcceptBytes([]byte(text)) == nil && m.Done()
}

type caseGroup struct {
	Description string
	Schema      json.RawMessage
	Tests       []struct {
		Description string
		Data        json.RawMessage
		Valid       bool
	}
}

// knownDifferences are valid instances that the grammar does not write.
var knownDifferences = map[string]bool{
	"email format: invalid email string is only an annotation by default":                                           true, // formats are enforced
	"duration format: invalid duration string is only an annotation by default":                                     true,
	"all integers are multiples of 0.5, if overflow is handled: valid if optional overflow handling is implemented": true, // integers have no exponent
}

func TestSchemaCasesAreEnforcedExactlyOrRefused(t *testing.T) {
	root := sharedData(t, "json-schema/draft2020-12")
	v := byteVocabulary()
	groups, refusals := 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".json") {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var list []caseGroup
		if err := json.Unmarshal(src, &list); err != nil {
			return err
		}
		for _, g := range list {
			groups++
			gr, err := CompileSchema(v, g.Schema, Options{Compact: true, DotZero: true})
			if err != nil {
				refusals++
				t.Logf("refused: %s: %s: %v", d.Name(), g.Description, err)
			}
			for _, c := range g.Tests {
				data, err := InDeclaredOrder(g.Schema, c.Data)
				if err != nil {
					t.Fatal(err)
				}
				text := string(data)
				if knownDifferences[g.Description+": "+c.Description] {
					continue
				}
				if gr != nil && accepts(gr, text) != c.Valid {
					t.Errorf("%s: %s: %s: %s is valid: %v", d.Name(), g.Description, c.Description, text, c.Valid)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d groups compiled", groups-refusals, groups)
}

func TestTidyWhiteSpaceIsBounded(t *testing.T) {
	gr, err := CompileSchema(byteVocabulary(), []byte(`{"type":"object","required":["a"],"properties":{"a":{"type":"array"}}}`), Options{Tidy: true})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		`{"a":[]}`: true, "{\n  \"a\": [\n\n    1,\n    2\n  ]\n}": true, "{\r\n\t\"a\" : [ ]}": true, `{ "a": [1, 2] }`: true,
		`{  "a":[]}`: false, "{\n\n\n\"a\":[]}": false, "{\n" + strings.Repeat(" ", 41) + `"a":[]}`: false,
	} {
		if accepts(gr, text) != want {
			t.Errorf("%q: accepted is %v", text, !want)
		}
	}
}
