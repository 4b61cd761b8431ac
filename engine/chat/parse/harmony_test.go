package parse

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/tokenizer"
)

// write gives a header back as it was read.
func (h header) write() string {
	s := h.role
	if h.recipient != "" && !h.late {
		s += " to=" + h.recipient
	}
	if h.channel != "" {
		s += tagChannel + h.channel
	}
	if h.recipient != "" && h.late {
		s += " to=" + h.recipient
	}
	switch {
	case h.constrained:
		s += " " + tagConstrain + h.kind
	case h.kind != "":
		s += " " + h.kind
	}
	return s
}

// TestHarmonyGoldens reads every message of the goldens and writes it again.
func TestHarmonyGoldens(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shared(t, "harmony"), "*.txt"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d goldens: %v", len(files), err)
	}
	messages := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSpace(string(data))
		if text[0] != '<' {
			continue // token ids
		}
		var out strings.Builder
		rest := text
		for rest != "" {
			started := strings.HasPrefix(rest, tagStart)
			if started {
				rest = rest[len(tagStart):]
				out.WriteString(tagStart)
			}
			head, body, ok := strings.Cut(rest, tagMessage)
			if !ok {
				out.WriteString(parseHeader(head, started).write()) // the open turn at the end
				break
			}
			body, end, after := newMarkers(tagEnd, tagCall, tagReturn).find(body, true)
			out.WriteString(parseHeader(head, started).write() + tagMessage + body + end)
			rest = after
			messages++
		}
		if out.String() != text {
			t.Errorf("%s:\n%s\nis written\n%s", filepath.Base(file), text, out.String())
		}
	}
	if messages < 40 {
		t.Errorf("only %d messages in the goldens", messages)
	}
}

func harmonyTokenizer(t *testing.T) *tokenizer.Tokenizer {
	t.Helper()
	dir := os.Getenv("GODWIT_TEST_TOKENIZERS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip("no cache folder, and GODWIT_TEST_TOKENIZERS is not set")
		}
		dir = filepath.Join(cache, "godwit", "tokenizers")
	}
	main, err := os.ReadFile(filepath.Join(dir, "gptoss", "tokenizer.json"))
	if err != nil {
		t.Skip("the tokenizer of gpt-oss is absent: ", err)
	}
	config, _ := os.ReadFile(filepath.Join(dir, "gptoss", "tokenizer_config.json"))
	tok, err := tokenizer.FromJSON(main, config)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestHarmonyCompletions parses completions that the goldens give as token ids, decoded
// as an engine does: special tokens are skipped, the markers are kept.
func TestHarmonyCompletions(t *testing.T) {
	dir := shared(t, "harmony")
	tok := harmonyTokenizer(t)
	for file, want := range map[string]string{
		"test_simple_reasoning_response.txt": "think \"User asks: \\\"What is 2 + 2?\\\" Simple arithmetic. Provide answer.\"\nsay \"2 + 2 = 4.\"\n",
		"test_simple_tool_call.txt":          "think \"User asks: \\\"What is the weather in Tokyo?\\\" We need to use lookup_weather tool.\"\ncall lookup_weather {\"location\": \"Tokyo\"}\n",
	} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		p := both("gpt-oss", "gpt-oss")
		p.Tools = append(p.Tools, tool("lookup_weather", `{}`))
		dec := tok.NewDecoder(true)
		for _, m := range p.Markers() {
			id, ok := tok.ID(m)
			if !ok {
				t.Fatalf("the tokenizer has no %s", m)
			}
			dec.Keep(id)
		}
		var list []string
		var tokens []engine.Token
		thinking := 0 // tokens to the end of the first message
		for _, f := range strings.Fields(string(data)) {
			id, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, dec.Next(int32(id)))
			tokens = append(tokens, engine.Token{TokenProb: engine.TokenProb{ID: int32(id), Bytes: tok.TokenBytes(int32(id))}})
			if end := tok.TokenString(int32(id)); thinking == 0 && (end == tagEnd || end == tagReturn) {
				thinking = len(tokens)
			}
		}
		if n := newCounter(p).add(tokens); n != thinking || n == 0 {
			t.Errorf("%s: %d tokens of thinking, want %d", file, n, thinking)
		}
		list = append(list, dec.Flush())
		if got := readPieces(p, list, false).show(); got != want {
			t.Errorf("%s: %q gives\n%swant\n%s", file, list, got, want)
		}
	}
}

// TestHarmonyParserInputs reads the texts that the goldens have for streaming parsers.
func TestHarmonyParserInputs(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(shared(t, "harmony"), "test_streamable_parser.txt"))
	if err != nil {
		t.Fatal(err)
	}
	p := both("gpt-oss", "gpt-oss")
	p.Tools = append(p.Tools, tool("browser.search", `{}`))
	r := read(p, strings.TrimSpace(string(data)), false)
	if !strings.HasPrefix(r.Reasoning, `User asks "Who`) || !strings.HasSuffix(r.Reasoning, "browse to confirm.") {
		t.Errorf("reasoning %q", r.Reasoning)
	}
	if len(r.Calls) != 1 || r.Calls[0].Name != "browser.search" || !strings.HasPrefix(r.Calls[0].Arguments, `{"query": "current US`) || !validJSON(r.Calls[0].Arguments) {
		t.Errorf("calls %+v", r.Calls)
	}
	if want := `{"result": "https://openai.com/"}`; r.Content != want {
		t.Errorf("content %q, want %q", r.Content, want)
	}
}
