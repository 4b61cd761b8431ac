package cpu

import (
	"context"
	"fmt"
	"sync"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
)

// packGroups is how many groups of 16 rows one loading task repacks.
const packGroups = 64

type packTask struct {
	m        *matrix
	t        quant.Tensor
	from, to int
}

// load reads every weight that the program names: those of products and embeddings
// are repacked, the others become float32 vectors. It returns when nothing points
// into the checkpoint's memory any more.
func (e *exec) load(ctx context.Context, w device.Weights, threads int) error {
	e.matrices, e.vectors = map[op.WeightID]*matrix{}, map[op.WeightID][]float32{}
	wide := e.matrixWeights()
	var tasks []packTask
	var all []*matrix
	var total int64
	byName := map[string]*matrix{}
	for id, info := range e.p.Weights {
		t, err := w.Tensor(info.Name)
		if err != nil {
			return err
		}
		if err := checkWeight(t, info); err != nil {
			return fmt.Errorf("weight %s: %w", info.Name, err)
		}
		total += int64(len(t.Data))
		if !wide[op.WeightID(id)] {
			if err := e.loadVector(op.WeightID(id), t); err != nil {
				return fmt.Errorf("weight %s: %w", info.Name, err)
			}
			continue
		}
		m := byName[info.Name]
		if m == nil {
			if m, err = describe(t); err != nil {
				return fmt.Errorf("weight %s: %w", info.Name, err)
			}
			byName[info.Name] = m
			all = append(all, m)
			for g := 0; g < m.groups; g += packGroups {
				tasks = append(tasks, packTask{m, t, g, min(g+packGroups, m.groups)})
			}
		}
		e.matrices[op.WeightID(id)] = m
	}
	if err := e.place(all); err != nil {
		return err
	}
	return e.pack(ctx, tasks, total, threads)
}

// place gives all matrices their memory, in one piece so that it can have large
// pages.
func (e *exec) place(all []*matrix) error {
	n := 0
	for _, m := range all {
		if n += (m.bytes() + 63) &^ 63; n > maxBlock {
			return fmt.Errorf("the weights need more than %d bytes", maxBlock)
		}
	}
	data, err := e.arena.alloc(n, true)
	if err != nil {
		return err
	}
	for _, m := range all {
		m.data = data[:m.bytes():m.bytes()]
		data = data[(m.bytes()+63)&^63:]
	}
	return nil
}

// pack runs the tasks and reports progress, one call at a time and the whole at
// the end.
func (e *exec) pack(ctx context.Context, tasks []packTask, total int64, threads int) error {
	var mu sync.Mutex
	var done int64
	err := parallel(ctx, threads, len(tasks), func(i int) error {
		k := &tasks[i]
		k.m.pack(k.t, k.from, k.to)
		if e.o.Progress != nil {
			mu.Lock()
			defer mu.Unlock()
			done += int64(k.to-k.from) * int64(len(k.t.Data)) / int64(k.m.groups)
			e.o.Progress(min(done, total), total)
		}
		return nil
	})
	if err == nil && e.o.Progress != nil {
		e.o.Progress(total, total)
	}
	return err
}

// matrixWeights are the weights that products and embeddings use.
func (e *exec) matrixWeights() map[op.WeightID]bool {
	wide := map[op.WeightID]bool{}
	for _, in := range e.p.Instrs {
		if in.Kind == op.Linear || in.Kind == op.Embed {
			wide[in.W[0]] = true
		}
	}
	return wide
}

func checkWeight(t quant.Tensor, info op.WeightInfo) error {
	if err := t.Check(); err != nil {
		return err
	}
	if len(t.Shape) != len(info.Shape) {
		return fmt.Errorf("shape %v, want %v", t.Shape, info.Shape)
	}
	for i, n := range info.Shape {
		if t.Shape[i] != n {
			return fmt.Errorf("shape %v, want %v", t.Shape, info.Shape)
		}
	}
	return nil
}

// describe is newMatrix for what can be repacked without loss.
func describe(t quant.Tensor) (*matrix, error) {
	if err := packable(t); err != nil {
		return nil, err
	}
	return newMatrix(t)
}

// loadVector keeps a norm's weight or a bias as float32, filled up with zeros.
func (e *exec) loadVector(id op.WeightID, t quant.Tensor) error {
	f, err := t.Float32()
	if err != nil {
		return err
	}
	v, err := e.arena.floats(pad16(len(f)), false)
	if err != nil {
		return err
	}
	copy(v, f)
	e.vectors[id] = v
	return nil
}
