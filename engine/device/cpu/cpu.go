// Package cpu is the device that every machine has: it runs programs on the
// processor's cores with SIMD kernels in Go assembly.
//
// Compile lowers the instruction list to phases. Everything that treats a row of
// activations by itself (embedding, norms, rotation, cache writes, quantisation of
// activations) runs in row phases; products with weights that share an input
// become one matrix phase, with a norm before and a residual or a gated unit after
// folded in; attention is a phase of its own. Weights are repacked once into blocks
// of 16 interleaved rows and stay in their quantised size; activations are
// quantised to 15 bits per block of 32, because 8 bits move log-probabilities of
// small models by more than 0.1.
//
// A phase is cut into chunks that workers take by an atomic counter. Workers spin
// for some microseconds and then park, and nobody waits for a worker that took no
// chunk, so a busy machine slows a step down in proportion and not by its whole
// time slice.
//
// Every row's numbers are computed in one fixed order, whatever else is in the
// step: a token gets the same logits alone, in a batch, in a long or a chunked
// prefill. One step: Launch checks the batch, Wait runs the phases on the calling
// goroutine and the workers, and draws the tokens.
package cpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
)

// LevelEnv is the environment variable that New reads when Options.Level is empty.
const LevelEnv = "GODWIT_CPU_LEVEL"

// Options choose threads and instruction set. The zero value takes one thread for
// each core the process may use and the best instructions the processor has.
type Options struct {
	Threads int    // 0: runtime.GOMAXPROCS
	Level   string // one of Levels, or "": LevelEnv, or the best
}

// Device runs programs on the processor. It holds nothing itself, so any number
// of goroutines may use it.
type Device struct {
	threads int
	k       *kernels
}

var _ device.Device = (*Device)(nil)

// New returns the processor as a device. It fails when the level is unknown or the
// processor lacks its instructions.
func New(o Options) (device.Device, error) {
	if o.Threads < 0 || o.Threads > maxThreads {
		return nil, fmt.Errorf("cpu: %d threads, want 0..%d", o.Threads, maxThreads)
	}
	name := o.Level
	if name == "" {
		name = os.Getenv(LevelEnv)
	}
	k, err := kernelsFor(name)
	if err != nil {
		return nil, err
	}
	if o.Threads == 0 {
		o.Threads = min(runtime.GOMAXPROCS(0), maxThreads)
	}
	return &Device{threads: o.Threads, k: k}, nil
}

// Levels are the names that Options.Level takes on this machine, best first. The
// last is "go", which needs no special instructions.
func Levels() []string {
	var names []string
	for _, k := range available() {
		names = append(names, k.name)
	}
	return names
}

func kernelsFor(name string) (*kernels, error) {
	all := available()
	if name == "" {
		return all[0], nil
	}
	for _, k := range all {
		if k.name == name {
			return k, nil
		}
	}
	return nil, fmt.Errorf("cpu: level %q is not one of %q", name, Levels())
}

// Name is "cpu".
func (d *Device) Name() string { return "cpu" }

// Info names the instruction set and the threads.
func (d *Device) Info() string {
	return fmt.Sprintf("%s/%s, %s, %d threads", runtime.GOOS, runtime.GOARCH, d.k.name, d.threads)
}

// MemoryBytes is the machine's memory; zeros where it cannot be told.
func (d *Device) MemoryBytes() (total, free uint64) { return memory() }

// Compile repacks the weights and allocates cache and scratch memory outside the
// garbage collector's heap. The weights may be released afterwards.
func (d *Device) Compile(ctx context.Context, p *op.Program, w device.Weights, o device.Options) (device.Exec, error) {
	if p == nil || w == nil {
		return nil, errors.New("cpu: compile without a program or without weights")
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("cpu: %w", err)
	}
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("cpu: %w", err)
	}
	threads := d.threads
	if o.Threads > 0 {
		threads = min(o.Threads, maxThreads)
	}
	e := &exec{p: p, o: o, k: d.k}
	if err := e.compile(ctx, w, threads); err != nil {
		e.release()
		return nil, fmt.Errorf("cpu: compile %s: %w", p.Arch, err)
	}
	return e, nil
}

// BatchInvariant says that a row's numbers do not depend on the rest of the step.
func (d *Device) BatchInvariant() bool { return true }

// Close does nothing: each Exec frees what it holds.
func (d *Device) Close() error { return nil }

const maxThreads = 256
