package cuda

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/sample"
)

// outputs draws tokens on the GPU and reports log-probabilities. Alternatives and raw
// logits are made from a copy of the row on the host.
type outputs struct {
	c        *call[sampleArgs]
	together bool           // c is a cluster of clusterBlocks for each row
	shared   int            // memory of its blocks
	narrow   *driver.Launch // makes those sums follow the masks
	tiled    *driver.Launch // draws that need but a temperature, from the sums by tile
	tops     pointer
	left     pointer
	tile     int // columns of a tile in the step's last product; 0: it left no sums
	tiles    int
	logits   view
	results  driver.Host // tokens of both slots, then log-probabilities, written by the kernel
	tokens   []int32
	probs    []float32
	drawn    pointer // tokens of both slots, for the step that follows
	before   int     // outputs of the step launched last

	lists    []int32 // what rows list: counts, bans, biases
	masks    [][]uint64
	places   []int32 // of masks, in the lists on the device
	saved    int
	listDev  pointer
	savedDev pointer
	listCap  int
	savedCap int
}

const greedyMax = 1e-6 // as in package sample

func (o *outputs) allocate(e *exec) error {
	o.c, o.shared = newCall[sampleArgs](e, "sample"), aloneShared
	o.logits = e.views[e.p.Instrs[len(e.p.Instrs)-1].Out]
	o.narrow = e.launch("mask_tiles", unsafe.Pointer(o.c.a))
	o.tiled = e.launch("sample_tiles", unsafe.Pointer(o.c.a))
	part := ((o.logits.width+clusterBlocks-1)/clusterBlocks + 3) &^ 3 // tokens of a block
	if shared := (togetherShared+15)&^15 + 4*part; e.code.clusters && shared <= e.code.most-skinnyStatic {
		o.c, o.shared, o.together = &call[sampleArgs]{o.c.a, e.launch("sample_cluster", unsafe.Pointer(o.c.a))}, shared, true
	}
	n := len(e.slots) * e.o.MaxOutputs
	var err error
	if o.results, err = e.allocHost(8 * int64(n)); err != nil {
		return err
	}
	b := o.results.Bytes()
	o.tokens = unsafe.Slice((*int32)(unsafe.Pointer(&b[0])), n)
	o.probs = unsafe.Slice((*float32)(unsafe.Pointer(&b[4*n])), n)
	if o.drawn, err = e.alloc(4 * int64(n)); err != nil {
		return err
	}
	// Room for a mask of each output: constraints come while a step is under way.
	return o.growLists(e, 1<<12+e.o.MaxOutputs*((o.logits.width+63)/64)*2, 1<<10)
}

// growLists makes room for lists on the device; graphs that know the old buffers are
// dropped, after the steps that use them.
func (o *outputs) growLists(e *exec, lists, saved int) error {
	if lists <= o.listCap && saved <= o.savedCap {
		return nil
	}
	if err := errors.Join(e.stream.Wait(), e.graphs.close()); err != nil {
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

// place decides which rows of logits come to the host, and where they lie there.
func (o *outputs) place(s *slot, b *device.Batch) {
	s.rowsAsked = 0
	for i := range b.Outputs {
		s.rowOf[i] = none
		if r := &b.Outputs[i]; r.Logits || r.Top > 0 {
			s.rowOf[i] = s.rowsAsked
			s.rowsAsked++
		}
	}
}

// unused is an output beyond those of a batch.
var unused = sampleRow{target: none, repetition: 1, minX: 1, nMask: none, fed: none}

// rates writes what the sums by tile must know of each output whose draw begins later.
func (o *outputs) rates(b *device.Batch, rows []sampleRow) {
	for i := range rows {
		rows[i] = unused
		if i < len(b.Outputs) && b.Outputs[i].Params != nil {
			rows[i].temper(b.Outputs[i].Params)
		}
	}
}

// temper sets the draw's temperature.
func (r *sampleRow) temper(p *sample.Params) {
	if r.inverse = 1 / p.Temperature; p.Temperature < greedyMax {
		r.greedy, r.inverse = 1, 0
	}
}

// fill writes what the sampling kernel must know of each output, and copies their lists in
// the order of a stream.
func (o *outputs) fill(e *exec, s *slot, b *device.Batch, rows []sampleRow, stream driver.Stream) error {
	o.lists, o.saved, o.masks = o.lists[:0], 0, o.masks[:0]
	for i := range rows {
		rows[i] = unused
		if i >= len(b.Outputs) {
			continue
		}
		r := &b.Outputs[i]
		rows[i].target = r.Target
		if r.Logprob || r.Top > 0 || r.Params == nil && r.Target >= 0 {
			rows[i].logprob = 1
		}
		if r.Params != nil {
			fed := int32(none)
			if b.From != nil && !b.Late {
				fed = max(b.From[r.Row], none)
			}
			o.params(&rows[i], r.Params, fed)
		}
	}
	if len(o.lists)+len(o.masks) == 0 {
		return nil
	}
	return o.copyLists(e, s, rows, stream)
}

// copyLists brings what rows list to the device: the lists, and behind them the masks.
func (o *outputs) copyLists(e *exec, s *slot, rows []sampleRow, stream driver.Stream) error {
	words := 0
	for _, m := range o.masks {
		words += 2 * len(m)
	}
	n := len(o.lists) + words
	if err := o.growLists(e, n, o.saved); err != nil {
		return err
	}
	if s.listCap < n {
		var err error
		s.listCap = min(o.listCap, max(2*n, 1<<12))
		if s.lists, err = e.replaceHost(s.lists, 4*int64(s.listCap)); err != nil {
			s.listCap = 0
			return err
		}
	}
	to := unsafe.Slice((*int32)(unsafe.Pointer(&s.lists.Bytes()[0])), s.listCap)
	at := copy(to, o.lists)
	o.places = o.places[:0]
	for _, m := range o.masks {
		o.places = append(o.places, int32(at))
		at += copy(to[at:], unsafe.Slice((*int32)(unsafe.Pointer(&m[0])), 2*len(m)))
	}
	for i := range rows {
		if r := &rows[i]; r.nMask >= 0 && len(o.masks) > 0 {
			r.mask = o.places[r.mask]
		}
	}
	return stream.UploadAsync(o.listDev, s.lists, 4*n)
}

// mask is the place of a mask among those of the step; rows with one and the same share it.
func (o *outputs) mask(m []uint64) int32 {
	if n := len(o.masks); n > 0 && &o.masks[n-1][0] == &m[0] && len(o.masks[n-1]) == len(m) {
		return int32(n - 1)
	}
	o.masks = append(o.masks, m)
	return int32(len(o.masks) - 1)
}

// params describes a draw; fed is the output of the step before that drew a token which
// p does not count yet.
func (o *outputs) params(r *sampleRow, p *sample.Params, fed int32) {
	r.draw, r.target = 1, none
	r.seed, r.choice, r.position = p.Seed, p.Choice, p.Position
	r.topK = int32(max(0, min(p.TopK, math.MaxInt32)))
	if p.TopP > 0 && p.TopP < 1 {
		r.topP = p.TopP
	}
	if p.MinP > 0 {
		r.minX = float32(min(0, math.Log(float64(p.MinP))))
	}
	r.temper(p)
	if p.Repetition != 0 {
		r.repetition = p.Repetition
	}
	r.frequency, r.presence = p.Frequency, p.Presence
	if r.repetition != 1 || p.Frequency != 0 || p.Presence != 0 {
		r.fed = fed
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
	if len(p.Mask) > 0 {
		r.mask, r.nMask = o.mask(p.Mask), int32(2*len(p.Mask))
	} else if p.Mask != nil {
		r.nMask = 0 // nothing is allowed
	}
	r.saved = int32(o.saved)
	o.saved += int(r.nCounts+r.nBias) + 1
}

// copyLogits brings the rows that the host wants before sampling changes them.
func (o *outputs) copyLogits(e *exec, s *slot, b *device.Batch) error {
	if s.rowsAsked == 0 {
		return nil
	}
	row := 4 * o.logits.width
	if s.rowsAsked > s.rowCap {
		var err error
		if s.rows, err = e.replaceHost(s.rows, int64(s.rowsAsked)*int64(row)); err != nil {
			return err
		}
		s.rowCap = s.rowsAsked
	}
	for i := range b.Outputs {
		if at := s.rowOf[i]; at >= 0 {
			if err := e.stream.DownloadAsync(s.rows, at*row, o.logits.p+pointer(i*row), row); err != nil {
				return err
			}
		}
	}
	return nil
}

// maskedTiles is how many tiles a block of mask_tiles takes.
const maskedTiles = 64

// sample starts the kernels that draw.
func (o *outputs) sample(e *exec) error {
	if e.step.outs == 0 {
		return nil
	}
	p := o.results.Pointer()
	*o.c.a = sampleArgs{logits: o.logits.p, rows: e.meta + pointer(e.step.lay.samples), lists: o.listDev, saved: o.savedDev,
		header: e.meta, tokens: p, logprobs: p + pointer(4*len(o.tokens)), drawn: o.drawn, vocab: int32(o.logits.width)}
	if o.tile > 0 {
		o.c.a.tops, o.c.a.left, o.c.a.tile, o.c.a.tiles = o.tops, o.left, int32(o.tile), int32(o.tiles)
		if e.step.masked {
			if err := e.start(o.narrow, (o.tiles+maskedTiles-1)/maskedTiles, e.step.outs, 1, 256, 0); err != nil {
				return err
			}
		}
		if err := e.start(o.tiled, e.step.outs, 1, 1, 256, 0); err != nil {
			return err
		}
	}
	if o.together {
		return o.c.run(e, clusterBlocks, e.step.outs, 1, 512, o.shared)
	}
	return o.c.run(e, e.step.outs, 1, 1, 1024, o.shared)
}

// pending is a step under way.
type pending struct {
	e       *exec
	s       *slot
	b       *device.Batch
	running bool
	late    bool // it has two parts
	undrawn bool // and the second one has not begun
	outs    []device.Output
	err     error
	n       int
	ms      float32 // between the slot's events
	worked  time.Duration
	waited  time.Duration // between the parts
}

// Wait returns the results when the step is done.
func (q *pending) Wait() ([]device.Output, error) {
	if q.running {
		q.finish()
	}
	return q.outs[:q.n], q.err
}

// Worked is the time that the GPU took.
func (q *pending) Worked() time.Duration { return q.worked }

// Waited is the time that the GPU had nothing to do between the step's parts.
func (q *pending) Waited() time.Duration { return q.waited }

func (q *pending) finish() {
	q.running, q.n = false, 0
	if q.undrawn {
		q.undrawn, q.b = false, nil
		q.err = errors.Join(errNotDrawn, q.e.settle())
		return
	}
	if q.err = q.sleep(); q.err != nil {
		q.err = fmt.Errorf("cuda: step of %d rows: %w", len(q.b.Tokens), q.err)
		return
	}
	q.n = len(q.b.Outputs)
	for i := range q.b.Outputs {
		q.result(&q.b.Outputs[i], &q.outs[i], i)
	}
	q.b = nil
}

func (q *pending) result(want *device.OutputRow, out *device.Output, i int) {
	o, s := &q.e.output, q.s
	*out = device.Output{Token: o.tokens[s.base+i]}
	if out.Token >= 0 && (want.Params == nil || want.Logprob || want.Top > 0) {
		out.Logprob = o.probs[s.base+i]
	}
	if s.rowOf[i] < 0 {
		return
	}
	n := o.logits.width
	logits := unsafe.Slice((*float32)(unsafe.Pointer(&s.rows.Bytes()[4*n*s.rowOf[i]])), n)
	if want.Logits {
		out.Logits = slices.Clone(logits)
	}
	if want.Top > 0 {
		for _, t := range sample.Top(logits, want.Top) {
			out.Top = append(out.Top, device.TokenLogprob{ID: t.ID, Logprob: t.Logprob})
		}
	}
}

// sleep waits for the step's end and notes how long it took.
func (q *pending) sleep() error {
	unlock, err := q.e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := q.s.last.Wait(); err != nil {
		return err
	}
	if err := q.s.last.Since(q.s.first, &q.ms); err != nil {
		return err
	}
	q.worked, q.waited = milliseconds(q.ms), 0
	if q.late {
		err = q.s.draw.Since(q.s.ready, &q.ms)
		q.waited = milliseconds(q.ms)
		q.worked -= q.waited
	}
	return err
}

func milliseconds(ms float32) time.Duration {
	return time.Duration(float64(ms) * float64(time.Millisecond))
}

// settle waits for everything that was started.
func (e *exec) settle() error {
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return errors.Join(e.beside.Wait(), e.stream.Wait())
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
