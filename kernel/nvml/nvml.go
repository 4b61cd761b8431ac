// Package nvml reads the memory of NVIDIA GPUs from the management library that comes
// with the graphics driver (libnvidia-ml.so.1). Unlike the CUDA driver it needs no
// context on a GPU, which would itself take some hundred MiB there.
package nvml

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"
)

// ErrNoLibrary means that this machine has no management library.
var ErrNoLibrary = errors.New("no NVIDIA management library on this machine")

// GPU is the state of one GPU.
type GPU struct {
	Name        string
	Total, Used uint64 // bytes
	Own         uint64 // bytes that this process uses; 0 also if the library cannot tell, as in some containers
	Busy        int    // percent of the time that kernels ran, lately; -1 if unknown
}

// function is an entry of the library.
type function int

const (
	nvmlInit function = iota
	deviceGetCount
	deviceGetHandleByIndex
	deviceGetName
	deviceGetMemoryInfo
	deviceGetUtilizationRates
	deviceGetComputeRunningProcesses
	functionCount
)

var names = [functionCount]string{
	nvmlInit: "nvmlInit_v2", deviceGetCount: "nvmlDeviceGetCount_v2", deviceGetHandleByIndex: "nvmlDeviceGetHandleByIndex_v2",
	deviceGetName: "nvmlDeviceGetName", deviceGetMemoryInfo: "nvmlDeviceGetMemoryInfo",
	deviceGetUtilizationRates: "nvmlDeviceGetUtilizationRates", deviceGetComputeRunningProcesses: "nvmlDeviceGetComputeRunningProcesses_v3",
}

// Library is the loaded library.
type Library struct {
	address [functionCount]uintptr
	fake    func(f function, args []uintptr) int // tests
}

var open = sync.OnceValues(func() (*Library, error) {
	l := &Library{}
	if err := l.bind(); err != nil {
		return nil, err
	}
	return l, l.check(nvmlInit, l.call(nvmlInit))
})

// Open loads the library once for the process.
func Open() (*Library, error) { return open() }

func (l *Library) check(f function, code int) error {
	if code == 0 {
		return nil
	}
	return fmt.Errorf("%s: error %d", names[f], code)
}

// GPUs describes all GPUs that the process may see in the library's order. A GPU that
// does not answer is left out; the error is the first one's.
func (l *Library) GPUs() (gpus []GPU, err error) {
	var n uint32
	if err := l.check(deviceGetCount, l.call(deviceGetCount, uintptr(unsafe.Pointer(&n)))); err != nil {
		return nil, err
	}
	for i := range n {
		g, e := l.gpu(i)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		gpus = append(gpus, g)
	}
	return gpus, err
}

// memoryInfo is nvmlMemory_t.
type memoryInfo struct{ total, free, used uint64 }

func (l *Library) gpu(i uint32) (GPU, error) {
	var handle uintptr
	if err := l.check(deviceGetHandleByIndex, l.call(deviceGetHandleByIndex, uintptr(i), uintptr(unsafe.Pointer(&handle)))); err != nil {
		return GPU{}, err
	}
	var m memoryInfo
	if err := l.check(deviceGetMemoryInfo, l.call(deviceGetMemoryInfo, handle, uintptr(unsafe.Pointer(&m)))); err != nil {
		return GPU{}, err
	}
	g := GPU{Name: "NVIDIA GPU", Total: m.total, Used: m.used, Busy: -1, Own: l.own(handle)}
	name := make([]byte, 96)
	if l.call(deviceGetName, handle, uintptr(unsafe.Pointer(&name[0])), uintptr(len(name))) == 0 {
		text, _, _ := bytes.Cut(name, []byte{0})
		g.Name = string(text)
	}
	var rates [2]uint32 // GPU, memory
	if l.call(deviceGetUtilizationRates, handle, uintptr(unsafe.Pointer(&rates[0]))) == 0 {
		g.Busy = int(rates[0])
	}
	return g, nil
}

// processInfo is nvmlProcessInfo_t.
type processInfo struct {
	pid          uint32
	_            uint32
	used         uint64
	gpu, compute uint32
}

// own is what this process uses on a GPU.
func (l *Library) own(handle uintptr) (bytes uint64) {
	list := make([]processInfo, 256)
	n := uint32(len(list))
	if l.call(deviceGetComputeRunningProcesses, handle, uintptr(unsafe.Pointer(&n)), uintptr(unsafe.Pointer(&list[0]))) != 0 {
		return 0
	}
	for _, p := range list[:min(int(n), len(list))] {
		if p.pid == uint32(os.Getpid()) && p.used != ^uint64(0) {
			bytes += p.used
		}
	}
	return bytes
}
