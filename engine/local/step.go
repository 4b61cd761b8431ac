package local

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/sched"
)

// flight is a step from its launch until its results have been handed out. With a
// device that feeds tokens from step to step the loop keeps one in the air: it plans
// and launches the next step, and only then waits for the tokens of the one before, so
// that the device always has work. What such a step cannot know is whether a text has
// ended: the row of one that has is computed for nothing and thrown away.
//
// The mask of a constrained text depends on its token. A step with such a text is launched
// in two parts where the device can do that: all up to the logits, then, when the tokens
// of the step before are handed out and the masks are made, the draws.
type flight struct {
	batch   device.Batch
	runs    []sched.Run
	pending device.Pending // nil: not launched, or landed
	since   time.Time      // when the device could begin
	held    bool           // some row's token must be known before the next step is planned
	worked  time.Duration  // what the device says; 0: nothing
	waited  time.Duration  // for masks, as the device says
	from    []int32        // room for batch.From
}

// turn runs the next step, if there is something to run.
func (l *loop) turn() (busy bool) {
	before := l.air
	l.air = nil
	if before != nil && before.held {
		l.land(before, nil)
		before, busy = nil, true
	}
	l.rejoin()
	next, planned := l.launch()
	busy = busy || planned || before != nil
	if before != nil && !l.land(before, next) {
		return true
	}
	switch {
	case next == nil:
	case next.batch.Late && !l.draw(next):
	case l.ahead:
		l.expect(next)
		l.air = next
	default:
		l.land(next, nil)
	}
	return busy
}

// launch plans a step and starts it. A step that does not start fails the requests in it.
func (l *loop) launch() (f *flight, planned bool) {
	runs := l.sched.Next()
	if runs == nil {
		return nil, false
	}
	f = &l.flights[l.turns%2]
	l.turns++
	f.runs = append(f.runs[:0], runs...)
	l.fill(f)
	f.since, f.held = time.Now(), false
	err := safely(func() (err error) {
		f.pending, err = l.exec.Launch(&f.batch)
		return err
	})
	if err != nil {
		f.pending = nil
		l.log.Error("step failed", "error", err, "sequences", len(f.runs))
		l.sched.Abort()
		l.fail(f, err)
		return nil, true
	}
	l.sched.Commit()
	return f, true
}

// land waits for a step and hands out what it gave. If it failed, so do its requests and
// those of the step behind it, and it reports false.
func (l *loop) land(f, behind *flight) bool {
	outs, err := f.wait()
	now := time.Now()
	took := now.Sub(f.since)
	if behind != nil {
		behind.since = now
	}
	if err != nil {
		l.log.Error("step failed", "error", err, "sequences", len(f.runs))
		l.fail(f, err)
		if behind != nil {
			behind.wait() // of no use: it continues a step that has failed
			l.fail(behind, err)
		}
		l.sched.Restart()
		return false
	}
	l.took = took
	l.timed(took, f)
	l.deliver(f, outs)
	l.sched.LimitPrefill(l.pace.measure(len(f.batch.Tokens)-len(f.runs), took))
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("step", "sequences", len(f.runs), "rows", len(f.batch.Tokens), "duration", took, "waited", f.waited)
	}
	return true
}

// draw starts the draws of a step that was launched without them. By now all tokens of the
// step before are known: a text that has ended draws nothing, and neither does one whose
// next token is known.
func (l *loop) draw(f *flight) bool {
	for c, output := range f.draws() {
		if c.ended || !c.seq.Awaits() {
			o := &f.batch.Outputs[output]
			o.Params, o.Target = nil, -1
		} else {
			c.prepare()
		}
	}
	err := safely(func() error { return f.pending.(device.Drawer).Draw() })
	if err == nil {
		return true
	}
	l.log.Error("step failed", "error", err, "sequences", len(f.runs))
	f.wait()
	l.fail(f, err)
	l.sched.Restart()
	return false
}

// draws are the texts that have a draw in a step, and its outputs.
func (f *flight) draws() iter.Seq2[*choice, int] {
	return func(yield func(*choice, int) bool) {
		output := 0
		for i := range f.runs {
			r := &f.runs[i]
			output += max(0, r.TargetTo-r.TargetFrom)
			if r.Emit && !yield(r.Seq.Owner.(*choice), output) {
				return
			}
			if r.Emit || r.Known {
				output++
			}
		}
	}
}

// wait gives the step's results; a panic of the device is an error of this step.
func (f *flight) wait() (outs []device.Output, err error) {
	p := f.pending
	f.pending, f.worked, f.waited = nil, 0, 0
	err = safely(func() (err error) {
		if outs, err = p.Wait(); err != nil {
			return err
		}
		if c, ok := p.(device.Clock); ok {
			f.worked = c.Worked()
		}
		if w, ok := p.(device.Waiter); ok {
			f.waited = w.Waited()
		}
		return nil
	})
	if err == nil && len(outs) != len(f.batch.Outputs) {
		err = fmt.Errorf("the device gave %d outputs of %d", len(outs), len(f.batch.Outputs))
	}
	return outs, err
}

// drain waits for whatever is under way, without a use for it.
func (l *loop) drain() {
	l.air = nil
	for i := range l.flights {
		if f := &l.flights[i]; f.pending != nil {
			f.wait()
		}
	}
}

// fail ends the requests that have rows in a step.
func (l *loop) fail(f *flight, err error) {
	for i := range f.runs {
		l.end(f.runs[i].Seq.Owner.(*choice).job, internal(err))
	}
}

// expect lets the next step be planned before this one's tokens are there: each text
// gets a token that stands for the one it is about to have. A text whose last token
// this is gets none, and neither does one whose next token is known, or must be known first.
func (l *loop) expect(f *flight) {
	for c, output := range f.draws() {
		switch {
		case c.ended || f.batch.Outputs[output].Params == nil || c.generated+1 >= c.limit:
		case c.con != nil && !l.splits || c.bad.watches():
			f.held = true
		default:
			l.sched.Append(&c.seq, sched.Unknown)
			c.expects, c.output = true, int32(output)
		}
	}
}

// late says whether a step's draws begin later: there is a mask among them.
func (l *loop) late(f *flight) bool {
	return l.splits && slices.ContainsFunc(f.runs, func(r sched.Run) bool { return r.Emit && r.Seq.Owner.(*choice).con != nil })
}

// fill describes the step to the device. Its slices are used again and again.
func (l *loop) fill(f *flight) {
	b := &f.batch
	from := f.from[:0]
	b.Tokens, b.Seqs, b.Outputs, b.From, b.Late = b.Tokens[:0], b.Seqs[:0], b.Outputs[:0], nil, l.late(f)
	for i := range f.runs {
		r := &f.runs[i]
		c := r.Seq.Owner.(*choice)
		first := len(b.Tokens)
		b.Tokens = append(b.Tokens, r.Tokens()...)
		for len(from) < len(b.Tokens) {
			from = append(from, -1)
		}
		if last := len(b.Tokens) - 1; b.Tokens[last] == sched.Unknown {
			from[last], b.From = c.output, from
		}
		b.Seqs = append(b.Seqs, device.Seq{Row: first, Rows: r.Rows, Past: r.Past, Pages: r.Pages(), Adapter: c.job.slot()})
		for p := r.TargetFrom; p < r.TargetTo; p++ {
			b.Outputs = append(b.Outputs, device.OutputRow{Row: first + p - r.Past, Target: r.Seq.Tokens[p+1],
				Logprob: true, Top: c.job.top, Logits: c.job.asked != nil})
		}
		if r.Known { // as if it drew: steps in which each text has a row and an output are the fastest
			b.Outputs = append(b.Outputs, device.OutputRow{Row: first, Target: -1})
		}
		if r.Emit {
			out := device.OutputRow{Row: first + r.Rows - 1, Params: &c.params}
			if !b.Late {
				c.prepare()
			}
			if c.job.logprobs {
				out.Logprob, out.Top, out.Logits = true, c.job.top, c.job.asked != nil
			}
			b.Outputs = append(b.Outputs, out)
		}
	}
	if b.From != nil {
		b.From = from
	}
	f.from = from
}
