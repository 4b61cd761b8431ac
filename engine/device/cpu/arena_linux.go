package cpu

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func mapMemory(n int, huge bool) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err == nil && huge {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a hint; fewer TLB misses where granted
	}
	return b, err
}

func unmapMemory(b []byte) { _ = unix.Munmap(b) } // fails only for a slice that Mmap did not return

// memory reports the machine's total memory and what can be had without swapping.
func memory() (total, free uint64) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseUint(string(f[1]), 10, 54)
		switch string(f[0]) {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			free = kib << 10
		}
	}
	return total, free
}
