package session

import (
	"fmt"
	"math"
	"reflect"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// wait is the channel that interrupts the calling goroutine; never nil.
func (s *Session) wait() <-chan struct{} {
	r := s.current()
	if r == nil {
		return make(chan struct{})
	}
	return r.done
}

func (s *Session) sendOn(ch, v reflect.Value) {
	if !ch.IsNil() && ch.TrySend(v) {
		return
	}
	done := s.wait()
	cases := []reflect.SelectCase{{Dir: reflect.SelectSend, Chan: ch, Send: v}, {Dir: reflect.SelectRecv, Chan: reflect.ValueOf(done)}}
	if i, _, _ := reflect.Select(cases); i == 1 {
		halt()
	}
}

func (s *Session) receiveFrom(ch reflect.Value) (reflect.Value, bool) {
	if !ch.IsNil() {
		if v, ok := ch.TryRecv(); v.IsValid() {
			return v, ok
		}
	}
	done := s.wait()
	cases := []reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: ch}, {Dir: reflect.SelectRecv, Chan: reflect.ValueOf(done)}}
	i, v, ok := reflect.Select(cases)
	if i == 1 {
		halt()
	}
	return v, ok
}

// selectFrom is a select statement. args are the operands of the clauses in order;
// the results are the chosen clause, whether a receive got a sent value, and the
// received value of each receive clause.
func (s *Session) selectFrom(dirs []reflect.SelectDir, args []reflect.Value, out []reflect.Type) []reflect.Value {
	done := s.wait()
	cases := make([]reflect.SelectCase, 0, len(dirs)+1)
	slot := make([]int, len(dirs))
	next, waits := 2, true
	for i, d := range dirs {
		c := reflect.SelectCase{Dir: d}
		switch d {
		case reflect.SelectSend:
			c.Chan, c.Send = args[0], args[1]
			args = args[2:]
		case reflect.SelectRecv:
			c.Chan, args = args[0], args[1:]
			slot[i] = next
			next++
		default:
			waits = false
		}
		cases = append(cases, c)
	}
	if waits {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(done)})
	}
	i, v, ok := reflect.Select(cases)
	if i == len(dirs) {
		halt()
	}
	results := make([]reflect.Value, len(out))
	for k, t := range out {
		results[k] = reflect.Zero(t)
	}
	results[0], results[1] = reflect.ValueOf(i), reflect.ValueOf(ok)
	if dirs[i] == reflect.SelectRecv {
		results[slot[i]] = v
	}
	return results
}

// sleep is time.Sleep that an interrupt ends.
func (s *Session) sleep(d time.Duration) {
	if d <= 0 {
		runtime.Gosched()
		s.checkpoint()
		return
	}
	done := s.wait()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		s.checkpoint()
	case <-done:
		halt()
	}
}

// acquire polls a lock so that an interrupt can end the wait.
func (s *Session) acquire(try func() bool) {
	pause := 10 * time.Microsecond
	for i := 0; !try(); i++ {
		if i < 20 {
			runtime.Gosched()
			continue
		}
		s.sleep(pause)
		pause = min(2*pause, 2*time.Millisecond)
	}
}

// await runs a blocking wait elsewhere; an interrupt leaves it behind.
func (s *Session) await(f func()) {
	done := s.wait()
	ended := make(chan any, 1)
	go func() { // ends with f; the channel is buffered, so an interrupt does not leak it
		defer func() { ended <- recover() }()
		f()
	}()
	select {
	case v := <-ended:
		if v != nil {
			panic(v)
		}
	case <-done:
		halt()
	}
}

// cancellable returns our own version of a blocking method of sync; the zero Value
// for all others.
func (s *Session) cancellableMethods() map[string]reflect.Value {
	return map[string]reflect.Value{
		"(*sync.Mutex).Lock":     reflect.ValueOf(func(m *sync.Mutex) { s.acquire(m.TryLock) }),
		"(*sync.RWMutex).Lock":   reflect.ValueOf(func(m *sync.RWMutex) { s.acquire(m.TryLock) }),
		"(*sync.RWMutex).RLock":  reflect.ValueOf(func(m *sync.RWMutex) { s.acquire(m.TryRLock) }),
		"(*sync.WaitGroup).Wait": reflect.ValueOf(func(w *sync.WaitGroup) { s.await(w.Wait) }),
		"(*sync.WaitGroup).Go": reflect.ValueOf(func(w *sync.WaitGroup, f func()) {
			w.Add(1)
			s.spawn(func() {
				defer w.Done()
				f()
			})
		}),
	}
}

// Values of built-in operations over any layout.

func castValue(v reflect.Value, t reflect.Type) reflect.Value {
	out := reflect.New(t).Elem()
	switch {
	case t.Kind() == reflect.UnsafePointer && v.Kind() == reflect.Pointer:
		out.SetPointer(v.UnsafePointer())
		return out
	case v.Kind() == reflect.UnsafePointer && t.Kind() == reflect.Pointer:
		return reflect.NewAt(t.Elem(), v.UnsafePointer()).Convert(t)
	case v.Kind() == reflect.Uintptr && t.Kind() == reflect.UnsafePointer:
		word := uintptr(v.Uint())
		out.SetPointer(*(*unsafe.Pointer)(unsafe.Pointer(&word)))
		return out
	case v.Kind() == reflect.UnsafePointer && t.Kind() == reflect.Uintptr:
		out.SetUint(uint64(uintptr(v.UnsafePointer())))
		return out
	}
	return v.Convert(t)
}

// sliceValue slices a string, a slice or the array behind a pointer. given says which
// of low, high and max there are.
func sliceValue(x reflect.Value, bounds []reflect.Value, given [3]bool) reflect.Value {
	capacity, what := 0, "length"
	switch x.Kind() {
	case reflect.Pointer:
		if x.IsNil() {
			panic(errNilDereference)
		}
		x = x.Elem()
		capacity = x.Len()
	case reflect.String:
		capacity = x.Len()
	default:
		capacity, what = x.Cap(), "capacity"
	}
	at := [3]int{0, x.Len(), capacity}
	for i, is := range given {
		if is {
			at[i], bounds = int(bounds[0].Int()), bounds[1:]
		}
	}
	if text := outOfBounds(at, capacity, what, given[2]); text != "" {
		panic(runtimeError("runtime error: slice bounds out of range " + text))
	}
	if given[2] {
		return x.Slice3(at[0], at[1], at[2])
	}
	return x.Slice(at[0], at[1])
}

// outOfBounds says which bound is wrong as compiled Go does; "" if none is.
func outOfBounds(at [3]int, capacity int, what string, full bool) string {
	low, high, most := at[0], at[1], at[2]
	switch {
	case full && most < 0:
		return fmt.Sprintf("[::%d]", most)
	case full && most > capacity:
		return fmt.Sprintf("[::%d] with %s %d", most, what, capacity)
	case full && high < 0:
		return fmt.Sprintf("[:%d:]", high)
	case full && high > most:
		return fmt.Sprintf("[:%d:%d]", high, most)
	case full && low < 0:
		return fmt.Sprintf("[%d::]", low)
	case full && low > high:
		return fmt.Sprintf("[%d:%d:]", low, high)
	case high < 0:
		return fmt.Sprintf("[:%d]", high)
	case high > capacity:
		return fmt.Sprintf("[:%d] with %s %d", high, what, capacity)
	case low < 0:
		return fmt.Sprintf("[%d:]", low)
	case low > high:
		return fmt.Sprintf("[%d:%d]", low, high)
	}
	return ""
}

// unsafeValue is a function of package unsafe with a result of a type.
func unsafeValue(name string, args []reflect.Value, out reflect.Type) reflect.Value {
	v := reflect.New(out).Elem()
	switch name {
	case "Add":
		v.SetPointer(unsafe.Add(args[0].UnsafePointer(), integer(args[1], "runtime error: unsafe.Add: len out of range")))
	case "SliceData":
		return reflect.NewAt(out.Elem(), args[0].UnsafePointer())
	case "StringData":
		return reflect.ValueOf(unsafe.StringData(args[0].String()))
	case "Slice", "String":
		n := integer(args[1], "runtime error: unsafe."+name+": len out of range")
		p := args[0].UnsafePointer()
		switch {
		case n < 0 || float64(n)*float64(args[0].Type().Elem().Size()) > float64(-uintptr(p)-1):
			panic(runtimeError("runtime error: unsafe." + name + ": len out of range"))
		case p == nil && n > 0:
			panic(runtimeError("runtime error: unsafe." + name + ": ptr is nil and len is not zero"))
		case name == "String":
			v.SetString(unsafe.String((*byte)(p), n))
		case p != nil:
			v.Set(reflect.SliceAt(out.Elem(), p, n).Convert(out))
		}
	}
	return v
}

// integer is a count of any integer type.
func integer(v reflect.Value, tooLarge string) int {
	if v.CanInt() {
		return int(v.Int())
	}
	if v.Uint() > math.MaxInt {
		panic(runtimeError(tooLarge))
	}
	return int(v.Uint())
}

func (s *Session) copySlice(args []reflect.Value) []reflect.Value {
	return []reflect.Value{reflect.ValueOf(reflect.Copy(args[0], args[1]))}
}

func deleteKey(args []reflect.Value) []reflect.Value {
	if args[0].IsNil() {
		return nil
	}
	args[0].SetMapIndex(args[1], reflect.Value{})
	return nil
}

func clearValue(args []reflect.Value) []reflect.Value {
	args[0].Clear()
	return nil
}

func closeChannel(args []reflect.Value) []reflect.Value {
	if args[0].IsNil() {
		panic(runtimeError("close of nil channel"))
	}
	args[0].Close()
	return nil
}

func (s *Session) makeValue(t reflect.Type, args []reflect.Value) reflect.Value {
	n := make([]int, 2)
	for i, a := range args {
		n[i] = int(a.Int())
	}
	switch t.Kind() {
	case reflect.Map:
		s.room(n[0], t.Key().Size()+t.Elem().Size())
		return reflect.MakeMapWithSize(t, max(0, n[0])).Convert(t)
	case reflect.Chan:
		if n[0] < 0 || float64(n[0])*float64(t.Elem().Size()) > 1<<47 {
			panic(runtimeError("makechan: size out of range"))
		}
		s.room(n[0], t.Elem().Size())
		return reflect.MakeChan(reflect.ChanOf(reflect.BothDir, t.Elem()), n[0]).Convert(t)
	}
	if len(args) == 1 {
		n[1] = n[0]
	}
	if n[0] < 0 || n[0] > 1<<46 {
		panic(runtimeError("runtime error: makeslice: len out of range"))
	}
	if n[1] < n[0] || n[1] > 1<<46 {
		panic(runtimeError("runtime error: makeslice: cap out of range"))
	}
	s.room(n[1], t.Elem().Size())
	return reflect.MakeSlice(t, n[0], n[1])
}

func extreme(args []reflect.Value, smallest bool) reflect.Value {
	best := args[0]
	for _, a := range args[1:] {
		if replaces(a, best, smallest) {
			best = a
		}
	}
	return best
}

func replaces(a, best reflect.Value, smallest bool) bool {
	switch {
	case a.CanInt():
		return a.Int() < best.Int() == smallest && a.Int() != best.Int()
	case a.CanUint():
		return a.Uint() < best.Uint() == smallest && a.Uint() != best.Uint()
	case a.CanFloat():
		x, y := a.Float(), best.Float()
		if x != x || y != y {
			return x != x && y == y
		}
		if smallest {
			return min(x, y) == x && (x != y || 1/x < 1/y)
		}
		return max(x, y) == x && (x != y || 1/x > 1/y)
	}
	return a.String() < best.String() == smallest && a.String() != best.String()
}

func complexPart(name string, args []reflect.Value, t reflect.Type) reflect.Value {
	out := reflect.New(t).Elem()
	switch name {
	case "complex":
		out.SetComplex(complex(args[0].Float(), args[1].Float()))
	case "real":
		out.SetFloat(real(args[0].Complex()))
	default:
		out.SetFloat(imag(args[0].Complex()))
	}
	return out
}
