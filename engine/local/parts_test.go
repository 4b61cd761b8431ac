package local

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device/reference"
)

// parts opens an engine whose device takes steps in two parts and whose steps wait for
// masks however long they take.
func parts(t *testing.T, change func(*Options)) (*Engine, *feeding) {
	t.Helper()
	f := &feeding{Device: reference.New(), splits: true}
	e := open(t, func(o *Options) {
		o.device = f
		if change != nil {
			change(o)
		}
	})
	e.loop.patience = time.Minute
	return e, f
}

// TestAStepBeginsBeforeTheMasksOfItsDrawsAreAskedFor looks at the order of calls: a mask
// follows from the token of the step before, so whatever begins before that is waited for
// begins without it.
func TestAStepBeginsBeforeTheMasksOfItsDrawsAreAskedFor(t *testing.T) {
	e, f := parts(t, nil)
	const n = 20
	req := constrained(engine.ConstrainRegex, "[a-z]{100}", n)
	req.N = 3
	collect(t, e, req)
	order := f.taken()
	at := func(what string, step int) int { return slices.Index(order, fmt.Sprint(what, " ", step)) }
	last := 0
	for at("begin", last+1) >= 0 {
		last++
	}
	if last < n || at("launch", last+1) >= 0 {
		t.Fatalf("%d steps in two parts gave %d tokens: %q", last, n, order)
	}
	for step := 2; step <= last; step++ {
		begin, wait, draw := at("begin", step), at("wait", step-1), at("draw", step)
		if begin < 0 || begin > wait || draw < wait {
			t.Fatalf("step %d does not begin before step %d is waited for, or draws before that: %q", step, step-1, order)
		}
	}
}

func TestOnlyStepsWithConstraintsComeInTwoParts(t *testing.T) {
	e, f := parts(t, nil)
	one(t, e, prompt("x", 12))
	if order := strings.Join(f.taken(), ","); strings.Contains(order, "begin") || !strings.Contains(order, "launch 5,wait 4") {
		t.Errorf("a step without constraints: %s", order)
	}
}

func TestForcedTokensNeedNoStepAheadEither(t *testing.T) {
	e, f := parts(t, nil)
	req := constrained(engine.ConstrainRegex, "(a|b) rather long text that has to be written as it stands, from end to end(, or not)?", 200)
	before := e.Stats()
	r := one(t, e, req)
	after := e.Stats()
	steps, forced := after.Steps-before.Steps, after.ForcedTokens-before.ForcedTokens
	if tokens := int64(len(r.Tokens)); forced < tokens/2 || steps > tokens-forced+1 {
		t.Errorf("%d tokens, %d of them forced, took %d steps: %q", tokens, forced, steps, f.taken())
	}
}

// TestFreeAndConstrainedTextsShareSteps mixes rows of both kinds: those without a
// constraint have a token from each step.
func TestFreeAndConstrainedTextsShareSteps(t *testing.T) {
	e, f := parts(t, nil)
	alone := one(t, e, prompt("There was", 40))
	mask := constrained(engine.ConstrainSchema, `{"type":"array","minItems":1000,"items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}}`, 300)
	together := func() int {
		s, err := e.Generate(t.Context(), mask)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if !s.Next() {
			t.Fatal(s.Err())
		}
		f.shared()
		beside := one(t, e, prompt("There was", 40))
		if beside.Text != alone.Text {
			t.Errorf("beside a constrained text %q, alone %q", beside.Text, alone.Text)
		}
		n, of := f.shared()
		if of > 50 {
			t.Errorf("40 tokens took %d steps, %d of them together", of, n)
		}
		return n
	}
	for range 50 { // on a busy machine one text may be over before the other begins
		if together() >= 20 {
			return
		}
	}
	t.Error("the texts have hardly a step together")
}

func TestDrawsThatFailEndTheirStepsRequestsOnly(t *testing.T) {
	e, f := parts(t, nil)
	want := ids(one(t, e, prompt("x", 12)).Tokens)
	f.hinder = func(step int) error {
		f.hinder = nil
		return errors.New("device lost")
	}
	_, err := e.Generate(t.Context(), constrained(engine.ConstrainRegex, "[a-z]{50}", 30))
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Generate(t.Context(), constrained(engine.ConstrainRegex, "[a-z]{50}", 30))
	if err != nil {
		t.Fatal(err)
	}
	engine.Collect(s)
	settled(t, e)
	if got := ids(one(t, e, prompt("x", 12)).Tokens); got != want {
		t.Errorf("afterwards %s, want %s", got, want)
	}
	r := one(t, e, constrained(engine.ConstrainRegex, "[a-z]{9}", 30))
	if len(r.Text) != 9 {
		t.Errorf("afterwards %q", r.Text)
	}
}

// TestAMatcherThatFailsEndsItsTextOnly breaks one follower among others.
func TestAMatcherThatFailsEndsItsTextOnly(t *testing.T) {
	for _, splits := range []bool{false, true} {
		f := &feeding{Device: reference.New(), splits: splits}
		e := open(t, func(o *Options) { o.device = f })
		steps := 0
		f.hurt = func(int) error { // runs on the loop
			if steps++; steps != 9 {
				return nil
			}
			for j := range e.loop.jobs {
				if j.id == "broken" {
					j.choices[0].con.m = nil
				}
			}
			return nil
		}
		var streams []*engine.Stream
		for i := range 4 {
			req := constrained(engine.ConstrainRegex, "[a-z]{60}", 40)
			if i == 2 {
				req.ID = "broken"
			}
			s, err := e.Generate(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			streams = append(streams, s)
		}
		for i, s := range streams {
			_, err := engine.Collect(s)
			if failed := errors.Is(err, engine.ErrInternal); failed != (i == 2) {
				t.Errorf("splits %v, stream %d: %v", splits, i, err)
			}
		}
		settled(t, e)
	}
}

// slow is a matcher whose masks wait until a gate is open.
type slow struct {
	matcher
	gate    <-chan struct{}
	reached chan<- struct{} // has room for all
}

func (s slow) Mask(bits []uint64) error {
	s.reached <- struct{}{}
	<-s.gate
	return s.matcher.Mask(bits)
}

// slowed makes the masks of constrained texts wait from their third step on.
func slowed(e *Engine, f *feeding) (reached chan struct{}, openGate func()) {
	reached, gate := make(chan struct{}, 1000), make(chan struct{})
	f.hurt = func(int) error { // runs on the loop
		for j := range e.loop.jobs {
			if c := j.choices[0]; c.con != nil && c.generated == 2 {
				c.con.m = slow{c.con.m, gate, reached}
			}
		}
		return nil
	}
	return reached, sync.OnceFunc(func() { close(gate) })
}

// TestAMaskThatTakesLongHoldsNobodyUp stops one text's masks; others go on to their ends,
// and so does that one when its mask is there.
func TestAMaskThatTakesLongHoldsNobodyUp(t *testing.T) {
	for _, splits := range []bool{false, true} {
		f := &feeding{Device: reference.New(), splits: splits}
		e := open(t, func(o *Options) { o.device = f })
		limits := constrained(engine.ConstrainRegex, "[a-f]{40}", 60)
		want, free := one(t, e, limits).Text, one(t, e, prompt("There was", 30)).Text
		settled(t, e)
		reached, openGate := slowed(e, f)
		defer openGate()
		s, err := e.Generate(t.Context(), limits)
		if err != nil {
			t.Fatal(err)
		}
		<-reached
		if got := one(t, e, prompt("There was", 30)).Text; got != free {
			t.Errorf("splits %v: beside a late mask %q, else %q", splits, got, free)
		}
		openGate()
		rs, err := engine.Collect(s)
		if err != nil || rs[0].Text != want {
			t.Fatalf("splits %v: %v, %+v, want %q", splits, err, rs, want)
		}
		settled(t, e)
		checkScheduler(t, e)
	}
}

// TestATextWhoseMaskIsLateCanBeGivenUp cancels one, and closes an engine with another.
func TestATextWhoseMaskIsLateCanBeGivenUp(t *testing.T) {
	e, f := parts(t, nil)
	e.loop.patience = patience
	reached, openGate := slowed(e, f)
	defer openGate()
	for range 2 {
		s, err := e.Generate(t.Context(), constrained(engine.ConstrainRegex, "[a-f]{40}", 60))
		if err != nil {
			t.Fatal(err)
		}
		<-reached
		s.Close()
		settled(t, e)
	}
	s, err := e.Generate(t.Context(), constrained(engine.ConstrainRegex, "[a-f]{40}", 60))
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	go openGate() // Close waits for the masks
	e.Close()
	engine.Collect(s) // its end or ErrClosed
}
