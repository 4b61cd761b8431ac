package cpu

// available lists the levels of this machine, best first.
func available() []*kernels { return []*kernels{goKernels()} }
func pause(n int)           {}
