package openai

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/godwit-ai/godwit/engine"
)

// request collects the fields of one body; finish turns it into a Call.
type request struct {
	kind Kind
	opt  Options
	lim  Limits

	model     string
	modelSet  bool
	ids       []string // rid
	ridIsList bool
	interval  int // sampling_params.stream_interval

	sampling engine.Sampling
	given    map[string]bool // fields that were present and not null

	maxTokens           int // 0: not given
	maxCompletionTokens int
	n                   int
	bias                []biasEntry

	stream, includeUsage, continuousUsage bool
	echo, logprobs                        bool
	topLogprobs                           int
	logprobIDs                            []int32 // instead of the likeliest
	truncate                              int     // truncate_prompt_tokens
	truncateEnd                           bool
	tokenIDs, promptTokenIDs, metaInfo    bool
	promptLogprobs                        bool // without echo, as prompt_logprobs and /generate have them
	promptTop                             int  // alternatives of prompt_logprobs
	skipSpecial                           bool
	priority                              int
	cacheSalt, extraKey                   string
	adapters                              []string // lora_path; "" is the base model
	adaptersAreList                       bool
	adapterModels                         []string // of adapters, per prompt; nil: the model's own name counts

	prompts  []prompt
	inputIDs []int32

	messages          []engine.Message
	tools             []engine.Tool
	toolChoice        string // "", "none", "auto", "required" or "function NAME"
	templateArgs      map[string]any
	reasoningEffort   string
	thinking          *bool
	template          string
	continueFinal     bool
	addGeneration     bool
	addGenerationTrue bool

	separateReasoning, streamReasoning, forceContent, parallelCalls bool

	constraint *engine.Constraint
}

type prompt struct {
	text string
	ids  []int32
	path string // where it stands in the request
}

type biasEntry struct {
	key   string
	value float32
}

// reader reads one field's value, which is not null, into r.
type reader func(r *request, name string, v jsontext.Value) error

const (
	inChat = 1 << iota
	inCompletion
	inBoth = inChat | inCompletion
)

type field struct {
	in   int
	read reader
}

// fields is the whole table of request fields; see the package comment for what each
// class means.
var fields = map[string]field{
	// What is asked.
	"model":     {inBoth, readModel},
	"messages":  {inChat, readMessages},
	"input_ids": {inChat, readInputIDs},
	"prompt":    {inCompletion, readPrompt},
	"lora_path": {inBoth, readLoraPath},
	"rid":       {inBoth, readRID},

	// Sampling.
	"temperature":        {inBoth, readFloat(0, math.MaxFloat32, func(r *request) *float32 { return &r.sampling.Temperature })},
	"top_p":              {inBoth, readTopP},
	"top_k":              {inBoth, readTopK},
	"min_p":              {inBoth, readFloat(0, 1, func(r *request) *float32 { return &r.sampling.MinP })},
	"frequency_penalty":  {inBoth, readFloat(-2, 2, func(r *request) *float32 { return &r.sampling.Frequency })},
	"presence_penalty":   {inBoth, readFloat(-2, 2, func(r *request) *float32 { return &r.sampling.Presence })},
	"repetition_penalty": {inBoth, readRepetition},
	"logit_bias":         {inBoth, readLogitBias},
	"seed":               {inBoth, readSeed},
	"allowed_token_ids":  {inBoth, readAllowed},
	"bad_words":          {inBoth, readBadWords},

	// Length and ends.
	"max_tokens":                 {inBoth, readMaxTokens},
	"max_completion_tokens":      {inChat, readMaxCompletionTokens},
	"min_tokens":                 {inBoth, readInt(0, math.MaxInt32, func(r *request) *int { return &r.sampling.MinTokens })},
	"stop":                       {inBoth, readStop},
	"stop_regex":                 {inBoth, readStopRegex},
	"stop_token_ids":             {inBoth, readStopTokenIDs},
	"no_stop_trim":               {inBoth, readBool(func(r *request) *bool { return &r.sampling.KeepStop })},
	"include_stop_str_in_output": {inBoth, readBool(func(r *request) *bool { return &r.sampling.KeepStop })},
	"ignore_eos":                 {inBoth, readBool(func(r *request) *bool { return &r.sampling.IgnoreEOS })},

	// Answer.
	"n":                             {inBoth, readN},
	"stream":                        {inBoth, readBool(func(r *request) *bool { return &r.stream })},
	"stream_options":                {inBoth, readStreamOptions},
	"logprobs":                      {inBoth, readLogprobs},
	"top_logprobs":                  {inChat, readInt(0, engine.MaxTopLogprobs, func(r *request) *int { return &r.topLogprobs })},
	"echo":                          {inBoth, readEcho},
	"logprob_token_ids":             {inBoth, readLogprobIDs},
	"truncate_prompt_tokens":        {inBoth, readTruncate},
	"truncation_side":               {inBoth, readTruncationSide},
	"return_token_ids":              {inBoth, readBool(func(r *request) *bool { return &r.tokenIDs })},
	"return_prompt_token_ids":       {inBoth, readBool(func(r *request) *bool { return &r.promptTokenIDs })},
	"return_meta_info":              {inBoth, readBool(func(r *request) *bool { return &r.metaInfo })},
	"skip_special_tokens":           {inBoth, readBool(func(r *request) *bool { return &r.skipSpecial })},
	"spaces_between_special_tokens": {inBoth, checkBool},
	"priority":                      {inBoth, readInt(math.MinInt32, math.MaxInt32, func(r *request) *int { return &r.priority })},
	"cache_salt":                    {inBoth, readName(func(r *request) *string { return &r.cacheSalt })},
	"extra_key":                     {inBoth, readName(func(r *request) *string { return &r.extraKey })},

	// Chat.
	"tools":                  {inChat, toolsOf},
	"tool_choice":            {inChat, readToolChoice},
	"parallel_tool_calls":    {inChat, readBool(func(r *request) *bool { return &r.parallelCalls })},
	"chat_template_kwargs":   {inChat, readTemplateArgs},
	"chat_template":          {inChat, readTemplate},
	"continue_final_message": {inChat, readBool(func(r *request) *bool { return &r.continueFinal })},
	"add_generation_prompt":  {inChat, readAddGeneration},
	"reasoning_effort":       {inChat, readReasoningEffort},
	"reasoning":              {inChat, readReasoning},
	"separate_reasoning":     {inChat, readBool(func(r *request) *bool { return &r.separateReasoning })},
	"stream_reasoning":       {inChat, readBool(func(r *request) *bool { return &r.streamReasoning })},
	"include_reasoning":      {inChat, neutral("showing reasoning can not be switched off", "true")},

	// One constraint of the answer, as OpenAI, SGLang, vLLM and llama.cpp write it.
	"response_format":         {inBoth, readResponseFormat},
	"regex":                   {inBoth, readConstraint(engine.ConstrainRegex)},
	"ebnf":                    {inBoth, readConstraint(engine.ConstrainGrammar)},
	"json_schema":             {inBoth, readConstraint(engine.ConstrainSchema)},
	"structural_tag":          {inBoth, readStructuralTag},
	"grammar":                 {inBoth, readConstraint(engine.ConstrainGrammar)},
	"structured_outputs":      {inBoth, readStructured},
	"guided_json":             {inBoth, readConstraint(engine.ConstrainSchema)},
	"guided_regex":            {inBoth, readConstraint(engine.ConstrainRegex)},
	"guided_choice":           {inBoth, readChoices},
	"guided_grammar":          {inBoth, readConstraint(engine.ConstrainGrammar)},
	"guided_decoding_backend": {inBoth, checkString}, // there is one; every constraint is enforced exactly

	// Accepted; they change nothing in the answer's text.
	"user":                   {inBoth, checkString},
	"best_of":                {inBoth, readIgnoredInt},
	"metadata":               {inBoth, ignore},
	"store":                  {inChat, ignore},
	"service_tier":           {inBoth, ignore},
	"safety_identifier":      {inBoth, ignore},
	"prompt_cache_key":       {inBoth, ignore},
	"prompt_cache_retention": {inBoth, ignore},
	"prompt_cache_options":   {inBoth, ignore},
	"prediction":             {inChat, ignore},
	"custom_labels":          {inBoth, ignore},

	// Known, and refused unless the value asks for nothing.
	"functions":                    {inChat, neutral("use tools", "[]")},
	"function_call":                {inChat, neutral("use tool_choice", `"none"`)},
	"modalities":                   {inChat, neutral("godwit answers in text", `["text"]`)},
	"audio":                        {inChat, neutral("godwit answers in text")},
	"moderation":                   {inChat, neutral("godwit has no moderation")},
	"web_search_options":           {inChat, neutral("godwit does not search")},
	"verbosity":                    {inChat, neutral("ask for it in a message", `"medium"`)},
	"suffix":                       {inCompletion, neutral("the model continues a text, it fills no gap; put what matters into prompt", `""`)},
	"session_params":               {inBoth, neutral("the prefix cache finds what earlier turns computed", "{}")},
	"session_id":                   {inBoth, neutral("the prefix cache finds what earlier turns computed")},
	"custom_params":                {inBoth, neutral("they are for custom logit processors", "{}")},
	"custom_logit_processor":       {inBoth, neutral("custom logit processors are code from a client")},
	"logits_processors":            {inBoth, neutral("logits processors are code from a client", "[]")},
	"return_hidden_states":         {inBoth, neutral("hidden states do not leave the device", "false")},
	"return_routed_experts":        {inBoth, neutral("which experts were chosen does not leave the device", "false")},
	"return_cached_tokens_details": {inBoth, neutral("usage counts them with --enable-cache-report", "false")},
	"return_tokens_as_token_ids":   {inBoth, neutral("use return_token_ids", "false")},
	"bootstrap_host":               {inBoth, neutral("godwit has no disaggregated mode")},
	"bootstrap_port":               {inBoth, neutral("godwit has no disaggregated mode")},
	"bootstrap_room":               {inBoth, neutral("godwit has no disaggregated mode")},
	"routed_dp_rank":               {inBoth, neutral("there is one copy of the model")},
	"data_parallel_rank":           {inBoth, neutral("there is one copy of the model")},
	"prompt_embeds":                {inBoth, neutral("serialised tensors are never read from a request")},
	"documents":                    {inBoth, neutral("put them into the messages", "[]")},
	"guided_whitespace_pattern":    {inBoth, neutral("white space is a blank, or line breaks and an indent; structured_outputs.disable_any_whitespace leaves it out")},
	"prompt_logprobs":              {inBoth, readPromptLogprobs},
	"add_special_tokens":           {inBoth, readAddSpecial},
	"use_beam_search":              {inBoth, neutral("a choice follows one path; use n", "false")},
	"length_penalty":               {inBoth, neutral("there is no beam search", "1", "1.0")},
	"early_stopping":               {inBoth, neutral("there is no beam search", "false")},
	"thinking_token_budget":        {inBoth, neutral("use reasoning_effort or max_tokens")},
	"reasoning_budget":             {inBoth, neutral("use reasoning_effort or max_tokens")},
	"kv_transfer_params":           {inBoth, neutral("godwit has no disaggregated mode")},
	"vllm_xargs":                   {inBoth, neutral("they are for code of the server's owner, which there is none of", "{}")},
	"mm_processor_kwargs":          {inBoth, neutral("this model reads text", "{}")},
	"typical_p":                    {inBoth, neutral("use top_p or min_p", "1", "1.0")},
	"mirostat":                     {inBoth, neutral("use top_p or min_p", "0")},
	"repeat_penalty":               {inBoth, neutral("use repetition_penalty", "1", "1.0")},
	"n_predict":                    {inBoth, neutral("use max_tokens")},
	"max_new_tokens":               {inBoth, neutral("use max_tokens")},
}

// neutral refuses a field unless its value is one of those that ask for nothing.
func neutral(reason string, accepted ...string) reader {
	return func(_ *request, name string, v jsontext.Value) error {
		c := v.Clone()
		if err := c.Compact(); err == nil && slices.Contains(accepted, string(c)) {
			return nil
		}
		return unsupported(name, name, reason)
	}
}

func readPromptLogprobs(r *request, name string, v jsontext.Value) error {
	n, err := intOf(v, name, 0, engine.MaxTopLogprobs)
	r.promptLogprobs, r.promptTop = true, int(n)
	return err
}

func readAllowed(r *request, name string, v jsontext.Value) (err error) {
	r.sampling.Allowed, err = idList(v, name)
	if err == nil && len(r.sampling.Allowed) == 0 {
		err = invalid(name, "%s cannot be empty", name)
	}
	return err
}

func readBadWords(r *request, name string, v jsontext.Value) error {
	return array(v, name, func(i int, e jsontext.Value) error {
		path := elem(name, i)
		w, err := stringOf(e, path)
		switch {
		case err != nil:
			return err
		case i >= 16*r.lim.Stops:
			return invalid(name, "%s holds more than %d words", name, 16*r.lim.Stops)
		case strings.Trim(w, " ") == "" || len(w) > r.lim.StopBytes:
			return invalid(path, "%s must have 1 to %d bytes beside blanks", path, r.lim.StopBytes)
		}
		r.sampling.BadWords = append(r.sampling.BadWords, w)
		return nil
	})
}

func readLogprobIDs(r *request, name string, v jsontext.Value) (err error) {
	r.logprobIDs, err = logprobIDs(v, name)
	return err
}

func logprobIDs(v jsontext.Value, name string) ([]int32, error) {
	ids, err := idList(v, name)
	if err == nil && len(ids) > engine.MaxLogprobIDs {
		err = invalid(name, "%s holds more than %d ids", name, engine.MaxLogprobIDs)
	}
	return ids, err
}

// readTruncate reads how many tokens of a prompt are kept; -1: as many as there is room for.
func readTruncate(r *request, name string, v jsontext.Value) error {
	n, err := intOf(v, name, -1, math.MaxInt32)
	if err == nil && n == 0 {
		err = invalid(name, "%s must be -1 (what there is room for) or at least 1", name)
	}
	r.truncate = int(n)
	return err
}

func readTruncationSide(r *request, name string, v jsontext.Value) error {
	s, err := stringOf(v, name)
	if err != nil || s != "left" && s != "right" {
		return invalid(name, "%s must be left (the end of the prompt stays) or right", name)
	}
	r.truncateEnd = s == "right"
	return nil
}

// readAddSpecial passes what is done anyway: special tokens in front of a prompt, none
// beside those of a chat template.
func readAddSpecial(r *request, name string, v jsontext.Value) error {
	add, err := boolOf(v, name)
	if err == nil && add != (r.kind == Completion) {
		err = unsupported(name, name, "prompts have the tokens of their kind, messages those of the template; send token ids for others")
	}
	return err
}

func unsupported(param, what, reason string) error {
	return newError(CodeUnsupported, param, "%s is not supported: %s", what, reason)
}

func ignore(*request, string, jsontext.Value) error { return nil }

func checkBool(_ *request, name string, v jsontext.Value) error {
	_, err := boolOf(v, name)
	return err
}

func checkString(_ *request, name string, v jsontext.Value) error {
	_, err := stringOf(v, name)
	return err
}

func readIgnoredInt(_ *request, name string, v jsontext.Value) error {
	_, err := intOf(v, name, 0, math.MaxInt32)
	return err
}

func readBool(at func(*request) *bool) reader {
	return func(r *request, name string, v jsontext.Value) (err error) {
		*at(r), err = boolOf(v, name)
		return err
	}
}

func readInt(lo, hi int64, at func(*request) *int) reader {
	return func(r *request, name string, v jsontext.Value) error {
		n, err := intOf(v, name, lo, hi)
		*at(r) = int(n)
		return err
	}
}

func readFloat(lo, hi float64, at func(*request) *float32) reader {
	return func(r *request, name string, v jsontext.Value) error {
		f, err := floatOf(v, name, lo, hi)
		*at(r) = float32(f)
		return err
	}
}

func readName(at func(*request) *string) reader {
	return func(r *request, name string, v jsontext.Value) error {
		s, err := stringOf(v, name)
		if err == nil && len(s) > r.lim.NameBytes {
			err = invalid(name, "%s is longer than %d bytes", name, r.lim.NameBytes)
		}
		*at(r) = s
		return err
	}
}

func readModel(r *request, name string, v jsontext.Value) (err error) {
	r.modelSet = true
	r.model, err = stringOf(v, name)
	return err
}

func readRID(r *request, name string, v jsontext.Value) error {
	if v.Kind() != '[' {
		id, err := r.rid(v, name)
		r.ids = []string{id}
		return err
	}
	r.ridIsList = true
	return array(v, name, func(i int, e jsontext.Value) error {
		id, err := r.rid(e, elem(name, i))
		switch {
		case err != nil:
			return err
		case i >= r.lim.Prompts:
			return invalid(name, "%s holds more than %d ids", name, r.lim.Prompts)
		case slices.Contains(r.ids, id):
			return invalid(elem(name, i), "%s is there twice: each prompt has an id of its own", elem(name, i))
		}
		r.ids = append(r.ids, id)
		return nil
	})
}

// rid checks one client-given request id: it goes into logs and headers, so it must be
// printable ASCII.
func (r *request) rid(v jsontext.Value, path string) (string, error) {
	id, err := stringOf(v, path)
	if err != nil {
		return "", err
	}
	if id == "" || len(id) > r.lim.NameBytes {
		return "", invalid(path, "%s must have 1 to %d characters", path, r.lim.NameBytes)
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return "", invalid(path, "%s must be printable ASCII without blanks", path)
		}
	}
	return id, nil
}

func readTopP(r *request, name string, v jsontext.Value) error {
	f, err := floatOf(v, name, 0, 1)
	if err == nil && f == 0 {
		err = invalid(name, "%s must be above 0 and at most 1", name)
	}
	// A value below float32's range must not become 0, which means "off".
	r.sampling.TopP = max(float32(f), math.SmallestNonzeroFloat32)
	return err
}

func readTopK(r *request, name string, v jsontext.Value) error {
	k, err := intOf(v, name, -1, math.MaxInt32)
	if err == nil && k == 0 {
		err = invalid(name, "%s must be -1 (off) or at least 1", name)
	}
	r.sampling.TopK = int(k)
	return err
}

// smallestRepetition keeps logit / penalty finite in float32.
const smallestRepetition = 1e-6

func readRepetition(r *request, name string, v jsontext.Value) error {
	f, err := floatOf(v, name, 0, 2)
	if err == nil && f < smallestRepetition {
		err = invalid(name, "%s must be above 0 (at least %g) and at most 2", name, smallestRepetition)
	}
	r.sampling.Repetition = float32(f)
	return err
}

func readSeed(r *request, name string, v jsontext.Value) error {
	n, err := intOf(v, name, math.MinInt64, math.MaxInt64)
	r.sampling.Seed, r.sampling.HasSeed = uint64(n), true
	return err
}

// readLogitBias reads the biases; everything that is wrong with any of them is told at
// once, but for keys outside the vocabulary, which applyBias knows.
func readLogitBias(r *request, name string, v jsontext.Value) error {
	var keys, values []string
	err := members(v, name, func(key string, e jsontext.Value) error {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 || strconv.FormatInt(id, 10) != key {
			keys = append(keys, strconv.Quote(clip(key, 40)))
			return nil
		}
		f, err := floatOf(e, name, -100, 100)
		if err != nil {
			values = append(values, strconv.Quote(key)+": "+clip(string(e), 40))
			return nil
		}
		r.bias = append(r.bias, biasEntry{key, float32(f)})
		return nil
	})
	var wrong []string
	if len(keys) > 0 {
		wrong = append(wrong, name+" keys must be token ids; these are not: "+firstOf(keys))
	}
	if len(values) > 0 {
		wrong = append(wrong, name+" values must be numbers between -100 and 100; these are not: "+firstOf(values))
	}
	if err == nil && len(wrong) > 0 {
		err = invalid(name, "%s", strings.Join(wrong, "; "))
	}
	return err
}

// quoteList names at most ten strings.
func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(clip(s, 40))
	}
	return firstOf(quoted)
}

// firstOf joins at most ten texts, and tells of how many they are the first.
func firstOf(list []string) string {
	if len(list) <= 10 {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:10], ", ") + ", … (" + strconv.Itoa(len(list)) + " in all)"
}

func readMaxTokens(r *request, name string, v jsontext.Value) error {
	lo := int64(0) // chat: 0 counts as not given
	if r.kind == Completion {
		lo = 1
	}
	n, err := intOf(v, name, lo, math.MaxInt32)
	r.maxTokens = int(n)
	return err
}

func readMaxCompletionTokens(r *request, name string, v jsontext.Value) error {
	n, err := intOf(v, name, 0, math.MaxInt32)
	r.maxCompletionTokens = int(n)
	return err
}

func readN(r *request, name string, v jsontext.Value) error {
	n, err := intOf(v, name, 1, int64(r.lim.Choices))
	r.n = int(n)
	return err
}

func readStopTokenIDs(r *request, name string, v jsontext.Value) error {
	return array(v, name, func(i int, e jsontext.Value) error {
		if i >= 16*r.lim.Stops {
			return invalid(name, "%s holds more than %d ids", name, 16*r.lim.Stops)
		}
		id, err := intOf(e, elem(name, i), 0, math.MaxInt32)
		r.sampling.StopTokenIDs = append(r.sampling.StopTokenIDs, int32(id))
		return err
	})
}

func readStreamOptions(r *request, name string, v jsontext.Value) error {
	return object(v, name, func(key string, e jsontext.Value) (err error) {
		path := name + "." + key
		switch key {
		case "include_usage":
			r.includeUsage, err = boolOf(e, path)
		case "continuous_usage_stats":
			r.continuousUsage, err = boolOf(e, path)
		case "include_obfuscation":
			_, err = boolOf(e, path) // padding against traffic analysis; false and true give the same text
		default:
			err = unknownField(path)
		}
		return err
	})
}

// readLogprobs reads a boolean in chat, a count in completions.
func readLogprobs(r *request, name string, v jsontext.Value) (err error) {
	if r.kind == Chat {
		r.logprobs, err = boolOf(v, name)
		return err
	}
	n, err := intOf(v, name, 0, engine.MaxTopLogprobs)
	r.logprobs, r.topLogprobs = true, int(n)
	return err
}

func readEcho(r *request, name string, v jsontext.Value) (err error) {
	r.echo, err = boolOf(v, name)
	if err == nil && r.echo && r.kind == Chat {
		return unsupported(name, "echo in chat", "an answer is what the model adds; send the prompt to /v1/completions")
	}
	return err
}

func readPrompt(r *request, name string, v jsontext.Value) error {
	switch v.Kind() {
	case '"':
		return r.addText(v, name)
	case '[':
	default:
		return invalid(name, "prompt must be a string, a list of strings, a list of token ids or a list of such lists")
	}
	kind := jsontext.Kind(0)
	ids := []int32{}
	err := array(v, name, func(i int, e jsontext.Value) error {
		path := elem(name, i)
		if kind == 0 {
			kind = e.Kind()
		}
		if e.Kind() != kind {
			return invalid(path, "prompt must not mix strings, token ids and lists")
		}
		switch kind {
		case '"':
			return r.addText(e, path)
		case '[':
			list, err := idList(e, path)
			if err != nil {
				return err
			}
			return r.addPrompt(prompt{ids: list}, path)
		}
		id, err := intOf(e, path, 0, math.MaxInt32)
		ids = append(ids, int32(id))
		return err
	})
	if err != nil || kind == '"' || kind == '[' {
		return err
	}
	return r.addPrompt(prompt{ids: ids}, name)
}

func (r *request) addText(v jsontext.Value, path string) error {
	s, err := stringOf(v, path)
	if err != nil {
		return err
	}
	return r.addPrompt(prompt{text: s}, path)
}

func (r *request) addPrompt(p prompt, path string) error {
	if p.text == "" && len(p.ids) == 0 {
		return invalid(path, "Prompt cannot be empty")
	}
	if len(r.prompts) == r.lim.Prompts {
		return invalid("prompt", "prompt holds more than %d prompts", r.lim.Prompts)
	}
	p.path = path
	r.prompts = append(r.prompts, p)
	return nil
}

func idList(v jsontext.Value, path string) ([]int32, error) {
	ids := []int32{}
	err := array(v, path, func(i int, e jsontext.Value) error {
		id, err := intOf(e, elem(path, i), 0, math.MaxInt32)
		ids = append(ids, int32(id))
		return err
	})
	return ids, err
}

func readInputIDs(r *request, name string, v jsontext.Value) (err error) {
	r.inputIDs, err = idList(v, name)
	if err == nil && len(r.inputIDs) == 0 {
		err = invalid(name, "%s cannot be empty", name)
	}
	return err
}

func elem(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func unknownField(param string) error {
	return newError(CodeUnknownParameter, clip(param, 200), "Unrecognized request argument: %s", clip(param, 200))
}

// saltOf joins what separates cache entries so that no two different sets collide.
func saltOf(parts ...string) string {
	var b bytes.Buffer
	empty := true
	for _, p := range parts {
		empty = empty && p == ""
		b.WriteString(strconv.Itoa(len(p)))
		b.WriteByte(':')
		b.WriteString(hex.EncodeToString([]byte(p)))
	}
	if empty {
		return ""
	}
	return b.String()
}
