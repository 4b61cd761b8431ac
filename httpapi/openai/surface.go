package openai

import (
	"maps"
	"slices"
)

// FieldInfo describes one request field for httpapi/SURFACE.md and for the test that
// tries every row of it.
type FieldInfo struct {
	Name                     string
	Chat, Completion, Native bool
	NativeName               string // where /generate writes it, if it has it
	Class                    Class
	What                     string // what it does; empty for a refused one, whose error says why
	Example                  string // a JSON value that asks for something
}

// Class is what becomes of a field that asks for something.
type Class string

// The classes; every other field is unknown, which is a 400 as well.
const (
	Works    Class = "works"
	Accepted Class = "accepted"
	Refused  Class = "refused"
)

type note struct {
	class   Class
	example string
	what    string
}

// notes describe the fields that are not refused.
var notes = map[string]note{
	"model":     {Works, `"default"`, "served name, path, \"default\", `base:adapter` or a bare adapter, in any letter case; echoed as written"},
	"messages":  {Works, `[{"role":"user","content":"hi"}]`, "roles system, user, assistant, tool, function, developer (the last two are written as tool and system for a template that leaves them out); content as text, or parts of type text, refusal, thinking and reasoning; function_call as one of tool_calls"},
	"input_ids": {Works, `[1,2]`, "tokens instead of the template's text"},
	"prompt":    {Works, `"hi"`, "a string, strings, token ids or lists of token ids"},
	"lora_path": {Works, `null`, "name of a loaded adapter, or one per prompt; the model's name wins"},
	"rid":       {Works, `"my-id"`, "id of the request and the answer, or one per prompt"},

	"temperature":        {Works, `0.5`, "0 and above; below 1e-6 the likeliest token is taken"},
	"top_p":              {Works, `0.9`, "above 0, at most 1"},
	"top_k":              {Works, `40`, "-1 (off) or at least 1"},
	"min_p":              {Works, `0.1`, "0 to 1"},
	"frequency_penalty":  {Works, `0.5`, "-2 to 2"},
	"presence_penalty":   {Works, `0.5`, "-2 to 2"},
	"repetition_penalty": {Works, `1.1`, "above 0, at most 2"},
	"logit_bias":         {Works, `{"7":-5}`, "token ids as strings to -100…100; all bad keys are named"},
	"allowed_token_ids":  {Works, `[65,66]`, "no other token is drawn, also not the end"},
	"bad_words":          {Works, `["x","y z"]`, "the token that would complete one of them is not drawn; not beside a constraint"},
	"seed":               {Works, `7`, "64 bits; the answer then depends on nothing else in the batch (on a GPU but for rounding, which differs with the rows of a step)"},

	"max_tokens":                 {Works, `4`, "new tokens; completions 16, chat the rest of the context"},
	"max_completion_tokens":      {Works, `4`, "wins over max_tokens"},
	"min_tokens":                 {Works, `2`, "ends by token are suppressed until then"},
	"stop":                       {Works, `["x","y"]`, "a string or up to 64; cut out, never shown in part"},
	"stop_regex":                 {Works, `["a+b"]`, "patterns in RE2's syntax without $, \\z, \\b"},
	"stop_token_ids":             {Works, `[5]`, "further ends"},
	"no_stop_trim":               {Works, `true`, "leaves the stop in the text"},
	"include_stop_str_in_output": {Works, `true`, "as no_stop_trim"},
	"ignore_eos":                 {Works, `true`, "no end by token"},

	"n":                             {Works, `2`, "choices per prompt, up to 128"},
	"stream":                        {Works, `true`, "server-sent events"},
	"stream_options":                {Works, `{"include_usage":true,"continuous_usage_stats":true}`, "include_usage, continuous_usage_stats"},
	"logprobs":                      {Works, "", "chat: true; completions: how many alternatives, 0 to 20"},
	"top_logprobs":                  {Works, `2`, "alternatives, 0 to 20; needs logprobs"},
	"prompt_logprobs":               {Works, `2`, "the prompt's tokens with so many alternatives, 0 to 20, in every choice, of chat beside the choices; not with stream"},
	"add_special_tokens":            {Accepted, "", "true for completions and false for chat, which is what is done; the opposite is refused"},
	"echo":                          {Works, `true`, "the prompt comes first, with its log-probabilities if there are any"},
	"logprob_token_ids":             {Works, `[5,6]`, "log-probabilities of these tokens in the place of the likeliest; up to 1024, needs logprobs"},
	"truncate_prompt_tokens":        {Works, `3`, "so many tokens of the prompt are kept, its last; -1: as many as leave room for max_tokens. What begins every prompt of the model stays"},
	"truncation_side":               {Works, `"left"`, "right keeps the prompt's first tokens instead"},
	"return_token_ids":              {Works, `true`, "token_ids in every choice"},
	"return_prompt_token_ids":       {Works, `true`, "prompt_token_ids in every choice; not with stream"},
	"return_meta_info":              {Works, `true`, "meta_info as /generate has it; not with stream"},
	"skip_special_tokens":           {Works, `false`, "default true"},
	"spaces_between_special_tokens": {Accepted, `true`, "texts are decoded exactly either way"},
	"priority":                      {Works, `3`, "higher runs first"},
	"cache_salt":                    {Works, `"s"`, "keeps prefix-cache entries apart"},
	"extra_key":                     {Works, `"s"`, "as cache_salt; both count"},

	"tools":                  {Works, `[{"type":"function","function":{"name":"f"}}]`, "functions that the model may call"},
	"tool_choice":            {Works, `"auto"`, "auto, none, required or a function of tools, which is then called once"},
	"parallel_tool_calls":    {Works, `false`, "false ends the answer at a second call"},
	"chat_template_kwargs":   {Works, `{"enable_thinking":false}`, "variables of the template; not the engine's own names"},
	"chat_template":          {Works, `"{{ messages[0].content }}"`, "only with --trust-request-chat-template"},
	"continue_final_message": {Works, `false`, "goes on with the last assistant message"},
	"add_generation_prompt":  {Works, `true`, "false opens no assistant turn"},
	"reasoning_effort":       {Works, `"low"`, "none, minimal, low, medium, high, xhigh, max"},
	"reasoning":              {Works, `{"effort":"low"}`, "effort, enabled"},
	"separate_reasoning":     {Works, `false`, "false leaves the thinking in content"},
	"stream_reasoning":       {Works, `false`, "false sends the thinking in one piece"},
	"include_reasoning":      {Accepted, `true`, "false is refused: use separate_reasoning"},

	"response_format":         {Works, `{"type":"json_object"}`, "text, json_object (with a schema as well), json_schema, structural_tag, regex, grammar"},
	"regex":                   {Works, `"[ab]+c"`, "the answer matches it"},
	"ebnf":                    {Works, `"root ::= \"a\""`, "the answer is derived from it"},
	"json_schema":             {Works, `"{\"type\":\"object\"}"`, "the answer satisfies it"},
	"structural_tag":          {Works, `{"structures":[{"begin":"<f>","schema":{"type":"object"},"end":"</f>"}],"triggers":["<f>"]}`, "free text with constrained pieces"},
	"grammar":                 {Works, `"root ::= \"a\""`, "as ebnf"},
	"structured_outputs":      {Works, `{"choice":["a","b"]}`, "json, regex, choice, grammar, structural_tag"},
	"guided_json":             {Works, `{"type":"object"}`, "as json_schema"},
	"guided_regex":            {Works, `"[ab]+c"`, "as regex"},
	"guided_choice":           {Works, `["a","b"]`, "one of these texts"},
	"guided_grammar":          {Works, `"root ::= \"a\""`, "as ebnf"},
	"guided_decoding_backend": {Accepted, `"auto"`, "there is one"},

	"user":                   {Accepted, `"me"`, "describes the caller"},
	"best_of":                {Accepted, `2`, "as SGLang does, the choices are those of n"},
	"metadata":               {Accepted, `{"a":"b"}`, "describes the request"},
	"store":                  {Accepted, `true`, "nothing is stored"},
	"service_tier":           {Accepted, `"auto"`, "there is one"},
	"safety_identifier":      {Accepted, `"me"`, "describes the caller"},
	"prompt_cache_key":       {Accepted, `"k"`, "prefixes are cached anyway; cache_salt keeps them apart"},
	"prompt_cache_retention": {Accepted, `"24h"`, "prefixes stay while there is room"},
	"prompt_cache_options":   {Accepted, `{}`, "a hint"},
	"prediction":             {Accepted, `{"type":"content","content":"x"}`, "a hint"},
	"custom_labels":          {Accepted, `{"a":"b"}`, "describes the request"},
}

// nativeNotes describe the fields that only /generate has.
var nativeNotes = map[string]note{
	"text":                    {Works, `"hi"`, "a prompt or a list of them"},
	"input_ids":               {Works, `[1,2]`, "token ids or lists of them; instead of text"},
	"sampling_params":         {Works, `{"max_new_tokens":2}`, "an object, or one per prompt; below"},
	"return_logprob":          {Works, `true`, "log-probabilities of the answer's tokens; true or one per prompt"},
	"logprob_start_len":       {Works, `0`, "and of the prompt's from there on; -1 is none"},
	"token_ids_logprob":       {Works, `[5,6]`, "log-probabilities of these tokens, or of a list per prompt, in input_ and output_token_ids_logprobs"},
	"top_logprobs_num":        {Works, `2`, "alternatives, 0 to 20"},
	"return_text_in_logprobs": {Works, `true`, "texts beside the ids"},
	"log_metrics":             {Accepted, `true`, "metrics are always kept"},
	"conversation_id":         {Accepted, `"c"`, "describes the request"},
	"no_logs":                 {Accepted, `true`, "prompts are never logged"},
}

var samplingNotes = map[string]note{
	"max_new_tokens":  {Works, `4`, "new tokens, default 128; 0 only looks at the prompt"},
	"stream_interval": {Works, `2`, "so many tokens go to the client at a time; default --stream-interval"},
}

// Fields lists the request fields of the OpenAI routes in alphabetical order.
func Fields() []FieldInfo {
	var list []FieldInfo
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := fields[name]
		i := FieldInfo{Name: name, Chat: f.in&inChat != 0, Completion: f.in&inCompletion != 0, Class: Refused, Example: `{"asked":"for"}`}
		if n, ok := notes[name]; ok {
			i.Class, i.What, i.Example = n.class, n.what, n.example
		}
		list = append(list, i)
	}
	return list
}

// NativeFields lists the fields of /generate in alphabetical order, those of
// sampling_params behind the others with their full names.
func NativeFields() []FieldInfo {
	var list []FieldInfo
	add := func(name, as string, own map[string]note) {
		i := FieldInfo{Name: name, Native: true, NativeName: as, Class: Refused, Example: `{"asked":"for"}`}
		n, ok := own[name]
		if !ok {
			n, ok = notes[as]
		}
		if ok {
			i.Class, i.What, i.Example = n.class, n.what, n.example
		}
		list = append(list, i)
	}
	for _, name := range slices.Sorted(maps.Keys(nativeFields)) {
		add(name, name, nativeNotes)
	}
	for _, name := range slices.Sorted(maps.Keys(samplingFields)) {
		add(name, samplingFields[name], samplingNotes)
		list[len(list)-1].Name = "sampling_params." + name
	}
	return list
}
