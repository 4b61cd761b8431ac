// Package device is the contract between the step loop and whatever computes:
// a Device compiles a program with its weights into an Exec, the loop launches
// batches on it and waits for sampled tokens. It names no hardware.
//
// One step: the loop fills a Batch (rows of tokens, each sequence with its pages),
// Launch starts it, Pending.Wait gives one Output per wanted row. An Exec is owned
// by one goroutine; a Batch may be changed again only after Wait returned, but what
// its Pages and Params point to already when Launch has.
//
// An Exec that is a Feeder takes the next step while the last one is under way: a row
// of it names the output whose token it continues (Batch.From).
package device

import (
	"context"
	"time"

	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/sample"
)

// Device is a place that can run programs.
type Device interface {
	Name() string // "cpu", "cuda:0"
	Info() string // one line for people: instruction set, threads, memory
	// MemoryBytes returns total and free bytes that an Exec may use.
	MemoryBytes() (total, free uint64)
	// Compile uploads or repacks the weights and allocates the cache. Weights may be
	// released by the caller after it returned unless the Exec says otherwise by
	// implementing WeightHolder.
	Compile(ctx context.Context, p *op.Program, w Weights, o Options) (Exec, error)
	Close() error
}

// WeightHolder is implemented by an Exec that keeps views of the checkpoint's
// memory: the checkpoint must stay open until the Exec is closed.
type WeightHolder interface{ HoldsWeights() bool }

// Weights gives tensors by their name in op.Program.Weights.
type Weights interface {
	Tensor(name string) (quant.Tensor, error)
}

// Options size an Exec.
type Options struct {
	Pages      int // cache pages
	PageTokens int // tokens per page
	MaxRows    int // most rows (tokens) of one step
	MaxSeqs    int // most sequences of one step
	MaxOutputs int // most output rows of one step

	// MaxAdapters is the number of adapter slots; above 0 only an Exec that is Adapting
	// can be used.
	MaxAdapters int

	Threads int // CPU: worker threads, 0 chooses

	// CacheShare above 0 makes Pages the most: the cache takes at most this part of the
	// memory that weights and work space leave free. A device that follows it has Execs
	// that are Paged.
	CacheShare float64

	Progress func(done, total int64) // bytes of weights loaded; may be nil

	// Recorded is told of step sizes that Compile, or an Exec that implements Recorder,
	// prepares ahead: the size in rows, how many are done, how many there will be. It
	// may be nil.
	Recorded func(rows, done, total int)
}

// Recorder is implemented by an Exec that prepares step sizes ahead (CUDA graphs).
type Recorder interface {
	// Record prepares the usual sizes and reports each to Options.Recorded. It is
	// called once, before the first Launch, by the goroutine that owns the Exec.
	Record(ctx context.Context) error
}

// Exec runs steps of one program.
type Exec interface {
	Launch(b *Batch) (Pending, error)
	Bytes() int64 // device memory held
	Close() error // waits for a pending step and frees everything
}

// Paged is implemented by an Exec that chose the number of its pages.
type Paged interface{ Pages() int }

// Feeder is implemented by an Exec that may be able to start a step before it has given
// the tokens of the one before.
type Feeder interface {
	// Feeds says whether Batch.From may be used. Then two steps may be under way, which
	// run one after the other, and results stay valid until the next Launch but one.
	Feeds() bool
}

// Splitter is implemented by a Feeder that may be able to take steps in two parts: what
// comes before the draws, and the draws.
type Splitter interface {
	// Splits says whether Batch.Late may be used.
	Splits() bool
}

// Drawer is implemented by the Pending of a step whose draws begin later (Batch.Late).
type Drawer interface {
	// Draw starts the draws behind the step's first part. It is called once, before the
	// next Launch and before Wait. Params are read now: they know all tokens so far, also
	// those that rows had from the step before. An output whose Params have become nil
	// draws nothing; its Target counts then.
	Draw() error
}

// Waiter is implemented by a Pending whose device measures how long it had nothing to do
// between the two parts of the step.
type Waiter interface {
	// Waited is to be asked after Wait; 0 where the step had one part.
	Waited() time.Duration
}

// Pending is a step under way.
type Pending interface {
	// Wait returns one Output per Batch.Outputs, in order; valid until the next Launch.
	Wait() ([]Output, error)
}

// Clock is implemented by a Pending whose device measures how long it works.
type Clock interface {
	// Worked is the time from the begin of the step's first operation on the device to
	// the end of its last; to be asked after Wait. 0 means that it is not known.
	Worked() time.Duration
}

// Batch is one step: T rows of tokens in all, grouped by sequence.
type Batch struct {
	Tokens  []int32 // [T]
	Seqs    []Seq
	Outputs []OutputRow
	Copies  []PageCopy // done before the step

	// From is nil or has an entry for each row: output From[i] of the step launched
	// before this one draws the row's token, whatever Tokens[i] says; below 0 the token
	// is Tokens[i]. An output of such a row counts that token in its penalties, since
	// Params.Counts cannot know it. Only a Feeder takes it.
	From []int32

	// Late says that the draws begin with Drawer.Draw, so that what they must know (a mask
	// that follows from the token that a row continues) is made while the device works.
	// Launch then reads of Params whether they are there and Temperature, which stay as they
	// are. Only a Splitter takes it.
	Late bool
}

// Seq is a run of consecutive rows of one sequence. Row i has position Past+i and
// attends to the cached tokens 0..Past+i, itself included.
type Seq struct {
	Row   int     // first row
	Rows  int     // number of rows
	Past  int     // tokens already in the cache
	Pages []int32 // page of token t is Pages[t/PageTokens]; covers Past+Rows tokens

	Adapter int32 // slot of the adapter that its rows use; 0 is the base model
}

// PageCopy copies the first Tokens tokens of a page.
type PageCopy struct{ Src, Dst, Tokens int32 }

// OutputRow asks for the logits of one row to be used.
type OutputRow struct {
	Row     int
	Params  *sample.Params // nil: draw nothing
	Target  int32          // with Params nil: report this token's log-probability (-1: none)
	Top     int            // alternatives to report; with Logprob or Top > 0 log-probabilities are computed
	Logprob bool
	Logits  bool // copy the raw logits out (tests, diagnostics)
}

// Output is the result of one OutputRow.
type Output struct {
	Token   int32   // drawn, or Target
	Logprob float32 // of Token under the unmodified distribution, if asked for
	Top     []TokenLogprob
	Logits  []float32
}

// TokenLogprob is one alternative.
type TokenLogprob struct {
	ID      int32
	Logprob float32
}
