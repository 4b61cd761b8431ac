package cuda

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
)

// form is all that the launches of a step depend on: steps of one form can run as one
// recorded graph. A step runs in a form that is at least as large as it is; what is too
// much belongs to no sequence and writes nothing that anybody reads.
type form struct {
	rows, seqs, outs int
	decode           int  // work items of decode attention
	prefill          int  // tiles of prefill attention
	single           bool // row i is the only row of sequence i and has output i
	terms            int  // products that adapters change: 0 none, else 1 + a number of adapters.sets
	late             bool // without the draws
	masked           bool // some draws have a mask
}

// graphs are the recorded forms.
type graphs struct {
	ready  map[form]recording
	seen   map[form]bool // ran once, kernel by kernel
	single []int         // sizes of single forms, rising
}

// recording is a form's graph, and what draws that come later must know of it.
type recording struct {
	graph       driver.Graph
	tile, tiles int // as in outputs
}

const (
	decodeQueries = 16  // most queries of a sequence that decode attention takes
	graphRows     = 512 // more rows keep the GPU busy for longer than their launches take
	graphSeqs     = 16  // more sequences do as well, unless each has one row
	graphsMost    = 256 // recorded forms
)

var (
	singleSizes = []int{1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512}
	mixedSizes  = []int{16, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512}
	promptSizes = []int{16, 32, 64, 128, 256} // of one prompt, recorded ahead
)

func newGraphs() graphs { return graphs{ready: map[form]recording{}, seen: map[form]bool{}} }

// buckets chooses the sizes of single forms.
func (g *graphs) buckets(limit int) {
	for _, n := range singleSizes {
		if n < limit {
			g.single = append(g.single, n)
		}
	}
	g.single = append(g.single, limit)
}

// close forgets the recorded forms: for good, or because a buffer they use has moved.
func (g *graphs) close() error {
	var errs []error
	for f, r := range g.ready {
		errs = append(errs, r.graph.Close())
		delete(g.ready, f)
	}
	return errors.Join(errs...)
}

// atLeast is the smallest of the rising sizes that is not below n, but limit at most;
// n itself beyond all of them.
func atLeast(sizes []int, n, limit int) int {
	i, _ := slices.BinarySearch(sizes, n)
	if i == len(sizes) {
		return n
	}
	return max(n, min(sizes[i], limit))
}

// powerOf2 is the smallest power of two that is not below n.
func powerOf2(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}

// tiles is the number of tiles of prefill attention for the rows of a sequence.
func (e *exec) tiles(rows int) int { return (rows*e.group + 127) / 128 }

// form is the form in which b runs, and whether as a graph.
func (e *exec) form(b *device.Batch) (f form, recorded bool) {
	f = form{rows: len(b.Tokens), seqs: len(b.Seqs), outs: len(b.Outputs), terms: e.lora.terms(b), late: b.Late, masked: !b.Late && anyMask(b)}
	for i := range b.Seqs {
		if n := b.Seqs[i].Rows; n*e.group <= decodeQueries {
			f.decode++
		} else {
			f.prefill += e.tiles(n)
		}
	}
	if e.dev.o.noGraphs || f.rows > graphRows {
		return f, false
	}
	single := f.rows == f.seqs && f.rows == f.outs
	for i := range b.Outputs {
		o := &b.Outputs[i]
		if o.Logits || o.Top > 0 {
			return f, false
		}
		single = single && o.Row == i
	}
	if single && f.rows <= e.graphs.single[len(e.graphs.single)-1] {
		wide := e.singleForm(f.rows)
		wide.terms, wide.late, wide.masked = f.terms, f.late, f.masked
		return wide, true
	}
	wide, ok := e.mixedForm(f)
	if !ok || !e.worth(wide) {
		return f, false
	}
	return wide, true
}

// anyMask says whether some draw of b has a mask.
func anyMask(b *device.Batch) bool {
	return slices.ContainsFunc(b.Outputs, func(o device.OutputRow) bool { return o.Params != nil && o.Params.Mask != nil })
}

// singleForm is the form of n sequences with a row each.
func (e *exec) singleForm(n int) form {
	i, _ := slices.BinarySearch(e.graphs.single, n)
	n = e.graphs.single[i]
	f := form{rows: n, seqs: n, outs: n, single: true}
	if e.group <= decodeQueries {
		f.decode = n
	} else {
		f.prefill = n * e.tiles(1)
	}
	return f
}

// mixedForm is the smallest form of the usual sizes that holds f, if there is one.
func (e *exec) mixedForm(f form) (form, bool) {
	w := form{rows: atLeast(mixedSizes, f.rows, e.o.MaxRows), terms: f.terms, late: f.late, masked: f.masked}
	w.seqs = min(powerOf2(f.seqs), w.rows, e.o.MaxSeqs)
	if f.outs > 0 {
		w.outs = min(w.seqs, e.o.MaxOutputs)
	}
	if f.decode > 0 {
		w.decode = w.seqs
	}
	if f.prefill > 0 {
		w.prefill = w.rows*e.group/128 + w.seqs
	}
	return w, f.outs <= w.outs && f.prefill <= w.prefill && f.seqs <= graphSeqs
}

// worth says whether a form is recorded, or shall be: from its second time on.
func (e *exec) worth(f form) bool {
	if _, ok := e.graphs.ready[f]; ok {
		return true
	}
	if e.graphs.seen[f] {
		return len(e.graphs.ready) < graphsMost
	}
	e.graphs.seen[f] = true
	return false
}

// shape prepares the nodes for steps of form f.
func (e *exec) shape(f form) {
	s := &e.step
	s.rows, s.outs, s.decode, s.prefill, s.single, s.masked = f.rows, f.outs, f.decode, f.prefill, f.single, f.masked
	s.terms = f.terms
	tiles := 0
	if f.terms > 0 {
		tiles = e.lora.shape(f.rows)
	}
	s.lay = layoutFor(f.rows, f.outs, f.seqs, f.prefill, tiles, len(e.lora.slots))
}

// forget drops the recorded forms that have adapters: what they launch has changed.
func (g *graphs) forget() error {
	var errs []error
	for f, r := range g.ready {
		if f.terms > 0 {
			errs = append(errs, r.graph.Close())
			delete(g.ready, f)
		}
	}
	return errors.Join(errs...)
}

// runGraph starts the graph of a form, recording it first if it is new.
func (e *exec) runGraph(f form) error {
	r, ok := e.graphs.ready[f]
	if !ok {
		var err error
		if r, err = e.record(f); err != nil {
			return err
		}
	}
	e.output.tile, e.output.tiles = r.tile, r.tiles
	return r.graph.Launch(e.stream)
}

// record captures a step of form f, which shape has prepared.
func (e *exec) record(f form) (recording, error) {
	g, err := e.stream.Capture(func() error {
		if err := e.runNodes(); err != nil || f.late {
			return err
		}
		return e.output.sample(e)
	})
	if err != nil {
		return recording{}, fmt.Errorf("capture a step of %d rows: %w", f.rows, err)
	}
	r := recording{graph: g, tile: e.output.tile, tiles: e.output.tiles}
	e.graphs.ready[f] = r
	return r, nil
}

// Record captures the usual forms: every size of decode steps, and single prompts.
func (e *exec) Record(ctx context.Context) error {
	if e.closed {
		return errLaunchClosed
	}
	if e.dev.o.noGraphs {
		return nil
	}
	unlock, err := e.lock()
	if err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	defer unlock()
	forms := e.usual()
	for i, f := range forms {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if _, ok := e.graphs.ready[f]; !ok {
			e.shape(f)
			if _, err := e.record(f); err != nil {
				return fmt.Errorf("cuda: %w", err)
			}
		}
		if e.o.Recorded != nil {
			e.o.Recorded(f.rows, i+1, len(forms))
		}
	}
	return nil
}

// usual are the forms that Record prepares.
func (e *exec) usual() []form {
	var all []form
	for _, n := range e.graphs.single {
		all = append(all, e.singleForm(n))
	}
	for _, n := range promptSizes {
		if n > e.o.MaxRows {
			break
		}
		f := form{rows: n, seqs: 1, outs: 1}
		if n*e.group <= decodeQueries {
			f.decode = 1
		} else {
			f.prefill = e.tiles(n)
		}
		if f, ok := e.mixedForm(f); ok {
			all = append(all, f)
		}
	}
	return all
}
