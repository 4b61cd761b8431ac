// Package sample turns logits into a token: logit processors, filters and a
// counter-based random generator. It is the reference semantics for every device.
//
// Order (openai-surface.md section 5.1): repetition, frequency and presence
// penalties; bans and masks; logit bias; temperature; top-k; top-p; min-p; draw.
package sample

// Params are the decoding parameters of one row of logits. The owner keeps them
// for the life of a sequence and updates Position, Counts and Banned between steps.
type Params struct {
	Temperature float32 // below 1e-6: argmax, ties to the lowest id
	TopK        int     // <= 0: off
	TopP        float32 // 0 or >= 1: off; a token stays while the mass before it is <= TopP
	MinP        float32 // 0: off; relative to the most likely token
	Frequency   float32
	Presence    float32
	Repetition  float32 // 0 or 1: off

	Bias   []Bias   // added to logits
	Banned []int32  // set to -Inf (min_tokens: EOS and stop ids)
	Mask   []uint64 // bit i of word i/64 allows token i; nil allows all

	// Counts lists the tokens that occurred, each id once. Frequency and presence
	// look at Output only, repetition at both.
	Counts []Count

	// The draw depends on these three only, never on the rest of the batch.
	Seed     uint64
	Choice   uint32
	Position uint32 // 0 for the first new token
}

// Bias is one entry of logit_bias.
type Bias struct {
	ID    int32
	Value float32
}

// Count says how often a token occurred in a sequence.
type Count struct {
	ID       int32
	Output   int32 // occurrences among the generated tokens
	InPrompt bool
}
