package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestCycles launches, asks and terminates 50 times and prints what is left each
// time: the process's memory, its goroutines and its open files must not grow. With
// the real small model: GODWIT_LONG=1 go test -run Cycles -v ./runtime/serve
func TestCycles(t *testing.T) {
	t.Run("tiny random model", func(t *testing.T) {
		n := 50
		if testing.Short() {
			n = 12
		}
		cycles(t, tiny(t), n, 24)
	})
	t.Run("SmolLM2-135M", func(t *testing.T) {
		if os.Getenv("GODWIT_LONG") == "" {
			t.Skip("GODWIT_LONG is not set")
		}
		c := Default()
		c.Model, c.ServedName, c.Port, c.MaxTotalTokens = realModel(t), "smollm2", 0, 4096
		cycles(t, c, 50, 64)
	})
}

// realModel is the path of the small real model.
func realModel(t *testing.T) string {
	if p := os.Getenv("GODWIT_TEST_MODEL"); p != "" {
		return p
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Skip("no user cache directory: ", err)
	}
	p := filepath.Join(dir, "godwit", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	if _, err := os.Stat(p); err != nil {
		t.Skip("the real model is not in the cache: run `just model`")
	}
	return p
}

// left is what a process holds between two launches.
type left struct {
	rss               int64 // bytes; 0 where /proc is missing
	goroutines, files int
	took              time.Duration
}

func measure(took time.Duration) left {
	l := left{goroutines: runtime.NumGoroutine(), took: took}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			l.rss = pages * int64(os.Getpagesize())
		}
	}
	if d, err := os.ReadDir("/proc/self/fd"); err == nil {
		l.files = len(d)
	}
	return l
}

// cycles runs n launches; memory may grow by at most slackMB after the first few.
func cycles(t *testing.T, c Config, n int, slackMB int64) {
	const warm = 5 // launches after which the heap has its size
	first := runtime.NumGoroutine()
	var all []left
	for i := range n {
		began := time.Now()
		s, err := Start(c, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Wait(t.Context()); err != nil {
			s.Close(0)
			t.Fatal(err)
		}
		status, body := post(t, s.URL()+"/v1/completions",
			fmt.Sprintf(`{"model":%q,"prompt":"cycle %d of the","max_tokens":8,"ignore_eos":true}`, c.ServedName, i))
		if status != 200 || !strings.Contains(body, `"completion_tokens":8`) {
			t.Errorf("cycle %d: %d %s", i+1, status, body)
		}
		if err := s.Close(0); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		settle(first)
		all = append(all, measure(took))
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%6s %9s %11s %6s %8s\n", "cycle", "RSS", "goroutines", "files", "time")
	for i, l := range all {
		if i == 0 || i == 1 || (i+1)%5 == 0 {
			fmt.Fprintf(&table, "%6d %6.1f MB %11d %6d %6.2f s\n", i+1, float64(l.rss)/1e6, l.goroutines, l.files, l.took.Seconds())
		}
	}
	t.Logf("%d launches of %s:\n%s", n, filepath.Base(c.Model), table.String())
	a, z := all[min(warm, n)-1], all[n-1]
	if z.goroutines > first {
		t.Errorf("goroutines: %d before, %d after %d launches", first, z.goroutines, n)
	}
	if z.files > a.files {
		t.Errorf("open files: %d after %d launches, %d after %d", a.files, min(warm, n), z.files, n)
	}
	if grown := z.rss - a.rss; grown > slackMB<<20 {
		t.Errorf("memory grew by %.1f MB between launch %d and launch %d", float64(grown)/1e6, min(warm, n), n)
	}
}
