package cpu

import (
	"sync"
	"sync/atomic"
)

// task is work cut into chunks; chunks run concurrently and in any order.
type task interface {
	chunk(w *worker, i int)
}

// pool runs tasks on the calling goroutine and its helpers. One goroutine at a time
// may call run. The state word holds the job's number, its chunks and the next
// chunk to take, so that one atomic addition takes a chunk of a certain job; a
// helper that comes late finds the chunks gone and touches nothing else.
//
// Why a job ends with its chunks: run returns only after it has seen done equal to chunks,
// and each chunk is counted after it ran, in the job whose number came with it. Why nobody
// sleeps on: waiting goes from false to true by the caller alone, and whoever makes it false
// again either is the caller or sends one token, which the caller takes before it sets it
// again; the caller looks at done after it has set waiting, and the last helper at waiting
// after it has counted, so that one of them sees the other. Parked helpers and wakeAll are the
// same with parked and the state word. pool_model_test.go tries all orders of the steps.
type pool struct {
	state   atomic.Uint64
	_       [56]byte
	done    atomic.Int64 // chunks of the current job that are finished
	_       [56]byte
	waiting atomic.Bool // the caller is parked until done is complete
	quit    atomic.Bool
	jobs    [2]task // by the parity of the job's number
	number  uint64
	caller  chan struct{}
	helpers []*helper
	workers []*worker // [0] belongs to the caller
	wg      sync.WaitGroup
}

// helper is one further goroutine of a pool.
type helper struct {
	parked atomic.Bool
	wake   chan struct{}
}

const (
	chunkBits   = 20
	chunkMask   = 1<<chunkBits - 1
	maxChunks   = chunkMask - 2*maxThreads
	spinPauses  = 30  // of about 15 ns
	helperSpins = 100 // ~50 µs: longer than the gap between two phases
	callerSpins = 40  // ~20 µs: then the core goes to whoever holds our chunk
)

// newPool starts len(workers)-1 goroutines, which close ends.
func newPool(workers []*worker) *pool {
	p := &pool{workers: workers, caller: make(chan struct{}, 1)}
	for _, w := range workers[1:] {
		h := &helper{wake: make(chan struct{}, 1)}
		p.helpers = append(p.helpers, h)
		p.wg.Add(1)
		go p.help(h, w) // ended and awaited by close
	}
	return p
}

// close ends the helpers and waits for them.
func (p *pool) close() {
	p.quit.Store(true)
	p.wakeAll()
	p.wg.Wait()
}

// run executes all chunks of t and returns when they are finished.
func (p *pool) run(t task, chunks int) {
	if chunks <= 0 {
		return
	}
	if chunks > maxChunks {
		panic("cpu: too many chunks")
	}
	if chunks == 1 || len(p.helpers) == 0 {
		for i := range chunks {
			t.chunk(p.workers[0], i)
		}
		return
	}
	p.number++
	p.jobs[p.number&1] = t
	p.done.Store(0)
	p.state.Store(p.number<<(2*chunkBits) | uint64(chunks)<<chunkBits)
	p.wakeAll()
	mine, _ := p.take(p.workers[0])
	if p.done.Add(mine) != int64(chunks) {
		p.await(int64(chunks))
	}
}

// take runs chunks until none is left and reports how many of how many. They all
// belong to one job: it cannot end before its chunks are counted as done.
func (p *pool) take(w *worker) (mine, chunks int64) {
	for {
		s := p.state.Add(1) - 1
		i, n := s&chunkMask, s>>chunkBits&chunkMask
		if i >= n {
			return mine, int64(n)
		}
		p.jobs[s>>(2*chunkBits)&1].chunk(w, int(i))
		mine++
	}
}

// await waits until the job is finished, at first spinning. A helper that has finished an
// earlier job and was held up before it looked at waiting can wake the caller too early:
// then it waits again.
func (p *pool) await(chunks int64) {
	for range callerSpins {
		if p.done.Load() == chunks {
			return
		}
		pause(spinPauses)
	}
	for {
		p.waiting.Store(true)
		if p.done.Load() == chunks && p.waiting.CompareAndSwap(true, false) {
			return
		}
		<-p.caller // from whoever has made waiting false
		if p.done.Load() == chunks {
			return
		}
	}
}

func (p *pool) wakeAll() {
	for _, h := range p.helpers {
		if h.parked.Load() && h.parked.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}

// idle reports whether no chunk is left to take.
func (p *pool) idle() bool {
	s := p.state.Load()
	return s&chunkMask >= s>>chunkBits&chunkMask
}

func (p *pool) help(h *helper, w *worker) {
	defer p.wg.Done()
	for !p.quit.Load() {
		if !p.spin() {
			p.park(h)
			continue
		}
		mine, chunks := p.take(w)
		if mine > 0 && p.done.Add(mine) == chunks && p.waiting.CompareAndSwap(true, false) {
			p.caller <- struct{}{}
		}
	}
}

// spin waits a little for work.
func (p *pool) spin() bool {
	for range helperSpins {
		if !p.idle() {
			return true
		}
		pause(spinPauses)
	}
	return false
}

// park sleeps until run or close wakes the helper.
func (p *pool) park(h *helper) {
	h.parked.Store(true)
	if (!p.idle() || p.quit.Load()) && h.parked.CompareAndSwap(true, false) {
		return
	}
	<-h.wake
}
