//go:build !amd64

package cpu

import "runtime"

// available lists the levels of this machine, best first.
func available() []*kernels { return []*kernels{goKernels()} }

// pause passes a little time.
func pause(int) { runtime.Gosched() }
