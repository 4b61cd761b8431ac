package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/quant"
)

func safeBytes(t testing.TB, tensors ...quant.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteSafetensors(&b, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const tinyConfig = `{"model_type":"llama","hidden_size":8}`

func TestSafetensorsSingleFile(t *testing.T) {
	dir := t.TempDir()
	want := []quant.Tensor{tensor("b", quant.BF16, 3, 5), tensor("a", quant.F32, 4), tensor("c", quant.F16, 2, 2)}
	path := writeFile(t, dir, "model.safetensors", safeBytes(t, want...))
	writeFile(t, dir, "config.json", []byte(tinyConfig))
	writeFile(t, dir, "generation_config.json", []byte(`{"top_k":3}`))
	writeFile(t, dir, "tokenizer.json", []byte(`{"model":{}}`))
	writeFile(t, dir, "tokenizer_config.json", []byte(`{"chat_template":"inner"}`))
	for _, p := range []string{dir, path} {
		c, err := Open(p)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if !slices.Equal(c.Names(), []string{"a", "b", "c"}) || c.Bytes() != 30+16+8 {
			t.Errorf("names %v, %d bytes", c.Names(), c.Bytes())
		}
		for _, w := range want {
			got, err := c.Tensor(w.Name)
			if err != nil || got.Type != w.Type || !slices.Equal(got.Shape, w.Shape) || !slices.Equal(got.Data, w.Data) {
				t.Errorf("%s: %v, %v", w.Name, got, err)
			}
		}
		f := c.Files()
		if string(c.Config()) != tinyConfig || string(c.GenerationConfig()) != `{"top_k":3}` || string(f.TokenizerJSON) != `{"model":{}}` || string(f.ChatTemplate) != "inner" {
			t.Errorf("companions: %s, %s, %s", c.Config(), c.GenerationConfig(), f.ChatTemplate)
		}
		if _, err := c.Tensor("d"); !errors.Is(err, ErrNoTensor) {
			t.Errorf("absent tensor: %v", err)
		}
	}
}

func TestChatTemplateOfAFolder(t *testing.T) {
	for _, c := range []struct {
		name, file, inner, want string
	}{
		{"a file of its own wins", "outer", `{"chat_template":"inner"}`, "outer"},
		{"a list has a default", "", `{"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]}`, "d"},
		{"null means none", "", `{"chat_template":null}`, ""},
		{"no key means none", "", `{"x":{"__type":"AddedToken"}}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, dir, "config.json", []byte(tinyConfig))
			writeFile(t, dir, "tokenizer_config.json", []byte(c.inner))
			if c.file != "" {
				writeFile(t, dir, "chat_template.jinja", []byte(c.file))
			}
			f, err := ReadFolder(dir)
			if err != nil || string(f.Files().ChatTemplate) != c.want {
				t.Errorf("%q, %v", f.Files().ChatTemplate, err)
			}
		})
	}
}

func TestSafetensorsShards(t *testing.T) {
	dir := t.TempDir()
	a, b := tensor("a", quant.F32, 4), tensor("b", quant.F32, 2, 4)
	writeFile(t, dir, "config.json", []byte(tinyConfig))
	writeFile(t, dir, "model-00001-of-00002.safetensors", safeBytes(t, a))
	writeFile(t, dir, "model-00002-of-00002.safetensors", safeBytes(t, b))
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "index") {
		t.Errorf("without an index: %v", err)
	}
	index := func(m string) {
		writeFile(t, dir, indexFile, []byte(`{"metadata":{"total_size":48},"weight_map":`+m+`}`))
	}
	index(`{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}`)
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.Tensor("b")
	if err != nil || !slices.Equal(got.Data, b.Data) || len(c.Names()) != 2 {
		t.Errorf("b: %v, %v", got, err)
	}
	for _, bad := range []struct{ name, index, message string }{
		{"a path upwards", `{"a":"../secret.safetensors"}`, "is a path"},
		{"an absolute path", `{"a":"/etc/secret.safetensors"}`, "is a path"},
		{"a pickle", `{"a":"model-1.bin"}`, "pickle"},
		{"no shard", `{"a":"model-3.safetensors"}`, "model-3.safetensors"},
		{"the wrong shard", `{"a":"model-00002-of-00002.safetensors"}`, `"a"`},
		{"a tensor that is nowhere", `{"z":"model-00001-of-00002.safetensors"}`, `"z"`},
		{"empty", `{}`, "weight_map"},
		{"a name twice", `{"a":"model-00001-of-00002.safetensors","a":"model-00002-of-00002.safetensors"}`, "duplicate"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			index(bad.index)
			if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), bad.message) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("a tensor in two shards", func(t *testing.T) {
		index(`{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}`)
		writeFile(t, dir, "model-00002-of-00002.safetensors", safeBytes(t, a, b))
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "is also in") {
			t.Errorf("error %v", err)
		}
	})
}

// safeRaw puts a header of any kind in front of n bytes of data.
func safeRaw(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func TestHostileSafetensors(t *testing.T) {
	entry := func(dtype, shape, offsets string) string {
		return fmt.Sprintf(`{"w":{"dtype":"%s","shape":%s,"data_offsets":%s}}`, dtype, shape, offsets)
	}
	tests := []struct {
		name    string
		file    []byte
		message string
	}{
		{"empty", nil, "truncated"},
		{"seven bytes", make([]byte, 7), "truncated"},
		{"a header of 2⁶³ bytes", append(binary.LittleEndian.AppendUint64(nil, 1<<63), "{}"...), "limit"},
		{"a header longer than the file", append(binary.LittleEndian.AppendUint64(nil, 1000), "{}"...), "truncated"},
		{"a header of no bytes", safeRaw("", 8), "'{'"},
		{"a Git LFS pointer", []byte(lfsPrefix + ".example/spec/v1\noid sha256:0\nsize 9\n"), "Git LFS"},
		{"a pickle", append([]byte("\x80\x04\x95\x00\x00\x00\x00\x00"), make([]byte, 100)...), "header"},
		{"no JSON", safeRaw(`{"w":`, 8), "EOF"},
		{"text after the object", safeRaw(`{} x`, 0), "something follows"},
		{"a name twice", safeRaw(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "duplicate"},
		{"a field twice", safeRaw(`{"w":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}`, 4), "duplicate"},
		{"bytes that are no UTF-8", safeRaw("{\"\xff\":1}", 0), "UTF-8"},
		{"a list", safeRaw(`{"w":[]}`, 0), `"w"`},
		{"missing fields", safeRaw(`{"w":{"dtype":"F32"}}`, 0), "needs dtype"},
		{"three offsets", safeRaw(entry("F32", "[1]", "[0,4,8]"), 8), "two data_offsets"},
		{"an unknown dtype", safeRaw(entry("F31", "[1]", "[0,4]"), 4), `"F31"`},
		{"reversed offsets", safeRaw(entry("F32", "[1]", "[4,0]"), 4), "do not lie"},
		{"negative offsets", safeRaw(entry("F32", "[1]", "[-4,0]"), 4), "do not lie"},
		{"offsets beyond the end", safeRaw(entry("F32", "[2]", "[0,8]"), 4), "truncated"},
		{"offsets of 2⁶⁴", safeRaw(entry("F32", "[1]", "[0,18446744073709551616]"), 4), `"w"`},
		{"fractional offsets", safeRaw(entry("F32", "[1]", "[0,4.5]"), 4), `"w"`},
		{"a shape that needs more", safeRaw(entry("F32", "[2]", "[0,4]"), 4), "needs 8 bytes"},
		{"a zero dimension", safeRaw(entry("F32", "[0]", "[0,0]"), 0), "must be positive"},
		{"a negative dimension", safeRaw(entry("F32", "[-1]", "[0,4]"), 4), "must be positive"},
		{"a shape that overflows", safeRaw(entry("F32", "[4611686018427387904,4]", "[0,4]"), 4), "overflows"},
		{"half a byte", safeRaw(entry("F4", "[3]", "[0,2]"), 2), "whole bytes"},
		{"overlapping data", safeRaw(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"v":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "overlaps"},
		{"a gap", safeRaw(entry("F32", "[1]", "[4,8]"), 8), "gap"},
		{"data behind the last tensor", safeRaw(entry("F32", "[1]", "[0,4]"), 8), "follow the last"},
		{"metadata that is no text", safeRaw(`{"__metadata__":{"a":1}}`, 0), "__metadata__"},
		{"deep nesting", safeRaw(`{"w":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)+`}`, 0), "depth"},
		{"no tensors", safeRaw(`{"__metadata__":{"a":"1"}}`, 0), "no tensors"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, dir, "config.json", []byte(tinyConfig))
			writeFile(t, dir, "model.safetensors", c.file)
			m, err := Open(dir)
			if err == nil {
				m.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.message) || !strings.Contains(err.Error(), "model.safetensors") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestUnsupportedDtypeIsAnErrorWhenUsed(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "config.json", []byte(tinyConfig))
	writeFile(t, dir, "model.safetensors", safeRaw(`{"w":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}  `, 4))
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Tensor("w"); err == nil || !strings.Contains(err.Error(), "F8_E4M3") || !strings.Contains(err.Error(), `"w"`) {
		t.Errorf("error %v", err)
	}
}

func TestFolders(t *testing.T) {
	gguf := ggufBytes(t, tinyMeta("llama"), tinyTensors())
	safe := safeBytes(t, tensor("a", quant.F32, 4))
	tests := []struct {
		name    string
		files   map[string][]byte
		message string // "": opens
	}{
		{"nothing", nil, "holds no model"},
		{"one GGUF", map[string][]byte{"m.gguf": gguf, "README.md": nil}, ""},
		{"two GGUFs", map[string][]byte{"m.gguf": gguf, "n.GGUF": gguf}, "m.gguf, n.GGUF"},
		{"a config without weights", map[string][]byte{"config.json": []byte(tinyConfig)}, "no weights"},
		{"a pickle", map[string][]byte{"config.json": []byte(tinyConfig), "pytorch_model.bin": {0x80}}, "pickle"},
		{"weights without a config", map[string][]byte{"model.safetensors": safe}, "config.json"},
		{"an adapter", map[string][]byte{"adapter_config.json": []byte("{}"), "adapter_model.safetensors": safe}, "LoRA adapter"},
		{"a pickle beside safetensors is ignored", map[string][]byte{"config.json": []byte(tinyConfig), "model.safetensors": safe, "optimizer.pt": {0x80}}, ""},
		{"a config that is no object", map[string][]byte{"config.json": []byte(`[1]`), "model.safetensors": safe}, "no JSON object"},
		{"a config cut short", map[string][]byte{"config.json": []byte(`{"model_type":`), "model.safetensors": safe}, "config.json"},
		{"a config with a key twice", map[string][]byte{"config.json": []byte(`{"a":1,"a":2}`), "model.safetensors": safe}, "duplicate"},
		{"a tokenizer that is an LFS pointer", map[string][]byte{"config.json": []byte(tinyConfig), "model.safetensors": safe,
			"tokenizer.json": []byte(lfsPrefix + ".example/spec/v1\n")}, "Git LFS"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range c.files {
				writeFile(t, dir, name, data)
			}
			m, err := Open(dir)
			if err == nil {
				m.Close()
			}
			if (err == nil) != (c.message == "") || err != nil && !strings.Contains(err.Error(), c.message) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestPathsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), ".gguf") {
		t.Errorf("absent: %v", err)
	}
	if _, err := Open(writeFile(t, dir, "model.pt", []byte{0x80})); err == nil || !strings.Contains(err.Error(), "pickle") {
		t.Errorf("pickle: %v", err)
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	if _, err := Open(loop); err == nil {
		t.Error("a symbolic link to itself was opened")
	}
}

func TestSymbolicLinks(t *testing.T) {
	dir := t.TempDir()
	safe := safeBytes(t, tensor("a", quant.F32, 4))
	secret := writeFile(t, dir, "secret.safetensors", safe)
	link := func(target, path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Skip("no symbolic links: ", err)
		}
	}
	out := filepath.Join(dir, "out")
	link("../secret.safetensors", filepath.Join(out, "model.safetensors"))
	writeFile(t, out, "config.json", []byte(tinyConfig))
	if _, err := Open(out); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link out of the folder: %v", err)
	}
	dangling := filepath.Join(dir, "dangling")
	link("nowhere", filepath.Join(dangling, "model.safetensors"))
	writeFile(t, dangling, "config.json", []byte(tinyConfig))
	if _, err := Open(dangling); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a dangling link: %v", err)
	}

	// The cache of the Hugging Face tools keeps files in blobs and links to them.
	repo := filepath.Join(dir, "models--org--name")
	snapshot := filepath.Join(repo, "snapshots", "abc")
	for _, d := range []string{snapshot, filepath.Join(repo, "blobs")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, repo, "blobs/1", safe)
	writeFile(t, repo, "blobs/2", []byte(tinyConfig))
	link("../../blobs/1", filepath.Join(snapshot, "model.safetensors"))
	link("../../blobs/2", filepath.Join(snapshot, "config.json"))
	c, err := Open(snapshot)
	if err != nil {
		t.Fatalf("cache layout: %v", err)
	}
	c.Close()
	if err := os.Remove(filepath.Join(snapshot, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	link(secret, filepath.Join(snapshot, "model.safetensors"))
	if c, err := Open(snapshot); err == nil {
		c.Close()
		t.Error("a link out of the cache was followed")
	}
}

func FuzzParseSafetensors(f *testing.F) {
	f.Add(safeBytes(f, tensor("b", quant.BF16, 3, 5), tensor("a", quant.F32, 4)))
	f.Add(safeRaw(`{"__metadata__":{"format":"pt"},"w":{"dtype":"F8_E4M3","shape":[],"data_offsets":[0,1]}} `, 1))
	f.Add(safeRaw(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"v":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8))
	f.Add([]byte(lfsPrefix))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := parseSafetensors("fuzz.safetensors", data)
		if err != nil {
			var located *FormatError
			if !errors.As(err, &located) || located.Offset > int64(len(data)) {
				t.Fatalf("unlocated error %v", err)
			}
			return
		}
		for _, w := range tensors {
			if w.typ == quant.Invalid {
				continue
			}
			if err := (quant.Tensor{Name: w.name, Type: w.typ, Shape: w.shape, Data: data[w.begin:w.end]}).Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
