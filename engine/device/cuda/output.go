package cuda

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/sample"
)

// outputs draws tokens on the GPU and reports log-probabilities. Alternatives and raw
// logits are made from a copy of the row on the host.
type outputs struct {
	c       *call[sampleArgs]
	logits  view
	results driver.Host // tokens, then log-probabilities, written by the kernel
	tokens  []int32
	probs   []float32

	lists     []int32 // what rows list: counts, bans, biases, masks
	saved     int
	listDev   pointer
	savedDev  pointer
	listCap   int
	savedCap  int
	listHost  driver.Host
	rowHost   driver.Host // rows of logits for the host
	rowCap    int
	rowOf     []int // by output: its row in rowHost, or -1
	rowsAsked int
}

const greedyMax = 1e-6 // as in package sample

func (o *outputs) allocate(e *exec) error {
	o.c = newCall[sampleArgs](e, "sample")
	o.logits = e.views[e.p.Instrs[len(e.p.Instrs)-1].Out]
	n := e.o.MaxOutputs
	var err error
	if o.results, err = e.allocHost(8 * int64(n)); err != nil {
		return err
	}
	b := o.results.Bytes()
	o.tokens = unsafe.Slice((*int32)(unsafe.Pointer(&b[0])), n)
	o.probs = unsafe.Slice((*float32)(unsafe.Pointer(&b[4*n])), n)
	o.rowOf = make([]int, n)
	e.pending.outs = make([]device.Output, n)
	return o.growLists(e, 1<<12, 1<<10)
}

// growLists makes room for lists; graphs that know the old buffers are dropped.
func (o *outputs) growLists(e *exec, lists, saved int) error {
	if lists <= o.listCap && saved <= o.savedCap {
		return nil
	}
	if err := e.dropGraphs(); err != nil {
		return err
	}
	lists, saved = max(lists, 2*o.listCap), max(saved, 2*o.savedCap)
	for _, p := range []pointer{o.listDev, o.savedDev} {
		if p != 0 {
			if err := e.free(p); err != nil {
				return err
			}
		}
	}
	o.listDev, o.savedDev, o.listCap, o.savedCap = 0, 0, 0, 0
	var err error
	if o.listDev, err = e.alloc(4 * int64(lists)); err != nil {
		return err
	}
	if o.savedDev, err = e.alloc(4 * int64(saved)); err != nil {
		return err
	}
	if o.listHost, err = e.replaceHost(o.listHost, 4*int64(lists)); err != nil {
		return err
	}
	o.listCap, o.savedCap = lists, saved
	return nil
}

// replaceHost frees old and allocates anew.
func (e *exec) replaceHost(old driver.Host, bytes int64) (driver.Host, error) {
	if i := slices.Index(e.hosts, old); i >= 0 {
		e.hosts = slices.Delete(e.hosts, i, i+1)
		if err := e.dev.ctx.FreeHost(old); err != nil {
			return driver.Host{}, err
		}
	}
	return e.allocHost(bytes)
}

// fill writes what the sampling kernel must know of each output.
func (o *outputs) fill(e *exec, b *device.Batch, outs int) error {
	if outs == 0 {
		return nil
	}
	rows := unsafe.Slice((*sampleRow)(unsafe.Pointer(&e.stage[e.step.lay.samples])), outs)
	o.lists, o.saved, o.rowsAsked = o.lists[:0], 0, 0
	for i := range b.Outputs {
		r := &b.Outputs[i]
		o.rowOf[i] = none
		if r.Logits || r.Top > 0 {
			o.rowOf[i] = o.rowsAsked
			o.rowsAsked++
		}
		rows[i] = sampleRow{target: r.Target, repetition: 1, minX: 1, nMask: none}
		if r.Logprob || r.Top > 0 || r.Params == nil && r.Target >= 0 {
			rows[i].logprob = 1
		}
		if r.Params != nil {
			o.params(&rows[i], r.Params)
		}
	}
	for i := len(b.Outputs); i < outs; i++ {
		rows[i] = sampleRow{target: none, repetition: 1, minX: 1, nMask: none}
	}
	if len(o.lists) == 0 {
		return nil
	}
	if err := o.growLists(e, len(o.lists), o.saved); err != nil {
		return err
	}
	copy(unsafe.Slice((*int32)(unsafe.Pointer(&o.listHost.Bytes()[0])), o.listCap), o.lists)
	return e.stream.UploadAsync(o.listDev, o.listHost, 4*len(o.lists))
}

func (o *outputs) params(r *sampleRow, p *sample.Params) {
	r.draw, r.target = 1, none
	r.seed, r.choice, r.position = p.Seed, p.Choice, p.Position
	r.topK = int32(max(0, min(p.TopK, math.MaxInt32)))
	if p.TopP > 0 && p.TopP < 1 {
		r.topP = p.TopP
	}
	if p.MinP > 0 {
		r.minX = float32(min(0, math.Log(float64(p.MinP))))
	}
	if r.inverse = 1 / p.Temperature; p.Temperature < greedyMax {
		r.greedy, r.inverse = 1, 0
	}
	if p.Repetition != 0 {
		r.repetition = p.Repetition
	}
	r.frequency, r.presence = p.Frequency, p.Presence
	if r.repetition != 1 || p.Frequency != 0 || p.Presence != 0 {
		r.counts, r.nCounts = int32(len(o.lists)), int32(len(p.Counts))
		for _, c := range p.Counts {
			prompt := int32(0)
			if c.InPrompt {
				prompt = 1
			}
			o.lists = append(o.lists, c.ID, c.Output, prompt)
		}
	}
	r.banned, r.nBanned = int32(len(o.lists)), int32(len(p.Banned))
	o.lists = append(o.lists, p.Banned...)
	r.bias, r.nBias = int32(len(o.lists)), int32(len(p.Bias))
	for _, x := range p.Bias {
		o.lists = append(o.lists, x.ID, int32(math.Float32bits(x.Value)))
	}
	if p.Mask != nil {
		r.mask, r.nMask = int32(len(o.lists)), int32(2*len(p.Mask))
		for _, w := range p.Mask {
			o.lists = append(o.lists, int32(uint32(w)), int32(uint32(w>>32)))
		}
	}
	r.saved = int32(o.saved)
	o.saved += int(r.nCounts + r.nBias)
}

// copyLogits brings the rows that the host wants before sampling changes them.
func (o *outputs) copyLogits(e *exec, b *device.Batch) error {
	if o.rowsAsked == 0 {
		return nil
	}
	row := 4 * o.logits.width
	if o.rowsAsked > o.rowCap {
		var err error
		if o.rowHost, err = e.replaceHost(o.rowHost, int64(o.rowsAsked)*int64(row)); err != nil {
			return err
		}
		o.rowCap = o.rowsAsked
	}
	for i := range b.Outputs {
		if at := o.rowOf[i]; at >= 0 {
			if err := e.stream.DownloadAsync(o.rowHost, at*row, o.logits.p+pointer(i*row), row); err != nil {
				return err
			}
		}
	}
	return nil
}

// sample starts the kernel that draws.
func (o *outputs) sample(e *exec) error {
	if e.step.outs == 0 {
		return nil
	}
	p := o.results.Pointer()
	*o.c.a = sampleArgs{logits: o.logits.p, rows: e.meta + pointer(e.step.lay.samples), lists: o.listDev, saved: o.savedDev,
		tokens: p, logprobs: p + pointer(4*e.o.MaxOutputs), vocab: int32(o.logits.width)}
	return o.c.run(e, e.step.outs, 1, 1, 1024, sampleShared)
}

// pending is the step under way.
type pending struct {
	e       *exec
	b       *device.Batch
	running bool
	outs    []device.Output
	err     error
	n       int
}

// Wait returns the results when the step is done.
func (q *pending) Wait() ([]device.Output, error) {
	if q.running {
		q.finish()
	}
	return q.outs[:q.n], q.err
}

func (q *pending) finish() {
	e := q.e
	q.running, q.n = false, 0
	if q.err = e.sleep(); q.err != nil {
		q.err = fmt.Errorf("cuda: step of %d rows: %w", len(q.b.Tokens), q.err)
		return
	}
	q.n = len(q.b.Outputs)
	for i := range q.b.Outputs {
		e.output.result(&q.b.Outputs[i], &q.outs[i], i)
	}
	q.b = nil
}

func (o *outputs) result(want *device.OutputRow, out *device.Output, i int) {
	*out = device.Output{Token: o.tokens[i]}
	if out.Token >= 0 && (want.Params == nil || want.Logprob || want.Top > 0) {
		out.Logprob = o.probs[i]
	}
	if o.rowOf[i] < 0 {
		return
	}
	n := o.logits.width
	logits := unsafe.Slice((*float32)(unsafe.Pointer(&o.rowHost.Bytes()[4*n*o.rowOf[i]])), n)
	if want.Logits {
		out.Logits = slices.Clone(logits)
	}
	if want.Top > 0 {
		for _, t := range sample.Top(logits, want.Top) {
			out.Top = append(out.Top, device.TokenLogprob{ID: t.ID, Logprob: t.Logprob})
		}
	}
}

// sleep waits for the step's end.
func (e *exec) sleep() error {
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return e.event.Wait()
}

// lock binds the goroutine to a thread with the device's context.
func (e *exec) lock() (unlock func(), err error) {
	runtime.LockOSThread()
	if err := e.dev.ctx.Enter(); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return runtime.UnlockOSThread, nil
}
