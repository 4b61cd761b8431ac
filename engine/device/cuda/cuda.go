// Package cuda runs programs on NVIDIA GPUs of compute capability 8.0 and newer,
// inside the process, through the driver library alone: no cgo, no toolkit.
//
// Compile lowers the instruction list to nodes: products that share an input become
// one, with the norm before and the gate or the residual after folded in; norm,
// rotation and cache write of all heads are one kernel. Weights keep their format:
// float32, half floats, and the blocks Q8_0, Q4_0 and Q4_1, which kernels take apart
// in registers; other block formats become half floats at load.
//
// Numbers: sums are float32 everywhere and so is the residual stream. What products
// and attention read, the cache included, is float32 beside float32 weights and half
// floats beside all others: bfloat16 weights become half floats at load, which is exact
// from 2^-17 to 65504 and leaves activations three more bits (saturated at 65504); only
// weights beyond that range keep bfloat16 and its activations. Errors are within
// devicetest.Tolerance; with bfloat16 activations they were not always. The same step gives the same bits each time, but a
// row may differ in rounding with the number of rows, since few rows take other
// kernels than many.
//
// Adapters (LoRA) are part of a product's kernel in steps of up to 64 rows (adapter.go,
// kernels/batch.cu); with more rows, and in every other format, they are one kernel more for
// each group of products, which gathers rows by adapter (kernels/lora.cu). Tables
// on the device say where an adapter lies, so that recorded steps stay valid when one
// comes or goes; steps without adapters are recorded apart and pay nothing.
//
// A step: Launch checks the batch, fills one pinned block and starts copy, kernels and
// sampling in the Exec's own stream; Wait sleeps on an event and reads tokens that the
// last kernel wrote to pinned memory. The next step may be launched before that: its
// rows can take their tokens from where the last kernel wrote them on the GPU. Small
// steps run as graphs, captured ahead or when their size occurs again (graph.go).
package cuda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/device/cuda/kernels"
	"github.com/godwit-ai/godwit/engine/op"
)

// Options choose the GPU. The zero value is the first one, without a log.
type Options struct {
	Ordinal int
	Logger  *slog.Logger // says which formats were widened at load; nil: no log

	noGraphs bool // tests: every step kernel by kernel
	noBatch  bool // tests: batches without the kernels made for them
	noTiles  bool // tests: no draws from sums by tile
}

// Device is a GPU with its context. It may be used by any number of goroutines; each
// Exec has a stream of its own.
type Device struct {
	o   Options
	d   *driver.Device
	ctx *driver.Context
	lib *driver.Library

	mu     sync.Mutex
	code   *code // loaded by the first Compile
	closed bool
}

var _ device.Device = (*Device)(nil)

// New opens a GPU. Without a driver or a GPU the error is driver.ErrNoDriver or
// driver.ErrNoDevice.
func New(o Options) (device.Device, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	}
	lib, err := driver.Open()
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	return open(lib, o)
}

func open(lib *driver.Library, o Options) (device.Device, error) {
	d, err := lib.Device(o.Ordinal)
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	if _, err := kernels.Target(d.Major, d.Minor); err != nil {
		return nil, fmt.Errorf("cuda: %s: %w", d.Name, err)
	}
	ctx, err := d.Retain()
	if err != nil {
		return nil, fmt.Errorf("cuda: %s: %w", d.Name, err)
	}
	return &Device{o: o, d: d, ctx: ctx, lib: lib}, nil
}

// List describes every GPU, one line each. It makes no context.
func List() ([]string, error) {
	lib, err := driver.Open()
	if err != nil {
		return nil, err
	}
	n, err := lib.Count()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, driver.ErrNoDevice
	}
	var lines []string
	for i := range n {
		d, err := lib.Device(i)
		if err != nil {
			return nil, err
		}
		line := fmt.Sprintf("cuda:%d  %s", i, info(d, lib))
		if _, err := kernels.Target(d.Major, d.Minor); err != nil {
			line += ": not usable: " + err.Error()
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func info(d *driver.Device, lib *driver.Library) string {
	return fmt.Sprintf("%s, compute capability %d.%d, %d multiprocessors, %.1f GiB, driver CUDA %d.%d",
		d.Name, d.Major, d.Minor, d.SMs, float64(d.Total)/(1<<30), lib.Version()/1000, lib.Version()%1000/10)
}

// Name is "cuda:0" for the first GPU.
func (d *Device) Name() string { return fmt.Sprintf("cuda:%d", d.d.Ordinal) }

// Info names the GPU.
func (d *Device) Info() string { return info(d.d, d.lib) }

// MemoryBytes is the GPU's memory; zeros if the driver cannot tell.
func (d *Device) MemoryBytes() (total, free uint64) {
	err := d.enter(func() (err error) {
		free, total, err = d.ctx.Memory()
		return err
	})
	if err != nil {
		return 0, 0
	}
	return total, free
}

// enter runs f on a thread on which the context is current.
func (d *Device) enter(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := d.ctx.Enter(); err != nil {
		return err
	}
	return f()
}

var errClosed = errors.New("cuda: the device is closed")

// Compile uploads the weights and allocates the cache. The weights may be released
// afterwards.
func (d *Device) Compile(ctx context.Context, p *op.Program, w device.Weights, o device.Options) (device.Exec, error) {
	if p == nil || w == nil {
		return nil, errors.New("cuda: compile without a program or without weights")
	}
	if err := errors.Join(p.Check(), o.Check()); err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	e := &exec{dev: d, p: p, o: o}
	err := d.enter(func() error {
		var err error
		if e.code, err = d.loadCode(); err != nil {
			return err
		}
		code := e.code
		err = e.compile(ctx, w, false)
		if errors.Is(err, errBeyond) {
			if err = e.release(); err == nil {
				*e = exec{dev: d, p: p, o: o, code: code}
				err = e.compile(ctx, w, true)
			}
		}
		if err != nil {
			return errors.Join(err, e.release())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cuda: compile %s: %w", p.Arch, err)
	}
	return e, nil
}

// Close unloads the code and gives the context back. Execs must be closed before.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	var errs []error
	if d.code != nil {
		errs = append(errs, d.enter(d.code.unload))
	}
	return errors.Join(append(errs, d.ctx.Release())...)
}

// code is the loaded bundle.
type code struct {
	modules   []driver.Module
	functions map[string]driver.Function
	overlap   bool // programmatic dependent launch
	clusters  bool // clusters of blocks
	wgmma     bool // the kernels of wgmma.cu have a body
	most      int  // shared memory that a block may have, bytes
}

func (d *Device) loadCode() (*code, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	if d.code != nil {
		return d.code, nil
	}
	target, err := kernels.Target(d.d.Major, d.d.Minor)
	if err != nil {
		return nil, err
	}
	images, err := kernels.Load(target)
	if err != nil {
		return nil, err
	}
	c := &code{functions: map[string]driver.Function{}, overlap: d.d.Major >= 9 && target != kernels.PTX, clusters: d.d.Major >= 9 && target != kernels.PTX,
		wgmma: target == "sm_90a", most: d.d.Shared}
	if err := c.load(d.ctx, images); err != nil {
		return nil, errors.Join(fmt.Errorf("load kernels for %s: %w", target, err), c.unload())
	}
	d.code = c
	return c, nil
}

func (c *code) load(ctx *driver.Context, images []kernels.Image) error {
	for _, image := range images {
		m, err := ctx.LoadModule(image.Data)
		if err != nil {
			return fmt.Errorf("%s: %w", image.Name, err)
		}
		c.modules = append(c.modules, m)
		for _, k := range kernelTable[image.Name] {
			f, err := m.Function(k.name)
			if err != nil {
				return fmt.Errorf("%s: kernel %s: %w", image.Name, k.name, err)
			}
			shared := k.shared
			if shared == allShared {
				shared = c.most - skinnyStatic
			}
			if shared > 0 && (image.Name != "wgmma" && image.Name != "batch" || c.wgmma) {
				if err := f.AllowShared(shared); err != nil {
					return fmt.Errorf("kernel %s: %d bytes of shared memory: %w", k.name, shared, err)
				}
			}
			c.functions[k.name] = f
		}
		for _, s := range structTable[image.Name] {
			size, err := m.Uint32("sizeof_" + s.name)
			if err != nil {
				return fmt.Errorf("%s: size of %s: %w", image.Name, s.name, err)
			}
			if size != s.size {
				return fmt.Errorf("%s: struct %s has %d bytes in the kernel and %d here: the kernels are not those of this build", image.Name, s.name, size, s.size)
			}
		}
	}
	return nil
}

func (c *code) unload() error {
	var errs []error
	for _, m := range c.modules {
		errs = append(errs, m.Unload())
	}
	c.modules = nil
	return errors.Join(errs...)
}
