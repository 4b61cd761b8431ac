package openai

import (
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/godwit-ai/godwit/engine"
)

// nativeMaxTokens is what a prompt of /generate gets when it names no max_new_tokens.
const nativeMaxTokens = 128

// native is what a Call of /generate knows beyond the others.
type native struct {
	input       string // "text" or "input_ids"
	list        bool   // the answer is a list
	incremental bool   // a stream sends pieces, not the text so far
	texts       bool   // return_text_in_logprobs
	prompts     []nativePrompt
}

// nativePrompt is what one prompt asked for.
type nativePrompt struct {
	probsFrom int  // first prompt token that is reported; -1: none
	nothing   bool // max_new_tokens is 0: only the prompt is looked at
}

// generation collects the fields of a /generate body.
type generation struct {
	base     request          // what all prompts share
	params   []jsontext.Value // sampling_params: one, or one per prompt
	perEach  bool             // sampling_params is a list
	list     bool
	texts    []string
	ids      [][]int32
	logprobs []bool
	from     []int
	top      []int
	asked    [][]int32 // token_ids_logprob: one list for all prompts, or one each
	showText bool
}

type nativeReader func(g *generation, name string, v jsontext.Value) error

// nativeFields are the fields of a /generate body beside those that it shares with the
// OpenAI routes.
var nativeFields = map[string]nativeReader{
	"text":            readNativeText,
	"input_ids":       readNativeIDs,
	"sampling_params": readSamplingParams,
	"return_logprob": func(g *generation, name string, v jsontext.Value) (err error) {
		g.logprobs, err = boolList(v, name)
		return
	},
	"logprob_start_len": readIntList(-1, math.MaxInt32, func(g *generation) *[]int { return &g.from }),
	"token_ids_logprob": readAsked,
	"top_logprobs_num":  readIntList(0, engine.MaxTopLogprobs, func(g *generation) *[]int { return &g.top }),
	"return_text_in_logprobs": func(g *generation, name string, v jsontext.Value) (err error) {
		g.showText, err = boolOf(v, name)
		return
	},
	"stream":                 shared("stream"),
	"rid":                    shared("rid"),
	"model":                  shared("model"),
	"lora_path":              shared("lora_path"),
	"priority":               shared("priority"),
	"extra_key":              shared("extra_key"),
	"cache_salt":             shared("cache_salt"),
	"session_params":         shared("session_params"),
	"custom_logit_processor": shared("custom_logit_processor"),
	"return_hidden_states":   shared("return_hidden_states"),
	"return_routed_experts":  shared("return_routed_experts"),
	"bootstrap_host":         shared("bootstrap_host"),
	"bootstrap_port":         shared("bootstrap_port"),
	"bootstrap_room":         shared("bootstrap_room"),
	"data_parallel_rank":     shared("data_parallel_rank"),
	"routed_dp_rank":         shared("routed_dp_rank"),
	"custom_labels":          shared("custom_labels"),
	"log_metrics":            accepted,
	"no_logs":                accepted,
	"input_embeds":           refused("serialised tensors are never read from a request"),
	"image_data":             refused("this model reads text"),
	"video_data":             refused("this model reads text"),
	"audio_data":             refused("this model reads text"),
	"modalities":             refused("this model reads text"),
	"background":             neutralNative("a request ends with its connection", "false"),
	"return_bytes":           neutralNative("texts and token ids are what answers hold", "false"),
	"return_entropy":         neutralNative("use top_logprobs_num", "false"),
	"bootstrap_pair_key":     refused("godwit has no disaggregated mode"),
	"conversation_id":        accepted,
	"lora_id":                refused("name the adapter in lora_path"),
}

// samplingFields maps the names of sampling_params to fields of the OpenAI routes.
var samplingFields = map[string]string{
	"max_new_tokens": "", "min_new_tokens": "min_tokens", "sampling_seed": "seed",
	"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p",
	"frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty", "repetition_penalty": "repetition_penalty",
	"stop": "stop", "stop_token_ids": "stop_token_ids", "stop_regex": "stop_regex", "n": "n", "ignore_eos": "ignore_eos",
	"skip_special_tokens": "skip_special_tokens", "spaces_between_special_tokens": "spaces_between_special_tokens",
	"no_stop_trim": "no_stop_trim", "logit_bias": "logit_bias", "custom_params": "custom_params",
	"json_schema": "json_schema", "regex": "regex", "ebnf": "ebnf", "structural_tag": "structural_tag",
	"stream_interval":   "",
	"allowed_token_ids": "allowed_token_ids", "truncate_prompt_tokens": "truncate_prompt_tokens", "truncation_side": "truncation_side", "bad_words": "bad_words",
}

// shared reads a field as the OpenAI routes do.
func shared(field string) nativeReader {
	return func(g *generation, name string, v jsontext.Value) error { return fields[field].read(&g.base, name, v) }
}

func accepted(*generation, string, jsontext.Value) error { return nil }

func neutralNative(reason string, passes ...string) nativeReader {
	return func(g *generation, name string, v jsontext.Value) error {
		return neutral(reason, passes...)(&g.base, name, v)
	}
}

func refused(reason string) nativeReader {
	return func(_ *generation, name string, _ jsontext.Value) error { return unsupported(name, name, reason) }
}

// DecodeGenerate reads a body of SGLang's /generate. Errors are *Error.
func DecodeGenerate(body []byte, opt Options) (*Call, error) {
	g := &generation{base: newRequest(Native, opt)}
	if err := checkSyntax(body); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	err := object(body, "", func(name string, v jsontext.Value) error {
		read, ok := nativeFields[name]
		if !ok {
			return unknownField(name)
		}
		given[name] = true
		return read(g, name, v)
	})
	switch {
	case err != nil:
		return nil, err
	case given["text"] == given["input_ids"]:
		return nil, newError(CodeMissing, "text", "exactly one of text and input_ids must be given")
	}
	return g.call()
}

// call turns the body into one request per prompt.
func (g *generation) call() (*Call, error) {
	n := max(len(g.texts), len(g.ids))
	for _, l := range []struct {
		name string
		n    int
	}{{"sampling_params", len(g.params)}, {"return_logprob", len(g.logprobs)}, {"logprob_start_len", len(g.from)}, {"top_logprobs_num", len(g.top)}, {"token_ids_logprob", len(g.asked)}} {
		if l.n > 1 && l.n != n {
			return nil, invalid(l.name, "%s holds %d entries for %d prompts", l.name, l.n, n)
		}
	}
	if ids := g.base.ids; g.base.ridIsList && len(ids) != n {
		return nil, invalid("rid", "rid holds %d ids for %d prompts", len(ids), n)
	}
	var c *Call
	for i := range n {
		r, err := g.request(i)
		if err != nil {
			return nil, err
		}
		one, err := r.finish()
		if err != nil {
			return nil, err
		}
		if c == nil {
			c = one
			c.Interval = r.interval
			c.native = native{input: "text", list: g.list || r.n > 1, incremental: r.opt.IncrementalStream, texts: g.showText}
			if g.ids != nil {
				c.native.input = "input_ids"
			}
		} else {
			c.Requests = append(c.Requests, one.Requests...)
		}
		if one.N != c.N {
			return nil, invalid("sampling_params", "all prompts of one request must ask for the same n")
		}
		if n*c.N > r.lim.Prompts {
			return nil, invalid("n", "prompts × n must be at most %d", r.lim.Prompts)
		}
		c.addNativePrompt(g, r, i)
	}
	return c, nil
}

// addNativePrompt settles what is particular to prompt i.
func (c *Call) addNativePrompt(g *generation, r *request, i int) {
	q := c.Requests[i]
	switch {
	case g.base.ridIsList:
		q.ID = g.base.ids[i]
	case i > 0:
		q.ID = c.ID + "-" + strconv.Itoa(i)
	}
	p := nativePrompt{probsFrom: -1, nothing: r.given["max_new_tokens=0"]}
	if from := at(g.from, i, -1); from >= 0 && q.Logprobs {
		p.probsFrom = from
		q.PromptLogprobs = true
	}
	c.native.prompts = append(c.native.prompts, p)
}

// request reads the sampling of prompt i.
func (g *generation) request(i int) (*request, error) {
	r := g.base
	r.given = map[string]bool{}
	if g.ids != nil {
		r.prompts = []prompt{{ids: g.ids[i]}}
	} else {
		r.prompts = []prompt{{text: g.texts[i]}}
	}
	r.ids, r.ridIsList = g.base.ids, false
	r.logprobs, r.topLogprobs, r.logprobIDs = at(g.logprobs, i, false), at(g.top, i, 0), at(g.asked, i, nil)
	r.adapters, r.adaptersAreList = nil, false
	if len(g.base.adapters) > 0 {
		if g.base.adaptersAreList && len(g.base.adapters) != max(len(g.texts), len(g.ids)) {
			return nil, invalid("lora_path", "lora_path holds %d entries for %d prompts", len(g.base.adapters), max(len(g.texts), len(g.ids)))
		}
		r.adapters = []string{at(g.base.adapters, i, "")}
	}
	if len(g.params) == 0 {
		return &r, nil
	}
	path := "sampling_params"
	if g.perEach {
		path = elem(path, i)
	}
	err := object(at(g.params, i, nil), path, func(name string, v jsontext.Value) error {
		field, ok := samplingFields[name]
		switch {
		case !ok:
			return unknownField(path + "." + name)
		case name == "max_new_tokens":
			n, err := intOf(v, path+"."+name, 0, math.MaxInt32)
			r.maxTokens = int(n)
			if n == 0 {
				r.given["max_new_tokens=0"], r.maxTokens = true, 1
			}
			return err
		case name == "stream_interval":
			n, err := intOf(v, path+"."+name, 1, math.MaxInt32)
			r.interval = int(n)
			return err
		}
		r.given[field] = true
		return fields[field].read(&r, path+"."+name, v)
	})
	return &r, err
}

// at is entry i of a list with one entry per prompt or one for all.
func at[T any](list []T, i int, none T) T {
	switch {
	case len(list) == 0:
		return none
	case len(list) == 1:
		return list[0]
	}
	return list[i]
}

func readNativeText(g *generation, name string, v jsontext.Value) error {
	add := func(e jsontext.Value, path string) error {
		s, err := stringOf(e, path)
		switch {
		case err != nil:
			return err
		case s == "":
			return invalid(path, "%s cannot be empty", path)
		case len(g.texts) == g.base.lim.Prompts:
			return invalid(name, "%s holds more than %d prompts", name, g.base.lim.Prompts)
		}
		g.texts = append(g.texts, s)
		return nil
	}
	if v.Kind() != '[' {
		return add(v, name)
	}
	g.list = true
	err := array(v, name, func(i int, e jsontext.Value) error { return add(e, elem(name, i)) })
	if err == nil && len(g.texts) == 0 {
		err = invalid(name, "%s cannot be empty", name)
	}
	return err
}

func readNativeIDs(g *generation, name string, v jsontext.Value) error {
	g.ids = [][]int32{}
	flat := []int32{}
	err := array(v, name, func(i int, e jsontext.Value) error {
		if i == 0 {
			g.list = e.Kind() == '['
		}
		path := elem(name, i)
		if !g.list {
			id, err := intOf(e, path, 0, math.MaxInt32)
			flat = append(flat, int32(id))
			return err
		}
		if i == g.base.lim.Prompts {
			return invalid(name, "%s holds more than %d prompts", name, g.base.lim.Prompts)
		}
		ids, err := idList(e, path)
		if err == nil && len(ids) == 0 {
			err = invalid(path, "%s cannot be empty", path)
		}
		g.ids = append(g.ids, ids)
		return err
	})
	if err == nil && !g.list {
		g.ids = [][]int32{flat}
		if len(flat) == 0 {
			err = invalid(name, "%s cannot be empty", name)
		}
	}
	return err
}

func readSamplingParams(g *generation, name string, v jsontext.Value) error {
	if v.Kind() != '[' {
		g.params = []jsontext.Value{v.Clone()}
		return nil
	}
	g.perEach = true
	err := array(v, name, func(i int, e jsontext.Value) error {
		if i == g.base.lim.Prompts {
			return invalid(name, "%s holds more than %d entries", name, g.base.lim.Prompts)
		}
		g.params = append(g.params, e.Clone())
		return nil
	})
	if err == nil && len(g.params) == 0 {
		err = invalid(name, "%s cannot be empty", name)
	}
	return err
}

func boolList(v jsontext.Value, name string) (list []bool, err error) {
	if v.Kind() != '[' {
		b, err := boolOf(v, name)
		return []bool{b}, err
	}
	err = array(v, name, func(i int, e jsontext.Value) error {
		b, err := boolOf(e, elem(name, i))
		list = append(list, b)
		return err
	})
	return list, err
}

// readAsked reads token_ids_logprob: ids for all prompts, or a list of them for each.
func readAsked(g *generation, name string, v jsontext.Value) error {
	g.asked = nil
	lists := false
	err := array(v, name, func(i int, e jsontext.Value) error {
		if i == 0 {
			lists = e.Kind() == '[' || e.Kind() == 'n'
		}
		if !lists {
			return nil // read as a whole below
		}
		if e.Kind() == 'n' {
			g.asked = append(g.asked, nil)
			return nil
		}
		ids, err := logprobIDs(e, elem(name, i))
		g.asked = append(g.asked, ids)
		return err
	})
	if err != nil || lists {
		return err
	}
	ids, err := logprobIDs(v, name)
	g.asked = [][]int32{ids}
	return err
}

func readIntList(lo, hi int64, to func(*generation) *[]int) nativeReader {
	return func(g *generation, name string, v jsontext.Value) error {
		if v.Kind() != '[' {
			n, err := intOf(v, name, lo, hi)
			*to(g) = []int{int(n)}
			return err
		}
		return array(v, name, func(i int, e jsontext.Value) error {
			n, err := intOf(e, elem(name, i), lo, hi)
			*to(g) = append(*to(g), int(n))
			return err
		})
	}
}

// appendNative appends the body of an answer that is not streamed.
func (c *Call) appendNative(dst []byte, outs []Output) []byte {
	if c.native.list {
		dst = append(dst, '[')
	}
	first := true
	for i, out := range outs {
		for _, r := range out.Results {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			r.Prompt = promptTokens(out.Results)
			dst = append(c.appendNativeChoice(append(dst, '{'), i, out.Usage, r), '}')
		}
	}
	if c.native.list {
		dst = append(dst, ']')
	}
	return dst
}

// appendNativeChoice appends the members of one choice's object.
func (c *Call) appendNativeChoice(dst []byte, prompt int, u engine.Usage, r engine.Result) []byte {
	tokens, text, p := r.Tokens, r.Text, c.native.prompts[prompt]
	if p.nothing {
		tokens, text = nil, ""
	}
	dst = append(dst, `"text":`...)
	dst = appendString(dst, text)
	dst = appendTokenIDs(append(dst, `,"output_ids":`...), tokens)
	dst = append(dst, `,"meta_info":`...)
	var f *engine.Finish
	if r.Finish.Reason != "" {
		f = &r.Finish
	}
	dst = c.appendMeta(dst, prompt, u, len(tokens), f)
	if q := c.Requests[prompt]; q.Logprobs {
		if from := p.probsFrom; from >= 0 {
			dst = c.appendNativeProbs(dst, "input", r.Prompt[min(from, len(r.Prompt)):], true, q)
		} else {
			dst = append(dst, `,"input_token_logprobs":[]`...)
		}
		dst = c.appendNativeProbs(dst, "output", tokens, false, q)
	}
	return append(dst, '}')
}

// appendNativeProbs appends [[logprob, id, text or null], …] and, if asked for, the
// alternatives and the tokens of token_ids_logprob in the same form, one list per token.
// Of a prompt the first one has none.
func (c *Call) appendNativeProbs(dst []byte, which string, tokens []engine.Token, prompt bool, q *engine.Request) []byte {
	one := func(dst []byte, t engine.TokenProb, known bool) []byte {
		if dst = append(dst, '['); known {
			dst = appendLogprob(dst, t.Logprob)
		} else {
			dst = append(dst, "null"...)
		}
		dst = appendInt(append(dst, ','), int(t.ID))
		if c.native.texts {
			return append(appendString(append(dst, ','), tokenText(t.Bytes)), ']')
		}
		return append(dst, `,null]`...)
	}
	dst = append(append(append(dst, `,"`...), which...), `_token_logprobs":[`...)
	for i, t := range tokens {
		dst = one(comma(dst, i), t.TokenProb, !prompt || i > 0)
	}
	dst = append(dst, ']')
	others := func(dst []byte, name string, of func(*engine.Token) []engine.TokenProb) []byte {
		dst = append(append(append(append(dst, `,"`...), which...), name...), `":[`...)
		for i := range tokens {
			if dst = comma(dst, i); prompt && i == 0 {
				dst = append(dst, "null"...)
				continue
			}
			dst = append(dst, '[')
			for k, a := range of(&tokens[i]) {
				dst = one(comma(dst, k), a, true)
			}
			dst = append(dst, ']')
		}
		return append(dst, ']')
	}
	if q.TopLogprobs > 0 {
		dst = others(dst, "_top_logprobs", func(t *engine.Token) []engine.TokenProb { return t.Top })
	}
	if len(q.LogprobIDs) > 0 {
		dst = others(dst, "_token_ids_logprobs", func(t *engine.Token) []engine.TokenProb { return t.Asked })
	}
	return dst
}

// appendMeta appends meta_info and leaves it open.
func (c *Call) appendMeta(dst []byte, prompt int, u engine.Usage, completion int, f *engine.Finish) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, c.Requests[prompt].ID)
	dst = append(dst, `,"finish_reason":`...)
	dst = appendNativeFinish(dst, f, completion)
	dst = appendInt(append(dst, `,"prompt_tokens":`...), u.Prompt)
	dst = append(dst, `,"weight_version":`...)
	dst = appendString(dst, c.weightVersion)
	dst = appendInt(append(dst, `,"completion_tokens":`...), completion)
	dst = appendInt(append(dst, `,"cached_tokens":`...), u.Cached)
	dst = appendInt(append(dst, `,"reasoning_tokens":`...), u.Reasoning)
	dst = append(dst, `,"e2e_latency":`...)
	return strconv.AppendFloat(dst, max(0, time.Since(c.started).Seconds()), 'g', 6, 64)
}

func appendNativeFinish(dst []byte, f *engine.Finish, completion int) []byte {
	if f == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"type":`...)
	switch f.Reason {
	case engine.FinishLength:
		dst = appendInt(append(dst, `"length","length":`...), completion)
	case engine.FinishAbort:
		dst = append(dst, `"abort","message":"Aborted"`...)
	default:
		dst = append(dst, `"stop","matched":`...)
		switch {
		case f.MatchedStop != "":
			dst = appendString(dst, f.MatchedStop)
		case f.MatchedToken >= 0:
			dst = appendInt(dst, int(f.MatchedToken))
		default:
			dst = append(dst, "null"...)
		}
	}
	return append(dst, '}')
}

// appendNative appends one event of a stream: the text so far, or its piece.
func (e *Encoder) appendNative(dst []byte, prompt int, ev engine.Event) []byte {
	c := e.call
	index := prompt*c.N + ev.Choice
	told := &e.choices[index].told
	if c.native.incremental {
		told.Text, told.Tokens = "", nil
	}
	told.Choice = ev.Choice
	told.Text += ev.Text
	told.Tokens = append(told.Tokens, ev.Tokens...)
	if p := &e.prompts[prompt]; len(ev.Prompt) > 0 {
		p.tokens = ev.Prompt
	}
	told.Prompt = e.prompts[prompt].tokens
	if ev.Finish != nil {
		told.Finish = *ev.Finish
	}
	dst = append(dst, "data: {"...)
	if c.native.list {
		dst = append(appendInt(append(dst, `"index":`...), index), ',')
	}
	dst = c.appendNativeChoice(dst, prompt, e.usages[prompt], *told)
	return append(dst, "}\n\n"...)
}
