package driver

import (
	"errors"
	"strings"
	"testing"
	"unsafe"
)

// fakeDriver answers calls from a table; calls without an entry succeed.
type fakeDriver struct {
	answers map[symbol]func(args []uintptr) int
	calls   []symbol
}

func (f *fakeDriver) library() *Library {
	return &Library{fake: func(s symbol, args []uintptr) int {
		f.calls = append(f.calls, s)
		if a := f.answers[s]; a != nil {
			return a(args)
		}
		return 0
	}}
}

func put[T any](at uintptr, v T) { **(**T)(unsafe.Pointer(&at)) = v }

func code(n int) func([]uintptr) int { return func([]uintptr) int { return n } }

var outOfMemory = []byte("CUDA_ERROR_OUT_OF_MEMORY\x00")

func working() *fakeDriver {
	return &fakeDriver{answers: map[symbol]func([]uintptr) int{
		cuDriverGetVersion: func(a []uintptr) int { put(a[0], int32(12090)); return 0 },
		cuDeviceGetCount:   func(a []uintptr) int { put(a[0], int32(2)); return 0 },
		cuDeviceGetName:    func(a []uintptr) int { put(a[0], [4]byte{'G', 'P', 'U', 0}); return 0 },
		cuDeviceGetAttribute: func(a []uintptr) int {
			put(a[0], int32(a[1]))
			return 0
		},
		cuMemAlloc: code(OutOfMemory),
		cuGetErrorName: func(a []uintptr) int {
			put(a[1], uintptr(unsafe.Pointer(&outOfMemory[0])))
			return 0
		},
	}}
}

func TestAnOldDriverIsToldWhatItLacks(t *testing.T) {
	f := working()
	f.answers[cuDriverGetVersion] = func(a []uintptr) int { put(a[0], int32(11040)); return 0 }
	if err := f.library().start(); err == nil || !strings.Contains(err.Error(), "CUDA 11.4") {
		t.Errorf("error %v does not name the version", err)
	}
}

func TestADriverWithoutAGPUIsErrNoDevice(t *testing.T) {
	f := working()
	f.answers[cuInit] = code(noDevice)
	if err := f.library().start(); !errors.Is(err, ErrNoDevice) {
		t.Errorf("error %v is not ErrNoDevice", err)
	}
	f = working()
	f.answers[cuDeviceGetCount] = func(a []uintptr) int { put(a[0], int32(0)); return 0 }
	if _, err := f.library().Device(0); !errors.Is(err, ErrNoDevice) {
		t.Errorf("error %v is not ErrNoDevice", err)
	}
}

func TestAMissingGPUIsNamed(t *testing.T) {
	for _, n := range []int{-1, 2} {
		if _, err := working().library().Device(n); err == nil || !strings.Contains(err.Error(), "finds 2") {
			t.Errorf("GPU %d: %v", n, err)
		}
	}
}

func TestADeviceIsDescribed(t *testing.T) {
	l := working().library()
	if err := l.start(); err != nil {
		t.Fatal(err)
	}
	d, err := l.Device(1)
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "GPU" || d.Major != 75 || d.Minor != 76 || d.SMs != 16 || d.L2 != 38 || l.Version() != 12090 {
		t.Errorf("%+v, version %d", d, l.Version())
	}
}

func TestAFailedCallNamesItselfAndTheError(t *testing.T) {
	c := &Context{l: working().library()}
	_, err := c.Alloc(1 << 40)
	if !IsOutOfMemory(err) {
		t.Fatalf("%v is not out of memory", err)
	}
	if want := "cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (2)"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestALaunchPassesItsGridAndParameters(t *testing.T) {
	f := working()
	var got launchConfig
	var value uint64
	f.answers[cuLaunchKernelEx] = func(a []uintptr) int {
		got = **(**launchConfig)(unsafe.Pointer(&a[0]))
		value = ***(***uint64)(unsafe.Pointer(&a[2]))
		return 0
	}
	c := &Context{l: f.library()}
	args := uint64(42)
	l := NewLaunch(Function{c: c, name: "k"}, unsafe.Pointer(&args))
	l.Overlap(true)
	l.Cluster(8)
	if err := l.Run(Stream{c: c, handle: 7}, [3]uint32{3, 2, 1}, [3]uint32{64, 1, 1}, 99); err != nil {
		t.Fatal(err)
	}
	if got.grid != [3]uint32{3, 2, 1} || got.block != [3]uint32{64, 1, 1} || got.shared != 99 || got.stream != 7 || got.count != 2 || got.attributes.id != 6 || value != 42 {
		t.Errorf("%+v, parameter %d", got, value)
	}
	f.answers[cuLaunchKernelEx] = code(1)
	if err := l.Run(Stream{c: c}, [3]uint32{3, 2, 1}, [3]uint32{64, 1, 1}, 0); err == nil || !strings.Contains(err.Error(), "kernel k, grid [3 2 1]") {
		t.Errorf("a failed launch says %v", err)
	}
}

func TestAFailedCaptureEndsCapturingAndFreesTheGraph(t *testing.T) {
	f := working()
	f.answers[cuStreamEndCapture] = func(a []uintptr) int { put(a[1], uintptr(5)); return 0 }
	c := &Context{l: f.library()}
	want := errors.New("no")
	if _, err := (Stream{c: c}).Capture(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if n := len(f.calls); n < 2 || f.calls[n-2] != cuStreamEndCapture || f.calls[n-1] != cuGraphDestroy {
		t.Errorf("calls %v", f.calls)
	}
}

func TestStructsHaveTheSizesOfTheDriversInterface(t *testing.T) {
	for _, c := range []struct {
		name       string
		have, want uintptr
	}{
		{"CUlaunchConfig", unsafe.Sizeof(launchConfig{}), 56},
		{"CUlaunchAttribute", unsafe.Sizeof(launchAttribute{}), 72},
		{"CUDA_MEMCPY2D", unsafe.Sizeof(copy2D{}), 128},
	} {
		if c.have != c.want {
			t.Errorf("%s has %d bytes, want %d", c.name, c.have, c.want)
		}
	}
}

func TestTheMachinesOwnDriverOpensOrSaysWhyNot(t *testing.T) {
	l, err := Open()
	if err != nil {
		if !errors.Is(err, ErrNoDriver) && !errors.Is(err, ErrNoDevice) {
			t.Errorf("unexpected: %v", err)
		}
		t.Skip(err)
	}
	if _, err := l.Device(0); err != nil {
		t.Error(err)
	}
}
