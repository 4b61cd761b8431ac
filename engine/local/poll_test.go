package local

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat/parse"
)

// calls are wakes of many streams, each named once until it is looked at.
type calls chan int

func (c calls) wake(i int) func() {
	return func() {
		select {
		case c <- i:
		default: // there is a call for everybody in it already, or more
		}
	}
}

func TestPolledStreamsAreThoseThatAreAwaited(t *testing.T) {
	e := openBuiltin(t, nil)
	plan := parse.Plan{Reasoning: "qwen3"}
	requests := make([]*engine.Request, 8)
	for i := range requests {
		requests[i] = talk("What is the capital of France?")
		requests[i].N = 1 + i%3
		requests[i].Sampling.Temperature, requests[i].Sampling.Seed, requests[i].Sampling.HasSeed = 1, uint64(i), true
		if i%2 == 1 {
			requests[i] = thinking(requests[i])
		}
	}
	start := func(i int) *engine.Stream {
		st, err := e.Generate(t.Context(), requests[i])
		if err != nil {
			t.Fatal(err)
		}
		return parse.Stream(st, requests[i].N, plan)
	}
	var want [][]engine.Event
	for i := range requests {
		var events []engine.Event
		for ev, err := range start(i).All() {
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, ev)
		}
		want = append(want, events)
	}
	streams, got := map[int]*engine.Stream{}, make([][]engine.Event, len(requests))
	woken := make(calls, 1000*len(requests))
	for i := range requests {
		streams[i] = start(i)
		if !streams[i].Notify(woken.wake(i)) {
			t.Fatal("the stream has to be waited for")
		}
		woken.wake(i)()
	}
	patience := time.After(time.Minute)
	for len(streams) > 0 {
		select {
		case i := <-woken:
			st := streams[i]
			if st == nil {
				continue
			}
			next, ok := st.Poll()
			for ; next; next, ok = st.Poll() {
				got[i] = append(got[i], st.Event())
			}
			if ok {
				if st.Err() != nil {
					t.Error(st.Err())
				}
				delete(streams, i)
			}
		case <-patience:
			t.Fatalf("%d streams do not end", len(streams))
		}
	}
	for i := range want {
		byChoice := func(events []engine.Event) map[int][]engine.Event {
			m := map[int][]engine.Event{}
			for _, ev := range events {
				m[ev.Choice] = append(m[ev.Choice], ev)
			}
			return m
		}
		if !reflect.DeepEqual(byChoice(got[i]), byChoice(want[i])) {
			t.Errorf("request %d: polled %+v, awaited %+v", i, got[i], want[i])
		}
	}
}

func TestAPolledStreamIsToldOfItsContextsEnd(t *testing.T) {
	e := openBuiltin(t, nil)
	e.Pause()
	defer e.Resume()
	ctx, cancel := context.WithCancel(t.Context())
	st, err := e.Generate(ctx, talk("Count to ten."))
	if err != nil {
		t.Fatal(err)
	}
	woken := make(chan struct{}, 1000)
	st.Notify(func() { woken <- struct{}{} })
	if _, ok := st.Poll(); ok {
		t.Fatal("a paused engine has given something")
	}
	cancel()
	for {
		select {
		case <-woken:
		case <-time.After(time.Minute):
			t.Fatal("nobody called")
		}
		if next, ok := st.Poll(); ok {
			if next || !errors.Is(st.Err(), context.Canceled) {
				t.Errorf("event %v, error %v", next, st.Err())
			}
			return
		}
	}
}
