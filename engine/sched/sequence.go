package sched

import "github.com/godwit-ai/godwit/engine/kvcache"

// Sequence is one text that grows: a prompt and the tokens generated for one choice.
// The exported fields are set before Add and not changed by the caller afterwards,
// except through the Scheduler.
type Sequence struct {
	Tokens   []int32 // the prompt; Append adds to it
	Limit    int     // most tokens the sequence may ever have
	Priority int     // higher runs first
	Key      kvcache.Key
	Owner    any // whatever the caller wants to find in a Run

	// Targets asks for an output on every prompt row that predicts the next prompt
	// token. Such a prompt is computed in full, whatever the cache knows.
	Targets bool

	prompt    int
	past      int // tokens in the cache
	pages     []int32
	state     state
	arrival   uint64
	targeted  int // prompt rows whose targets were computed
	cached    int
	started   bool
	preempted int
	planned   uint64 // the last step in which it had a row of its own
	overtaken int
	leader    *Sequence   // holds this one back until its prompt is computed
	followers []*Sequence // held back by this one
}

// Unknown stands for a token that is drawn but not known yet: Append it to plan the
// sequence's next row, and Resolve it when the token is there.
const Unknown int32 = -1

type state uint8

const (
	fresh state = iota
	held        // waits for its leader
	waiting
	running
	ended
)

// PromptLen is the number of tokens that the sequence started with.
func (q *Sequence) PromptLen() int { return q.prompt }

// Cached is the number of prompt tokens that the prefix cache served.
func (q *Sequence) Cached() int { return q.cached }

// Preempted is how often the sequence lost its pages.
func (q *Sequence) Preempted() int { return q.preempted }

// Awaits reports whether all tokens of the sequence are in the cache, or in a step that
// was committed: what comes next is the token that the step draws.
func (q *Sequence) Awaits() bool { return q.remaining() == 0 }

// remaining is the number of tokens not in the cache yet; one when decoding, none
// while the caller has not appended the token that it drew.
func (q *Sequence) remaining() int { return len(q.Tokens) - q.past }

func (q *Sequence) decoding() bool { return q.remaining() == 1 && q.past > 0 }

// before is the rank: by priority, then by arrival.
func (q *Sequence) before(r *Sequence) int {
	switch {
	case q.Priority != r.Priority:
		if q.Priority > r.Priority {
			return -1
		}
		return 1
	case q.arrival < r.arrival:
		return -1
	case q.arrival > r.arrival:
		return 1
	}
	return 0
}

// Run is a sequence's part of a step: Rows tokens from Past on.
type Run struct {
	Seq        *Sequence
	Past, Rows int
	Emit       bool // the last row predicts a new token
	Known      bool // or one that is known already; the run has one row
	TargetFrom int  // rows TargetFrom..Past+Rows-1 that predict a prompt token want its
	TargetTo   int  // log-probability: positions TargetFrom <= p < TargetTo
}

// Tokens are the run's input ids.
func (r *Run) Tokens() []int32 { return r.Seq.Tokens[r.Past : r.Past+r.Rows] }

// Pages are the sequence's pages, valid until the next call of the Scheduler.
func (r *Run) Pages() []int32 { return r.Seq.pages }
