package cuda

import (
	"context"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
)

var _ device.Meter = (*Device)(nil)

// Ceilings measures a copy of a gigabyte on the GPU, or of a quarter of what is free.
// The peak is that of the tensor cores with half floats at the highest clock.
func (d *Device) Ceilings(ctx context.Context) (device.Ceilings, error) {
	var c device.Ceilings
	if err := ctx.Err(); err != nil {
		return c, context.Cause(ctx)
	}
	_, free := d.MemoryBytes()
	err := d.enter(func() (err error) {
		c.CopyBytes, err = copyRate(d.ctx, int64(min(1<<30, free/4)))
		return err
	})
	c.PeakFlops = float64(flopsPerClock(d.d.Major, d.d.Minor)) * float64(d.d.SMs) * d.d.ClockHz
	return c, err
}

// flopsPerClock is what a multiprocessor's tensor cores do per clock with half floats
// and float32 sums, 0 where products differ within the generation.
func flopsPerClock(major, minor int) int {
	switch {
	case major == 8 && minor == 0:
		return 2048
	case major == 9:
		return 4096
	case major == 10:
		return 8192
	}
	return 0
}

// copyRate measures a large copy on the device, bytes read and written per second.
func copyRate(c *driver.Context, bytes int64) (float64, error) {
	const runs = 20
	from, err := c.Alloc(bytes)
	if err != nil {
		return 0, err
	}
	defer c.Free(from)
	to, err := c.Alloc(bytes)
	if err != nil {
		return 0, err
	}
	defer c.Free(to)
	s, err := c.NewStream()
	if err != nil {
		return 0, err
	}
	defer s.Close()
	ms, err := timed(c, s, func() error {
		for range runs {
			if err := s.Copy(to, from, bytes); err != nil {
				return err
			}
		}
		return nil
	})
	return 2 * float64(bytes) * runs / (ms / 1000), err
}

// timed is the milliseconds that f's work takes on the stream, after one warm-up.
func timed(c *driver.Context, s driver.Stream, f func() error) (float64, error) {
	if err := f(); err != nil {
		return 0, err
	}
	from, err := c.NewEvent(true)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	to, err := c.NewEvent(true)
	if err != nil {
		return 0, err
	}
	defer to.Close()
	if err := from.Record(s); err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	if err := to.Record(s); err != nil {
		return 0, err
	}
	if err := to.Wait(); err != nil {
		return 0, err
	}
	ms, err := to.Milliseconds(from)
	return float64(ms), err
}

// TokenBytes is what the cache holds of a token.
func (e *exec) TokenBytes() int { return e.p.KVFloats() * typeBytes(e.compute) }
