package local

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cpu"
	"github.com/godwit-ai/godwit/engine/device/cuda"
)

func (o *Options) openDevice(log *slog.Logger) (d device.Device, why string, err error) {
	if o.device != nil {
		return o.device, "", nil
	}
	return OpenDevice(o.Device, o.Threads, log)
}

// OpenDevice chooses what computes: "auto" the first GPU if it can be used, else the
// processor; "cuda" and "cuda:1" a GPU or an error. why says what is wrong with the GPU
// where auto took the processor. threads is for the processor; 0 chooses.
func OpenDevice(asked string, threads int, log *slog.Logger) (d device.Device, why string, err error) {
	name := strings.ToLower(asked)
	switch name {
	case "", "auto":
		if d, err = cuda.New(cuda.Options{Logger: log}); err == nil {
			log.Info("device chosen", "asked", "auto", "device", d.Name(), "is", d.Info())
			return d, "", nil
		}
		why = err.Error()
		log.Info("device chosen", "asked", "auto", "device", "cpu", "why", why)
		d, err = cpu.New(cpu.Options{Threads: threads})
		return d, why, err
	case "cpu":
		d, err = cpu.New(cpu.Options{Threads: threads})
		return d, "", err
	}
	ordinal, err := ordinalOf(name)
	if err != nil {
		return nil, "", fmt.Errorf("unknown device %q: auto, cpu, cuda and cuda:0, cuda:1 … are known", asked)
	}
	if d, err = cuda.New(cuda.Options{Ordinal: ordinal, Logger: log}); err != nil {
		return nil, "", fmt.Errorf("device %s: %w (use --device cpu, or auto)", asked, err)
	}
	return d, "", nil
}

// ordinalOf is the number of the GPU that "cuda", "gpu" or "cuda:N" names.
func ordinalOf(name string) (int, error) {
	if name == "cuda" || name == "gpu" {
		return 0, nil
	}
	number, ok := strings.CutPrefix(name, "cuda:")
	if !ok {
		return 0, errors.New("no GPU")
	}
	n, err := strconv.ParseUint(number, 10, 16)
	return int(n), err
}

// onGPU reports whether a GPU computes: it wants wider steps than a processor.
func (e *Engine) onGPU() bool { return strings.HasPrefix(e.dev.Name(), "cuda") }
