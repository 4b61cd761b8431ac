package local

import (
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
)

// Program is the model's list of instructions; it must not be changed.
func (e *Engine) Program() *op.Program { return e.program }

// TokenBytes is what a token costs in the cache, in bytes; 0 where the device does not
// say.
func (e *Engine) TokenBytes() int {
	e.devMu.Lock()
	defer e.devMu.Unlock()
	if c, ok := e.exec.(device.CacheSizer); ok {
		return c.TokenBytes()
	}
	return 0
}

// HasTokenizer reports whether text can be used; else token ids only.
func (e *Engine) HasTokenizer() bool { return e.tok != nil }

// timed counts a step: how long it took, and what the device says of it.
func (l *loop) timed(took time.Duration, f *flight) {
	l.mu.Lock()
	l.stats.StepTimes.Add(took)
	l.stats.StepTimes.Worked += f.worked.Seconds()
	l.stats.StepTimes.Waited += f.waited.Seconds()
	l.mu.Unlock()
}

// Stats is a snapshot.
func (e *Engine) Stats() engine.Stats {
	s := e.loop.snapshot()
	total, free := e.deviceMemory()
	s.DeviceTotal, s.DeviceFree = int64(total), int64(free)
	return s
}

// deviceMemory asks the device, unless it is closed.
func (e *Engine) deviceMemory() (total, free uint64) {
	e.devMu.Lock()
	defer e.devMu.Unlock()
	if e.dev == nil || e.closed {
		return 0, 0
	}
	return e.dev.MemoryBytes()
}
