package tokenizer

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// sharedData is the folder with reference data beside the checkout.
func sharedData(t testing.TB, parts ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		t.Fatal("no go.mod above the test")
	}
	path := filepath.Join(append([]string{dir, "..", "shared", "data"}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("reference data is absent: %v", err)
	}
	return path
}

var loaded sync.Map // family -> *Tokenizer

// family loads a real tokenizer from GODWIT_TEST_TOKENIZERS or the user's cache.
func family(t testing.TB, name string) *Tokenizer {
	t.Helper()
	if tok, ok := loaded.Load(name); ok {
		return tok.(*Tokenizer)
	}
	file, config := familyFiles(t, name)
	tok, err := FromJSON(file, config)
	if err != nil {
		t.Fatal(err)
	}
	loaded.Store(name, tok)
	return tok
}

func familyFiles(t testing.TB, name string) (file, config []byte) {
	t.Helper()
	root := os.Getenv("GODWIT_TEST_TOKENIZERS")
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skipf("no tokenizers: GODWIT_TEST_TOKENIZERS is not set and there is no cache folder: %v", err)
		}
		root = filepath.Join(cache, "godwit", "tokenizers")
	}
	file, err := os.ReadFile(filepath.Join(root, name, "tokenizer.json"))
	if err != nil {
		t.Skipf("the real tokenizer of %s is absent: %v", name, err)
	}
	config, err = os.ReadFile(filepath.Join(root, name, "tokenizer_config.json"))
	if err != nil {
		t.Skipf("the real tokenizer of %s is absent: %v", name, err)
	}
	return file, config
}

type golden struct {
	Tokenizer, Set, Text string
	I                    int
	IDs                  []int32
}

func readGoldens(t testing.TB, path string) []golden {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []golden
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<22)
	for sc.Scan() {
		var g golden
		if err := json.Unmarshal(sc.Bytes(), &g); err != nil {
			t.Fatal(err)
		}
		out = append(out, g)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// ggmlTexts are the 46 texts of a ggml-vocab .inp file.
func ggmlTexts(t testing.TB, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	texts := strings.Split(string(b), "\n__ggml_vocab_test__\n")
	return texts[:len(texts)-1]
}
