package cpu

import "golang.org/x/sys/unix"

func mapMemory(n int, huge bool) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err == nil && huge {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a hint; fewer TLB misses where granted
	}
	return b, err
}

func unmapMemory(b []byte) { _ = unix.Munmap(b) } // fails only for a slice that Mmap did not return

// memory reports the machine's total and free memory.
func memory() (total, free uint64) {
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return 0, 0
	}
	unit := uint64(s.Unit)
	return uint64(s.Totalram) * unit, (uint64(s.Freeram) + uint64(s.Bufferram)) * unit
}
