//go:build !linux

package cpu

func mapMemory(n int, _ bool) ([]byte, error) { return make([]byte, n), nil }

func unmapMemory([]byte) {}

func memory() (total, free uint64) { return 0, 0 }
