package kernel

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the kernel's process times on every Linux that Go supports.
const tick = time.Second / 100

// readUsage reads /proc; what it does not find stays zero.
func readUsage() processUsage {
	u := processUsage{sample: sample{at: time.Now()}}
	tree := descendants(os.Getpid())
	for _, pid := range tree {
		stat, err := readStat(pid)
		if err != nil {
			continue
		}
		u.kernel += stat.cpu
		u.memory += processMemory(pid)
		if pid == os.Getpid() {
			u.started = bootTime().Add(stat.started)
		}
	}
	u.busy, u.host = hostTimes()
	u.virtual = hostMemory()
	return u
}

// procStat is what /proc/PID/stat says.
type procStat struct {
	parent       int
	cpu, started time.Duration // started: since boot
}

func readStat(pid int) (procStat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(text)
}

// parseStat reads fields by their place behind the command's name, which may contain
// anything.
func parseStat(text []byte) (procStat, error) {
	end := bytes.LastIndexByte(text, ')')
	f := strings.Fields(string(text[end+1:]))
	if end < 0 || len(f) < 20 {
		return procStat{}, fmt.Errorf("process status of %d fields", len(f))
	}
	n := func(i int) time.Duration { // field i of proc(5), where the state is number 3
		v, _ := strconv.ParseInt(f[i-3], 10, 63)
		return time.Duration(v)
	}
	return procStat{parent: int(n(4)), cpu: (n(14) + n(15)) * tick, started: n(22) * tick}, nil
}

// descendants lists a process and all below it.
func descendants(root int) []int {
	children := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[1-9]*")
	for _, d := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(d)); err == nil {
			if stat, err := readStat(pid); err == nil {
				children[stat.parent] = append(children[stat.parent], pid)
			}
		}
	}
	list := []int{root}
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i]]...)
	}
	return list
}

// processMemory is a process's share of memory: pages that it shares count by parts.
// Where that is not told it is the resident size.
func processMemory(pid int) uint64 {
	if f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid)); err == nil {
		defer f.Close()
		if kb := colonFields(f)["Pss"]; kb > 0 {
			return kb << 10
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if f := strings.Fields(string(text)); err == nil && len(f) > 1 {
		pages, _ := strconv.ParseUint(f[1], 10, 64)
		return pages * uint64(os.Getpagesize())
	}
	return 0
}

// colonFields reads lines like "Name:   12 kB".
func colonFields(f *os.File) map[string]uint64 {
	fields := map[string]uint64{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, rest, ok := strings.Cut(lines.Text(), ":")
		if v := strings.Fields(rest); ok && len(v) > 0 {
			if n, err := strconv.ParseUint(v[0], 10, 64); err == nil {
				fields[name] = n
			}
		}
	}
	return fields
}

func bootTime() time.Time {
	text, _ := os.ReadFile("/proc/stat")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "btime "); ok {
			s, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return time.Unix(s, 0)
		}
	}
	return time.Now()
}

// hostTimes reads the sums over all cores.
func hostTimes() (busy, all time.Duration) {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	f := strings.Fields(line)
	if len(f) < 6 || f[0] != "cpu" {
		return 0, 0
	}
	for i, v := range f[1:min(len(f), 9)] { // guest times are in user time already
		n, _ := strconv.ParseInt(v, 10, 63)
		all += time.Duration(n) * tick
		if i != 3 && i != 4 { // idle, waiting for a disk
			busy += time.Duration(n) * tick
		}
	}
	return busy, all
}

// hostMemory is /proc/meminfo under psutil's names, in bytes.
func hostMemory() map[string]any {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	kb := colonFields(f)
	total, available := kb["MemTotal"], kb["MemAvailable"]
	if total == 0 {
		return nil
	}
	cached := kb["Cached"] + kb["SReclaimable"]
	used := total - min(total, available)
	m := map[string]any{"percent": float64(used) / float64(total) * 100}
	for name, v := range map[string]uint64{
		"total": total, "available": available, "used": used, "free": kb["MemFree"], "active": kb["Active"],
		"inactive": kb["Inactive"], "buffers": kb["Buffers"], "cached": cached, "shared": kb["Shmem"], "slab": kb["Slab"],
	} {
		m[name] = v << 10
	}
	return m
}
