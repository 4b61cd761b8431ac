// Package driver binds the CUDA driver (libcuda.so.1) without cgo and without a
// toolkit: the library comes with the graphics driver, and its functions are called
// through purego. Every failure is an Error with the name of the call.
//
// A context belongs to the thread that made it current. Callers lock their goroutine
// to its thread for a run of calls and begin it with Context.Enter:
//
//	lib, err := driver.Open()
//	dev, err := lib.Device(0)
//	ctx, err := dev.Retain()
//	runtime.LockOSThread(); defer runtime.UnlockOSThread()
//	ctx.Enter()
//	p, err := ctx.Alloc(bytes)
package driver

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"unsafe"
)

// MinVersion is the oldest driver interface that works: 12.0, the drivers of the 525
// series. Programmatic dependent launch and cuLaunchKernelEx came with it.
const MinVersion = 12000

// ErrNoDriver means that this machine has no CUDA driver.
var ErrNoDriver = errors.New("no CUDA driver on this machine")

// ErrNoDevice means that there is a driver but no GPU that it can use.
var ErrNoDevice = errors.New("the CUDA driver finds no GPU")

// Error is a failed call of the driver.
type Error struct {
	Call string // "cuMemAlloc_v2"
	Code int    // CUresult
	Name string // "CUDA_ERROR_OUT_OF_MEMORY"
	Text string // the driver's own words
}

func (e *Error) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%s: %s (%d)", e.Call, e.Name, e.Code)
	}
	return fmt.Sprintf("%s: %s (%d): %s", e.Call, e.Name, e.Code, e.Text)
}

// Codes that callers tell apart.
const (
	OutOfMemory = 2
	noDevice    = 100
)

// IsOutOfMemory reports whether err is the driver's lack of device memory.
func IsOutOfMemory(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == OutOfMemory
}

// Library is the loaded driver. It may be used by any number of goroutines.
type Library struct {
	address [symbolCount]uintptr
	fake    func(s symbol, args []uintptr) int // tests
	version int
}

// Open loads and initialises the driver of this machine.
func Open() (*Library, error) {
	l := &Library{}
	if err := l.bind(); err != nil {
		return nil, err
	}
	return l, l.start()
}

// start initialises the driver and checks its version.
func (l *Library) start() error {
	err := l.call(cuInit, 0)
	var e *Error
	if errors.As(err, &e) && e.Code == noDevice {
		return fmt.Errorf("%w (%w)", ErrNoDevice, err)
	}
	if err != nil {
		return err
	}
	var v int32
	if err := l.call(cuDriverGetVersion, uintptr(unsafe.Pointer(&v))); err != nil {
		return err
	}
	l.version = int(v)
	if l.version < MinVersion {
		return fmt.Errorf("the CUDA driver supports CUDA %d.%d, 12.0 is needed: install a driver of the 525 series or newer", v/1000, v%1000/10)
	}
	return nil
}

// hotArgs are argument lists for hot: purego would allocate one for each call.
var hotArgs = sync.Pool{New: func() any { return new([4]uintptr) }}

// Version is the CUDA version of the driver: 12090 for 12.9.
func (l *Library) Version() int { return l.version }

// check turns a result code into an error.
func (l *Library) check(s symbol, code int) error {
	if code == 0 {
		return nil
	}
	e := &Error{Call: s.String(), Code: code, Name: "CUDA error"}
	var text uintptr
	if l.raw(cuGetErrorName, uintptr(code), uintptr(unsafe.Pointer(&text))) == 0 && text != 0 {
		e.Name = cString(text)
	}
	text = 0
	if l.raw(cuGetErrorString, uintptr(code), uintptr(unsafe.Pointer(&text))) == 0 && text != 0 {
		e.Text = cString(text)
	}
	return e
}

// cString copies a C string that the driver owns.
func cString(at uintptr) string {
	var b []byte
	for i := uintptr(0); i < 1<<12; i++ {
		c := *(*byte)(unsafe.Add(*(*unsafe.Pointer)(unsafe.Pointer(&at)), i))
		if c == 0 {
			break
		}
		b = append(b, c)
	}
	return string(b)
}

// Device is a GPU.
type Device struct {
	l       *Library
	handle  int32
	Ordinal int
	Name    string
	Major   int // compute capability
	Minor   int
	SMs     int // multiprocessors
	L2      int // bytes
	Shared  int // most shared memory of a block, bytes
	Total   uint64
	ClockHz float64 // highest clock of the multiprocessors
}

// Count is the number of GPUs.
func (l *Library) Count() (int, error) {
	var n int32
	err := l.call(cuDeviceGetCount, uintptr(unsafe.Pointer(&n)))
	return int(n), err
}

// Device describes GPU number ordinal.
func (l *Library) Device(ordinal int) (*Device, error) {
	n, err := l.Count()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, ErrNoDevice
	}
	if ordinal < 0 || ordinal >= n {
		return nil, fmt.Errorf("there is no GPU %d: the driver finds %d, numbered from 0", ordinal, n)
	}
	d := &Device{l: l, Ordinal: ordinal}
	if err := l.call(cuDeviceGet, uintptr(unsafe.Pointer(&d.handle)), uintptr(ordinal)); err != nil {
		return nil, err
	}
	name := make([]byte, 256)
	if err := l.call(cuDeviceGetName, uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)-1), uintptr(d.handle)); err != nil {
		return nil, err
	}
	d.Name = string(name[:max(0, bytes.IndexByte(name, 0))])
	if err := l.call(cuDeviceTotalMem, uintptr(unsafe.Pointer(&d.Total)), uintptr(d.handle)); err != nil {
		return nil, err
	}
	kiloHz := 0
	for _, a := range []struct {
		to   *int
		code uintptr
	}{{&d.Major, 75}, {&d.Minor, 76}, {&d.SMs, 16}, {&d.L2, 38}, {&d.Shared, 97}, {&kiloHz, 13}} {
		var v int32
		if err := l.call(cuDeviceGetAttribute, uintptr(unsafe.Pointer(&v)), a.code, uintptr(d.handle)); err != nil {
			return nil, err
		}
		*a.to = int(v)
	}
	d.ClockHz = 1000 * float64(kiloHz)
	return d, nil
}

// Context is the primary context of a device, shared with every other user of the
// device in this process. Each Retain needs one Release.
type Context struct {
	l      *Library
	d      *Device
	handle uintptr
}

// Retain makes or finds the device's context.
func (d *Device) Retain() (*Context, error) {
	c := &Context{l: d.l, d: d}
	return c, d.l.call(cuDevicePrimaryCtxRetain, uintptr(unsafe.Pointer(&c.handle)), uintptr(d.handle))
}

// Release gives the context back; the last user's release frees all it holds.
func (c *Context) Release() error {
	return c.l.call(cuDevicePrimaryCtxRelease, uintptr(c.d.handle))
}

// Enter makes the context current on the calling thread.
func (c *Context) Enter() error { return c.l.hot(cuCtxSetCurrent, c.handle, 0, 0, 0) }
