package driver

import (
	"encoding/binary"
	"unsafe"
)

// Stream is a queue of work on the device.
type Stream struct {
	c      *Context
	handle uintptr
}

// NewStream makes a queue that does not wait for the default one.
func (c *Context) NewStream() (Stream, error) {
	const nonBlocking = 1
	s := Stream{c: c}
	err := c.l.call(cuStreamCreate, uintptr(unsafe.Pointer(&s.handle)), nonBlocking)
	return s, err
}

// Wait returns when all work of the stream is done, with the first error of any.
func (s Stream) Wait() error { return s.c.l.hot(cuStreamSynchronize, s.handle, 0, 0, 0) }

// Behind makes what is put into the stream from now on wait for the event's point, which
// may lie in another stream.
func (s Stream) Behind(e Event) error { return s.c.l.hot(cuStreamWaitEvent, s.handle, e.handle, 0, 0) }

// Close destroys the stream.
func (s Stream) Close() error { return s.c.l.call(cuStreamDestroy, s.handle) }

// Event marks a point in a stream.
type Event struct {
	c      *Context
	handle uintptr
}

// NewEvent makes an event; with timing it can be used by Elapsed.
func (c *Context) NewEvent(timing bool) (Event, error) {
	const disableTiming = 2
	flags := uintptr(disableTiming)
	if timing {
		flags = 0
	}
	e := Event{c: c}
	err := c.l.call(cuEventCreate, uintptr(unsafe.Pointer(&e.handle)), flags)
	return e, err
}

// Record puts the event behind the stream's work so far.
func (e Event) Record(s Stream) error { return e.c.l.hot(cuEventRecord, e.handle, s.handle, 0, 0) }

// Wait returns when the event's point is reached.
func (e Event) Wait() error { return e.c.l.hot(cuEventSynchronize, e.handle, 0, 0, 0) }

// Milliseconds is the time from an earlier event to e.
func (e Event) Milliseconds(since Event) (float32, error) {
	var ms float32
	err := e.c.l.call(cuEventElapsedTime, uintptr(unsafe.Pointer(&ms)), since.handle, e.handle)
	return ms, err
}

// Since writes the milliseconds from an earlier event to e. It allocates nothing: ms lies
// on the heap and is kept by the caller.
func (e Event) Since(earlier Event, ms *float32) error {
	return e.c.l.hot(cuEventElapsedTime, uintptr(unsafe.Pointer(ms)), earlier.handle, e.handle, 0)
}

// Close destroys the event.
func (e Event) Close() error { return e.c.l.call(cuEventDestroy, e.handle) }

// Module is loaded device code.
type Module struct {
	c      *Context
	handle uintptr
}

// LoadModule loads a cubin or PTX text.
func (c *Context) LoadModule(image []byte) (Module, error) {
	m := Module{c: c}
	image = append(image[:len(image):len(image)], 0) // PTX ends with a zero
	err := c.l.call(cuModuleLoadData, uintptr(unsafe.Pointer(&m.handle)), uintptr(unsafe.Pointer(&image[0])))
	return m, err
}

// Unload frees the code.
func (m Module) Unload() error { return m.c.l.call(cuModuleUnload, m.handle) }

// Function is a kernel.
type Function struct {
	c      *Context
	handle uintptr
	name   string
}

// Function finds a kernel by its name.
func (m Module) Function(name string) (Function, error) {
	f := Function{c: m.c, name: name}
	s := append([]byte(name), 0)
	err := m.c.l.call(cuModuleGetFunction, uintptr(unsafe.Pointer(&f.handle)), m.handle, uintptr(unsafe.Pointer(&s[0])))
	return f, err
}

// Uint32 reads a global variable.
func (m Module) Uint32(name string) (uint32, error) {
	var at, size uintptr
	s := append([]byte(name), 0)
	if err := m.c.l.call(cuModuleGetGlobal, uintptr(unsafe.Pointer(&at)), uintptr(unsafe.Pointer(&size)), m.handle, uintptr(unsafe.Pointer(&s[0]))); err != nil {
		return 0, err
	}
	b := make([]byte, 4)
	if err := m.c.Download(b, Pointer(at)); err != nil {
		return 0, err
	}
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24, nil
}

// Name is the kernel's name.
func (f Function) Name() string { return f.name }

// AllowShared raises the dynamic shared memory that launches may ask for.
func (f Function) AllowShared(bytes int) error {
	const maxDynamicShared = 8
	return f.c.l.call(cuFuncSetAttribute, f.handle, maxDynamicShared, uintptr(bytes))
}

// Resources are the registers per thread and the bytes of local memory of a kernel.
func (f Function) Resources() (registers, local int, err error) {
	const localBytes, registerCount = 3, 4
	var r, n int32
	if err := f.c.l.call(cuFuncGetAttribute, uintptr(unsafe.Pointer(&r)), registerCount, f.handle); err != nil {
		return 0, 0, err
	}
	err = f.c.l.call(cuFuncGetAttribute, uintptr(unsafe.Pointer(&n)), localBytes, f.handle)
	return int(r), int(n), err
}

// launchAttribute is CUlaunchAttribute: an id and 64 bytes of value.
type launchAttribute struct {
	id, _ uint32
	value [64]byte
}

// launchConfig is CUlaunchConfig.
type launchConfig struct {
	grid, block [3]uint32
	shared      uint32
	_           uint32
	stream      uintptr
	attributes  *launchAttribute
	count       uint32
	_           uint32
}

// Launch is a kernel with its one parameter, a struct that the caller may change
// between runs. It lives on the heap and is reused, so that a run allocates nothing.
type Launch struct {
	f          Function
	config     launchConfig
	attributes [2]launchAttribute
	overlap    bool
	cluster    int
	params     [1]unsafe.Pointer
}

// NewLaunch prepares a kernel that takes *args by value.
func NewLaunch(f Function, args unsafe.Pointer) *Launch {
	l := &Launch{f: f, params: [1]unsafe.Pointer{args}}
	l.config.attributes = &l.attributes[0]
	return l
}

// Overlap lets the kernel start before the one that it follows in the stream has ended
// (programmatic dependent launch, compute capability 9.0 and newer), or forbids it
// again. Such a kernel must wait by itself before it touches anything.
func (l *Launch) Overlap(on bool) {
	l.overlap = on
	l.arrange()
}

// Cluster makes n neighbouring blocks along x a cluster (compute capability 9.0 and
// newer); 1 makes none.
func (l *Launch) Cluster(n int) {
	l.cluster = n
	l.arrange()
}

// arrange lists the attributes that are on.
func (l *Launch) arrange() {
	const clusterDimension, programmaticStreamSerialization = 4, 6
	l.config.count = 0
	add := func(id uint32, words ...uint32) {
		a := &l.attributes[l.config.count]
		*a = launchAttribute{id: id}
		for i, w := range words {
			binary.NativeEndian.PutUint32(a.value[4*i:], w)
		}
		l.config.count++
	}
	if l.overlap {
		add(programmaticStreamSerialization, 1)
	}
	if l.cluster > 1 {
		add(clusterDimension, uint32(l.cluster), 1, 1)
	}
}

// Run starts the kernel in the stream.
func (l *Launch) Run(s Stream, grid, block [3]uint32, shared int) error {
	l.config.grid, l.config.block, l.config.shared, l.config.stream = grid, block, uint32(shared), s.handle
	if err := s.c.l.hot(cuLaunchKernelEx, uintptr(unsafe.Pointer(&l.config)), l.f.handle, uintptr(unsafe.Pointer(&l.params[0])), 0); err != nil {
		return &launchError{l.f.name, grid, block, shared, err}
	}
	return nil
}
