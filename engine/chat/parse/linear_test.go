//go:build unix

package parse

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// worked is the processor time that this process has used.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestLinearTime feeds much of what is worst for each parser, byte by byte. It looks at
// the processor's time, which other processes do not use up.
func TestLinearTime(t *testing.T) {
	size := 1 << 16
	if testing.Short() {
		size = 1 << 14
	}
	for _, p := range allPlans() {
		if p.Reasoning != "" && (p.Reasoning != "qwen3" && p.Reasoning != "gpt-oss" || p.ToolCalls != "") {
			continue
		}
		m := append(p.Markers(), "x")
		for _, unit := range []string{" ", "<", "[", "{", `{"name":"now","arguments":{"a":"`, "[now(", m[0], m[0][:len(m[0])/2+1], "`", "\n", `"`} {
			text := strings.Repeat(unit, size/len(unit))
			start := worked(t)
			s := NewSplitter(p)
			for i := range len(text) {
				s.Feed(text[i : i+1])
			}
			s.End(true)
			if d := worked(t) - start; d > 5*time.Second {
				t.Errorf("%s and %s: %d bytes of %q took %v", p.Reasoning, p.ToolCalls, size, unit, d)
			}
		}
	}
}
