package cuda

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
)

// BenchmarkMasked is what masks cost on the GPU: the draws of rows of which none, half or
// all have one, with sums by tile and without, and steps in which some sequences have more
// than one row.
func BenchmarkMasked(b *testing.B) {
	e := qwen(b)
	unlock, err := e.lock()
	if err != nil {
		b.Fatal(err)
	}
	defer unlock()
	time := func(batch *device.Batch, f func() error) float64 {
		slot := &e.slots[1-e.at]
		form, _ := e.form(batch)
		bytes, err := e.fill(slot, batch, form)
		if err == nil {
			err = e.stream.UploadAsync(e.meta, slot.staging, bytes)
		}
		if err == nil {
			err = e.runNodes()
		}
		if err != nil {
			b.Fatal(err)
		}
		took, err := e.recorded(f)
		if err != nil {
			b.Fatal(err)
		}
		return took.Seconds() * 1e6
	}
	draws := func() error { return e.output.sample(e) }
	step := func() error {
		if err := e.runNodes(); err != nil {
			return err
		}
		return e.output.sample(e)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "µs at 400 tokens each    draws: no mask  half, few  half, most  all, few  all, most   top-p: no mask  half, most    step  half, most\n")
	for _, n := range []int{32, 128, 256} {
		batch := func(masked int, most bool, topP float32) *device.Batch {
			rng := rand.New(rand.NewPCG(3, 4))
			x := decodeBatch(n, 400, 0.6)
			for i := range masked {
				m := make([]uint64, (151936+63)/64)
				for id := range 151936 {
					if (rng.IntN(25) > 0) == most && (most || rng.IntN(500) == 0) {
						m[id/64] |= 1 << (id % 64)
					}
				}
				x.Outputs[i].Params.Mask = m
			}
			for i := range x.Outputs {
				x.Outputs[i].Params.TopP = topP
			}
			return x
		}
		fmt.Fprintf(&out, "%3d rows  %28.1f  %9.1f  %10.1f  %8.1f  %9.1f  %15.1f  %10.1f  %6.0f  %10.0f\n", n,
			time(batch(0, false, 0), draws), time(batch(n/2, false, 0), draws), time(batch(n/2, true, 0), draws), time(batch(n, false, 0), draws), time(batch(n, true, 0), draws),
			time(batch(0, false, 0.9), draws), time(batch(n/2, true, 0.9), draws), time(batch(0, false, 0), step), time(batch(n/2, true, 0), step))
	}
	fmt.Fprintf(&out, "steps of 128 sequences of which some have 2 or 6 rows:")
	for _, c := range []struct{ some, rows int }{{0, 1}, {1, 2}, {4, 2}, {8, 2}, {1, 6}, {4, 6}, {8, 6}, {16, 6}} {
		x := decodeBatch(128, 400, 0.6)
		for i := range c.some {
			more(x, 128-c.some+i, c.rows)
		}
		fmt.Fprintf(&out, "  %d×%d %.0f µs", c.some, c.rows, time(x, step))
	}
	fmt.Println(out.String())
}

// more gives sequence i, which is the last of those with more than one row, so many rows.
func more(x *device.Batch, i, rows int) {
	for k := i; k < len(x.Seqs); k++ {
		if k > i {
			x.Seqs[k].Row += rows - 1
		}
		if k > i {
			x.Outputs[k].Row += rows - 1
		}
	}
	x.Seqs[i].Rows = rows
	x.Outputs[i].Row = x.Seqs[i].Row + rows - 1
	for range rows - 1 {
		x.Tokens = append(x.Tokens, 7)
	}
}
