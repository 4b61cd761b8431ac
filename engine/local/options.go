package local

import (
	"log/slog"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
)

// Options say what to load and how to run it. The zero value of every field but
// ModelPath is useful.
type Options struct {
	// ModelPath is a GGUF file, a folder in the Hugging Face layout, or a name that
	// engine/hub can resolve. With LoadFormat "dummy" a config.json is enough.
	ModelPath string

	// ServedNames are the names that requests use; default is ModelPath as written.
	// The first is the default model.
	ServedNames []string

	// AnyModelName accepts every name in a request, as servers of older days do.
	AnyModelName bool

	// Offline forbids fetching models; AllowDownload permits repositories of the
	// Hugging Face hub besides the models that engine/hub knows.
	Offline, AllowDownload bool

	LoadFormat    string // "", "auto", "gguf", "safetensors" or "dummy" (random weights)
	TokenizerPath string // a folder with tokenizer.json or a GGUF file; default: the model's
	SkipTokenizer bool   // no tokenizer: token ids in, token ids out
	ChatTemplate  string // path of a Jinja file; default: the model's
	DType         string // "" or "auto": as stored; for dummy weights any type of engine/quant

	// ReasoningParser and ToolCallParser name how chat answers are read (engine/chat/parse);
	// "auto" looks at the chat template, "" leaves answers as they are.
	ReasoningParser, ToolCallParser string

	// ContextLength lowers the model's context; 0 keeps it.
	ContextLength int

	// EnableLoRA lets requests name adapters; Adapters, which implies it, are loaded at the
	// start, others with LoadAdapter from folders inside LoRADir.
	EnableLoRA bool
	Adapters   []engine.AdapterSpec
	LoRADir    string

	// MaxAdaptersPerBatch is how many adapters the sequences of a step may have; others
	// wait. 0: 8. MaxLoadedAdapters bounds those in memory, the rest is read again when
	// wanted; 0: no limit. MaxLoRARank 0: no limit. LoRAEviction says who makes room:
	// "lru", also "", or "fifo".
	MaxAdaptersPerBatch int
	MaxLoadedAdapters   int
	MaxLoRARank         int
	LoRAEviction        string

	// AutoTruncate cuts the end of prompts that are too long, and the number of new
	// tokens, where otherwise the request is refused.
	AutoTruncate bool

	// MaxRunningRequests is the most sequences in one step (a request with n choices
	// has n). 0: 64, on a GPU 256, fewer if the cache is small.
	MaxRunningRequests int

	// MaxQueuedRequests is the most sequences that wait beyond those running before
	// Generate answers ErrOverloaded; 0: no limit.
	MaxQueuedRequests int

	// MaxTotalTokens is the size of the KV cache. 0: what half of the memory that the
	// weights leave free holds, but not more than 16384 (on a GPU 262144) or one context, whichever is
	// larger.
	MaxTotalTokens int

	// PageTokens is the number of tokens per page, the unit of prefix sharing; 0: 16.
	PageTokens int

	// ChunkedPrefillSize is the most prompt tokens per step; 0: 256, on a GPU 2048; -1: only
	// MaxPrefillTokens limits it.
	ChunkedPrefillSize int

	// MaxPrefillTokens limits the prompt tokens of a step as well; 0: 16384.
	MaxPrefillTokens int

	// DisableRadixCache computes every prompt anew.
	DisableRadixCache bool

	Device     string // "", "auto", "cpu", "cuda" or "cuda:1"; auto takes the first GPU that can be used
	Threads    int    // CPU: worker threads; 0: one per available core
	RandomSeed uint64 // makes the seeds of requests without one repeatable; 0: they are random

	// Logger gets one Info record per load and request and one Debug record per step.
	// nil: no log.
	Logger *slog.Logger

	// Progress is told how loading goes on: stage "fetch" in bytes, "device" once when it
	// is open, "weights" in bytes, then "ready" once. It is called from the goroutine of
	// Open or one that Open waits for.
	Progress func(stage string, done, total int64)

	// Chosen is told what computes, in words, as soon as the device is open.
	Chosen func(info string)

	// Recorded is told of each step size that a GPU prepares at load: its rows, how many
	// of how many are done, the device's free bytes then. As Progress.
	Recorded func(rows, done, total int, free uint64)

	device device.Device // tests: run on this one
}

const (
	defaultRunning = 64
	defaultTokens  = 16384
	defaultPage    = 16
	defaultChunk   = 256
	defaultPrefill = 16384

	defaultRunningGPU = 256
	defaultTokensGPU  = 1 << 18
	defaultChunkGPU   = 2048

	targetRows = 64 // prompt rows with log-probabilities in one step
)
