package cuda

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
)

// loader uploads weights. It keeps the checkpoint's tensors only while it works.
type loader struct {
	e           *exec
	ctx         context.Context
	tensors     []quant.Tensor
	stored      []int32
	done, total int64
	widened     map[string]int
	ready       map[op.WeightID]matrixArgs // of weights that stand alone
	staging     pointer                    // for weights that are stored in turns
	keepBF16    bool
	beyond      pointer // set by narrow
	narrow      *call[narrowArgs]
}

// newLoader fetches and checks all tensors; nothing is uploaded yet.
func newLoader(ctx context.Context, e *exec, w device.Weights, keepBF16 bool) (*loader, error) {
	l := &loader{e: e, ctx: ctx, tensors: make([]quant.Tensor, len(e.p.Weights)), stored: make([]int32, len(e.p.Weights)),
		widened: map[string]int{}, ready: map[op.WeightID]matrixArgs{}, keepBF16: keepBF16}
	for i, info := range e.p.Weights {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t, err := w.Tensor(info.Name)
		if err == nil {
			err = t.Check()
		}
		if err == nil && !slices.Equal(t.Shape, info.Shape) {
			err = fmt.Errorf("the checkpoint has shape %v, the model needs %v", t.Shape, info.Shape)
		}
		if err != nil {
			return nil, fmt.Errorf("weight %s: %w", info.Name, err)
		}
		l.tensors[i], l.stored[i] = t, storedAs(t.Type, keepBF16)
		l.total += int64(len(t.Data))
		if len(t.Shape) == 2 && l.stored[i] == f16 && t.Type.BlockElems() > 1 {
			l.widened[t.Type.String()]++
		}
	}
	return l, nil
}

// storedAs is the format that a weight has on the device.
func storedAs(t quant.Type, keepBF16 bool) int32 {
	switch t {
	case quant.F32:
		return f32
	case quant.BF16:
		if keepBF16 {
			return bf16
		}
	case quant.Q8_0:
		return q8_0
	case quant.Q4_0:
		return q4_0
	case quant.Q4_1:
		return q4_1
	}
	return f16
}

// computeType is what products read beside the weights of these products.
func (l *loader) computeType() int32 {
	compute := f32
	for i := range l.e.p.Instrs {
		in := &l.e.p.Instrs[i]
		if in.Kind != op.Linear {
			continue
		}
		switch l.stored[in.W[0]] {
		case f32:
		case bf16:
			if compute == f32 {
				compute = bf16
			}
		default:
			compute = f16
		}
	}
	return compute
}

// deviceBytes is the size of all weights on the device.
func (l *loader) deviceBytes() int64 {
	n := int64(0)
	for i, t := range l.tensors {
		if len(t.Shape) == 2 {
			q, d, m := blockBytes(l.stored[i], t.Elems())
			n += int64(q + d + m)
		} else {
			n += 4 * int64(t.Elems())
		}
	}
	return n
}

// blockBytes are the bytes of numbers, scales and minima of n elements.
func blockBytes(typ int32, n int) (q, d, m int) {
	switch typ {
	case f32:
		return 4 * n, 0, 0
	case q8_0:
		return n, n / 16, 0
	case q4_0:
		return n / 2, n / 16, 0
	case q4_1:
		return n / 2, n / 16, n / 16
	}
	return 2 * n, 0, 0
}

// finish reports the end and what was widened.
func (l *loader) finish() error {
	for name, n := range l.widened {
		l.e.dev.o.Logger.Info("weights widened to half floats on the GPU", "format", name, "tensors", n)
	}
	if l.e.o.Progress != nil {
		l.e.o.Progress(l.total, l.total)
	}
	l.tensors = nil
	if err := l.e.stream.Wait(); err != nil {
		return err
	}
	if l.staging != 0 {
		if err := l.e.free(l.staging); err != nil {
			return err
		}
	}
	if l.beyond == 0 {
		return nil
	}
	flag := make([]byte, 4)
	if err := l.e.dev.ctx.Download(flag, l.beyond); err != nil {
		return err
	}
	if flag[0] != 0 {
		return errBeyond
	}
	return nil
}

// errBeyond means that bfloat16 weights have numbers that half floats have not.
var errBeyond = errors.New("bfloat16 weights beyond the range of half floats")

// toHalf turns n numbers of bfloat16 on the device into half floats.
func (l *loader) toHalf(p pointer, n int) error {
	if l.beyond == 0 {
		var err error
		if l.beyond, err = l.e.alloc(4); err != nil {
			return err
		}
		if err := l.e.stream.Fill(l.beyond, 0, 4); err != nil {
			return err
		}
		l.narrow = newCall[narrowArgs](l.e, "narrow")
	}
	*l.narrow.a = narrowArgs{p: p, beyond: l.beyond, n: int64(n)}
	return l.narrow.run(l.e, moveBlocks(n), 1, 1, 256, 0)
}

func (l *loader) progress(id op.WeightID) error {
	l.done += int64(len(l.tensors[id].Data))
	if l.e.o.Progress != nil {
		l.e.o.Progress(min(l.done, l.total), l.total)
	}
	return l.ctx.Err()
}

// matrix uploads the weights ids below each other, or row by row in turns.
func (l *loader) matrix(ids []op.WeightID, turns bool) (matrixArgs, error) {
	if a, ok := l.ready[ids[0]]; ok && len(ids) == 1 {
		return a, nil
	}
	typ, k, n := l.stored[ids[0]], l.tensors[ids[0]].RowLen(), 0
	for _, id := range ids {
		n += l.tensors[id].Rows()
	}
	a := matrixArgs{typ: typ, n: int32(n), k: int32(k)}
	qb, db, mb := blockBytes(typ, n*k)
	for _, x := range []struct {
		p     *pointer
		bytes int
	}{{&a.q, qb}, {&a.d, db}, {&a.m, mb}} {
		if x.bytes == 0 {
			continue
		}
		var err error
		if *x.p, err = l.e.alloc(int64(x.bytes)); err != nil {
			return a, err
		}
	}
	row := 0
	for i, id := range ids {
		if err := l.fill(&a, id, i, row, len(ids), turns); err != nil {
			return a, fmt.Errorf("weight %s: %w", l.e.p.Weights[id].Name, err)
		}
		row += l.tensors[id].Rows()
		if err := l.progress(id); err != nil {
			return a, err
		}
	}
	if len(ids) == 1 {
		l.ready[ids[0]] = a
	}
	return a, nil
}

// fill uploads one weight into a: from row on, or as every count-th row from place.
func (l *loader) fill(a *matrixArgs, id op.WeightID, place, row, count int, turns bool) error {
	t := l.tensors[id]
	q, d, m, err := split(t, l.stored[id])
	if err != nil {
		return err
	}
	rows, k := t.Rows(), t.RowLen()
	qr, dr, mr := blockBytes(a.typ, k)
	for _, x := range []struct {
		to       pointer
		from     []byte
		rowBytes int
	}{{a.q, q, qr}, {a.d, d, dr}, {a.m, m, mr}} {
		if x.rowBytes == 0 {
			continue
		}
		convert := t.Type == quant.BF16 && a.typ == f16
		if turns {
			err = l.inTurns(x.to+pointer(place*x.rowBytes), x.from, x.rowBytes, rows, count, convert)
		} else {
			to := x.to + pointer(row*x.rowBytes)
			if err = l.e.stream.UploadBytes(to, x.from); err == nil && convert {
				err = l.toHalf(to, t.Elems())
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stagingBytes is the size of the buffer on the device for rows stored in turns.
const stagingBytes = 64 << 20

func (l *loader) inTurns(to pointer, from []byte, rowBytes, rows, count int, convert bool) error {
	if l.staging == 0 {
		var err error
		if l.staging, err = l.e.alloc(stagingBytes); err != nil {
			return err
		}
	}
	per := max(1, stagingBytes/rowBytes)
	if rowBytes > stagingBytes {
		return fmt.Errorf("a row of %d bytes is too long", rowBytes)
	}
	for r := 0; r < rows; r += per {
		n := min(per, rows-r)
		if err := l.e.stream.UploadBytes(l.staging, from[r*rowBytes:(r+n)*rowBytes]); err != nil {
			return err
		}
		if convert {
			if err := l.toHalf(l.staging, n*rowBytes/2); err != nil {
				return err
			}
		}
		if err := l.e.stream.CopyRows(to+pointer(r*count*rowBytes), count*rowBytes, l.staging, rowBytes, rowBytes, n); err != nil {
			return err
		}
	}
	return nil
}

// vector uploads weights one after the other as float32; none gives zeros of the rows
// of the matrix beside it. With turns the elements alternate.
func (l *loader) vector(ids, beside []op.WeightID, turns bool) (pointer, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	var parts [][]float32
	for i, id := range ids {
		if id == none {
			parts = append(parts, make([]float32, l.tensors[beside[i]].Rows()))
			continue
		}
		v, err := l.tensors[id].Float32()
		if err != nil {
			return 0, fmt.Errorf("weight %s: %w", l.e.p.Weights[id].Name, err)
		}
		parts = append(parts, v)
		if err := l.progress(id); err != nil {
			return 0, err
		}
	}
	all := slices.Concat(parts...)
	if turns {
		for i := range parts[0] {
			for j := range parts {
				all[i*len(parts)+j] = parts[j][i]
			}
		}
	}
	return l.upload32(all)
}

func (l *loader) upload32(v []float32) (pointer, error) {
	p, err := l.e.alloc(4 * int64(len(v)))
	if err != nil {
		return 0, err
	}
	return p, l.e.stream.UploadBytes(p, unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v)))
}

// split returns the bytes of a tensor as the device wants them: block formats come
// apart into numbers, scales and minima.
func split(t quant.Tensor, stored int32) (q, d, m []byte, err error) {
	n := t.Elems()
	qb, db, mb := blockBytes(stored, n)
	switch {
	case stored <= bf16 && (t.Type == quant.F32 || t.Type == quant.F16 || t.Type == quant.BF16):
		return t.Data, nil, nil, nil
	case stored == f16:
		q, err = widen(t)
		return q, nil, nil, err
	}
	q, d, m = make([]byte, qb), make([]byte, db), make([]byte, mb)
	size := t.Type.BlockBytes()
	head := size - qb/(n/32)
	inParallel(n/32, func(i int) {
		b := t.Data[i*size : (i+1)*size]
		copy(d[2*i:], b[:2])
		if mb > 0 {
			copy(m[2*i:], b[2:4])
		}
		copy(q[i*(size-head):], b[head:])
	})
	return q, d, m, nil
}

// widen turns a block format into half floats.
func widen(t quant.Tensor) ([]byte, error) {
	rows, k := t.Rows(), t.RowLen()
	out := make([]byte, 2*t.Elems())
	var mu sync.Mutex
	var failed error
	inParallel(rows, func(r int) {
		v := make([]float32, k)
		if err := quant.Dequantize(v, t.Type, t.Row(r)); err != nil {
			mu.Lock()
			failed = err
			mu.Unlock()
			return
		}
		for i, x := range v {
			if x == x {
				x = float32(math.Max(-65504, math.Min(65504, float64(x))))
			}
			binary.LittleEndian.PutUint16(out[2*(r*k+i):], quant.F32ToF16(x))
		}
	})
	return out, failed
}

// inParallel runs f for 0..n-1 on all processors and waits.
func inParallel(n int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), max(1, n/256))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w * n / workers; i < (w+1)*n/workers; i++ {
				f(i)
			}
		})
	}
	wg.Wait()
}

// alloc takes device memory that release gives back.
func (e *exec) alloc(bytes int64) (pointer, error) {
	p, err := e.dev.ctx.Alloc(max(bytes, 1))
	if driver.IsOutOfMemory(err) {
		free, _, _ := e.dev.ctx.Memory()
		return 0, fmt.Errorf("out of GPU memory: %d more bytes are needed and %d are free; this model holds %d so far: %w", bytes, free, e.held, err)
	}
	if err != nil {
		return 0, err
	}
	e.allocs[p] = bytes
	e.held += bytes
	return p, nil
}

func (e *exec) free(p pointer) error {
	e.held -= e.allocs[p]
	delete(e.allocs, p)
	return e.dev.ctx.Free(p)
}
