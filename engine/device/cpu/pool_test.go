package cpu

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// tally counts how often each chunk ran.
type tally struct {
	ran   []atomic.Int32
	sleep time.Duration
}

func (c *tally) chunk(_ *worker, i int) {
	c.ran[i].Add(1)
	if c.sleep > 0 && i%3 == 0 {
		time.Sleep(c.sleep)
	}
}

func TestEveryChunkRunsOnceOnMoreThreadsThanCores(t *testing.T) {
	p := newPool(makeWorkers(4*runtime.NumCPU() + 1))
	defer p.close()
	for round := range 300 {
		c := &tally{ran: make([]atomic.Int32, round%37+1)}
		if round%50 == 0 {
			c.sleep = time.Millisecond // long enough for everybody to park
		}
		p.run(c, len(c.ran))
		for i := range c.ran {
			if n := c.ran[i].Load(); n != 1 {
				t.Fatalf("round %d: chunk %d of %d ran %d times", round, i, len(c.ran), n)
			}
		}
	}
}

// held is a job of two chunks; the helper's ends when the gate opens.
type held struct {
	caller        *worker
	started, gate chan struct{}
	finished      atomic.Bool
}

func (h *held) chunk(w *worker, _ int) {
	if w == h.caller {
		<-h.started
		return
	}
	close(h.started)
	<-h.gate
	h.finished.Store(true)
}

// A helper that was held up behind its last chunk finds the caller waiting for another job.
func TestAJobEndsWithItsOwnChunks(t *testing.T) {
	p := newPool(makeWorkers(2))
	defer p.close()
	for range 200 {
		h := &held{caller: p.workers[0], started: make(chan struct{}), gate: make(chan struct{})}
		var over atomic.Bool
		go func() { // ends with the gate, which the job waits for
			for !p.waiting.CompareAndSwap(true, false) {
				runtime.Gosched()
			}
			p.caller <- struct{}{}
			for !p.waiting.Load() && !over.Load() {
				runtime.Gosched()
			}
			close(h.gate)
		}()
		p.run(h, 2)
		over.Store(true)
		if !h.finished.Load() {
			<-h.gate
			t.Fatal("a job is over before its chunks are")
		}
	}
}

func TestClosedPoolsLeaveNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		p := newPool(makeWorkers(4))
		c := &tally{ran: make([]atomic.Int32, 9)}
		p.run(c, len(c.ran))
		p.close()
	}
	for range 3000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, before %d", runtime.NumGoroutine(), before)
}

func BenchmarkForkJoin(b *testing.B) {
	p := newPool(makeWorkers(2))
	defer p.close()
	c := &tally{ran: make([]atomic.Int32, 8)}
	for range b.N {
		p.run(c, len(c.ran))
	}
}
