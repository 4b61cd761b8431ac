package nb

import (
	"maps"
	"math"
	"reflect"
	"strconv"

	"github.com/godwit-ai/godwit/engine"
)

// GenerateOptions say how to generate. The zero value is greedy decoding of up to 128
// tokens. Of several, as in
//
//	Chat("Hi", GenerateOptions{MaxTokens: 20}, Adapter("upper"), Stop("\n"))
//
// lists and maps are put together, of all other fields the later one counts.
type GenerateOptions struct {
	MaxTokens   int     // 0: 128
	MinTokens   int     // no end by token before that many
	Temperature float64 // 0: greedy
	TopP        float64 // 0: off
	TopK        int     // 0: off
	MinP        float64 // 0: off
	Frequency   float64 // frequency penalty
	Presence    float64 // presence penalty
	Repetition  float64 // repetition penalty; 0: off
	Seed        int64   // 0: random
	N           int     // answers to the same prompt, see Answer.All; 0: 1

	Stop       []string        // texts that end the answer and are cut off
	StopRegex  []string        // the same with patterns
	StopTokens []int           // further tokens that end it
	KeepStop   bool            // leave what ended it in the text
	IgnoreEOS  bool            // no end by token
	LogitBias  map[int]float64 // token id to -100…100; Tokenize says the ids of a text

	Logprobs    bool // fill Token.Logprob
	TopLogprobs int  // and that many alternatives

	// At most one of these: the answer satisfies it, or the generation fails.
	Schema  any      // JSON Schema as text or as a map[string]any, or a Go value for whose type it is made
	Regex   string   // RE2 pattern for the whole answer
	EBNF    string   // grammar
	Choices []string // one of these texts

	System       string                // Chat only: the system message
	Think        bool                  // Chat only: think before answering, where the model can be told so
	NoThink      bool                  // Chat only: answer at once
	Effort       string                // Chat only: how long to think, "low", "medium" or "high", where the template knows it
	TemplateArgs map[string]any        // Chat only: variables of the chat template
	OnReasoning  func(thinking string) // ChatStream only: gets the thinking piece by piece

	Adapter string   // name of a LoRA adapter; "": the model itself
	Server  *Process // nil: the youngest
}

// Adapter answers with a LoRA adapter that the server has loaded, for this request only.
func Adapter(name string) GenerateOptions { return GenerateOptions{Adapter: name} }

// Think switches the thinking of a model on or off that can do both; Answer.Reasoning
// has what it thought.
func Think(on bool) GenerateOptions { return GenerateOptions{Think: on, NoThink: !on} }

// Stop ends the answer before any of these texts.
func Stop(texts ...string) GenerateOptions { return GenerateOptions{Stop: texts} }

// Bias makes tokens more (up to 100) or less likely (down to -100, which bans them): a
// map[int]float64 by token id, or by ids as texts as in a request's logit_bias. Tokenize
// says the ids of a text.
func Bias(tokens any) GenerateOptions {
	v := reflect.ValueOf(plain(tokens))
	if v.Kind() != reflect.Map {
		failf("Bias takes a map such as map[int]float64{12345: 50}, not %T", tokens)
	}
	out := make(map[int]float64, v.Len())
	for it := v.MapRange(); it.Next(); {
		id, value := indirect(it.Key()), indirect(it.Value())
		out[tokenID(id)] = number(value)
	}
	return GenerateOptions{LogitBias: out}
}

// indirect looks into an interface.
func indirect(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Interface {
		return v.Elem()
	}
	return v
}

func tokenID(v reflect.Value) int {
	switch {
	case v.IsValid() && v.CanInt():
		return int(v.Int())
	case v.IsValid() && v.Kind() == reflect.String:
		id, err := strconv.Atoi(v.String())
		if err != nil {
			failf("Bias: %q is no token id; Tokenize(%q) says the ids of a text", v, v)
		}
		return id
	}
	failf("Bias: %v is no token id", v)
	return 0
}

func number(v reflect.Value) float64 {
	switch {
	case v.IsValid() && v.CanFloat():
		return v.Float()
	case v.IsValid() && v.CanInt():
		return float64(v.Int())
	}
	failf("Bias: %v is no number", v)
	return 0
}

// only puts options together.
func only(opts []GenerateOptions) GenerateOptions {
	var o GenerateOptions
	for i := range opts {
		o.add(&opts[i])
	}
	return o
}

func (o *GenerateOptions) add(p *GenerateOptions) {
	if p.Think || p.NoThink {
		o.Think, o.NoThink = p.Think, p.NoThink
	}
	to, from := reflect.ValueOf(o).Elem(), reflect.ValueOf(p).Elem()
	for i := range from.NumField() {
		f, g := to.Field(i), from.Field(i)
		switch {
		case g.IsZero():
		case g.Kind() == reflect.Slice:
			f.Set(reflect.AppendSlice(f.Slice3(0, f.Len(), f.Len()), g))
		case g.Kind() == reflect.Map:
			joined := reflect.MakeMap(g.Type())
			for _, m := range []reflect.Value{f, g} {
				for it := m.MapRange(); it.Next(); {
					joined.SetMapIndex(it.Key(), it.Value())
				}
			}
			f.Set(joined)
		default:
			f.Set(g)
		}
	}
}

// sampling are the options as the engine has them.
func (o *GenerateOptions) sampling() engine.Sampling {
	s := engine.Sampling{
		MaxTokens: o.MaxTokens, MinTokens: o.MinTokens, Temperature: float32(o.Temperature), TopK: o.TopK,
		TopP: float32(o.TopP), MinP: float32(o.MinP), Frequency: float32(o.Frequency), Presence: float32(o.Presence),
		Repetition: float32(o.Repetition), Stop: o.Stop, StopRegex: o.StopRegex, KeepStop: o.KeepStop, IgnoreEOS: o.IgnoreEOS,
	}
	if s.MaxTokens == 0 {
		s.MaxTokens = 128
	}
	if o.Seed != 0 {
		s.Seed, s.HasSeed = uint64(o.Seed), true
	}
	for _, id := range o.StopTokens {
		s.StopTokenIDs = append(s.StopTokenIDs, token32("StopTokens", id))
	}
	if len(o.LogitBias) > 0 {
		s.LogitBias = make(map[int32]float32, len(o.LogitBias))
		for id, v := range o.LogitBias {
			s.LogitBias[token32("LogitBias", id)] = float32(v)
		}
	}
	return s
}

func token32(field string, id int) int32 {
	if id < 0 || id > math.MaxInt32 {
		failf("%s: %d is no token id", field, id)
	}
	return int32(id)
}

// apply fills a request for any kind of generation.
func (o *GenerateOptions) apply(r *engine.Request) {
	r.Sampling = o.sampling()
	r.N = o.N
	r.Logprobs = o.Logprobs || o.TopLogprobs > 0
	r.TopLogprobs = o.TopLogprobs
	if c := o.constraint(); c != nil {
		r.Constraint = c
	}
}

// constraint is the language that the options ask for, or nil.
func (o *GenerateOptions) constraint() *engine.Constraint {
	var list []*engine.Constraint
	if o.Schema != nil {
		text, err := schemaText(o.Schema)
		if err != nil {
			fail(&engine.RequestError{Param: "Schema", Message: "Schema: " + err.Error(), Err: engine.ErrInvalidRequest})
		}
		list = append(list, &engine.Constraint{Kind: engine.ConstrainSchema, Text: text, Param: "Schema"})
	}
	if o.Regex != "" {
		list = append(list, &engine.Constraint{Kind: engine.ConstrainRegex, Text: o.Regex, Param: "Regex"})
	}
	if o.EBNF != "" {
		list = append(list, &engine.Constraint{Kind: engine.ConstrainGrammar, Text: o.EBNF, Param: "EBNF"})
	}
	if len(o.Choices) > 0 {
		list = append(list, &engine.Constraint{Kind: engine.ConstrainChoice, Choices: o.Choices, Param: "Choices"})
	}
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	failf("give at most one of Schema, Regex, EBNF and Choices, not %s and %s", list[0].Param, list[1].Param)
	return nil
}

// chatOnly fails for what a text that goes on cannot have.
func (o *GenerateOptions) chatOnly() {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"System", o.System != ""}, {"Think", o.Think}, {"NoThink", o.NoThink}, {"Effort", o.Effort != ""},
		{"TemplateArgs", len(o.TemplateArgs) > 0}, {"OnReasoning", o.OnReasoning != nil},
	} {
		if f.set {
			failf("%s is for Chat, which goes through the chat template; Generate continues a text as it is", f.name)
		}
	}
}

// templateArgs are the variables of the chat template. The families name the switch for
// thinking in two ways; a template reads the one that it knows.
func (o *GenerateOptions) templateArgs(server *Process) map[string]any {
	if o.Think && o.NoThink {
		failf("Think and NoThink are both set")
	}
	if o.Think && server.Engine().Models()[0].ReasoningParser == "" {
		if server.srv.Config().ReasoningParser == "auto" {
			failf("Think: the chat template of %s knows no thinking; ServerOptions.ReasoningParser may name the family of a model that thinks all the same", server.srv.Config().Model)
		}
		failf("Think: the server does not tell thinking from answers: launch it with ServerOptions{ReasoningParser: \"auto\"} or the name of the model's family")
	}
	args := map[string]any{}
	if o.Think || o.NoThink {
		args["enable_thinking"], args["thinking"] = o.Think, o.Think
	}
	if o.Effort != "" {
		args["reasoning_effort"] = o.Effort
	}
	maps.Copy(args, o.TemplateArgs)
	if len(args) == 0 {
		return nil
	}
	return args
}
