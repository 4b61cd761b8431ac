package engine

// Request is one generation. Exactly one of Messages, Prompt and TokenIDs is used:
// Messages when non-nil (chat, through the model's template), else TokenIDs when
// non-nil (taken as they are), else Prompt (encoded, with BOS if the family adds it).
type Request struct {
	ID    string // echoed in logs; 32 hex characters are made when empty
	Model string // ModelInfo.ID, path or "default"; "" is the default model

	Messages []Message
	Prompt   string
	TokenIDs []int32

	// Chat only.
	Tools              []Tool         // offered to the template as written
	TemplateArgs       map[string]any // chat_template_kwargs: plain template variables
	ContinueFinal      bool           // the last assistant message is a prefix to continue
	NoGenerationPrompt bool           // do not open an assistant turn
	ChatTemplate       string         // replaces the model's; only trusted callers set it

	Sampling   Sampling
	Constraint *Constraint // what language the answers must be in; nil: any
	N          int         // choices; 0 means 1

	Logprobs       bool // report the chosen token's log-probability
	TopLogprobs    int  // and that many alternatives, 0..MaxTopLogprobs
	PromptLogprobs bool // also for the prompt's tokens (echo with logprobs)

	// LogprobIDs are tokens whose log-probabilities are reported wherever others are, at
	// most MaxLogprobIDs (Token.Asked).
	LogprobIDs []int32

	// TruncatePrompt keeps at most so many tokens of the prompt, the last ones, or with
	// TruncateEnd the first; -1 keeps as many as leave room for the answer, 0 all. What the
	// tokenizer puts in front of a text stays there.
	TruncatePrompt int
	TruncateEnd    bool

	SkipSpecialTokens bool     // leave special tokens out of Event.Text
	KeepSpecial       []string // but not these: markers that a parser looks for
	Priority          int      // higher runs first
	CacheSalt         string   // separates prefix-cache entries of different owners
}

// MaxTopLogprobs bounds Request.TopLogprobs.
const MaxTopLogprobs = 20

// MaxLogprobIDs bounds Request.LogprobIDs.
const MaxLogprobIDs = 1024

// Message is one turn of a chat.
type Message struct {
	Role       string // system, user, assistant, tool, developer, function
	Content    string // text parts joined; see Parts
	Parts      []Part // non-nil when the client sent a list of parts
	NoContent  bool   // content was null or absent
	Name       string
	ToolCallID string
	ToolCalls  []ToolCall
	Reasoning  string // reasoning_content of an earlier assistant turn
}

// Part is one element of a message's content list.
type Part struct {
	Type string // "text"
	Text string
}

// ToolCall is a call that the model made in an earlier turn.
type ToolCall struct {
	ID        string
	Name      string
	Arguments string // JSON text, key order kept
}

// Tool is a function that the model may call. JSON is the client's object
// ({"type":"function","function":{…}}) byte for byte, so that key order survives.
type Tool struct {
	Name string
	JSON []byte
}

// Sampling holds the decoding parameters. The zero value is greedy without limit;
// use DefaultSampling for OpenAI's defaults. Order of application:
// penalties, logit bias, temperature, top-k, top-p, min-p
// (openai-surface.md section 5.1).
type Sampling struct {
	MaxTokens    int     // new tokens; 0 means up to the context length
	MinTokens    int     // EOS and stop ids are suppressed before
	Temperature  float32 // below 1e-6: greedy
	TopK         int     // 0 or -1: off
	TopP         float32 // 0 or 1: off
	MinP         float32 // 0: off
	Frequency    float32 // frequency penalty, -2..2
	Presence     float32 // presence penalty, -2..2
	Repetition   float32 // repetition penalty, 0 or 1: off
	LogitBias    map[int32]float32
	Allowed      []int32  // only these tokens are drawn; nil: all
	BadWords     []string // texts that are not written: the token that would complete one is banned
	Stop         []string
	StopRegex    []string // package engine/stop says which expressions and how they match
	StopTokenIDs []int32
	KeepStop     bool   // no_stop_trim: leave the stop string or token in the text
	IgnoreEOS    bool   // token-id stops are skipped
	Seed         uint64 // used when HasSeed, else a random one is drawn
	HasSeed      bool
}

// DefaultSampling is what OpenAI clients get when they send nothing.
func DefaultSampling() Sampling {
	return Sampling{Temperature: 1, TopP: 1, TopK: -1, Repetition: 1}
}
