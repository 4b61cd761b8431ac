package session

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Some mistakes end a Go process where no recover can help. What follows turns those
// that can be seen in time into panics and messages of the cell.

// arrive makes the calling goroutine one whose panics the run receives.
func (r *run) arrive() {
	r.s.live.Store(goroutine(), r)
	debug.SetPanicOnFault(true) // an address that is not mapped is a panic, not the end
}

// guarded calls a method of a cell's type for compiled code. Where that runs on a
// goroutine of its own, a panic would end the process: there it is reported to the cell
// and the method gives zero values.
func (s *Session) guarded(name string, t reflect.Type, call func() []reflect.Value) (out []reflect.Value) {
	if _, ok := s.live.Load(goroutine()); ok {
		return call()
	}
	r := s.current()
	if r == nil {
		return call()
	}
	finished := false
	defer func() {
		v := recover()
		if finished || v == nil {
			return
		}
		r.tell(v)
		if name == "ServeHTTP" {
			panic(http.ErrAbortHandler) // the server closes the connection and says no more
		}
		out = make([]reflect.Value, t.NumOut())
		for i := range out {
			out[i] = reflect.Zero(t.Out(i))
		}
		if n := len(out); n > 0 && t.Out(n-1) == errorType {
			out[n-1] = reflect.ValueOf(fmt.Errorf("panic: %v", v)).Convert(errorType)
		}
	}()
	out = call()
	finished = true
	return out
}

// unlockers are the methods of sync that end the process when nothing is locked.
func unlockers() map[string]reflect.Value {
	return map[string]reflect.Value{
		"(*sync.Mutex).Unlock": reflect.ValueOf(func(m *sync.Mutex) {
			if m.TryLock() {
				m.Unlock()
				panic(runtimeError("sync: unlock of unlocked mutex"))
			}
			m.Unlock()
		}),
		"(*sync.RWMutex).Unlock": reflect.ValueOf(func(m *sync.RWMutex) {
			if m.TryRLock() {
				m.RUnlock()
				panic(runtimeError("sync: Unlock of unlocked RWMutex"))
			}
			m.Unlock()
		}),
		"(*sync.RWMutex).RUnlock": reflect.ValueOf(func(m *sync.RWMutex) {
			if m.TryLock() {
				m.Unlock()
				panic(runtimeError("sync: RUnlock of unlocked RWMutex"))
			}
			m.RUnlock()
		}),
	}
}

// afterFunc is context.AfterFunc: what it starts belongs to the cell.
func (s *Session) afterFunc(ctx context.Context, f func()) func() bool {
	r := s.current()
	return context.AfterFunc(ctx, func() { s.callback(r, f) })
}

// tooDeep ends a goroutine that prints or encodes a value without end.
func (s *Session) tooDeep() {
	if stackUsed() > stackLimit {
		s.overflow(s.current())
	}
}

// endless reports whether fmt would print a value without end: it holds itself.
func endless(args []any) bool {
	for _, a := range args {
		v := reflect.ValueOf(a)
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if holdsItself(v, 0) {
			return true
		}
	}
	return false
}

// deepest is how deep values may be nested that are printed.
const deepest = 100_000

func holdsItself(v reflect.Value, depth int) bool {
	if depth > deepest {
		return true
	}
	switch v.Kind() {
	case reflect.Interface:
		return !v.IsNil() && holdsItself(v.Elem(), depth+1)
	case reflect.Map:
		if !mayHoldItself(v.Type().Elem()) {
			return false
		}
		for it := v.MapRange(); it.Next(); {
			if holdsItself(it.Value(), depth+1) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		if !mayHoldItself(v.Type().Elem()) {
			return false
		}
		for i := range v.Len() {
			if holdsItself(v.Index(i), depth+1) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); mayHoldItself(f.Type()) && holdsItself(f, depth+1) {
				return true
			}
		}
	}
	return false
}

// cyclic remembers what mayHoldItself found: reflect.Type -> bool.
var cyclic sync.Map

// mayHoldItself looks at the type only; fmt follows no pointers below the top.
func mayHoldItself(t reflect.Type) bool {
	if known, ok := cyclic.Load(t); ok {
		return known.(bool)
	}
	may := reaches(t, map[reflect.Type]bool{})
	cyclic.Store(t, may)
	return may
}

// reaches reports whether a type holds an interface or itself.
func reaches(t reflect.Type, above map[reflect.Type]bool) bool {
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct:
	default:
		return false
	}
	if above[t] {
		return true
	}
	above[t] = true
	defer delete(above, t)
	if t.Kind() != reflect.Struct {
		return reaches(t.Elem(), above)
	}
	for i := range t.NumField() {
		if reaches(t.Field(i).Type, above) {
			return true
		}
	}
	return false
}

// printable refuses what fmt would print until the process ends.
func printable(args []any) {
	if endless(args) {
		panic(runtimeError("stack overflow: the value to be printed holds itself"))
	}
}

// A cell may use the machine's memory up to memoryShare; the rest is for the process
// itself and for everything else.
const memoryShare = 0.9

// memoryLimit is how many bytes this process may hold: of the machine, or of the
// control group that it runs in.
var memoryLimit = sync.OnceValue(func() uint64 {
	limit := uint64(math.MaxInt64)
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(name); err == nil {
			if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
				limit = min(limit, n)
			}
		}
	}
	return uint64(memoryShare * float64(min(limit, meminfo("MemTotal"))))
})

// meminfo reads a line of the kernel's account; without one there is no limit.
func meminfo(name string) uint64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	for sc := bufio.NewScanner(bytes.NewReader(text)); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), name+":"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 53)
			if err == nil {
				return n << 10
			}
		}
	}
	return math.MaxInt64
}

// held is how much memory the process holds.
func held() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64() - sample[1].Value.Uint64()
}

// limit is how much memory cells of this session may make the process hold.
func (s *Session) limit() uint64 {
	if s.opts.MemoryLimit > 0 {
		return s.opts.MemoryLimit
	}
	return memoryLimit()
}

// room panics where n elements of a size cannot fit into the memory: the runtime
// would end the process.
func (s *Session) room(n int, size uintptr) {
	if n <= 0 || size == 0 {
		return
	}
	if float64(n)*float64(size) <= float64(s.limit()) {
		return
	}
	panic(runtimeError(fmt.Sprintf("out of memory: %d elements of %d bytes; a cell may use %d MiB", n, size, s.limit()>>20)))
}

// watchMemory ends a run that makes the process hold more than its limit.
func (r *run) watchMemory() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.done:
			return
		case <-tick.C:
		}
		if r.alive.Load() == 0 {
			return
		}
		if held() <= r.s.limit() {
			continue
		}
		debug.FreeOSMemory() // garbage does not count
		if held() > r.s.limit() {
			r.cancel(&Error{Name: "OutOfMemory", Message: fmt.Sprintf("out of memory: the process holds %d MiB, the limit is %d MiB; the cell was stopped, its variables may still hold the memory", held()>>20, r.s.limit()>>20)})
			runtime.GC()
			return
		}
	}
}
