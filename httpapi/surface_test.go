package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/chat/parse"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// surface is a server that can do whatever needs a flag.
func surface(t *testing.T) string {
	fake := fakeEngine()
	fake.ToolCallParser, fake.ReasoningParser = "qwen", "qwen3"
	url, _ := serve(t, fake, Options{TrustRequestTemplate: true})
	return url
}

// ask sends a body with one field more and returns the status and, of an error, its fields.
func ask(t *testing.T, url string, body map[string]any, field, example string) (int, map[string]any) {
	t.Helper()
	at := body
	if inner, ok := strings.CutPrefix(field, "sampling_params."); ok {
		at, field = map[string]any{}, inner
		body["sampling_params"] = at
	}
	at[field] = json.RawMessage(example)
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	res, text := do(t, "POST", url, string(b))
	if res.StatusCode == 200 {
		return 200, nil
	}
	return res.StatusCode, apiError(t, text)
}

// example is a value that the route takes.
func example(f openai.FieldInfo, chat bool) string {
	switch {
	case f.Name == "logprobs" && chat:
		return "true"
	case f.Name == "logprobs":
		return "2"
	case f.Name == "add_special_tokens":
		return strconv.FormatBool(!chat)
	}
	return f.Example
}

// row tries one field and returns its row of the table.
func row(t *testing.T, f openai.FieldInfo, routes []string, status int, e map[string]any) string {
	what := f.What
	switch {
	case f.Class != openai.Refused:
		if status != 200 {
			t.Errorf("%s on %v is said to be %s, and gets %d %v", f.Name, routes, f.Class, status, e)
		}
	case status != 400 || e["code"] != "unsupported_parameter" || e["param"] != f.Name:
		t.Errorf("%s on %v has no line in surface.go, so it must be refused by name; it gets %d %v", f.Name, routes, status, e)
	default:
		what = e["message"].(string)
	}
	in := ""
	if routes != nil {
		in = strings.Join(routes, ", ") + " | "
	}
	return fmt.Sprintf("| `%s` | %s%s | %s |\n", f.Name, in, f.Class, strings.ReplaceAll(what, "|", "\\|"))
}

// names tries each parser and lists them; auto is by the chat template.
func names(t *testing.T, url, route, body string, list []string) string {
	t.Helper()
	for _, name := range list {
		if res, text := do(t, "POST", url+route, fmt.Sprintf(body, name)); res.StatusCode != 200 {
			t.Errorf("%s with %s: %d %s", route, name, res.StatusCode, text)
		}
	}
	return "`" + strings.Join(list, "`, `") + "`\n"
}

// TestSurface tries every route and every field, and compares what it found with the
// table that users read.
func TestSurface(t *testing.T) {
	url := surface(t)
	var doc strings.Builder
	doc.WriteString("# What the HTTP server offers\n\n" +
		"Written by `go test ./httpapi -update` from the tables in the code; the test tries every row. Errors have one shape:\n" +
		"`{\"object\":\"error\",\"error\":{\"object\",\"message\",\"type\",\"param\",\"code\"}}`.\n\n## Routes\n\n| | route | |\n|---|---|---|\n")
	_, s := serve(t, fakeEngine(), Options{})
	for _, r := range s.routes() {
		res, body := do(t, r.method, url+strings.Replace(r.path, "*id", "org/fake", 1), "")
		if res.StatusCode == 405 || res.StatusCode == 404 {
			t.Errorf("%s %s: %d %s", r.method, r.path, res.StatusCode, body)
		}
		fmt.Fprintf(&doc, "| %s | `%s` | %s |\n", r.method, strings.Replace(r.path, "*id", "{id}", 1), r.what)
	}
	doc.WriteString("\n`admin` routes need `--admin-api-key` if it is set, else any API key; without keys they answer on loopback and on a Unix socket only.\n\n" +
		"## Routes of other servers\n\nThey answer 404 with this sentence.\n\n| route | |\n|---|---|\n")
	for _, path := range slices.Sorted(maps.Keys(notOffered)) {
		full := path
		if strings.HasSuffix(path, "/") {
			full += "x"
		}
		res, body := do(t, "POST", url+full, "{}")
		if e := apiError(t, body); res.StatusCode != 404 || e["code"] != "not_offered" {
			t.Errorf("%s: %d %v", path, res.StatusCode, e)
		}
		if _, twice := notOffered[strings.TrimSuffix(path, "/")]; twice && full != path {
			continue
		}
		fmt.Fprintf(&doc, "| `%s` | %s not offered |\n", strings.TrimSuffix(path, "/"), notOffered[path])
	}
	doc.WriteString("\n## Fields of /v1/chat/completions and /v1/completions\n\n" +
		"null is the same as leaving a field out. *refused* fields pass when they ask for nothing (false, an empty list). Any other field is a 400 `unknown_parameter`.\n\n" +
		"| field | in | | |\n|---|---|---|---|\n")
	for _, f := range openai.Fields() {
		var routes []string
		status, e := 0, map[string]any(nil)
		if f.Chat && f.Name != "echo" {
			body := map[string]any{"messages": json.RawMessage(`[{"role":"user","content":"hi"}]`)}
			if f.Name == "top_logprobs" || f.Name == "logprob_token_ids" {
				body["logprobs"] = true
			}
			routes = append(routes, "chat")
			status, e = ask(t, url+"/v1/chat/completions", body, f.Name, example(f, true))
		}
		if f.Completion {
			routes = append(routes, "completions")
			if status == 0 || status == 200 || f.Class == openai.Refused {
				body := map[string]any{"prompt": "hi"}
				if f.Name == "logprob_token_ids" {
					body["logprobs"] = 1
				}
				status, e = ask(t, url+"/v1/completions", body, f.Name, example(f, false))
			}
		}
		doc.WriteString(row(t, f, routes, status, e))
	}
	doc.WriteString("\n## Fields of /generate\n\n| field | | |\n|---|---|---|\n")
	for _, f := range openai.NativeFields() {
		body := map[string]any{"text": "hi"}
		if f.Name == "input_ids" {
			delete(body, "text")
		}
		status, e := ask(t, url+"/generate", body, f.Name, f.Example)
		doc.WriteString(row(t, f, nil, status, e))
	}
	doc.WriteString("\n## A constraint beside other fields\n\n" +
		"A constraint is what response_format, regex, ebnf, json_schema, structural_tag, grammar, guided_… or structured_outputs ask for. `tests/clients/goclient` tries every row on a model.\n\n| | |\n|---|---|\n")
	for _, c := range openai.Compositions() {
		fmt.Fprintf(&doc, "| %s | %s |\n", c.With, c.What)
	}
	doc.WriteString("\n## Parsers\n\n`--reasoning-parser`, and `reasoning_parser` of /separate_reasoning:\n\n" + names(t, url, "/separate_reasoning", `{"text":"x","reasoning_parser":%q}`, parse.Reasonings()) +
		"\n`--tool-call-parser`, and `tool_call_parser` of /parse_function_call:\n\n" + names(t, url, "/parse_function_call", `{"text":"x","tools":[],"tool_call_parser":%q}`, parse.ToolCallParsers()))
	const file = "SURFACE.md"
	if *update {
		if err := os.WriteFile(file, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have, err := os.ReadFile(file); err != nil || string(have) != doc.String() {
		t.Errorf("%s is not what the code says: %v. Look at it after go test ./httpapi -run Surface -update", file, err)
	}
}
