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

func (o *Options) openDevice(log *slog.Logger) (device.Device, error) {
	if o.device != nil {
		return o.device, nil
	}
	return OpenDevice(o.Device, o.Threads, log)
}

// OpenDevice chooses what computes: "auto" the first GPU if it can be used, else the
// processor, and says in the log which and why; "cuda" and "cuda:1" a GPU or an error.
// threads is for the processor; 0 chooses.
func OpenDevice(asked string, threads int, log *slog.Logger) (device.Device, error) {
	name := strings.ToLower(asked)
	switch name {
	case "", "auto":
		d, err := cuda.New(cuda.Options{Logger: log})
		if err == nil {
			log.Info("device chosen", "asked", "auto", "device", d.Name(), "is", d.Info())
			return d, nil
		}
		log.Info("device chosen", "asked", "auto", "device", "cpu", "why", err.Error())
		return cpu.New(cpu.Options{Threads: threads})
	case "cpu":
		return cpu.New(cpu.Options{Threads: threads})
	}
	ordinal, err := ordinalOf(name)
	if err != nil {
		return nil, fmt.Errorf("unknown device %q: auto, cpu, cuda and cuda:0, cuda:1 … are known", asked)
	}
	d, err := cuda.New(cuda.Options{Ordinal: ordinal, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("device %s: %w (use --device cpu, or auto)", asked, err)
	}
	return d, nil
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
