package local

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
)

// person is a schema whose answers are checked by encoding/json and by hand.
const person = `{"type":"object","additionalProperties":false,"required":["name","age","tags","mood"],"properties":{
	"name":{"type":"string","maxLength":12},"age":{"type":"integer","minimum":0,"maximum":120},
	"tags":{"type":"array","items":{"type":"string","maxLength":5},"maxItems":3},
	"mood":{"enum":["happy","sad"]},"friend":{"anyOf":[{"$ref":"#"},{"type":"null"}]}}}`

type personAnswer struct {
	Name   *string
	Age    *int
	Tags   []string
	Mood   string
	Friend *personAnswer
}

func (p *personAnswer) check(t *testing.T, text string) {
	t.Helper()
	if p.Name == nil || len([]rune(*p.Name)) > 12 || p.Age == nil || *p.Age < 0 || *p.Age > 120 || p.Tags == nil ||
		len(p.Tags) > 3 || p.Mood != "happy" && p.Mood != "sad" {
		t.Errorf("the answer is not valid: %s", text)
	}
	if p.Friend != nil {
		p.Friend.check(t, text)
	}
}

func constrained(kind engine.ConstraintKind, text string, n int) *engine.Request {
	return &engine.Request{Prompt: "Once", SkipSpecialTokens: true, Constraint: &engine.Constraint{Kind: kind, Text: text, Param: "response_format"},
		Sampling: engine.Sampling{MaxTokens: n, Temperature: 1.5, HasSeed: true}}
}

func TestEveryAnswerThatEndsByItselfFitsItsSchema(t *testing.T) {
	e := open(t, nil)
	ended := 0
	for seed := range uint64(12) {
		req := constrained(engine.ConstrainSchema, person, 220)
		req.Constraint.Compact = true
		req.Sampling.Seed, req.N = seed, 2
		rs, u := collect(t, e, req)
		tokens := 0
		for _, r := range rs {
			tokens += len(r.Tokens)
			if r.Finish.Reason == engine.FinishLength {
				continue
			}
			ended++
			dec := json.NewDecoder(strings.NewReader(r.Text))
			dec.DisallowUnknownFields()
			var p personAnswer
			if err := dec.Decode(&p); err != nil || r.Finish.Reason != engine.FinishStop {
				t.Errorf("seed %d: %v, finish %v: %s", seed, err, r.Finish, r.Text)
				continue
			}
			p.check(t, r.Text)
		}
		if u.Completion != tokens {
			t.Errorf("usage says %d tokens, there were %d", u.Completion, tokens)
		}
	}
	if ended == 0 {
		t.Error("no answer ended by itself")
	}
}

func TestForcedTokensNeedNoStep(t *testing.T) {
	e := open(t, nil)
	const text = "a rather long text that has to be written as it stands, from end to end"
	before := e.Stats().Steps
	req := constrained(engine.ConstrainChoice, "", 200)
	req.Constraint.Choices = []string{text}
	r := one(t, e, req)
	if r.Text != text || r.Finish != (engine.Finish{Reason: engine.FinishStop, MatchedToken: -1}) {
		t.Errorf("got %q, %+v", r.Text, r.Finish)
	}
	if steps := e.Stats().Steps - before; steps > int64(len(r.Tokens)/2) {
		t.Errorf("%d tokens took %d steps", len(r.Tokens), steps)
	}
	req.Logprobs = true
	before = e.Stats().Steps
	r = one(t, e, req)
	if steps := e.Stats().Steps - before; r.Text != text || steps < int64(len(r.Tokens)*3/4) {
		t.Errorf("with log-probabilities %d tokens took %d steps: %q", len(r.Tokens), steps, r.Text)
	}
}

func TestConstraintsComposeWithTheOtherParameters(t *testing.T) {
	e := open(t, nil)
	for _, c := range []struct {
		name   string
		change func(*engine.Request)
		kind   engine.ConstraintKind
		text   string
		want   string // a pattern
		reason engine.FinishReason
	}{
		{"a limit cuts the answer off", func(r *engine.Request) { r.Sampling.MaxTokens = 5 }, engine.ConstrainRegex, `[a-f]{100}`, `[a-f]+`, engine.FinishLength},
		{"a complete answer at the limit ended by itself", func(r *engine.Request) { r.Sampling.MaxTokens = 3 }, engine.ConstrainRegex, `[\x{4e00}-\x{4eff}]`, `\p{Han}`, engine.FinishStop},
		{"min_tokens keeps the answer going while it can", func(r *engine.Request) { r.Sampling.MinTokens = 20; r.Sampling.MaxTokens = 60 }, engine.ConstrainRegex, `[ab]*`, `[ab]{20,}`, ""},
		{"min_tokens gives way to a complete answer", func(r *engine.Request) { r.Sampling.MinTokens = 50 }, engine.ConstrainRegex, `[ab]{3}`, `[ab]{3}`, engine.FinishStop},
		{"ignore_eos ends where the grammar does", func(r *engine.Request) { r.Sampling.IgnoreEOS = true }, engine.ConstrainRegex, `[ab]{1,9}c`, `[ab]{1,9}c`, engine.FinishStop},
		{"a stop string still ends it", func(r *engine.Request) { r.Sampling.Stop = []string{"ab"} }, engine.ConstrainRegex, `xyzab{50}`, `xyz`, engine.FinishStop},
		{"penalties and biases stay inside", func(r *engine.Request) {
			r.Sampling.Frequency, r.Sampling.Repetition = 2, 1.9
			r.Sampling.LogitBias = map[int32]float32{300: 100, 301: 100}
		}, engine.ConstrainRegex, `[0-9]{12}`, `[0-9]{12}`, engine.FinishStop},
		{"greedy", func(r *engine.Request) { r.Sampling.Temperature = 0 }, engine.ConstrainGrammar, "root ::= root \"+\" [0-9] | [0-9]", `[0-9](\+[0-9])*`, ""},
	} {
		req := constrained(c.kind, c.text, 100)
		c.change(req)
		r := one(t, e, req)
		if !regexp.MustCompile("^("+c.want+")$").MatchString(r.Text) || c.reason != "" && r.Finish.Reason != c.reason {
			t.Errorf("%s: %q, %+v", c.name, r.Text, r.Finish)
		}
	}
}

func TestAnswersDoNotDependOnTheBatch(t *testing.T) {
	e := open(t, nil)
	alone := one(t, e, constrained(engine.ConstrainSchema, person, 80)).Text
	var streams []*engine.Stream
	for i := range 6 {
		req := constrained(engine.ConstrainSchema, person, 80)
		if i%2 == 1 {
			req = prompt("There was", 60)
		}
		s, err := e.Generate(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	for i, s := range streams {
		rs, err := engine.Collect(s)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 && rs[0].Text != alone {
			t.Errorf("stream %d differs: %q, alone %q", i, rs[0].Text, alone)
		}
	}
}

func TestGrammarsThatCannotBeEnforcedAreRefused(t *testing.T) {
	e := open(t, nil)
	for _, c := range []struct {
		kind       engine.ConstraintKind
		text, want string
	}{
		{engine.ConstrainSchema, `{"type":"object","properties":{"a":{"type":"string","format":"idn-email"}}}`, "schema at #/properties/a/format"},
		{engine.ConstrainSchema, `{"type":`, "not JSON"},
		{engine.ConstrainSchema, strings.Repeat(`{"items":`, 10_000) + "{}" + strings.Repeat("}", 10_000), "nested too deeply"},
		{engine.ConstrainSchema, `{"description":"` + strings.Repeat("x", 2<<20) + `"}`, "bytes"},
		{engine.ConstrainRegex, `a(`, "missing closing )"},
		{engine.ConstrainRegex, `(a)\1`, "refers back"},
		{engine.ConstrainGrammar, `root ::= missing`, "line 1, column 10"},
		{engine.ConstrainGrammar, `root ::= root`, "nothing can satisfy"},
	} {
		_, err := e.Generate(context.Background(), constrained(c.kind, c.text, 10))
		var re *engine.RequestError
		if !errors.As(err, &re) || !errors.Is(err, engine.ErrInvalidRequest) || re.Param != "response_format" || !strings.Contains(re.Message, c.want) {
			t.Errorf("%.80s: error %v", c.text, err)
		}
	}
}

func TestGrammarsAreForgottenByTheirBytes(t *testing.T) {
	c := &constraints{known: map[[32]byte]*compiled{}}
	add := func(name byte, used uint64) *compiled {
		g := &compiled{done: make(chan struct{}), used: used}
		c.known[[32]byte{name}] = g
		return g
	}
	names := func() (s string) {
		for name := byte('a'); name < 'f'; name++ {
			if c.known[[32]byte{name}] != nil {
				s += string(name)
			}
		}
		return s
	}
	third := keptBytes / 3
	a, b, compiling := add('a', 3), add('b', 1), add('c', 0)
	c.weigh(a, third)
	c.weigh(b, third)
	d := add('d', 4)
	if c.weigh(d, third); names() != "abcd" {
		t.Fatalf("what fits was forgotten: %s are left", names())
	}
	if c.weigh(d, third+third/2); names() != "acd" {
		t.Fatalf("b was not used for longest and has to go: %s are left", names())
	}
	if c.weigh(d, 2*keptBytes); names() != "cd" {
		t.Fatalf("one that is too large by itself stays, and those that are being compiled: %s are left", names())
	}
	if compiling.size != 0 || d.size != 2*keptBytes {
		t.Fatalf("sizes %d and %d", compiling.size, d.size)
	}
}
