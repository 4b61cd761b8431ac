package session

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// fault is a cell that goes wrong. It ends with an error of a kind, or ends well while
// told stands on its standard error.
type fault struct{ name, code, kind, message, told string }

// faults are the corpus of what must leave the session alive. What ends every Go
// process and cannot be seen in time is not among them: maps written by two goroutines
// at once, and memory that the machine does not give although the limit allows it.
var faults = []fault{
	{name: "a panic", code: "panic(\"boom\")", kind: "Panic", message: "boom"},
	{name: "a panic with an error", code: "panic(errors.New(\"bad\"))", kind: "Panic", message: "bad"},
	{name: "a panic with nil", code: "panic(nil)", kind: "Panic", message: "panic called with nil argument"},
	{name: "a panic with a value of a cell", code: "type T struct{ n int }\npanic(T{4})", kind: "Panic", message: "{4}"},
	{name: "a panic in a deferred call", code: "func f() { defer func() { panic(\"second\") }(); panic(\"first\") }\nf()", kind: "Panic", message: "second"},
	{name: "a panic in a method", code: "type T struct{ p *int }\nfunc (t T) M() int { return *t.p }\nT{}.M()", kind: "Panic", message: "nil pointer dereference"},
	{name: "a panic in a callback of compiled code", code: "sort.Slice([]int{2, 1}, func(i, j int) bool { panic(\"less\") })", kind: "Panic", message: "less"},
	{name: "a panic in a range over func", code: "for range func(y func() bool) { y(); panic(\"seq\") } { }", kind: "Panic", message: "seq"},
	{name: "a panic in an iterator's body", code: "for i := range slices.Values([]int{1}) { panic(fmt.Sprint(\"body\", i)) }", kind: "Panic", message: "body1"},
	{name: "a panic far down a recursion", code: "func d(n int) int { if n == 0 { panic(\"deep\") }; return d(n-1) + 1 }\nd(50000)", kind: "Panic", message: "deep"},
	{name: "a nil map", code: "var m map[string]int\nm[\"a\"] = 1", kind: "Panic", message: "assignment to entry in nil map"},
	{name: "a nil pointer", code: "var p *struct{ a int }\np.a = 1", kind: "Panic", message: "invalid memory address or nil pointer dereference"},
	{name: "a nil function", code: "var f func()\nf()", kind: "Panic", message: "invalid memory address or nil pointer dereference"},
	{name: "a nil interface", code: "var e error\ne.Error()", kind: "Panic", message: "invalid memory address or nil pointer dereference"},
	{name: "an index", code: "a := []int{1}\ni := 4\n_ = a[i]", kind: "Panic", message: "index out of range [4] with length 1"},
	{name: "a slice bound", code: "a := []int{1}\ni := 4\n_ = a[i:]", kind: "Panic", message: "slice bounds out of range"},
	{name: "an index of a string", code: "s := \"ab\"\ni := 2\n_ = s[i]", kind: "Panic", message: "index out of range [2] with length 2"},
	{name: "a slice as an array", code: "s := []int{1}\n_ = [4]int(s)", kind: "Panic", message: "cannot convert slice with length 1 to array or pointer to array with length 4"},
	{name: "a division by zero", code: "z := 0\n_ = 1 / z", kind: "Panic", message: "integer divide by zero"},
	{name: "a shift by less than nothing", code: "n := -1\n_ = 1 << n", kind: "Panic", message: "negative shift amount"},
	{name: "a failed assertion", code: "var x any = \"s\"\n_ = x.(int)", kind: "Panic", message: "interface conversion: interface {} is string, not int"},
	{name: "a failed assertion to an interface", code: "var x any = 1\n_ = x.(fmt.Stringer)", kind: "Panic", message: "missing method String"},
	{name: "a closed channel", code: "c := make(chan int)\nclose(c)\nclose(c)", kind: "Panic", message: "close of closed channel"},
	{name: "a nil channel closed", code: "var c chan int\nclose(c)", kind: "Panic", message: "close of nil channel"},
	{name: "a send on a closed channel", code: "c := make(chan int, 1)\nclose(c)\nc <- 1", kind: "Panic", message: "send on closed channel"},
	{name: "an unhashable key", code: "m := map[any]int{}\nm[[]int{1}] = 2", kind: "Panic", message: "hash of unhashable type"},
	{name: "a comparison of slices in interfaces", code: "var a, b any = []int{1}, []int{1}\n_ = a == b", kind: "Panic", message: "comparing uncomparable type"},
	{name: "a negative length", code: "n := -1\n_ = make([]int, n)", kind: "Panic", message: "makeslice: len out of range"},
	{name: "a negative count", code: "var wg sync.WaitGroup\nwg.Done()", kind: "Panic", message: "negative WaitGroup counter"},
	{name: "a negative repetition", code: "strings.Repeat(\"a\", -1)", kind: "Panic", message: "negative Repeat count"},
	{name: "a bad regular expression", code: "regexp.MustCompile(\"(\")", kind: "Panic", message: "missing closing"},
	{name: "a misuse of reflection", code: "reflect.ValueOf(1).SetInt(2)", kind: "Panic", message: "unaddressable"},
	{name: "a mutex unlocked twice", code: "var mu sync.Mutex\nmu.Lock()\nmu.Unlock()\nmu.Unlock()", kind: "Panic", message: "unlock of unlocked mutex"},
	{name: "an unlocked RWMutex", code: "var mu sync.RWMutex\nmu.Unlock()", kind: "Panic", message: "Unlock of unlocked RWMutex"},
	{name: "a read lock given back twice", code: "var mu sync.RWMutex\nmu.RUnlock()", kind: "Panic", message: "RUnlock of unlocked RWMutex"},
	{name: "an embedded mutex unlocked", code: "type T struct{ sync.Mutex }\nvar t T\nt.Unlock()", kind: "Panic", message: "unlock of unlocked mutex"},
	{name: "an address that is not mapped", code: "p := (*int)(unsafe.Pointer(uintptr(0x1000000000)))\nfmt.Println(*p)", kind: "Panic", message: ""},
	{name: "os.Exit", code: "os.Exit(3)", kind: "ExitRequest", message: "exit status 3"},
	{name: "os.Exit under a recover", code: "func() { defer func() { recover() }(); os.Exit(4) }()", kind: "ExitRequest", message: "exit status 4"},
	{name: "os.Exit in a deferred call", code: "func() { defer os.Exit(5) }()", kind: "ExitRequest", message: "exit status 5"},
	{name: "log.Fatal", code: "log.Fatal(\"bye\")", kind: "ExitRequest", message: "exit status 1"},
	{name: "log.Panic", code: "log.Panicf(\"bye %d\", 1)", kind: "Panic", message: "bye 1"},
	{name: "Goexit", code: "runtime.Goexit()", kind: "Panic", message: "Goexit"},
	{name: "an undefined name", code: "x := nosuch", kind: "CompileError", message: "undefined: nosuch"},
	{name: "a missing return", code: "func f() int { }", kind: "CompileError", message: "missing return"},
	{name: "an unused variable in a function", code: "func f() { x := 1 }", kind: "CompileError", message: "declared and not used: x"},
	{name: "a syntax error", code: "x := (1", kind: "CompileError", message: "expected"},
	{name: "an unknown package", code: "import \"example.com/nosuch\"", kind: "CompileError", message: "neither in std nor linked"},
	{name: "a generic method of compiled code", code: "weak.Make(new(int))", kind: "CompileError", message: "cannot be used in a cell"},
	{name: "a tangle of labels", code: "func f(n int) {\nouter:\n\tn++\n\tswitch n { case 1: goto one; case 2: goto two; case 3: goto three; case 4: goto side }\none:\n\tgoto inner\ntwo:\n\tgoto outer\nthree:\n\tgoto inner\ninner:\n\tn++\n\tswitch n { case 1: goto outer; case 2: goto inner; case 3: goto side; default: return }\nside:\n\tn++\n\tgoto inner\n}\nf(7)"},
	{name: "endless recursion", code: "func inf(n int) int { return inf(n+1) + 1 }\ninf(0)", kind: "StackOverflow", message: "stack overflow"},
	{name: "endless recursion of two methods", code: "type A struct{ n int }\nfunc (a *A) P() int { a.n++; return a.Q() + 1 }\nfunc (a *A) Q() int { return a.P() + 1 }\n(&A{}).P()", kind: "StackOverflow", message: "stack overflow"},
	{name: "endless recursion through String", code: "type S struct{ n int }\nfunc (s S) String() string { return fmt.Sprint(s) }\nfmt.Println(S{})", kind: "StackOverflow", message: "stack overflow"},
	{name: "a map that holds itself is printed", code: "m := map[string]any{}\nm[\"m\"] = m\nfmt.Println(m)", kind: "Panic", message: "holds itself"},
	{name: "a list that holds itself is formatted", code: "l := []any{1, nil}\nl[1] = l\n_ = fmt.Sprintf(\"%v\", &l)", kind: "Panic", message: "holds itself"},
	{name: "a list of a cell that holds itself is printed", code: "type S []S\ns := S{nil}\ns[0] = s\nfmt.Println(s)", kind: "Panic", message: "holds itself"},
	{name: "a slice beyond the memory", code: "n := 1 << 42\n_ = make([]byte, n)", kind: "Panic", message: "out of memory"},
	{name: "a channel beyond the memory", code: "n := 1 << 38\n_ = make(chan [64]int, n)", kind: "Panic", message: "out of memory"},
	{name: "a map beyond the memory", code: "n := 1 << 42\n_ = make(map[int]int, n)", kind: "Panic", message: "out of memory"},
	{name: "memory without end", code: "func fill() { var keep [][]byte; for { keep = append(keep, make([]byte, 1<<20)); if len(keep) > 1<<20 { break } } }\nfill()", kind: "OutOfMemory", message: "out of memory"},
	{name: "a goroutine's panic", code: "go func() { panic(\"gor\") }()", told: "panic in a goroutine of cell 1: gor"},
	{name: "a goroutine's nil map", code: "go func() { var m map[int]int; m[1] = 1 }()", told: "assignment to entry in nil map"},
	{name: "a goroutine's panic of a cell's error", code: "type E struct{}\nfunc (E) Error() string { return \"own\" }\ngo func() { panic(E{}) }()", told: "goroutine of cell 1: own"},
	{name: "a goroutine's endless recursion", code: "func inf(n int) int { return inf(n+1) + 1 }\ngo inf(0)", told: "stack overflow"},
	{name: "a panic in a group", code: "var wg sync.WaitGroup\nwg.Go(func() { panic(\"in a group\") })\nwg.Wait()", told: "in a group"},
	{name: "a panic in a timer", code: "time.AfterFunc(time.Millisecond, func() { panic(\"timer\") })", told: "timer"},
	{name: "a panic after a context", code: "ctx, cancel := context.WithCancel(context.Background())\ncontext.AfterFunc(ctx, func() { panic(\"after\") })\ncancel()", told: "after"},
	{name: "os.Exit in a goroutine", code: "go os.Exit(2)", told: "os.Exit(2) in a goroutine of cell 1"},
	{name: "a panic in a handler", code: "srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { var p *int; *p = 1 }))\ndefer srv.Close()\n_, err := http.Get(srv.URL)\nif err != nil { fmt.Fprintln(os.Stderr, \"no answer\") }", told: "no answer"},
	{name: "a panic in a handler of a cell's type", code: "type H struct{}\nfunc (H) ServeHTTP(http.ResponseWriter, *http.Request) { panic(\"handler\") }\nsrv := httptest.NewServer(H{})\ndefer srv.Close()\n_, err := http.Get(srv.URL)\nif err != nil { fmt.Fprintln(os.Stderr, \"no answer\") }", told: "no answer"},
	{name: "a panic in a reader that a process copies", code: "type R struct{}\nfunc (R) Read([]byte) (int, error) { panic(\"reader\") }\nc := exec.Command(\"cat\")\nc.Stdin = R{}\nc.Run()", told: "reader"},
	{name: "a panic in a writer that a process fills", code: "type W struct{}\nfunc (W) Write([]byte) (int, error) { panic(\"writer\") }\nc := exec.Command(\"echo\", \"a\")\nc.Stdout = W{}\nc.Run()", told: "writer"},
}

// large are the faults that fill a gigabyte.
func (f fault) large() bool {
	return f.kind == "StackOverflow" || f.kind == "OutOfMemory" || strings.Contains(f.told, "overflow")
}

func TestFaultsKeepTheSession(t *testing.T) {
	large := 0
	for _, c := range faults {
		t.Run(c.name, func(t *testing.T) {
			if c.large() {
				if large++; testing.Short() || large > 2 && os.Getenv("GODWIT_MEASURE") == "" {
					t.Skip("it fills a gigabyte; GODWIT_MEASURE=1 runs all such")
				}
			}
			opts := Options{}
			if c.kind == "OutOfMemory" {
				opts.MemoryLimit = held() + 1<<30
			}
			s, err := New(opts)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			rec := &recorder{}
			if e := exec(t, s, rec, "kept := 7\nlist := map[string]int{\"a\": 1}"); e != nil {
				t.Fatal(e)
			}
			e := exec(t, s, rec, c.code)
			switch {
			case c.kind == "" && e != nil:
				t.Fatalf("got %+v", e)
			case c.kind == "":
				eventually(t, "the cell is told "+c.told, func() bool { return strings.Contains(rec.stderr(), c.told) })
			case e == nil || e.Name != c.kind || !strings.Contains(e.Message, c.message):
				t.Fatalf("got %+v, want %s: %s", e, c.kind, c.message)
			case e.Line == 0 && c.kind == "Panic" && c.name != "Goexit":
				t.Errorf("no line: %+v", e)
			}
			rec = &recorder{}
			if e := exec(t, s, rec, "time.Sleep(time.Millisecond)\nlist[\"b\"] = kept\nfmt.Print(kept, list)"); e != nil || rec.stdout() != "7 map[a:1 b:7]" {
				t.Errorf("the state is lost: %v %q", e, rec.stdout())
			}
		})
	}
}

func TestFaultsAreMany(t *testing.T) {
	names := map[string]bool{}
	for _, f := range faults {
		names[f.name] = true
	}
	if len(names) != len(faults) || len(names) < 60 {
		t.Errorf("%s", fmt.Sprint(len(names), " of ", len(faults), " have a name of their own; want 60"))
	}
}
