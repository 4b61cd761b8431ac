package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/kvcache"
	"github.com/godwit-ai/godwit/engine/sched"
)

// loop is the goroutine that owns scheduler, pages and Exec, and all jobs between
// submit and their end. It lives on a locked thread, because a device context may be
// bound to one, and parks only when there is nothing to compute.
type loop struct {
	log       *slog.Logger
	exec      device.Exec
	schedOpt  sched.Options
	pages     int
	page      int
	sched     *sched.Scheduler
	cache     *kvcache.Cache
	ahead     bool           // the device feeds tokens from step to step
	splits    bool           // and its steps can begin without masks
	crews     sync.WaitGroup // goroutines that make masks
	patience  time.Duration  // for masks
	took      time.Duration  // the last step
	away      []*choice      // out of the batch until their masks are there
	seats     *seats         // nil without adapters
	paused    bool           // no step may begin
	parked    []*job         // wait for an exchange of weights
	flights   [2]flight
	turns     int     // steps launched
	air       *flight // launched and not landed, between turns
	pace      pacer
	jobs      map[*job]struct{}
	preempted int64         // by schedulers that were given up
	done      chan struct{} // closed when the goroutine is gone

	mu      sync.Mutex // guards what follows, shared with everybody
	inbox   inbox
	most    int // most live sequences; 0: no limit
	live    int // submitted and not ended
	closing bool
	stats   engine.Stats
	wake    chan struct{}
}

// inbox is what callers leave for the loop.
type inbox struct {
	jobs    []*job
	cancels []cancel
	flushes []chan<- error
	paused  bool // stays until it is taken back

	exchange *exchange // stays until it begins or is taken back
}

// cancel ends a choice (a stop string was found) or, with choice -1, a job (its
// caller gave up).
type cancel struct {
	job    *job
	choice int
}

// knownShare is for GPUs: there a step in which some texts have several rows takes up to
// four tenths more time than one with a row for each (engine/device/cuda/LOG.md).
const knownShare = 2

func newLoop(exec device.Exec, so sched.Options, pages, page, queued int, log *slog.Logger) *loop {
	l := &loop{patience: patience, log: log, exec: exec, schedOpt: so, pages: pages, page: page,
		jobs: map[*job]struct{}{}, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	if f, ok := exec.(device.Feeder); ok {
		l.ahead = f.Feeds()
	}
	if s, ok := exec.(device.Splitter); ok && l.ahead {
		l.splits = s.Splits()
	}
	if l.splits {
		l.schedOpt.KnownShare = knownShare
	}
	if queued > 0 {
		l.most = so.MaxRunning + queued
	}
	l.reset()
	l.stats = engine.Stats{PagesTotal: pages, PagesFree: pages, PageTokens: page, DeviceBytes: exec.Bytes()}
	return l
}

// reset starts with an empty cache and an empty scheduler.
func (l *loop) reset() {
	if l.sched != nil {
		l.preempted += l.sched.Preemptions()
	}
	l.cache = kvcache.New(l.pages, l.page)
	l.sched = sched.New(l.schedOpt, l.cache)
}

// submit leaves a job for the loop. It does not wait.
func (l *loop) submit(j *job) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return engine.ErrClosed
	}
	n := len(j.choices)
	if l.most > 0 && n > l.most {
		return engine.Invalid("n", "n is %d, but no more than %d sequences may run or wait.", n, l.most)
	}
	if l.most > 0 && l.live+n > l.most {
		return &engine.RequestError{Err: engine.ErrOverloaded, Message: fmt.Sprintf(
			"The queue is full: %d of %d sequences run or wait, the request has %d.", l.live, l.most, n)}
	}
	l.live += n
	l.stats.Requests++
	l.stats.Waiting += n
	l.inbox.jobs = append(l.inbox.jobs, j)
	l.signal()
	return nil
}

// giveUp asks the loop to end a job or one of its choices. It does not wait.
func (l *loop) giveUp(j *job, choice int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return // all jobs are about to end
	}
	l.inbox.cancels = append(l.inbox.cancels, cancel{j, choice})
	l.signal()
}

// close asks the loop to end and waits for it.
func (l *loop) close() {
	l.mu.Lock()
	l.closing = true
	l.signal()
	l.mu.Unlock()
	<-l.done
}

func (l *loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *loop) snapshot() engine.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// run is the goroutine; close waits for it.
func (l *loop) run() {
	runtime.LockOSThread()
	defer close(l.done)
	for open := true; open; {
		busy := false
		err := safely(func() error {
			switch open = l.mail(); {
			case open && l.paused:
				l.still()
			case open:
				busy = l.turn()
			}
			return nil
		})
		if err != nil {
			l.log.Error("scheduler failed", "error", err)
			l.drain()
			l.failAll(internal(err))
			l.reset()
		}
		l.publish()
		if open && !busy && err == nil {
			<-l.wake
		}
	}
	l.drain()
	l.failAll(engine.ErrClosed)
	l.publish()
	l.crews.Wait()
}

// mail takes over what callers left; false means that the engine closes.
func (l *loop) mail() bool {
	l.mu.Lock()
	jobs, cancels, flushes, closing := l.inbox.jobs, l.inbox.cancels, l.inbox.flushes, l.closing
	l.paused = l.inbox.paused
	x := l.inbox.exchange
	l.inbox = inbox{paused: l.paused, exchange: x}
	l.mu.Unlock()
	for _, j := range jobs {
		l.jobs[j] = struct{}{}
	}
	if closing {
		return false
	}
	if x == nil && l.parked == nil {
		for _, j := range jobs {
			l.admit(j)
		}
	} else {
		l.parked = append(l.parked, jobs...)
	}
	for _, c := range cancels {
		l.cancel(c)
	}
	if x != nil || l.parked != nil {
		l.tryExchange(x)
	}
	l.admitWaiting()
	for _, answer := range flushes {
		answer <- l.flush()
	}
	return true
}

func (l *loop) add(j *job) {
	group := make([]*sched.Sequence, len(j.choices))
	for i, c := range j.choices {
		group[i] = &c.seq
	}
	if err := l.sched.Add(group...); err != nil {
		l.end(j, &engine.RequestError{Err: engine.ErrContextLength, Message: err.Error()})
	}
}

func (l *loop) cancel(c cancel) {
	if c.job.over {
		return
	}
	if c.choice >= 0 {
		l.endChoice(c.job.choices[c.choice])
		return
	}
	err := context.Cause(c.job.ctx)
	if err == nil {
		err = context.Canceled
	}
	l.end(c.job, err)
}

// deliver counts the step, hands its results to the readers and ends what is finished.
// Constrained texts move on in the crew while the others get their tokens.
func (l *loop) deliver(f *flight, outs []device.Output) {
	l.count(f.runs, outs)
	w := l.start(l.constrained(f, outs))
	for i := range f.runs {
		r := &f.runs[i]
		c := r.Seq.Owner.(*choice)
		n := max(0, r.TargetTo-r.TargetFrom)
		for k := range n {
			c.job.probs = append(c.job.probs, c.job.newPiece(0, &outs[k]))
		}
		outs = outs[n:]
		if r.Emit && c.con == nil {
			l.emit(c, &outs[0])
		}
		if r.Emit || r.Known {
			outs = outs[1:]
		}
	}
	l.finish(w)
}

// constrained are the texts of a step that have a constraint and a new token, which their
// followers know by now.
func (l *loop) constrained(f *flight, outs []device.Output) []*choice {
	var list []*choice
	for c, output := range f.draws() {
		if c.con == nil || c.ended || f.batch.Outputs[output].Params == nil {
			continue
		}
		if c.con.err != nil {
			l.end(c.job, internal(c.con.err))
			continue
		}
		expected := c.expects
		if p, ok := l.drawn(c, &outs[output]); ok {
			c.con.step = advance{piece: p, expected: expected, room: c.limit - c.generated, early: c.minTokens - c.generated, banned: c.banned}
			list = append(list, c)
		}
	}
	return list
}

// count adds a step to the statistics, before its readers know of it: who has an answer
// finds it counted.
func (l *loop) count(runs []sched.Run, outs []device.Output) {
	tokens, forced, prompt, out := 0, 0, 0, 0
	for i := range runs {
		r := &runs[i]
		if r.Past >= r.Seq.PromptLen() && r.Seq.Preempted() == 0 {
			forced += r.Rows - 1 // they had no step of their own
		}
		prompt += max(0, min(r.Past+r.Rows, r.Seq.PromptLen())-r.Past)
		out += max(0, r.TargetTo-r.TargetFrom)
		if r.Emit && !r.Seq.Owner.(*choice).ended && outs[out].Token >= 0 {
			tokens++
		}
		if r.Emit || r.Known {
			out++
		}
	}
	l.mu.Lock()
	l.stats.Steps++
	l.stats.ForcedTokens += int64(forced)
	l.stats.GeneratedTokens += int64(tokens)
	l.stats.PromptTokens += int64(prompt)
	l.mu.Unlock()
}

// emit gives one drawn token to its reader.
func (l *loop) emit(c *choice, out *device.Output) {
	if c.ended {
		return // its job failed in this very step
	}
	expected := c.expects
	if p, ok := l.drawn(c, out); ok && l.hand(c, p) && !expected {
		l.sched.Append(&c.seq, out.Token)
	}
}

// drawn takes a token over that a step drew; false: there is none, and the job has ended.
func (l *loop) drawn(c *choice, out *device.Output) (p piece, ok bool) {
	if out.Token < 0 {
		l.end(c.job, &engine.RequestError{Err: engine.ErrInternal, Message: fmt.Sprintf(
			"No token can be drawn at position %d: every logit is banned, infinite or not a number.", len(c.seq.Tokens))})
		return p, false
	}
	if c.expects {
		c.expects = false
		l.sched.Resolve(&c.seq, out.Token)
	}
	p = c.job.newPiece(int32(c.params.Choice), out)
	p.end = c.accept(out.Token)
	return p, true
}

// hand gives a token to its reader and reports whether the text goes on.
func (l *loop) hand(c *choice, p piece) bool {
	if c.generated == 1 {
		l.begin(c)
	}
	if p.end != goesOn {
		l.endChoice(c)
		l.publish() // before its reader knows: who has the answer finds the pages free
	}
	c.job.push(p)
	return p.end == goesOn
}

func (j *job) newPiece(choice int32, out *device.Output) piece {
	p := piece{choice: choice, token: out.Token, logprob: out.Logprob, asked: askedOf(j.asked, out)}
	if len(out.Top) > 0 {
		p.top = append([]device.TokenLogprob(nil), out.Top...)
	}
	return p
}

// begin notes what the prefix cache gave. Choices beyond the first find the prompt
// that the first one computed; a request counts its prompt once.
func (l *loop) begin(c *choice) {
	cached := c.seq.Cached()
	l.mu.Lock()
	l.stats.CachedTokens += int64(cached)
	l.mu.Unlock()
	if c.params.Choice == 0 {
		c.job.mu.Lock()
		c.job.cached = cached
		c.job.mu.Unlock()
	}
}

// endChoice takes a choice out of the scheduler; the last one ends its job.
func (l *loop) endChoice(c *choice) {
	if c.ended {
		return
	}
	l.drop(c)
	if c.job.left == 0 {
		l.over(c.job, nil)
	}
}

func (l *loop) drop(c *choice) {
	c.ended = true
	c.job.left--
	l.sched.Finish(&c.seq)
	l.mu.Lock()
	l.live--
	l.mu.Unlock()
}

// end stops a job with an error.
func (l *loop) end(j *job, err error) {
	if j.over {
		return
	}
	for _, c := range j.choices {
		if !c.ended {
			l.drop(c)
		}
	}
	j.fail(err)
	l.over(j, err)
}

func (l *loop) over(j *job, err error) {
	j.over = true
	j.unwatch()
	l.leave(j)
	delete(l.jobs, j)
	cancelled := err != nil && (errors.Is(err, context.Canceled) || j.ctx.Err() != nil)
	l.mu.Lock()
	if cancelled {
		l.stats.Cancelled++
	} else {
		l.stats.Finished++
	}
	l.mu.Unlock()
	tokens := 0
	for _, c := range j.choices {
		tokens += c.generated
	}
	attrs := []any{"id", j.id, "prompt", j.promptLen, "tokens", tokens, "choices", len(j.choices), "duration", time.Since(j.admitted)}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	l.log.Info("request ended", attrs...)
}

// failAll ends every job; the scheduler may be beyond use.
func (l *loop) failAll(err error) {
	for j := range l.jobs {
		for _, c := range j.choices {
			if !c.ended {
				c.ended = true
				j.left--
				l.mu.Lock()
				l.live--
				l.mu.Unlock()
			}
		}
		j.fail(err)
		l.over(j, err)
	}
}

// busy reports whether texts are being made.
func (e *Engine) busy() bool {
	if e.loop == nil {
		return false
	}
	e.loop.mu.Lock()
	defer e.loop.mu.Unlock()
	return e.loop.stats.Running > 0
}

// publish updates the gauges.
func (l *loop) publish() {
	running, waiting, free := l.sched.Running(), l.sched.Waiting(), l.cache.Available()
	l.mu.Lock()
	l.stats.Preemptions = l.preempted + l.sched.Preemptions()
	l.stats.Running, l.stats.Waiting, l.stats.PagesFree = running, waiting, free
	for _, j := range l.inbox.jobs {
		l.stats.Waiting += len(j.choices)
	}
	if l.seats != nil {
		for _, j := range l.seats.queue {
			l.stats.Waiting += j.left
		}
	}
	for _, j := range l.parked {
		l.stats.Waiting += j.left
	}
	l.mu.Unlock()
}

func internal(err error) error {
	if asked, ok := errors.AsType[*engine.RequestError](err); ok {
		return asked // the request's own fault
	}
	return &engine.RequestError{Err: engine.ErrInternal, Message: "Internal engine error: " + err.Error()}
}

// safely turns a panic of f into an error with the stack.
func safely(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &panicError{value: r, stack: debug.Stack()}
		}
	}()
	return f()
}

// panicError is a panic that was caught; the stack goes to the log only.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprint("panic: ", p.value) }

// LogValue shows where it happened.
func (p *panicError) LogValue() slog.Value {
	return slog.StringValue(p.Error() + "\n" + string(p.stack))
}
