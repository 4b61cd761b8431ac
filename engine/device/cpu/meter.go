package cpu

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-ai/godwit/engine/device"
)

var _ device.Meter = (*Device)(nil)

const (
	meterBytes  = 256 << 20 // of each side: far more than caches hold
	meterChunk  = 1 << 20
	meterRounds = 5
)

// Ceilings measures the memory: the best of some rounds in which all threads copy, and
// in which they read, blocks that are far larger than the caches.
func (d *Device) Ceilings(ctx context.Context) (device.Ceilings, error) {
	var a arena
	defer a.free()
	from, err := a.floats(meterBytes/4, true)
	if err != nil {
		return device.Ceilings{}, err
	}
	to, err := a.floats(meterBytes/4, true)
	if err != nil {
		return device.Ceilings{}, err
	}
	for i := range from { // pages that were never written are all the same page
		from[i], to[i] = float32(i&255), 1
	}
	var c device.Ceilings
	for range meterRounds {
		if err := ctx.Err(); err != nil {
			return c, context.Cause(ctx)
		}
		c.CopyBytes = max(c.CopyBytes, 2*d.rate(func(at, n int) { copy(to[at:at+n], from[at:at+n]) }))
		c.ReadBytes = max(c.ReadBytes, d.rate(func(at, n int) { d.k.sumSquares(&from[at], n) }))
	}
	return c, nil
}

// rate is the bytes per second at which the threads work through one block.
func (d *Device) rate(work func(at, n int)) float64 {
	const n = meterChunk / 4
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range d.threads {
		wg.Go(func() {
			for {
				at := int(next.Add(1)-1) * n
				if at >= meterBytes/4 {
					return
				}
				work(at, n)
			}
		})
	}
	wg.Wait()
	return meterBytes / time.Since(start).Seconds()
}

// TokenBytes is what the cache holds of a token.
func (e *exec) TokenBytes() int { return 4 * e.p.KVFloats() }
