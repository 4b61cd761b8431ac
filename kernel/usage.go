package kernel

import (
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/kernel/nvml"
)

// GPU is the memory of one GPU in a usage reply.
type GPU struct {
	Name  string `json:"name"`
	Total uint64 `json:"memory_total"` // bytes
	Used  uint64 `json:"memory_used"`
	Own   uint64 `json:"memory_kernel"` // what the kernel itself uses; 0 also if it is not known
}

// usageMeter measures what the kernel and its child processes use. CPU shares are
// those since the last reading, the first time since the kernel's start.
type usageMeter struct {
	mu   sync.Mutex
	last sample
}

// sample is a reading of counters that only grow.
type sample struct {
	at         time.Time
	kernel     time.Duration // CPU time of the kernel and its children
	busy, host time.Duration // CPU time of the machine's cores: at work, and altogether
}

// processUsage is what a system can say; zero values are left out of the reply.
type processUsage struct {
	sample
	started time.Time
	memory  uint64         // bytes of the kernel and its children
	virtual map[string]any // the machine's memory, with the names that psutil gives
}

// read makes the content of a usage_reply, in ipykernel's words. gpu_memory is an
// addition: a list, empty without GPUs.
func (u *usageMeter) read(gpus func() []GPU) map[string]any {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := readUsage()
	reply := map[string]any{"status": "ok", "pid": os.Getpid(), "cpu_count": runtime.NumCPU()}
	if name, err := os.Hostname(); err == nil {
		reply["hostname"] = name
	}
	since := u.last
	if since.at.IsZero() {
		since.at = now.started
	}
	if wall := now.at.Sub(since.at); wall > 0 && !since.at.IsZero() {
		// Times of processes come in ticks: within a few milliseconds they would seem more than all cores.
		reply["kernel_cpu"] = min(percent(now.kernel-since.kernel, wall), 100*float64(runtime.NumCPU()))
	}
	if all := now.host - since.host; all > 0 {
		reply["host_cpu_percent"] = percent(now.busy-since.busy, all)
	}
	if now.memory > 0 {
		reply["kernel_memory"] = now.memory
	}
	if now.virtual != nil {
		reply["host_virtual_memory"] = now.virtual
	}
	u.last = now.sample
	if gpus == nil {
		gpus = nvidiaGPUs
	}
	list := gpus()
	if list == nil {
		list = []GPU{}
	}
	reply["gpu_memory"] = list
	return reply
}

// percent never is negative: children that ended take their time with them.
func percent(part, whole time.Duration) float64 {
	return max(0, 100*float64(part)/float64(whole))
}

func nvidiaGPUs() []GPU {
	l, err := nvml.Open()
	if err != nil {
		return nil
	}
	found, _ := l.GPUs() // those that answer
	var gpus []GPU
	for _, g := range found {
		gpus = append(gpus, GPU{Name: g.Name, Total: g.Total, Used: g.Used, Own: g.Own})
	}
	return gpus
}
