package device

import "context"

// Meter is implemented by a Device that can measure its own limits. Benchmarks give
// every result as a share of them.
type Meter interface {
	// Ceilings takes about a second and up to three gigabytes of the device's memory,
	// less where less is free. Nothing else should run on the device meanwhile.
	Ceilings(ctx context.Context) (Ceilings, error)
}

// Ceilings are the rates that bound every step on a device. A rate that was not
// measured is 0.
type Ceilings struct {
	CopyBytes float64 // per second: a large copy, bytes read and bytes written counted
	ReadBytes float64 // per second: a pass that only reads
	PeakFlops float64 // per second, of half floats, by clock and units; not measured
}

// Bandwidth is the highest measured rate of memory, bytes per second.
func (c Ceilings) Bandwidth() float64 { return max(c.CopyBytes, c.ReadBytes) }

// CacheSizer is implemented by an Exec that can say what a token costs in its cache.
type CacheSizer interface {
	TokenBytes() int // keys and values of all layers
}
