package builtin

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat"
)

// same fails unless a folder holds exactly the files of a name.
func same(t *testing.T, folder, name string) {
	t.Helper()
	want, err := Files(name)
	if err != nil {
		t.Fatal(err)
	}
	list, err := fs.ReadDir(want, ".")
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(have) != len(list) {
		t.Errorf("%s holds %d files, want %d", folder, len(have), len(list))
	}
	for _, e := range list {
		a, _ := fs.ReadFile(want, e.Name())
		b, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil || string(a) != string(b) {
			t.Errorf("%s is not what the program holds: %v", e.Name(), err)
		}
	}
}

func TestUnpackWritesTheSameFolderEachTime(t *testing.T) {
	dir := t.TempDir()
	for _, name := range Names() {
		folder, err := Unpack(name, dir)
		if err != nil {
			t.Fatal(err)
		}
		same(t, folder, name)
		again, err := Unpack(name, dir)
		if err != nil || again != folder {
			t.Errorf("then %s, %v", again, err)
		}
	}
}

func TestUnpackRepairsWhatWasChanged(t *testing.T) {
	dir := t.TempDir()
	folder, err := Unpack("builtin:tiny", dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack("builtin:tiny", dir); err != nil {
		t.Fatal(err)
	}
	same(t, folder, "builtin:tiny")
}

func TestUnpackManyTimesAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := Unpack("builtin:tiny-json", dir); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	folder, _ := Unpack("builtin:tiny-json", dir)
	same(t, folder, "builtin:tiny-json")
}

func TestUnpackWithoutAPlaceInTheCache(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file} {
		folder, err := Unpack("builtin:tiny-upper", dir)
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(filepath.Dir(folder))
		same(t, folder, "builtin:tiny-upper")
	}
}

func TestUnknownNames(t *testing.T) {
	for _, name := range []string{"builtin:", "builtin:none", "builtin:../tiny", "builtin:tiny/config.json", "tiny", ""} {
		_, err := Unpack(name, t.TempDir())
		if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "builtin:tiny, builtin:tiny-upper, builtin:tiny-json") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestListKnowsSizes(t *testing.T) {
	for _, e := range List() {
		if !Is(e.Name) || e.Title == "" || e.Bytes < 100_000 || e.Bytes > 12_000_000 {
			t.Errorf("%+v", e)
		}
	}
}

// The goldens are what transformers renders: tests/tiny/check.py.
func TestTheTemplateRendersAsInTransformers(t *testing.T) {
	folder, err := Files("builtin:tiny")
	if err != nil {
		t.Fatal(err)
	}
	source, err := fs.ReadFile(folder, "chat_template.jinja")
	if err != nil {
		t.Fatal(err)
	}
	template, err := chat.Compile(string(source), chat.Options{EOS: "<|im_end|>"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("testdata/rendered.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name     string
		Messages []struct {
			Role      string
			Content   *string
			Reasoning string `json:"reasoning_content"`
			Calls     []struct {
				ID       string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		Tools    []json.RawMessage
		Thinking *bool `json:"enable_thinking"`
		Open     *bool `json:"add_generation_prompt"`
		Want     string
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			in := chat.Input{AddGenerationPrompt: c.Open == nil || *c.Open, Args: map[string]any{}}
			if c.Thinking != nil {
				in.Args["enable_thinking"] = *c.Thinking
			}
			for _, m := range c.Messages {
				msg := engine.Message{Role: m.Role, NoContent: m.Content == nil, Reasoning: m.Reasoning}
				if m.Content != nil {
					msg.Content = *m.Content
				}
				for _, call := range m.Calls {
					msg.ToolCalls = append(msg.ToolCalls, engine.ToolCall{ID: call.ID, Name: call.Function.Name, Arguments: call.Function.Arguments})
				}
				in.Messages = append(in.Messages, msg)
			}
			for _, tool := range c.Tools {
				in.Tools = append(in.Tools, engine.Tool{JSON: tool})
			}
			got, err := template.Render(in)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.Want {
				t.Errorf("got  %q\nwant %q", got, c.Want)
			}
		})
	}
}
