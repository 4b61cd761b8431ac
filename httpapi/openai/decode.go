package openai

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat/parse"
)

// completionMaxTokens is what a completion gets when it names no max_tokens.
const completionMaxTokens = 16

// DecodeChat reads a /v1/chat/completions body. Errors are *Error.
func DecodeChat(body []byte, opt Options) (*Call, error) { return decode(Chat, body, opt) }

// DecodeCompletion reads a /v1/completions body. Errors are *Error.
func DecodeCompletion(body []byte, opt Options) (*Call, error) { return decode(Completion, body, opt) }

func decode(kind Kind, body []byte, opt Options) (*Call, error) {
	r := newRequest(kind, opt)
	if err := checkSyntax(body); err != nil {
		return nil, err
	}
	where := inChat
	if kind == Completion {
		where = inCompletion
	}
	err := object(body, "", func(name string, v jsontext.Value) error {
		f, ok := fields[name]
		if !ok || f.in&where == 0 {
			return unknownField(name)
		}
		r.given[name] = true
		return f.read(&r, name, v)
	})
	if err != nil {
		return nil, err
	}
	return r.finish()
}

// newRequest is what a body without fields asks for.
func newRequest(kind Kind, opt Options) request {
	return request{
		kind: kind, opt: opt, lim: opt.Limits.filled(), n: 1,
		sampling: engine.DefaultSampling(), given: map[string]bool{},
		skipSpecial: true, addGeneration: true, separateReasoning: true, streamReasoning: true, parallelCalls: true,
	}
}

// finish checks what needs more than one field or the model, and builds the call.
func (r *request) finish() (*Call, error) {
	model, err := ResolveModel(r.opt.Models, r.model, r.opt.AnyModel)
	if err != nil {
		return nil, err
	}
	if r.adapterModels, err = r.resolveAdapters(model); err != nil {
		return nil, err
	}
	for _, check := range []func(engine.ModelInfo) error{r.checkInput, r.checkLength, r.applyBias, r.checkIDs, r.checkAnswer} {
		if err := check(model); err != nil {
			return nil, err
		}
	}
	r.applyModelDefaults(model)
	c := r.call()
	c.plan = r.plan(model)
	if err := r.constrainAnswer(&c.plan); err != nil {
		return nil, err
	}
	return c, r.addRequests(c, model)
}

func (r *request) checkInput(engine.ModelInfo) error {
	if r.kind == Native {
		return nil
	}
	if r.kind == Completion {
		if !r.given["prompt"] {
			return newError(CodeMissing, "prompt", "prompt is missing")
		}
		if len(r.prompts)*r.n > r.lim.Prompts {
			return invalid("n", "prompts × n must be at most %d", r.lim.Prompts)
		}
		return nil
	}
	if r.inputIDs == nil && !r.given["messages"] {
		return newError(CodeMissing, "messages", "messages is missing")
	}
	if r.inputIDs == nil && len(r.messages) == 0 {
		return invalid("messages", "Messages cannot be empty.")
	}
	if r.continueFinal && r.addGenerationTrue {
		return invalid("continue_final_message", "continue_final_message and add_generation_prompt exclude each other")
	}
	if n := len(r.messages); r.continueFinal && r.inputIDs == nil && r.messages[n-1].Role != "assistant" {
		return invalid("continue_final_message", "continue_final_message needs an assistant message at the end")
	}
	if err := r.checkToolChoice(); err != nil {
		return err
	}
	r.applyReasoning()
	return nil
}

func (r *request) checkLength(m engine.ModelInfo) error {
	limit, param := r.maxTokens, "max_tokens"
	if r.maxCompletionTokens > 0 {
		limit, param = r.maxCompletionTokens, "max_completion_tokens"
	}
	switch {
	case limit == 0 && r.kind == Completion:
		limit = completionMaxTokens
	case r.kind == Native:
		if param = "max_new_tokens"; limit == 0 {
			limit = nativeMaxTokens
		}
	}
	if m.Truncates && m.ContextLen > 0 {
		limit, r.sampling.MinTokens = min(limit, m.ContextLen), min(r.sampling.MinTokens, m.ContextLen)
	}
	if m.ContextLen > 0 && limit > m.ContextLen {
		return invalid(param, "%s is too large: %d. The model's context length is %d tokens.", param, limit, m.ContextLen)
	}
	if m.ContextLen > 0 && r.sampling.MinTokens > m.ContextLen {
		return invalid("min_tokens", "min_tokens is too large: %d. The model's context length is %d tokens.", r.sampling.MinTokens, m.ContextLen)
	}
	if limit > 0 && r.sampling.MinTokens > limit {
		return invalid("min_tokens", "min_tokens (%d) must not be above the token limit (%d)", r.sampling.MinTokens, limit)
	}
	r.sampling.MaxTokens = limit
	return nil
}

func (r *request) applyBias(m engine.ModelInfo) error {
	if len(r.bias) == 0 {
		return nil
	}
	var outside []string
	r.sampling.LogitBias = make(map[int32]float32, len(r.bias))
	for _, b := range r.bias {
		id, _ := strconv.ParseInt(b.key, 10, 32)
		if m.VocabSize > 0 && id >= int64(m.VocabSize) {
			outside = append(outside, b.key)
			continue
		}
		r.sampling.LogitBias[int32(id)] = b.value
	}
	if len(outside) > 0 {
		return invalid("logit_bias", "logit_bias keys outside the vocabulary of %d tokens: %s", m.VocabSize, quoteList(outside))
	}
	return nil
}

// checkIDs refuses token ids outside the vocabulary.
func (r *request) checkIDs(m engine.ModelInfo) error {
	if m.VocabSize == 0 {
		return nil
	}
	check := func(ids []int32, path string) error {
		for i, id := range ids {
			if int(id) >= m.VocabSize {
				return invalid(path, "%s: token id %d is outside the vocabulary of %d tokens", elem(path, i), id, m.VocabSize)
			}
		}
		return nil
	}
	for _, p := range r.prompts {
		if err := check(p.ids, cmp.Or(p.path, r.idsParam())); err != nil {
			return err
		}
	}
	if err := check(r.inputIDs, "input_ids"); err != nil {
		return err
	}
	if err := check(r.sampling.Allowed, "allowed_token_ids"); err != nil {
		return err
	}
	asked := "logprob_token_ids"
	if r.kind == Native {
		asked = "token_ids_logprob"
	}
	if err := check(r.logprobIDs, asked); err != nil {
		return err
	}
	return check(r.sampling.StopTokenIDs, "stop_token_ids")
}

func (r *request) checkAnswer(m engine.ModelInfo) error {
	if r.kind == Chat && r.topLogprobs > 0 && !r.logprobs {
		return invalid("top_logprobs", "top_logprobs needs logprobs to be true")
	}
	if len(r.logprobIDs) > 0 && !r.logprobs && r.kind != Native {
		return invalid("logprob_token_ids", "logprob_token_ids needs logprobs")
	}
	if r.truncate > m.ContextLen && m.ContextLen > 0 {
		return invalid("truncate_prompt_tokens", "truncate_prompt_tokens is %d, above the model's context length of %d tokens", r.truncate, m.ContextLen)
	}
	if r.stream && (r.promptTokenIDs || r.metaInfo) {
		name := "return_meta_info"
		if r.promptTokenIDs {
			name = "return_prompt_token_ids"
		}
		return invalid(name, "%s is for answers without stream", name)
	}
	if r.stream && r.promptLogprobs && r.kind != Native {
		return invalid("prompt_logprobs", "prompt_logprobs is for answers without stream")
	}
	inputs := max(1, len(r.prompts))
	if r.ridIsList && len(r.ids) != inputs {
		return invalid("rid", "rid holds %d ids for %d prompts", len(r.ids), inputs)
	}
	return nil
}

// applyModelDefaults fills what a chat request left out from generation_config.
func (r *request) applyModelDefaults(m engine.ModelInfo) {
	d := m.Defaults
	if d == nil || r.kind != Chat || r.opt.IgnoreModelDefaults {
		return
	}
	s := &r.sampling
	if !r.given["temperature"] {
		s.Temperature = d.Temperature
	}
	if !r.given["top_p"] {
		s.TopP = d.TopP
	}
	if !r.given["top_k"] {
		s.TopK = d.TopK
	}
	if !r.given["min_p"] {
		s.MinP = d.MinP
	}
	if !r.given["repetition_penalty"] {
		s.Repetition = d.Repetition
	}
}

func (r *request) call() *Call {
	now := time.Now
	if r.opt.Now != nil {
		now = r.opt.Now
	}
	c := &Call{
		Kind: r.kind, Model: r.model, Created: now().Unix(), N: r.n,
		Stream: r.stream, Echo: r.echo, askedProbs: len(r.logprobIDs) > 0 && r.kind != Native, Logprobs: r.logprobs, TopLogprobs: r.topLogprobs,
		TokenIDs: r.tokenIDs, PromptTokenIDs: r.promptTokenIDs, MetaInfo: r.metaInfo, promptProbs: r.promptLogprobs, promptTop: r.promptTop, started: now(),
		cacheReport: r.opt.CacheReport, weightVersion: r.opt.WeightVersion,
	}
	if c.askedProbs {
		c.TopLogprobs = len(r.logprobIDs)
	}
	if r.stream {
		c.IncludeUsage, c.ContinuousUsage = r.includeUsage || r.opt.StreamUsage && !r.given["stream_options"], r.continuousUsage
	}
	if c.Model == "" {
		c.Model = DefaultModel
	}
	if r.maxCompletionTokens > 0 {
		c.lengthParam = "max_completion_tokens"
	}
	if c.weightVersion == "" {
		c.weightVersion = "default"
	}
	switch {
	case len(r.ids) > 0:
		c.ID, c.Named = r.ids[0], true
	case r.opt.RequestID != "":
		c.ID = r.opt.RequestID
	default:
		c.ID = NewID()
	}
	return c
}

func (r *request) addRequests(c *Call, m engine.ModelInfo) error {
	top := max(r.topLogprobs, r.promptTop)
	if c.askedProbs {
		top = r.promptTop
	}
	base := engine.Request{
		ID: c.ID, Model: m.ID, Sampling: r.sampling, Constraint: r.constraint, N: r.n,
		Logprobs: r.logprobs, TopLogprobs: top, PromptLogprobs: r.promptLogprobs || r.echo && r.logprobs,
		LogprobIDs: r.logprobIDs, TruncatePrompt: r.truncate, TruncateEnd: r.truncateEnd,
		SkipSpecialTokens: r.skipSpecial, Priority: r.priority,
		CacheSalt: saltOf(r.opt.Salt, r.cacheSalt, r.extraKey),
	}
	if r.kind == Chat {
		base.KeepSpecial = c.plan.Markers()
		if r.adapterModels != nil {
			base.Model = r.adapterModels[0]
		}
		c.Requests = []*engine.Request{r.chatRequest(base)}
		return nil
	}
	for i, p := range r.prompts {
		q := base
		q.Prompt, q.TokenIDs = p.text, p.ids
		if i > 0 {
			q.ID = c.ID + "-" + strconv.Itoa(i)
		}
		if r.ridIsList {
			q.ID = r.ids[i]
		}
		if r.adapterModels != nil {
			q.Model = r.adapterModels[i]
		}
		c.Requests = append(c.Requests, &q)
	}
	return nil
}

// plan says how the answers to a chat request are read.
func (r *request) plan(m engine.ModelInfo) parse.Plan {
	if r.kind != Chat {
		return parse.Plan{}
	}
	p := parse.Plan{
		Reasoning: m.ReasoningParser, ToolCalls: m.ToolCallParser, Tools: r.tools,
		Args: r.templateArgs, Effort: r.reasoningEffort,
		KeepMarkers: !r.separateReasoning, HoldReasoning: !r.streamReasoning, ForceContent: r.forceContent,
		OneCall: !r.parallelCalls,
	}
	if n := len(r.messages); r.continueFinal && n > 0 && r.inputIDs == nil {
		p.Continued = &r.messages[n-1]
	}
	return p
}

func (r *request) chatRequest(q engine.Request) *engine.Request {
	if r.inputIDs != nil {
		q.TokenIDs = r.inputIDs
		return &q
	}
	q.Messages, q.Tools, q.TemplateArgs = r.messages, r.tools, r.templateArgs
	q.ContinueFinal, q.NoGenerationPrompt, q.ChatTemplate = r.continueFinal, !r.addGeneration, r.template
	if last := len(q.Messages) - 1; !r.continueFinal && q.Messages[last].Role == "assistant" && len(q.Messages[last].ToolCalls) == 0 {
		// As SGLang: without continue_final_message a closing assistant turn is said by the user.
		q.Messages = slices.Clone(q.Messages)
		q.Messages[last].Role = "user"
	}
	return &q
}

// idsParam is what the client calls token ids of a prompt.
func (r *request) idsParam() string {
	if r.kind == Native {
		return "input_ids"
	}
	return "prompt"
}
