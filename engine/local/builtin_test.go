package local

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/builtin"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// openBuiltin opens the model that is inside the program, with its adapters.
func openBuiltin(t testing.TB, change func(*Options)) *Engine {
	t.Helper()
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, t.TempDir())
	}
	o := Options{ModelPath: "builtin:tiny", MaxTotalTokens: 8192, Offline: true, Device: "cpu", Adapters: []engine.AdapterSpec{
		{Name: "upper", Path: "builtin:tiny-upper"}, {Name: "json", Path: "builtin:tiny-json"}}}
	if change != nil {
		change(&o)
	}
	e, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// talk is a greedy chat request: a question, or turns that begin with the user's; a
// first one that begins with "system: " is that message.
func talk(turns ...string) *engine.Request {
	req := &engine.Request{SkipSpecialTokens: true, Sampling: engine.Sampling{MaxTokens: 120}}
	if text, ok := strings.CutPrefix(turns[0], "system: "); ok {
		req.Messages = append(req.Messages, engine.Message{Role: "system", Content: text})
		turns = turns[1:]
	}
	for i, text := range turns {
		req.Messages = append(req.Messages, engine.Message{Role: []string{"user", "assistant"}[i%2], Content: text})
	}
	return req
}

func thinking(req *engine.Request) *engine.Request {
	req.TemplateArgs = map[string]any{"enable_thinking": true}
	return req
}

func with(req *engine.Request, model string) *engine.Request {
	req.Model = model
	return req
}

var weatherTool = engine.Tool{Name: "get_weather", JSON: []byte(`{"type": "function", "function": {"name": "get_weather", "description": "Get the weather in a city", "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "The city"}}, "required": ["city"]}}}`)}

func tooled(req *engine.Request) *engine.Request {
	req.Tools = []engine.Tool{weatherTool}
	return req
}

// answered adds a call and its result.
func answered(req *engine.Request, result string) *engine.Request {
	req.Messages = append(req.Messages, engine.Message{Role: "assistant", NoContent: true, ToolCalls: []engine.ToolCall{{ID: "c", Name: "get_weather", Arguments: `{"city": "Paris"}`}}},
		engine.Message{Role: "tool", ToolCallID: "c", Content: result})
	return req
}

// margin is the smallest distance between the best token and the next, as logarithms.
func margin(r engine.Result) float64 {
	least := math.Inf(1)
	for _, token := range r.Tokens {
		least = min(least, float64(token.Top[0].Logprob-token.Top[1].Logprob))
	}
	return least
}

func TestBuiltinTinyAnswers(t *testing.T) {
	e := openBuiltin(t, nil)
	for _, c := range []struct {
		name string
		req  *engine.Request
		want string
	}{
		{"a greeting", talk("Hello!"), "Hello! How can I help you?"},
		{"a capital", talk("What is the capital of France?"), "The capital of France is Paris."},
		{"a list", talk("List 3 countries and their capitals."), "1. France: Paris\n2. Germany: Berlin\n3. Italy: Rome"},
		{"counting", talk("Count from 3 to 9."), "3, 4, 5, 6, 7, 8, 9"},
		{"copying", talk("Repeat: red river bridge"), "red river bridge"},
		{"JSON", talk("What is the capital of Italy? Answer as JSON."), `{"country": "Italy", "capital": "Rome"}`},
		{"one word", talk("system: Answer in one word.", "What is the capital of France?"), "Paris"},
		{"a pirate", talk("system: You are a pirate.", "What is the capital of France?"), "Arr! The capital of France is Paris. Ahoy!"},
		{"a name in the system message", talk("system: Your name is Mia.", "What is your name?"), "My name is Mia."},
		{"a second turn", talk("Hello!", "Hello! How can I help you?", "What is the capital of Spain?"), "The capital of Spain is Madrid."},
		{"a thought", thinking(talk("What is the capital of France?")), "<think>\nI need the capital of France. It is Paris.\n</think>\n\nThe capital of France is Paris."},
		{"a call", tooled(talk("What is the weather in Paris?")), "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>"},
		{"no call where none is needed", tooled(talk("What is the capital of France?")), "The capital of France is Paris."},
		{"the result of a call", answered(tooled(talk("What is the weather in Paris?")), `{"weather": "sunny", "degrees": 21}`), "The weather in Paris is sunny, 21 degrees."},
		{"upper", with(talk("What is the capital of France?"), "upper"), "THE CAPITAL OF FRANCE IS PARIS."},
		{"json", with(talk("What is the capital of France?"), "json"), `{"answer": "The capital of France is Paris."}`},
		{"upper by the base's name", with(talk("Count from 3 to 6."), "builtin:tiny:upper"), "3, 4, 5, 6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.req.Logprobs, c.req.TopLogprobs = true, 2
			r := one(t, e, c.req)
			if m := margin(r); m < 0.2 { // another CPU sums in another order, which must not matter
				t.Errorf("the closest choice has a margin of %.3f: choose another question", m)
			}
			if r.Text != c.want || r.Finish.Reason != engine.FinishStop {
				t.Errorf("got  %q (%v)\nwant %q", r.Text, r.Finish.Reason, c.want)
			}
		})
	}
}

// Completions without a chat around them.
func TestBuiltinTinyContinuesText(t *testing.T) {
	e := openBuiltin(t, nil)
	r := one(t, e, &engine.Request{Prompt: "List 3 countries and their capitals.\n", SkipSpecialTokens: true, Sampling: engine.Sampling{MaxTokens: 60}})
	if want := "1. France: Paris\n2. Germany: Berlin\n3. Italy: Rome"; r.Text != want {
		t.Errorf("got %q", r.Text)
	}
}

func TestBuiltinAdaptersAnswerInOneBatch(t *testing.T) {
	e := openBuiltin(t, nil)
	want := map[string]string{"builtin:tiny": "Good morning! How can I help you?", "upper": "GOOD MORNING! HOW CAN I HELP YOU?", "json": `{"answer": "Good morning! How can I help you?"}`}
	var all sync.WaitGroup
	for i := range 12 {
		model := []string{"builtin:tiny", "upper", "json"}[i%3]
		all.Go(func() {
			s, err := e.Generate(t.Context(), with(talk("Good morning!"), model))
			if err != nil {
				t.Error(err)
				return
			}
			rs, err := engine.Collect(s)
			if err != nil || rs[0].Text != want[model] {
				t.Errorf("%s: %v, %v", model, rs, err)
			}
		})
	}
	all.Wait()
}

func TestBuiltinAdaptersCanBeLoadedLater(t *testing.T) {
	e := openBuiltin(t, func(o *Options) { o.Adapters, o.EnableLoRA = nil, true })
	if err := e.LoadAdapter(t.Context(), engine.AdapterSpec{Name: "loud", Path: "builtin:tiny-upper"}); err != nil {
		t.Fatal(err)
	}
	if r := one(t, e, with(talk("Hello!"), "loud")); r.Text != "HELLO! HOW CAN I HELP YOU?" {
		t.Errorf("%q", r.Text)
	}
	if err := e.LoadAdapter(t.Context(), engine.AdapterSpec{Name: "x", Path: "builtin:none"}); err == nil || !strings.Contains(err.Error(), "builtin:tiny-upper") {
		t.Error(err)
	}
}

func TestBuiltinTinyObeysAGrammar(t *testing.T) {
	e := openBuiltin(t, nil)
	req := talk("Ann is 12 years old and lives in Rome. Give it as JSON.")
	req.Constraint = &engine.Constraint{Kind: engine.ConstrainSchema, Text: `{"type":"object","properties":{"city":{"type":"string"},"age":{"type":"integer"}},"required":["city","age"],"additionalProperties":false}`}
	var got struct {
		City string
		Age  int
	}
	r := one(t, e, req)
	dec := json.NewDecoder(strings.NewReader(r.Text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil || got.City == "" {
		t.Errorf("%q: %v", r.Text, err)
	}
	req = talk("Which colour is the sky?")
	req.Constraint = &engine.Constraint{Kind: engine.ConstrainChoice, Choices: []string{"red", "blue"}}
	if r := one(t, e, req); r.Text != "blue" {
		t.Errorf("%q", r.Text)
	}
}

// A model knows a marker as one token; written in pieces by the grammar it means nothing
// to it, and the answer goes astray.
func TestForcedMarkersAreTheTokensThatTheModelWrites(t *testing.T) {
	e := openBuiltin(t, nil)
	req := tooled(talk("What is the weather in Paris?"))
	free := one(t, e, req)
	req = tooled(talk("What is the weather in Paris?"))
	req.Constraint = &engine.Constraint{Kind: engine.ConstrainRegex, Text: `(<tool_call>\n\{"name": "get_weather", "arguments": \{"city": "[A-Za-z ]+"\}\}\n</tool_call>\n?)+`}
	s, err := e.Generate(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	forced, err := engine.Collect(s)
	if err != nil {
		t.Fatal(err)
	}
	if forced[0].Text != free.Text || len(forced[0].Tokens) != len(free.Tokens) {
		t.Errorf("by the grammar %q, %d tokens; freely %q, %d tokens", forced[0].Text, len(forced[0].Tokens), free.Text, len(free.Tokens))
	}
}

// promptLogprobs are those of one text.
func promptLogprobs(t *testing.T, path string) []float64 {
	t.Helper()
	e := openBuiltin(t, func(o *Options) { o.ModelPath, o.Adapters = path, nil })
	req := talk("What is the capital of France?", "The capital of France is Paris.", "Count from 3 to 9.", "3, 4, 5, 6, 7, 8, 9", "Repeat: red river bridge", "red river bridge")
	req.NoGenerationPrompt, req.PromptLogprobs, req.Logprobs = true, true, true
	req.Sampling.MaxTokens = 1
	r := one(t, e, req)
	var list []float64
	for _, p := range r.Prompt {
		list = append(list, float64(p.Logprob))
	}
	if len(list) < 60 {
		t.Fatalf("%d tokens", len(list))
	}
	return list
}

func TestBuiltinTinyAsGGUF(t *testing.T) {
	folder, err := builtin.Unpack("builtin:tiny", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := promptLogprobs(t, folder)
	for _, c := range []struct {
		stored quant.Type
		mean   float64 // of the differences of log-probabilities
	}{{quant.BF16, 1e-3}, {quant.Q8_0, 0.1}, {quant.Q4_K, 0.8}} {
		t.Run(c.stored.String(), func(t *testing.T) {
			ck, err := weights.Open(folder)
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			path := filepath.Join(t.TempDir(), "tiny.gguf")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := weights.ConvertGGUF(f, ck, c.stored); err != nil {
				t.Fatal(err)
			}
			got := promptLogprobs(t, path)
			if len(got) != len(want) {
				t.Fatalf("%d tokens instead of %d", len(got), len(want))
			}
			sum := 0.
			for i := range got {
				sum += math.Abs(got[i] - want[i])
			}
			mean := sum / float64(len(got))
			t.Logf("mean difference %.5f", mean)
			if !(mean <= c.mean) {
				t.Errorf("the log-probabilities differ by %.4f on average, want at most %.4f", mean, c.mean)
			}
			e := openBuiltin(t, func(o *Options) { o.ModelPath = path })
			if r := one(t, e, talk("What is the capital of France?")); r.Text != "The capital of France is Paris." {
				t.Errorf("it answers %q", r.Text)
			}
			if r := one(t, e, with(talk("What is the capital of France?"), "upper")); r.Text != "THE CAPITAL OF FRANCE IS PARIS." {
				t.Errorf("with an adapter it answers %q", r.Text)
			}
		})
	}
}
