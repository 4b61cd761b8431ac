package nvml

import (
	"errors"
	"os"
	"testing"
	"unsafe"
)

// at is memory that a call was given the address of.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// fakeLibrary has two GPUs; the second one does not answer.
func fakeLibrary() *Library {
	l := &Library{}
	l.fake = func(f function, args []uintptr) int {
		switch f {
		case deviceGetCount:
			*at[uint32](args[0]) = 2
		case deviceGetHandleByIndex:
			*at[uintptr](args[1]) = 100 + args[0]
		case deviceGetMemoryInfo:
			if args[0] != 100 {
				return 15
			}
			*at[memoryInfo](args[1]) = memoryInfo{total: 80 << 30, used: 3 << 30}
		case deviceGetName:
			copy(unsafe.Slice(at[byte](args[1]), args[2]), "GPU of the test\x00junk")
		case deviceGetUtilizationRates:
			return 3
		case deviceGetComputeRunningProcesses:
			list := unsafe.Slice(at[processInfo](args[2]), *at[uint32](args[1]))
			list[0] = processInfo{pid: uint32(os.Getpid()), used: 1 << 30}
			list[1] = processInfo{pid: 1, used: 2 << 30}
			list[2] = processInfo{pid: uint32(os.Getpid()), used: ^uint64(0)}
			*at[uint32](args[1]) = 3
		}
		return 0
	}
	return l
}

func TestGPUsThatAnswerAreDescribed(t *testing.T) {
	gpus, err := fakeLibrary().GPUs()
	if err == nil {
		t.Error("the GPU that does not answer is no error")
	}
	want := GPU{Name: "GPU of the test", Total: 80 << 30, Used: 3 << 30, Own: 1 << 30, Busy: -1}
	if len(gpus) != 1 || gpus[0] != want {
		t.Errorf("%+v", gpus)
	}
}

func TestRealGPUs(t *testing.T) {
	l, err := Open()
	if errors.Is(err, ErrNoLibrary) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	gpus, err := l.GPUs()
	if err != nil || len(gpus) == 0 {
		t.Fatalf("%v %v", gpus, err)
	}
	for _, g := range gpus {
		t.Logf("%+v", g)
		if g.Total == 0 || g.Used > g.Total || g.Name == "" {
			t.Errorf("%+v", g)
		}
	}
}
