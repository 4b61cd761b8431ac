// Package sched decides which rows run in the next step: continuous batching (Yu et
// al., "Orca", OSDI 2022) with chunked prefill (Agrawal et al., arXiv:2308.16369) over
// paged memory. It is pure: no clock, no goroutine, no device.
//
// A step holds one row for every sequence that generates and, within a budget, rows
// of prompts. A sequence that is admitted gets the pages of its whole text so far;
// while it grows it takes page after page. When none is left, the youngest sequence
// of the lowest priority gives up its pages and is computed again later, so the
// first in rank always advances and every sequence that fits alone ends.
//
// Nobody waits for ever: among prompts the oldest has half of the budget and the
// others, the shortest first, the rest; a waiting sequence that was overtaken
// maxOvertaken times is the next to be admitted.
//
// A sequence's way: Add → Next (until its rows are in a step) → Commit → Append for
// each new token → Finish.
//
// Whoever computes one step while the next is planned calls Commit when the step is
// under way, appends Unknown for its tokens and resolves them later. A sequence whose
// token is not appended at all stays as it is and has no row in the next step.
package sched

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/godwit-ai/godwit/engine/kvcache"
)

// Errors of Add.
var (
	ErrFull   = errors.New("the queue is full")
	ErrTooBig = errors.New("the sequence does not fit in the cache")
)

const (
	maxOvertaken = 64 // admissions that may pass a waiting sequence
	lookahead    = 16 // waiting sequences tried when the first ones do not fit
)

// Options are the limits of a step and of the queue.
type Options struct {
	MaxRunning    int  // most sequences in the batch
	MaxQueued     int  // most waiting sequences; 0: no limit
	PrefillRows   int  // most prompt rows of a step
	TargetRows    int  // most rows of a step with a target; at least 1
	NoPrefixCache bool // neither look up nor keep prefixes

	// KnownShare is for a device on which a row for each sequence takes less time than some
	// rows more. Tokens that Extend added have a step of their own, as those that are drawn,
	// unless there are prompts in the step anyway, or the tokens beyond one for each
	// sequence are at least one for KnownShare rows. 0: they never have one.
	KnownShare int
}

// Scheduler is owned by one goroutine, together with its cache.
type Scheduler struct {
	o           Options
	cache       *kvcache.Cache
	arrived     uint64
	waiting     []*Sequence // by rank
	running     []*Sequence // by rank
	holding     int         // sequences held back by a leader
	step        []Run
	steps       uint64
	preemptions int64
	open        bool // Next was called, Commit was not
	others      []*Sequence
	most        int // prompt rows, from LimitPrefill; 0: PrefillRows alone limits

	blocked   bool // nothing waiting fitted, and nothing has changed since
	blockedAt int  // pages available then
}

// New returns a scheduler over a cache.
func New(o Options, cache *kvcache.Cache) *Scheduler {
	o.MaxRunning = max(1, o.MaxRunning)
	o.PrefillRows = max(1, o.PrefillRows)
	o.TargetRows = max(1, o.TargetRows)
	return &Scheduler{o: o, cache: cache}
}

// LimitPrefill lowers the prompt rows of the coming steps below PrefillRows, for a
// caller that sees them take too long; 0 takes the limit away.
func (s *Scheduler) LimitPrefill(rows int) { s.most = max(0, rows) }

// Preemptions is how many sequences have lost their pages so far.
func (s *Scheduler) Preemptions() int64 { return s.preemptions }

// Running is the number of sequences in the batch.
func (s *Scheduler) Running() int { return len(s.running) }

// Waiting is the number of sequences that are not in the batch.
func (s *Scheduler) Waiting() int { return len(s.waiting) + s.holding }

// Add queues sequences with one common prompt, all or none. The others wait until the
// first has computed the prompt, to share its pages.
func (s *Scheduler) Add(group ...*Sequence) error {
	if s.o.MaxQueued > 0 && s.Waiting()+len(group) > s.queueRoom() {
		return ErrFull
	}
	for _, q := range group {
		if err := s.fits(q); err != nil {
			return err
		}
	}
	s.blocked = false
	for i, q := range group {
		s.arrived++
		q.arrival, q.prompt = s.arrived, len(q.Tokens)
		if i == 0 || s.o.NoPrefixCache {
			s.enqueue(q)
			continue
		}
		q.state, q.leader = held, group[0]
		group[0].followers = append(group[0].followers, q)
		s.holding++
	}
	return nil
}

// queueRoom counts free places in the batch too: what runs at once does not queue.
func (s *Scheduler) queueRoom() int {
	return s.o.MaxQueued + max(0, s.o.MaxRunning-len(s.running))
}

func (s *Scheduler) fits(q *Sequence) error {
	switch {
	case q.state != fresh:
		broken("sequence added twice")
	case len(q.Tokens) == 0 || q.Limit < len(q.Tokens):
		broken("sequence of %d tokens with limit %d", len(q.Tokens), q.Limit)
	}
	// The last token is never an input, so its key and value need no place.
	if need := s.cache.PagesFor(max(len(q.Tokens), q.Limit-1)); need > s.cache.Pages() {
		return fmt.Errorf("%w: %d tokens need %d pages of %d tokens, the cache has %d",
			ErrTooBig, q.Limit, need, s.cache.PageTokens(), s.cache.Pages())
	}
	return nil
}

func (s *Scheduler) enqueue(q *Sequence) {
	q.state = waiting
	at, _ := slices.BinarySearchFunc(s.waiting, q, (*Sequence).before)
	s.waiting = slices.Insert(s.waiting, at, q)
}

// Next plans a step. The runs are valid until Commit; nil means that there is nothing
// to do. Runs that generate come first.
func (s *Scheduler) Next() []Run {
	if s.open {
		broken("Next before Commit")
	}
	s.step = s.step[:0]
	s.steps++
	if !s.decodes() {
		s.admit()
	}
	if s.o.KnownShare > 0 {
		s.knowns()
	}
	s.prefills()
	s.open = len(s.step) > 0
	if !s.open && len(s.running)+s.Waiting() > 0 && !s.awaits() {
		broken("%d running and %d waiting sequences, and nothing to do%s", len(s.running), s.Waiting(), s.describe())
	}
	if !s.open {
		return nil
	}
	return s.step
}

// awaits reports whether a running sequence's token is still to be appended.
func (s *Scheduler) awaits() bool {
	return slices.ContainsFunc(s.running, func(q *Sequence) bool { return q.remaining() == 0 })
}

// decodes plans a row for each sequence that generates and reports whether somebody
// had to give up pages for it.
func (s *Scheduler) decodes() (preempted bool) {
	for i := 0; i < len(s.running); i++ {
		q := s.running[i]
		if !q.decoding() && q.past < q.prompt {
			continue
		}
		alive := true
		for alive && len(q.pages)*s.cache.PageTokens() < len(q.Tokens) {
			var ok bool
			if q.pages, ok = s.cache.Alloc(q.pages, 1); ok {
				continue
			}
			victim := s.running[len(s.running)-1] // at or behind q in rank
			s.preempt(victim)
			preempted, alive = true, victim != q
		}
		if alive && q.decoding() {
			q.planned = s.steps
			s.step = append(s.step, Run{Seq: q, Past: q.past, Rows: 1, Emit: true})
		}
	}
	return preempted
}

// knowns plans a row each for sequences with several tokens that nobody draws, where it is
// not worth while to compute them all at once.
func (s *Scheduler) knowns() {
	beyond, rows := 0, len(s.step)
	for _, q := range s.running {
		if q.planned == s.steps || q.remaining() == 0 {
			continue
		}
		if q.past < q.prompt {
			return
		}
		rows++
		beyond += q.remaining() - 1
	}
	if beyond*s.o.KnownShare >= rows {
		return
	}
	for _, q := range s.running {
		if q.planned != s.steps && q.remaining() > 0 {
			q.planned = s.steps
			last := q.remaining() == 1 // it was admitted in this very step, and the cache knew the rest
			s.step = append(s.step, Run{Seq: q, Past: q.past, Rows: 1, Emit: last, Known: !last})
		}
	}
}

// preempt takes a running sequence's pages and queues it again at its rank.
func (s *Scheduler) preempt(q *Sequence) {
	s.leave(q)
	q.preempted++
	s.preemptions++
	s.enqueue(q)
}

// leave takes q out of the batch; what it computed stays known while there is room.
func (s *Scheduler) leave(q *Sequence) {
	at := slices.Index(s.running, q)
	s.running = slices.Delete(s.running, at, at+1)
	s.remember(q)
	s.cache.Release(q.pages)
	q.pages = q.pages[:0]
	q.past = 0
	s.blocked = false
}

func (s *Scheduler) remember(q *Sequence) {
	known := q.past
	if known > 0 && q.Tokens[known-1] == Unknown {
		known--
	}
	if !s.o.NoPrefixCache {
		s.cache.Insert(q.Key, q.Tokens[:known], q.pages)
	}
}

// admit moves waiting sequences into the batch while there is room.
func (s *Scheduler) admit() {
	if s.blocked && s.cache.Available() <= s.blockedAt {
		return
	}
	s.blocked = false
	for len(s.running) < s.o.MaxRunning && len(s.waiting) > 0 {
		if !s.admitOne() {
			s.blocked, s.blockedAt = true, s.cache.Available()
			return
		}
	}
}

func (s *Scheduler) admitOne() bool {
	oldest := s.oldest()
	if q := s.waiting[oldest]; q.overtaken >= maxOvertaken {
		return s.start(oldest)
	}
	for i := range min(len(s.waiting), lookahead) {
		first := s.waiting[oldest]
		if s.start(i) {
			if i != oldest {
				first.overtaken++
			}
			return true
		}
	}
	return false
}

// oldest is the index of the waiting sequence that arrived first: the first one of
// some priority.
func (s *Scheduler) oldest() int {
	best := 0
	for i := 0; i < len(s.waiting); {
		if s.waiting[i].arrival < s.waiting[best].arrival {
			best = i
		}
		p := s.waiting[i].Priority
		n, _ := slices.BinarySearchFunc(s.waiting[i:], p, func(q *Sequence, p int) int {
			if q.Priority >= p {
				return -1
			}
			return 1
		})
		i += n
	}
	return best
}

// start gives the waiting sequence at i its pages and puts it into the batch, if they
// are there. Beside others it leaves a page for each, so that it is not thrown out at once.
func (s *Scheduler) start(i int) bool {
	q := s.waiting[i]
	if !s.o.NoPrefixCache && (!q.Targets || q.targeted >= q.prompt-1) {
		q.pages = s.cache.Match(q.pages[:0], q.Key, q.Tokens[:len(q.Tokens)-1])
	}
	hit := len(q.pages)
	need := s.cache.PagesFor(len(q.Tokens)) - hit
	ok := need+len(s.running) <= s.cache.Available() || len(s.running) == 0
	if ok {
		q.pages, ok = s.cache.Alloc(q.pages, need)
	}
	if !ok {
		s.cache.Release(q.pages)
		q.pages = q.pages[:0]
		return false
	}
	q.past = hit * s.cache.PageTokens()
	if !q.started {
		q.started, q.cached = true, q.past
	}
	q.state = running
	s.waiting = slices.Delete(s.waiting, i, i+1)
	at, _ := slices.BinarySearchFunc(s.running, q, (*Sequence).before)
	s.running = slices.Insert(s.running, at, q)
	return true
}

// prefills shares the step's budget among the prompts in the batch: when several
// want rows, the oldest gets at least half and the others the rest, the shortest
// first.
func (s *Scheduler) prefills() {
	var oldest *Sequence
	s.others = s.others[:0]
	wanted := 0
	for _, q := range s.running {
		if q.planned == s.steps || q.remaining() == 0 {
			continue
		}
		wanted += q.remaining()
		s.others = append(s.others, q)
		if oldest == nil || q.arrival < oldest.arrival {
			oldest = q
		}
	}
	if oldest == nil {
		return
	}
	rows, targets := s.o.PrefillRows, s.o.TargetRows
	if s.most > 0 {
		rows = min(rows, s.most)
	}
	share := max(rows-(wanted-oldest.remaining()), (rows+1)/2)
	rows -= s.prefill(oldest, share, &targets)
	slices.SortFunc(s.others, func(a, b *Sequence) int {
		return cmp.Or(cmp.Compare(a.remaining(), b.remaining()), cmp.Compare(a.arrival, b.arrival))
	})
	for _, q := range s.others {
		if q != oldest && rows > 0 {
			rows -= s.prefill(q, rows, &targets)
		}
	}
}

// prefill plans up to rows rows of q's text and returns how many.
func (s *Scheduler) prefill(q *Sequence, rows int, targets *int) int {
	r := Run{Seq: q, Past: q.past, Rows: min(rows, q.remaining())}
	if q.Targets && q.targeted < q.prompt-1 {
		r.TargetFrom = max(q.past, q.targeted)
		r.TargetTo = max(r.TargetFrom, min(q.past+r.Rows, q.prompt-1))
		if r.TargetTo > r.TargetFrom+*targets {
			r.TargetTo = r.TargetFrom + *targets
			r.Rows = r.TargetTo - q.past
		}
		if r.Rows == 0 {
			return 0
		}
		*targets -= r.TargetTo - r.TargetFrom
	}
	r.Emit = r.Rows == q.remaining()
	s.step = append(s.step, r)
	return r.Rows
}

// Commit records that the step of the last Next was computed. For each run with Emit
// the caller then calls Append or Finish before the next Next.
func (s *Scheduler) Commit() {
	if !s.open {
		broken("Commit without Next")
	}
	s.open = false
	for i := range s.step {
		r := &s.step[i]
		q := r.Seq
		prompt := q.past < q.prompt
		q.past += r.Rows
		q.targeted = max(q.targeted, r.TargetTo)
		if prompt && q.past >= q.prompt {
			s.remember(q)
			s.blocked = false
			s.letGo(q)
		}
	}
}

// Abort forgets the step of the last Next: it was not computed.
func (s *Scheduler) Abort() { s.open = false }

// Restart gives up all pages and all that the cache knows: what runs is queued again and
// computed from its text. It is for a step that was committed and then failed, whose
// pages may hold anything.
func (s *Scheduler) Restart() {
	s.open = false
	for len(s.running) > 0 {
		q := s.running[len(s.running)-1]
		s.running = s.running[:len(s.running)-1]
		s.cache.Release(q.pages)
		q.pages, q.past = q.pages[:0], 0
		s.enqueue(q)
	}
	s.cache.Clear()
	s.blocked = false
}

// letGo queues the sequences that waited for q's prompt.
func (s *Scheduler) letGo(q *Sequence) {
	for _, f := range q.followers {
		f.leader = nil
		s.holding--
		s.enqueue(f)
	}
	q.followers = nil
	s.blocked = false
}

// Append adds a generated token to a sequence whose run had Emit.
func (s *Scheduler) Append(q *Sequence, token int32) {
	if q.state != running || q.past != len(q.Tokens) || len(q.Tokens) >= q.Limit {
		broken("Append to a sequence in state %d with %d of %d tokens, limit %d", q.state, q.past, len(q.Tokens), q.Limit)
	}
	q.Tokens = append(q.Tokens, token)
}

// Resolve puts the token in the place of the sequence's Unknown, which is its last one.
func (s *Scheduler) Resolve(q *Sequence, token int32) {
	last := len(q.Tokens) - 1
	if q.Tokens[last] != Unknown || token < 0 {
		broken("token %d resolves token %d of a sequence of %d", token, q.Tokens[last], last+1)
	}
	q.Tokens[last] = token
}

// Extend adds tokens that nobody has to draw. They are computed as a prompt is, within
// the budget of prompt rows. Where the sequence awaits a token they come in its place.
func (s *Scheduler) Extend(q *Sequence, tokens ...int32) {
	if q.state != running && q.state != waiting || q.past > len(q.Tokens) || len(q.Tokens)+len(tokens) > q.Limit {
		broken("Extend of a sequence in state %d with %d of %d tokens by %d, limit %d", q.state, q.past, len(q.Tokens), len(tokens), q.Limit)
	}
	q.Tokens = append(q.Tokens, tokens...)
}

// Finish takes a sequence out, wherever it is, and gives back its pages. It must not
// be called between Next and Commit. Finishing twice is allowed.
func (s *Scheduler) Finish(q *Sequence) {
	if s.open {
		broken("Finish during a step")
	}
	switch q.state {
	case running:
		s.leave(q)
	case waiting:
		at, ok := slices.BinarySearchFunc(s.waiting, q, (*Sequence).before)
		if !ok {
			broken("waiting sequence %d is not in the queue", q.arrival)
		}
		s.waiting = slices.Delete(s.waiting, at, at+1)
		s.blocked = false
	case held:
		l := q.leader
		l.followers = slices.DeleteFunc(l.followers, func(f *Sequence) bool { return f == q })
		q.leader = nil
		s.holding--
	}
	if q.state != fresh {
		s.letGo(q)
	}
	q.state = ended
	q.pages = nil
}
