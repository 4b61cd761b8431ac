package session

import (
	"context"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// goroutineLabels returns the profiling labels of the calling goroutine. Goroutines
// inherit them, which is how output and interrupts find the cell that started them.
//
//go:linkname goroutineLabels runtime/pprof.runtime_getProfLabel
func goroutineLabels() unsafe.Pointer

// run is one execution of a cell with everything that it started.
type run struct {
	s        *Session
	src      *source
	out      Output
	labels   context.Context // carries profiling labels only
	label    unsafe.Pointer
	done     chan struct{} // closed when the run is cancelled
	ended    chan struct{} // closed when the cell's own goroutine has ended
	reason   atomic.Pointer[Error]
	alive    atomic.Int64 // goroutines of the run
	protects atomic.Int64 // calls of functions with deferred calls
	once     sync.Once    // releases the brake that cancelling pulled
	start    time.Time

	mu     sync.Mutex
	values []any
	result Result
	trace  []string
	deep   map[uintptr]*unwinding
	input  []byte
}

// exitSignal is os.Exit in a cell.
type exitSignal struct{ code int }

func (s *Session) newRun(src *source, out Output) *run {
	return &run{s: s, src: src, out: out, done: make(chan struct{}), ended: make(chan struct{}), start: time.Now()}
}

// enter marks the calling goroutine, and all that it starts, as the run's.
func (r *run) enter() {
	r.labels = pprof.WithLabels(context.Background(), pprof.Labels("cell", r.src.name))
	r.adopt()
	r.label = goroutineLabels()
	r.s.remember(r)
}

// adopt makes the calling goroutine the run's.
func (r *run) adopt() { pprof.SetGoroutineLabels(r.labels) }

// remember makes a run findable by its label; the oldest are forgotten.
func (s *Session) remember(r *run) {
	s.runsMu.Lock()
	defer s.runsMu.Unlock()
	s.runs[r.label] = r
	s.runOrder = append(s.runOrder, r)
	for len(s.runOrder) > 200 && s.runOrder[0].alive.Load() == 0 {
		delete(s.runs, s.runOrder[0].label)
		s.runOrder = s.runOrder[1:]
	}
}

// ownRun returns the run that the calling goroutine belongs to; nil if it was not
// started by a cell.
func (s *Session) ownRun() *run {
	s.runsMu.RLock()
	defer s.runsMu.RUnlock()
	return s.runs[goroutineLabels()]
}

// current returns the run that the calling goroutine belongs to, else the running cell's.
func (s *Session) current() *run {
	s.runsMu.RLock()
	defer s.runsMu.RUnlock()
	if r := s.runs[goroutineLabels()]; r != nil {
		return r
	}
	return s.running
}

// aside calls f, which may run code of cells, outside any cell: its output is dropped
// and it is cut off after asideLimit.
func (s *Session) aside(f func() string) string {
	r := s.newRun(&source{name: "inspection"}, discard{})
	text := make(chan string, 1)
	r.begin()
	go func() { // ends with f; a cut off one at its next check
		defer r.end()
		r.arrive()
		defer close(r.ended)
		r.enter()
		text <- safeText(f)
	}()
	select {
	case t := <-text:
		return t
	case <-r.ended:
	case <-time.After(asideLimit):
		r.cancel(&Error{Name: "Interrupted", Message: "it takes too long"})
	}
	select {
	case t := <-text:
		return t
	default:
		return "…"
	}
}

// asideLimit is how long showing a value on the side may take.
const asideLimit = time.Second

// discard is an Output that drops everything.
type discard struct{}

func (discard) Stdout([]byte)                      {}
func (discard) Stderr([]byte)                      {}
func (discard) Display(Bundle)                     {}
func (discard) ClearOutput(bool)                   {}
func (discard) Input(string, bool) (string, error) { return "", io.EOF }

// Current returns the output of the cell that the calling goroutine belongs to, or
// of the running cell; nil when there is none. Exports use it to print and display.
func (s *Session) Current() Output {
	if r := s.current(); r != nil {
		return r.out
	}
	return nil
}

// Done returns a channel that is closed when the cell of the calling goroutine is
// interrupted; nil when there is none.
func (s *Session) Done() <-chan struct{} {
	if r := s.current(); r != nil {
		return r.done
	}
	return nil
}

// cancel stops the run: every goroutine of it ends at its next check.
func (r *run) cancel(reason *Error) {
	r.s.brake.pull() // before the reason is there, which lets end release it
	if !r.reason.CompareAndSwap(nil, reason) {
		r.s.brake.release()
		return
	}
	close(r.done)
	if r.alive.Load() == 0 {
		r.release()
	}
}

// begin counts a goroutine of the run, end uncounts it.
func (r *run) begin() { r.alive.Add(1) }

func (r *run) end() {
	r.s.live.Delete(goroutine())
	if r.alive.Add(-1) == 0 && r.reason.Load() != nil {
		r.release()
	}
}

// release lets other code run freely again; it works once.
func (r *run) release() { r.once.Do(r.s.brake.release) }

// spawn is the go statement.
func (s *Session) spawn(f func()) {
	r := s.current()
	if r == nil {
		go f()
		return
	}
	s.checkpoint()
	r.begin()
	go func() { // counted by the run; Close and interrupts end it
		defer r.end()
		r.arrive()
		defer r.report()
		f()
	}()
}

// report turns a panic of a goroutine into a message of its cell.
func (r *run) report() {
	v := recover()
	if deep := r.landed(); v == nil {
		v = deep
	}
	r.tell(v)
}

// tell writes what ended a goroutine of the run to its cell.
func (r *run) tell(v any) {
	switch v := v.(type) {
	case nil:
	case exitSignal:
		r.out.Stderr([]byte(fmt.Sprintf("os.Exit(%d) in a goroutine of %s: only the goroutine ended\n", v.code, r.src.name)))
	default:
		e := r.panicError(v)
		r.out.Stderr([]byte(fmt.Sprintf("panic in a goroutine of %s: %s\n%s\n", r.src.name, e.Message, strings.Join(e.Traceback, "\n"))))
	}
}

// panicError describes a panic with the frames that the interpreter reported.
func (r *run) panicError(v any) *Error {
	v = r.s.goPanic(v)
	e := &Error{Name: "Panic", Message: panicText(v)}
	if named, ok := unwrap(v).(interface{ ErrorName() string }); ok {
		e.Name = safeText(named.ErrorName) // a linked package's own kind of failure
	}
	r.mu.Lock()
	trace := r.trace
	r.trace = nil
	r.mu.Unlock()
	for _, line := range trace {
		place, fn, _ := strings.Cut(line, "\t")
		file, l, c := splitPlace(place)
		if e.Line == 0 && file == r.src.name {
			e.Line, e.Col = l, c
		}
		if fn != "" {
			place += ": " + fn
		}
		e.Traceback = append(e.Traceback, place)
	}
	return e
}

// panicText is what Go prints after "panic: ".
func panicText(v any) string {
	switch v := unwrap(v).(type) {
	case error:
		return safeText(v.Error)
	case fmt.Stringer:
		return safeText(v.String)
	case string:
		return v
	}
	if b, ok := asBox(v); ok {
		if text, ok := b.v.(string); ok {
			return fmt.Sprintf("%s(%q)", typeString(b.t.typ), text)
		}
		return fmt.Sprintf("%s(%v)", typeString(b.t.typ), v)
	}
	return fmt.Sprint(v)
}

func safeText(f func() string) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprint("panic while printing the panic: ", r)
		}
	}()
	return f()
}

func splitPlace(place string) (file string, line, col int) {
	parts := strings.Split(place, ":")
	if len(parts) < 3 {
		return place, 0, 0
	}
	n := len(parts)
	line, _ = strconv.Atoi(parts[n-2])
	col, _ = strconv.Atoi(parts[n-1])
	return strings.Join(parts[:n-2], ":"), line, col
}

// traceWriter receives what the interpreter writes while a panic unwinds.
type traceWriter struct{ s *Session }

// Write implements io.Writer.
func (w traceWriter) Write(p []byte) (int, error) {
	r := w.s.current()
	if r == nil {
		return len(p), nil
	}
	if r.reason.Load() != nil {
		halt()
	}
	r.mu.Lock()
	for _, line := range strings.Split(strings.TrimSpace(string(p)), "\n") {
		name, _, ok := strings.Cut(line, ": panic")
		if !ok || len(r.trace) >= 60 {
			continue
		}
		if where, fn := w.s.locate(name); where != "" {
			r.trace = append(r.trace, where+"\t"+fn)
		}
	}
	tooDeep := r.unwinds()
	r.mu.Unlock()
	if tooDeep {
		halt()
	}
	return len(p), nil
}

// unwinding is a panic on its way up through the frames of one goroutine.
type unwinding struct {
	frames int
	value  any // set when the goroutine is ended without going through all frames
}

// The interpreter raises a panic anew in every frame, and each time the runtime looks
// through all the frames before: 10,000 take seconds, a million would take days. Where no
// function waits with deferred calls, the goroutine ends after quickFrames of them; after
// slowFrames it ends even so.
const (
	quickFrames = 200
	slowFrames  = 12000
)

// unwinds counts one frame of the calling goroutine's panic and reports whether the
// rest is to be skipped. r.mu is held.
func (r *run) unwinds() bool {
	g := goroutine()
	if r.deep == nil {
		r.deep = map[uintptr]*unwinding{}
	}
	u := r.deep[g]
	if u == nil {
		u = &unwinding{}
		r.deep[g] = u
	}
	u.frames++
	if u.frames < quickFrames || u.frames < slowFrames && r.protects.Load() > 0 {
		return false
	}
	u.value = panicking()
	return u.value != nil
}

// landed forgets what is known of the calling goroutine's panic, which has been
// recovered or has reached the end; it returns the panic if frames were skipped.
func (r *run) landed() any {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deep == nil {
		return nil
	}
	g := goroutine()
	u := r.deep[g]
	delete(r.deep, g)
	if u == nil {
		return nil
	}
	return u.value
}

// grace is how long Exec waits for a cancelled run to end. Millions of frames take a
// second or two to return, and their stack should be free before the next cell.
func (r *run) grace() time.Duration {
	if r.reason.Load().Name == stackOverflow {
		return 10 * time.Second
	}
	return grace
}

// Defers is the list of deferred calls of one function call. Lowered code uses it;
// cells do not see it.
type Defers struct {
	list      []deferred
	panicking any
	active    bool
}

// deferred is a deferred call. A plain one cannot end a panic.
type deferred struct {
	f     func()
	plain bool
}

// Push adds a deferred call.
func (d *Defers) Push(f func()) { d.list = append(d.list, deferred{f: f}) }

// PushPlain adds a deferred call of a function that does not call recover itself.
func (d *Defers) PushPlain(f func()) { d.list = append(d.list, deferred{f, true}) }

// panics are the function calls that run deferred calls because of a panic, by goroutine.
var panics = struct {
	sync.Mutex
	count  atomic.Int64
	frames map[uint64][]*Defers
}{frames: map[uint64][]*Defers{}}

// protect runs a function's body and then its deferred calls.
func (s *Session) protect(body func(*Defers)) {
	d := &Defers{}
	r := s.current()
	if r != nil {
		r.protects.Add(1)
	}
	defer func() {
		v := recover()
		if r != nil {
			r.protects.Add(-1)
			if v != nil {
				r.landed()
			}
		}
		if _, exit := v.(exitSignal); exit {
			panic(v) // os.Exit runs no deferred calls
		}
		if v != nil {
			d.panicking, d.active = v, true
		}
		d.run(s)
	}()
	body(d)
}

// run makes the deferred calls, last first. A panic in one replaces the one before.
func (d *Defers) run(s *Session) {
	for len(d.list) > 0 {
		f := d.list[len(d.list)-1]
		d.list = d.list[:len(d.list)-1]
		d.one(f)
	}
	if d.active {
		panic(d.panicking)
	}
}

func (d *Defers) one(call deferred) {
	finished := false
	defer func() {
		if v := recover(); v != nil {
			d.panicking, d.active = v, true
			return
		}
		if !finished {
			d.panicking, d.active = nil, false // runtime.Goexit goes on
		}
	}()
	if d.active || panics.count.Load() > 0 {
		id := goroutineID()
		frame := d
		if call.plain || !d.active {
			frame = &Defers{}
		}
		frame.enter(id)
		defer frame.leave(id)
	}
	call.f()
	finished = true
}

func (d *Defers) enter(id uint64) {
	panics.Lock()
	panics.frames[id] = append(panics.frames[id], d)
	panics.Unlock()
	panics.count.Add(1)
}

func (d *Defers) leave(id uint64) {
	panics.Lock()
	list := panics.frames[id]
	panics.frames[id] = list[:len(list)-1]
	if len(list) == 1 {
		delete(panics.frames, id)
	}
	panics.Unlock()
	panics.count.Add(-1)
}

// recoverPanic is recover(): it ends the panic that the innermost deferred call of
// this goroutine runs for.
func (s *Session) recoverPanic() any {
	if panics.count.Load() == 0 {
		return nil
	}
	id := goroutineID()
	panics.Lock()
	list := panics.frames[id]
	panics.Unlock()
	if len(list) == 0 {
		return nil
	}
	d := list[len(list)-1]
	if !d.active {
		return nil
	}
	switch d.panicking.(type) {
	case exitSignal:
		return nil
	}
	v := s.goPanic(d.panicking)
	d.panicking, d.active = nil, false
	return v
}

// goroutineID reads the number that stack traces show. It costs about a
// microsecond and is only asked for while a panic unwinds.
func goroutineID() uint64 {
	var buf [64]byte
	text := string(buf[:runtime.Stack(buf[:], false)])
	text = strings.TrimPrefix(text, "goroutine ")
	text, _, _ = strings.Cut(text, " ")
	id, _ := strconv.ParseUint(text, 10, 64)
	return id
}

// raise is panic(v).
func raise(v any) {
	if v == nil {
		panic(new(runtime.PanicNilError))
	}
	panic(v)
}

// runtimeError is a run-time error of the language.
type runtimeError string

// Error implements error.
func (e runtimeError) Error() string { return string(e) }

// RuntimeError implements runtime.Error.
func (e runtimeError) RuntimeError() {}

const errNilDereference = runtimeError("runtime error: invalid memory address or nil pointer dereference")

// goPanic gives a panic of the interpreter or the reflect package the value that
// compiled Go would panic with.
func (s *Session) goPanic(v any) any {
	switch v := v.(type) {
	case *reflect.ValueError:
		return errNilDereference
	case runtime.Error:
		return s.goRuntimeError(v)
	case error:
		return v
	case string:
		return goPanicText(v)
	}
	return v
}

// goRuntimeError names types of cells in what the runtime says of their layouts.
func (s *Session) goRuntimeError(err runtime.Error) any {
	text := err.Error()
	named := s.nameLayouts(text)
	if strings.HasPrefix(named, "hash of unhashable type") {
		named = "runtime error: " + strings.Replace(named, "type: ", "type ", 1)
	}
	if named == text {
		return err
	}
	return runtimeError(named)
}

// nameLayouts puts the names of cells' struct types where a text has their layouts.
func (s *Session) nameLayouts(text string) string {
	if !strings.Contains(text, "godwit_type") {
		return text
	}
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	for layout, t := range s.types.structs {
		text = strings.ReplaceAll(text, layout.String(), typeString(t))
	}
	return text
}

func goPanicText(v string) any {
	switch {
	case strings.HasPrefix(v, "reflect: call of") && strings.Contains(v, "zero Value"),
		strings.HasPrefix(v, "reflect: Call using zero Value argument"),
		strings.HasPrefix(v, "reflect: call of nil function"), strings.HasPrefix(v, "reflect.Value.Call: call of nil function"),
		strings.HasPrefix(v, "reflect: Call of nil"), strings.HasPrefix(v, "reflect: indirection through nil pointer"),
		strings.HasPrefix(v, "reflect: Method on nil interface"):
		return errNilDereference
	case strings.HasPrefix(v, "reflect: ") && strings.HasSuffix(v, "index out of range"):
		return runtimeError("runtime error: index out of range")
	case strings.HasPrefix(v, "reflect.Value.Slice") && strings.Contains(v, "out of bounds"):
		return runtimeError("runtime error: slice bounds out of range")
	case strings.HasPrefix(v, "reflect: cannot convert slice with length"):
		v = strings.Replace(strings.TrimPrefix(v, "reflect: "), "to pointer to array with", "to array with", 1)
		return runtimeError("runtime error: " + strings.Replace(v, "to array with", "to array or pointer to array with", 1))
	}
	return v
}

func iteratorMisuse(state int) {
	switch state {
	case 1:
		panic(runtimeError("runtime error: range function continued iteration after function for loop body returned false"))
	case 3:
		panic(runtimeError("runtime error: range function continued iteration after whole loop exit"))
	}
	panic(runtimeError("runtime error: range function continued iteration after loop body panic"))
}

var osFileType = reflect.TypeFor[*os.File]()
