package local

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/sample"
	"github.com/godwit-ai/godwit/engine/sched"
)

// job is an admitted request. The upper part is owned by the loop once it is
// submitted, the lower one is the queue between the loop and the reader.
type job struct {
	id       string
	ctx      context.Context // the request's; a job is the request on its way
	unwatch  func() bool     // ends the watch over ctx
	choices  []*choice
	left     int // choices that have not ended
	over     bool
	admitted time.Time

	adapter *adapter // nil: the base model
	seated  bool     // it has a place on the device

	promptLen int
	logprobs  bool
	top       int
	asked     []int32 // tokens whose log-probabilities are wanted beside those
	probs     []piece // of the prompt's tokens, until its last row is done

	mu     sync.Mutex
	pieces []piece
	prompt []piece // probs, complete
	cached int
	err    error                  // after the pieces
	ready  chan struct{}          // holds one signal while there may be something new
	wake   atomic.Pointer[func()] // called instead of that; nil: nobody asked
}

// piece is one token on its way to the reader.
type piece struct {
	choice  int32
	token   int32
	logprob float32
	top     []device.TokenLogprob
	asked   []device.TokenLogprob
	end     ending
}

type ending uint8

const (
	goesOn ending = iota
	byLength
	byToken
	byGrammar // nothing can follow
)

// choice is one sequence of a job, owned by the loop.
type choice struct {
	job    *job
	seq    sched.Sequence
	params sample.Params
	ended  bool

	generated int
	limit     int
	minTokens int
	banned    []int32 // while fewer than minTokens are generated
	stopIDs   []int32 // EOS and stop tokens; nil with ignore_eos

	bad *badWords // nil without
	con *follower // keeps the answer inside a constraint; nil: any answer

	expects bool  // the last token of seq stands for one that a step is drawing
	output  int32 // the output of that step

	at map[int32]int // index of each token in params.Counts; nil without penalties
}

// prepare sets what changes from step to step before the sequence's next draw.
func (c *choice) prepare() {
	generated := c.generated
	if c.expects {
		generated++
	}
	c.params.Position = uint32(generated)
	c.params.Banned = nil
	if c.con != nil {
		c.params.Mask = c.con.mask()
		return
	}
	if generated < c.minTokens {
		c.params.Banned = c.banned
	}
	c.params.Banned = c.bad.with(c.params.Banned, c.seq.Tokens[c.job.promptLen:])
}

// accept counts a new token and says whether it ends the choice. The order is that of
// openai-surface.md section 5.4: length before stop tokens.
func (c *choice) accept(token int32) ending {
	c.generated++
	if c.at != nil {
		c.count(token)
	}
	switch {
	case c.generated >= c.limit:
		return byLength
	case c.generated > c.minTokens && slices.Contains(c.stopIDs, token):
		return byToken
	}
	return goesOn
}

func (c *choice) count(token int32) {
	i, ok := c.at[token]
	if !ok {
		i = len(c.params.Counts)
		c.at[token] = i
		c.params.Counts = append(c.params.Counts, sample.Count{ID: token})
	}
	c.params.Counts[i].Output++
}

// countPrompt notes the prompt's tokens for the penalties.
func (c *choice) countPrompt(prompt []int32) {
	c.at = make(map[int32]int)
	for _, t := range prompt {
		if _, ok := c.at[t]; !ok {
			c.at[t] = len(c.params.Counts)
			c.params.Counts = append(c.params.Counts, sample.Count{ID: t, InPrompt: true})
		}
	}
}

// use makes a job's sequences those of an adapter.
func (j *job) use(a *adapter) {
	if a == nil {
		return
	}
	j.adapter = a
	for _, c := range j.choices {
		c.seq.Key.Adapter = a.key
	}
}

// slot is the place of the job's adapter on the device.
func (j *job) slot() int32 {
	if j.adapter == nil {
		return 0
	}
	return j.adapter.seat.slot
}

// push hands a token to the reader. It never blocks.
func (j *job) push(p piece) {
	j.mu.Lock()
	if j.probs != nil && p.choice == 0 {
		j.prompt, j.probs = j.probs, nil
	}
	j.pieces = append(j.pieces, p)
	j.mu.Unlock()
	j.signal()
}

// fail ends the stream with an error, after what was pushed before.
func (j *job) fail(err error) {
	j.mu.Lock()
	if j.err == nil {
		j.err = err
	}
	j.mu.Unlock()
	j.signal()
}

// signal tells the reader that there may be something new.
func (j *job) signal() {
	if wake := j.wake.Load(); wake != nil {
		(*wake)()
		return
	}
	select {
	case j.ready <- struct{}{}:
	default:
	}
}

// notify lets signals be calls of wake.
func (j *job) notify(wake func()) {
	j.wake.Store(&wake)
}

// take returns what is new, or no pieces; then the queue goes on with spare, which
// must not be used any more.
func (j *job) take(spare []piece) (pieces, prompt []piece, cached int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.pieces) > 0 {
		pieces, j.pieces = j.pieces, spare[:0]
	}
	prompt, j.prompt = j.prompt, nil
	return pieces, prompt, j.cached, j.err
}

// biases are a request's logit_bias in rising order of ids.
func biases(m map[int32]float32) []sample.Bias {
	if len(m) == 0 {
		return nil
	}
	list := make([]sample.Bias, 0, len(m))
	for id, v := range m {
		list = append(list, sample.Bias{ID: id, Value: v})
	}
	slices.SortFunc(list, func(a, b sample.Bias) int { return int(a.ID) - int(b.ID) })
	return list
}

// params turns a request's sampling into a row's.
func params(s *engine.Sampling, choice int, seed uint64, mask []uint64) sample.Params {
	return sample.Params{
		Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP,
		Frequency: s.Frequency, Presence: s.Presence, Repetition: s.Repetition,
		Bias: biases(s.LogitBias), Mask: mask,
		Seed: seed, Choice: uint32(choice),
	}
}
