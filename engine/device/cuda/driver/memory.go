package driver

import "unsafe"

// Pointer is an address in device memory; 0 is none.
type Pointer uintptr

// Memory returns the free and total bytes of the device.
func (c *Context) Memory() (free, total uint64, err error) {
	err = c.l.call(cuMemGetInfo, uintptr(unsafe.Pointer(&free)), uintptr(unsafe.Pointer(&total)))
	return free, total, err
}

// Alloc takes device memory, aligned to 256 bytes; its content is undefined.
func (c *Context) Alloc(bytes int64) (Pointer, error) {
	var p uintptr
	err := c.l.call(cuMemAlloc, uintptr(unsafe.Pointer(&p)), uintptr(bytes))
	return Pointer(p), err
}

// Free gives device memory back. It waits for running work.
func (c *Context) Free(p Pointer) error { return c.l.call(cuMemFree, uintptr(p)) }

// AllocHost takes host memory that the device can reach directly.
func (c *Context) AllocHost(bytes int64) (Host, error) {
	const portable, mapped = 1, 2
	var p unsafe.Pointer
	if err := c.l.call(cuMemHostAlloc, uintptr(unsafe.Pointer(&p)), uintptr(bytes), portable|mapped); err != nil {
		return Host{}, err
	}
	return Host{p: p, n: int(bytes)}, nil
}

// FreeHost gives host memory back.
func (c *Context) FreeHost(h Host) error { return c.l.call(cuMemFreeHost, uintptr(h.p)) }

// Host is pinned host memory; the device reads and writes it at the same address.
type Host struct {
	p unsafe.Pointer
	n int
}

// Bytes is the memory itself; it ends with FreeHost.
func (h Host) Bytes() []byte { return unsafe.Slice((*byte)(h.p), h.n) }

// Pointer is its address for the device.
func (h Host) Pointer() Pointer { return Pointer(uintptr(h.p)) }

// Download copies device memory to the host and waits.
func (c *Context) Download(to []byte, from Pointer) error {
	if len(to) == 0 {
		return nil
	}
	return c.l.call(cuMemcpyDtoH, uintptr(unsafe.Pointer(&to[0])), uintptr(from), uintptr(len(to)))
}

// UploadAsync copies pinned memory to the device in the stream's order.
func (s Stream) UploadAsync(to Pointer, from Host, bytes int) error {
	return s.c.l.hot(cuMemcpyHtoDAsync, uintptr(to), uintptr(from.p), uintptr(bytes), s.handle)
}

// UploadBytes copies ordinary memory to the device in the stream's order; from may be
// changed when it returns.
func (s Stream) UploadBytes(to Pointer, from []byte) error {
	if len(from) == 0 {
		return nil
	}
	return s.c.l.call(cuMemcpyHtoDAsync, uintptr(to), uintptr(unsafe.Pointer(&from[0])), uintptr(len(from)), s.handle)
}

// DownloadAsync copies device memory to offset at of pinned memory, in order.
func (s Stream) DownloadAsync(to Host, at int, from Pointer, bytes int) error {
	return s.c.l.hot(cuMemcpyDtoHAsync, uintptr(to.p)+uintptr(at), uintptr(from), uintptr(bytes), s.handle)
}

// Copy copies device memory in the stream's order.
func (s Stream) Copy(to, from Pointer, bytes int64) error {
	return s.c.l.call(cuMemcpyDtoDAsync, uintptr(to), uintptr(from), uintptr(bytes), s.handle)
}

// copy2D is CUDA_MEMCPY2D.
type copy2D struct {
	srcX, srcY     uintptr
	srcType, _     uint32
	srcHost        uintptr
	srcDevice      uintptr
	srcArray       uintptr
	srcPitch       uintptr
	dstX, dstY     uintptr
	dstType, _     uint32
	dstHost        uintptr
	dstDevice      uintptr
	dstArray       uintptr
	dstPitch       uintptr
	width, height_ uintptr
}

// CopyRows copies rows of width bytes between device matrices of different pitch.
func (s Stream) CopyRows(to Pointer, toPitch int, from Pointer, fromPitch, width, rows int) error {
	const device = 2
	a := &copy2D{srcType: device, srcDevice: uintptr(from), srcPitch: uintptr(fromPitch), dstType: device, dstDevice: uintptr(to),
		dstPitch: uintptr(toPitch), width: uintptr(width), height_: uintptr(rows)}
	return s.c.l.call(cuMemcpy2DAsync, uintptr(unsafe.Pointer(a)), s.handle)
}

// Fill sets bytes of device memory in the stream's order.
func (s Stream) Fill(p Pointer, value byte, bytes int64) error {
	return s.c.l.call(cuMemsetD8Async, uintptr(p), uintptr(value), uintptr(bytes), s.handle)
}
