package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// testCase is one conversation of testdata/cases.json.
type testCase struct {
	Name     string
	Messages []struct {
		Role             string
		Content          json.RawMessage
		Name             string
		ToolCallID       string `json:"tool_call_id"`
		ReasoningContent string `json:"reasoning_content"`
		ToolCalls        []struct {
			ID       string
			Function struct {
				Name      string
				Arguments json.RawMessage
			}
		} `json:"tool_calls"`
	}
	Tools               []json.RawMessage
	Args                map[string]any
	AddGenerationPrompt bool `json:"add_generation_prompt"`
	ContinueFinal       bool `json:"continue_final"`
}

// rendering is what transformers made of a case: a text, its digest, or an error.
type rendering struct {
	Text              string // templates of our own
	SHA256            string // all others
	Error             string
	WithTextArguments *rendering `json:"with_text_arguments"`
}

func readTestdata(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func (c *testCase) input(t testing.TB) Input {
	t.Helper()
	in := Input{AddGenerationPrompt: c.AddGenerationPrompt, ContinueFinal: c.ContinueFinal, Args: c.Args}
	for _, m := range c.Messages {
		msg := engine.Message{Role: m.Role, Name: m.Name, ToolCallID: m.ToolCallID, Reasoning: m.ReasoningContent}
		var parts []engine.Part
		switch {
		case string(m.Content) == "null":
			msg.NoContent = true
		case json.Unmarshal(m.Content, &msg.Content) == nil:
		case json.Unmarshal(m.Content, &parts) == nil:
			msg.Parts = parts
			for _, p := range parts {
				msg.Content += p.Text
			}
		default:
			t.Fatalf("content %s", m.Content)
		}
		for _, call := range m.ToolCalls {
			v, err := fromJSON(call.Function.Arguments)
			if err != nil {
				t.Fatal(err)
			}
			text, err := toJSON(v)
			if err != nil {
				t.Fatal(err)
			}
			msg.ToolCalls = append(msg.ToolCalls, engine.ToolCall{ID: call.ID, Name: call.Function.Name, Arguments: text})
		}
		in.Messages = append(in.Messages, msg)
	}
	for _, tool := range c.Tools {
		in.Tools = append(in.Tools, engine.Tool{JSON: tool})
	}
	return in
}

// goldenOptions are those of make_goldens.py.
func goldenOptions() Options {
	return Options{BOS: "<s>", EOS: "</s>", Now: func() time.Time {
		return time.Date(2025, 7, 4, 9, 5, 3, 0, time.UTC)
	}}
}

// repoRoot is the folder of go.mod.
func repoRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}

// templateSource is a template by its name in goldens.json.
func templateSource(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(repoRoot(t), "..", "shared", "data", "chat-templates", name+".jinja")
	if name == "own-chatml" {
		path = filepath.Join("testdata", "chatml.jinja")
	}
	if name == "SmolLM2" {
		return smolLM2Template(t)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("the template is absent: %v", err)
	}
	return string(b)
}

// smolLM2Template cuts the template out of the real model file.
func smolLM2Template(t testing.TB) string {
	t.Helper()
	path := os.Getenv("GODWIT_TEST_MODEL")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip("no cache folder and GODWIT_TEST_MODEL is not set")
		}
		path = filepath.Join(cache, "godwit", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Skipf("the real model is absent: %v", err)
	}
	defer f.Close()
	head := make([]byte, 4<<20)
	n, _ := f.Read(head)
	_, after, ok := strings.Cut(string(head[:n]), "tokenizer.chat_template")
	if !ok || len(after) < 12 {
		t.Fatal("the model file has no chat template in its first 4 MiB")
	}
	size := int(after[4]) | int(after[5])<<8 | int(after[6])<<16
	return after[12 : 12+size]
}

func TestTemplatesRenderAsTransformersDoes(t *testing.T) {
	var cases []testCase
	var goldens struct {
		Templates map[string]map[string]rendering
	}
	readTestdata(t, "cases.json", &cases)
	readTestdata(t, "goldens.json", &goldens)
	for name, want := range goldens.Templates {
		t.Run(name, func(t *testing.T) {
			tmpl, err := Compile(templateSource(t, name), goldenOptions())
			if err != nil {
				t.Fatal(err)
			}
			for i := range cases {
				compareCase(t, tmpl, &cases[i], want[cases[i].Name], name == "llama-cpp-deepseek-r1")
			}
		})
	}
}

// compareCase wants the reference's text, or an error where the reference fails.
// lenient is for the one template that writes map's result as JSON: a generator in
// Python, which that cannot; a list here, which is what the template means.
func compareCase(t *testing.T, tmpl *Template, c *testCase, want rendering, lenient bool) {
	t.Helper()
	got, err := tmpl.Render(c.input(t))
	if want.WithTextArguments != nil && tmpl.textArgs {
		want = *want.WithTextArguments
	}
	if want.Error != "" {
		if err == nil && !joinsParts(tmpl, c) && !lenient {
			t.Errorf("%s: transformers refuses (%s), we render %q", c.Name, want.Error, got)
		}
		return
	}
	if joinsParts(tmpl, c) {
		return // the reference prints the list; see TestPartsAreJoined…
	}
	if err != nil {
		t.Errorf("%s: %v", c.Name, err)
		return
	}
	sum := sha256.Sum256([]byte(got))
	switch {
	case want.SHA256 == "" && got != want.Text:
		t.Errorf("%s:\n got %q\nwant %q", c.Name, got, want.Text)
	case want.SHA256 != "" && hex.EncodeToString(sum[:]) != want.SHA256:
		t.Errorf("%s: not the text that transformers renders:\n got %q", c.Name, got)
	}
}

// joinsParts reports whether the template cannot read lists of parts, so that the
// texts are joined before it sees them.
func joinsParts(tmpl *Template, c *testCase) bool {
	for _, m := range c.Messages {
		if strings.HasPrefix(string(m.Content), "[") && !tmpl.listRoles[m.Role] {
			return true
		}
	}
	return false
}
