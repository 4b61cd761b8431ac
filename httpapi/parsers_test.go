package httpapi

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/enginetest"
)

var callIDPattern = regexp.MustCompile(`"id":"call_[0-9a-f]{24}"`)

// TestParserTranscripts replays testdata/parsers/*.http: a line with the parsers and the
// bytes per event, a line with the model's answer as a JSON string, then as the other
// transcripts.
func TestParserTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/parsers/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			request, want, _ := strings.Cut(string(data), responseMark)
			got := replayParsed(t, request)
			if *update {
				if err := os.WriteFile(file, []byte(request+responseMark+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func replayParsed(t *testing.T, request string) string {
	t.Helper()
	lines := strings.SplitN(request, "\n", 5)
	fake := &enginetest.Fake{Names: []string{"org/fake"}}
	if _, err := fmt.Sscanf(lines[0], "reasoning=%q tools=%q chunk=%d", &fake.ReasoningParser, &fake.ToolCallParser, &fake.Chunk); err != nil {
		t.Fatal(err)
	}
	var reply string
	if err := json.Unmarshal([]byte(lines[1]), &reply); err != nil {
		t.Fatal(err)
	}
	fake.Replies = map[string]string{"hi": reply, "sun": "It is sunny."}
	url, _ := serve(t, fake, Options{})
	method, path, _ := strings.Cut(lines[2], " ")
	res, got := do(t, method, url+path, strings.TrimSuffix(lines[4], "\n"))
	text := fmt.Sprintf("%d %s\n\n%s\n", res.StatusCode, res.Header.Get("Content-Type"), got)
	text = createdPattern.ReplaceAllString(idPattern.ReplaceAllString(text, `"id":"ID"`), `"created":0`)
	return callIDPattern.ReplaceAllString(text, `"id":"CALL"`)
}

func TestParserRoutes(t *testing.T) {
	url, _ := serve(t, &enginetest.Fake{ReasoningParser: "deepseek-r1"}, Options{})
	tools := `"tools":[{"type":"function","function":{"name":"f"}}]`
	for _, c := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"thinking", "/separate_reasoning", `{"text":"<think>a</think>b","reasoning_parser":"qwen3"}`, 200, `{"reasoning_text":"a","text":"b"}`},
		{"a text without thinking", "/separate_reasoning", `{"text":"b","reasoning_parser":"qwen3"}`, 200, `{"reasoning_text":"","text":"b"}`},
		{"the model's own parser", "/separate_reasoning", `{"text":"a</think>b"}`, 200, `{"reasoning_text":"a","text":"b"}`},
		{"an unknown parser", "/separate_reasoning", `{"text":"a","reasoning_parser":"x"}`, 400, `"reasoning_parser"`},
		{"no text", "/separate_reasoning", `{}`, 400, `"text"`},
		{"an unknown field", "/separate_reasoning", `{"text":"a","tools":[]}`, 400, `"tools"`},
		{"a call", "/parse_function_call", `{"text":"So <tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}</tool_call>",` + tools + `,"tool_call_parser":"qwen25"}`, 200,
			`{"normal_text":"So","calls":[{"tool_index":0,"name":"f","parameters":"{\"a\":1}"}]}`},
		{"no call", "/parse_function_call", `{"text":"So",` + tools + `,"tool_call_parser":"qwen25"}`, 200, `{"normal_text":"So","calls":[]}`},
		{"no parser at all", "/parse_function_call", `{"text":"So",` + tools + `}`, 400, `"tool_call_parser"`},
		{"no tools", "/parse_function_call", `{"text":"So","tool_call_parser":"qwen25"}`, 400, `"tools"`},
	} {
		res, body := do(t, "POST", url+c.path, c.body)
		if res.StatusCode != c.status || !strings.Contains(body, c.want) || c.status == 200 && body != c.want {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
		}
	}
}
