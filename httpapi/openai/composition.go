package openai

// Composition says what becomes of a constrained answer when another field is set.
type Composition struct{ With, What string }

// Compositions is the table of SURFACE.md; tests/clients/goclient tries every row on a
// model.
func Compositions() []Composition {
	return []Composition{
		{"thinking", "the constraint begins behind the thinking, which is free but for its markers and must end; without thinking it begins at once. Cut off inside the thinking: length, and no content"},
		{"stream_reasoning false", "the thinking comes in one piece, the answer as always"},
		{"separate_reasoning false", "content is the thinking with its markers, then the answer"},
		{"stop, stop_regex, stop_token_ids", "end the answer where they stand, also inside a string: finish_reason stop, matched_stop says which, and the text is cut there"},
		{"max_tokens", "an answer that is cut off says length; one that is complete at the limit says stop, with matched_stop null"},
		{"n, best_of", "every choice keeps to the constraint"},
		{"stream, stream_options", "the same text in pieces; usage counts tokens that were forced"},
		{"an adapter", "constrained and free rows of several adapters run in one batch"},
		{"logprobs", "are the model's own, before the constraint; every token is then drawn one by one"},
		{"echo", "the prompt stands in front of the constrained text and is no part of it"},
		{"logit_bias, penalties, top_p and the like", "choose among what the constraint allows; the only token that is allowed is taken whatever its bias"},
		{"allowed_token_ids", "choose among what the constraint allows as well; where nothing is left the answer ends with an error"},
		{"bad_words", "400: the constraint says what may come"},
		{"min_tokens, ignore_eos", "keep the answer going while the constraint allows more; a complete one ends"},
		{"continue_final_message", "the constraint is of what is added, not of the text before it"},
		{"several prompts", "every answer keeps to the constraint"},
		{"tools, tool_choice auto", "the answer keeps to the constraint or is calls of the tools (strict ones keep to their parameters, others are objects), where the tool-call parser's calls are JSON; elsewhere there are no calls"},
		{"tool_choice required or named", "calls come instead of the answer: response_format yields. A named tool is called once, with any parser; arguments keep to the parameters"},
		{"tool_choice none", "as without tools"},
		{"a second constraint", "400: one answer has one"},
	}
}
