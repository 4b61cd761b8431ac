package session

import (
	"context"
	"strings"
	"testing"
)

// snippets are notebook habits beyond the shared cases: cells separated by ---, then
// the expected standard output.
var snippets = []struct{ name, cells, want string }{
	{"a method value keeps its receiver", "type C struct{ n int }\nfunc (c *C) Inc() int { c.n++; return c.n }\n---\nc := &C{}\nf := c.Inc\nf()\nfmt.Println(f(), c.n)", "2 2\n"},
	{"a method expression takes the receiver first", "type P struct{ x int }\nfunc (p P) Add(k int) int { return p.x + k }\n---\nf := P.Add\ng := (*P).Add\nfmt.Println(f(P{1}, 2), g(&P{5}, 2))", "3 7\n"},
	{"errors.As finds an own error type", "type E struct{ c int }\nfunc (e *E) Error() string { return fmt.Sprint(\"E\", e.c) }\n---\nerr := fmt.Errorf(\"wrap: %w\", &E{4})\nvar e *E\nfmt.Println(errors.As(err, &e), e.c, err)", "true 4 wrap: E4\n"},
	{"a type switch tells host errors", "func k(x any) string { switch v := x.(type) { case nil: return \"nil\"; case error: return \"err \" + v.Error(); case fmt.Stringer: return \"str\"; case int, int64: return fmt.Sprintf(\"int %v\", v); default: return fmt.Sprintf(\"%T\", v) } }\n---\nfmt.Println(k(nil), k(errors.New(\"a\")), k(time.Second), k(3), k([]int{}))", "nil err a str int 3 []int\n"},
	{"a panic in a deferred call replaces the first", "func f() (s string) { defer func() { s = fmt.Sprint(recover()) }(); defer func() { panic(\"again\") }(); panic(\"one\") }\n---\nfmt.Println(f())", "again\n"},
	{"recover and panic again", "func f() (s string) { defer func() { s = fmt.Sprint(recover()) }(); defer func() { r := recover(); panic(fmt.Sprint(\"again \", r)) }(); panic(\"one\") }\n---\nfmt.Println(f())", "again one\n"},
	{"a linked list of nodes", "type Node struct { V int; Next *Node }\n---\nvar head *Node\nfor i := range 4 { head = &Node{i, head} }\nfor n := head; n != nil; n = n.Next { fmt.Print(n.V, \" \") }", "3 2 1 0 "},
	{"a tree with a map of children", "type T struct { Kids map[string]*T; N int }\nfunc (t *T) Add(path ...string) { if len(path) == 0 { t.N++; return }; if t.Kids == nil { t.Kids = map[string]*T{} }; k := t.Kids[path[0]]; if k == nil { k = &T{}; t.Kids[path[0]] = k }; k.Add(path[1:]...) }\n---\nt := &T{}\nt.Add(\"a\", \"b\")\nt.Add(\"a\", \"b\")\nfmt.Println(t.Kids[\"a\"].Kids[\"b\"].N, len(t.Kids))", "2 1\n"},
	{"mutually recursive types", "type A struct { B *B; N int }\ntype B struct { A *A; S []A }\n---\na := &A{N: 1}\na.B = &B{A: a, S: []A{{N: 2}}}\nfmt.Println(a.B.A.N, a.B.S[0].N)", "1 2\n"},
	{"a heap of own type", "type H []int\nfunc (h H) Len() int { return len(h) }\nfunc (h H) Less(i, j int) bool { return h[i] < h[j] }\nfunc (h H) Swap(i, j int) { h[i], h[j] = h[j], h[i] }\nfunc (h *H) Push(x any) { *h = append(*h, x.(int)) }\nfunc (h *H) Pop() any { o := *h; n := len(o); x := o[n-1]; *h = o[:n-1]; return x }\n---\nh := &H{5, 2, 8}\nheap.Init(h)\nheap.Push(h, 1)\nfor h.Len() > 0 { fmt.Print(heap.Pop(h), \" \") }", "1 2 5 8 "},
	{"an interface of a cell with two types", "type Shape interface { Area() float64; Name() string }\ntype Sq struct{ s float64 }\nfunc (q Sq) Area() float64 { return q.s * q.s }\nfunc (q Sq) Name() string { return \"sq\" }\ntype Ci struct{ r float64 }\nfunc (c *Ci) Area() float64 { return 3 * c.r * c.r }\nfunc (c *Ci) Name() string { return \"ci\" }\n---\nshapes := []Shape{Sq{2}, &Ci{1}}\nfor _, s := range shapes { fmt.Printf(\"%s %.1f \", s.Name(), s.Area()) }\n_, ok := shapes[0].(*Ci)\nfmt.Println(ok)", "sq 4.0 ci 3.0 false\n"},
	{"range over func with return, break and continue", "func seq(y func(int) bool) { for i := 0; i < 10; i++ { if !y(i) { return } } }\nfunc find(n int) (int, string) { for i := range seq { if i == 1 { continue }; if i == n { return i, \"hit\" } }; return -1, \"miss\" }\nfunc nest() (out []int) { outer: for i := range seq { for j := range seq { if j == 2 { continue outer }; if i == 2 { break outer }; out = append(out, i*10+j) } }; return }\n---\nfmt.Println(find(4))\nfmt.Println(find(40))\nfmt.Println(nest())", "4 hit\n-1 miss\n[0 1 10 11]\n"},
	{"defer inside a range over func belongs to the function", "func seq(y func(int) bool) { for i := range 3 { if !y(i) { return } } }\nfunc f() { for i := range seq { defer fmt.Print(\"d\", i, \" \") }; fmt.Print(\"end \") }\n---\nf()", "end d2 d1 d0 "},
	{"iter.Pull steps through a sequence", "next, stop := iter.Pull(slices.Values([]string{\"a\", \"b\"}))\nfor { v, ok := next(); if !ok { break }; fmt.Print(v, \" \") }\nstop()", "a b "},
	{"named types print with their methods in containers", "type L int\nfunc (l L) String() string { return [...]string{\"lo\", \"hi\"}[l] }\n---\nfmt.Println([]L{0, 1}, map[L]int{1: 5}, struct{ A L }{1})\nfmt.Printf(\"%v %d %s %+v %T\\n\", L(1), L(1), L(0), []L{1}, L(1))", "[lo hi] map[hi:5] {hi}\nhi 1 lo [hi] main.L\n"},
	{"json with own marshalers inside", "type T struct{ n int }\nfunc (t T) MarshalJSON() ([]byte, error) { return []byte(fmt.Sprintf(`\"t%d\"`, t.n)), nil }\ntype W struct { A T `json:\"a\"`; L []T `json:\"l\"`; M map[string]T; O int `json:\"o,omitempty\"` }\n---\nb, err := json.Marshal(W{A: T{1}, L: []T{{2}}, M: map[string]T{\"k\": {3}}})\nfmt.Println(string(b), err)\nb, _ = json.Marshal(map[string]any{\"x\": T{9}})\nfmt.Println(string(b))", "{\"a\":\"t1\",\"l\":[\"t2\"],\"M\":{\"k\":\"t3\"}} <nil>\n{\"x\":\"t9\"}\n"},
	{"a caller sees the redefined callee", "func f() int { return 1 }\nfunc g() int { return f() * 10 }\n---\nfunc f() int { return 2 }\n---\nfmt.Println(g())", "20\n"},
	{"a redefined type carries its users", "type T struct{ A int }\nfunc mk() T { return T{} }\n---\nfunc show(t T) string { return fmt.Sprint(t) }\n---\ntype T struct{ A, B int }\n---\nfmt.Println(show(mk()))", "{0 0}\n"},
	{"a variable that a function of the same cell uses", "var count int\nfunc inc() { count++ }\ninc()\ninc()\nfmt.Println(count)", "2\n"},
	{"statements define what a later function uses", "base := 10\nfunc add(n int) int { return base + n }\nfmt.Println(add(5))\nbase = 20\nfmt.Println(add(5))", "15\n25\n"},
	{"constants keep their precision", "const big = 1 << 62\nvar u uint64 = 1<<64 - 1\nfmt.Println(big, u, math.MaxInt64, uint8(255), 'a', 1e100, 0.1)", "4611686018427387904 18446744073709551615 9223372036854775807 255 97 1e+100 0.1\n"},
	{"select with send and receive", "a, b := make(chan int, 1), make(chan string, 1)\nb <- \"x\"\nfor range 2 { select { case a <- 7: fmt.Print(\"sent \"); case v, ok := <-b: fmt.Print(v, ok, \" \") } }", ""},
	{"maps and slices of std generics", "m := map[string]int{\"a\": 1, \"b\": 2}\nkeys := slices.Sorted(maps.Keys(m))\nfor i, k := range slices.Backward(keys) { fmt.Print(i, k, \" \") }\nfmt.Println(slices.IndexFunc(keys, func(s string) bool { return s == \"b\" }), slices.Compact([]int{1, 1, 2}), slices.Collect(maps.Values(map[int]int{1: 5})))", "1b 0a 1 [1 2] [5]\n"},
	{"a generic stack", "type Stack[T any] struct{ items []T }\nfunc (s *Stack[T]) Push(v T) { s.items = append(s.items, v) }\nfunc (s *Stack[T]) Pop() (T, bool) { var zero T; if len(s.items) == 0 { return zero, false }; v := s.items[len(s.items)-1]; s.items = s.items[:len(s.items)-1]; return v, true }\n---\ns := &Stack[string]{}\ns.Push(\"a\")\ns.Push(\"b\")\nv, ok := s.Pop()\nfmt.Println(v, ok, len(s.items))", "b true 1\n"},
	{"a pointer constraint", "type Set interface{ Set(string) }\ntype V struct{ s string }\nfunc (v *V) Set(s string) { v.s = s }\nfunc Make[T any, P interface { *T; Set }](s string) T { var t T; P(&t).Set(s); return t }\n---\nfmt.Println(Make[V](\"x\").s)", "x\n"},
	{"generics with channels", "func Gen[T any](xs ...T) <-chan T { c := make(chan T); go func() { defer close(c); for _, x := range xs { c <- x } }(); return c }\n---\nfor v := range Gen(1, 2, 3) { fmt.Print(v, \" \") }", "1 2 3 "},
	{"context cancels a wait", "ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)\ndefer cancel()\nselect { case <-ctx.Done(): fmt.Println(ctx.Err()); case <-time.After(time.Hour): fmt.Println(\"late\") }", "context deadline exceeded\n"},
	{"WaitGroup.Go and a mutex", "var wg sync.WaitGroup\nvar mu sync.Mutex\ntotal := 0\nfor i := range 10 { wg.Go(func() { mu.Lock(); defer mu.Unlock(); total += i }) }\nwg.Wait()\nfmt.Println(total)", "45\n"},
	{"an arrays copy is a copy", "a := [3]int{1, 2, 3}\nb := a\nb[0] = 9\nfor i, v := range a { a[2] = 7; _ = i; _ = v }\np := &a\np[1] = 8\nfmt.Println(a, b, a != b, len(p))", "[1 8 7] [9 2 3] true 3\n"},
	{"nested closures keep their variables", "var fs []func() int\nfor i := range 3 { func() { x := i * 10; fs = append(fs, func() int { x++; return x + i }) }() }\nfor _, f := range fs { fmt.Print(f(), f(), \" \") }", "1 2 12 13 23 24 "},
	{"strings are immutable and index by byte", "s := \"héllo\"\nfmt.Println(len(s), s[1], string(s[0]), s[1:3] == \"é\", strings.ToUpper(s[3:]))\nfor i, r := range s { if r > 127 { fmt.Println(i, string(r), utf8.RuneLen(r)) } }", "6 195 h true LLO\n1 é 2\n"},
	{"os.Stdout and fmt.Fprint reach the cell", "fmt.Fprintln(os.Stdout, \"a\")\nos.Stdout.WriteString(\"b\\n\")\nw := bufio.NewWriter(os.Stdout)\nw.WriteString(\"c\\n\")\nw.Flush()\nio.WriteString(os.Stdout, \"d\\n\")", "a\nb\nc\nd\n"},
	{"text scanners and templates on plain structs", "type P struct{ Name string; Tags []string }\n---\nt := template.Must(template.New(\"x\").Parse(\"{{.Name}}:{{range .Tags}} {{.}}{{end}}\\n\"))\nt.Execute(os.Stdout, P{\"n\", []string{\"a\", \"b\"}})", "n: a b\n"},
	{"json into own types", "type In struct { A int `json:\"a\"`; B []struct{ C string } `json:\"b\"`; p int }\n---\nvar in In\nerr := json.Unmarshal([]byte(`{\"a\":1,\"b\":[{\"C\":\"x\"}],\"p\":5}`), &in)\nfmt.Printf(\"%+v %v\\n\", in, err)", "{A:1 B:[{C:x}] p:0} <nil>\n"},
	{"struct equality and map keys", "type K struct{ a int; b string }\n---\nm := map[K]int{{1, \"x\"}: 5}\nfmt.Println(m[K{1, \"x\"}], K{1, \"a\"} == K{1, \"a\"}, any(K{1, \"a\"}) == any(K{2, \"a\"}))", "5 true false\n"},
	{"variadic functions", "func sum(pre string, xs ...int) string { t := 0; for _, x := range xs { t += x }; return fmt.Sprint(pre, len(xs), t) }\n---\nfmt.Println(sum(\"a\"), sum(\"b\", 1, 2), sum(\"c\", []int{4, 5, 6}...))", "a0 0 b2 3 c3 15\n"},
	{"multi-value into a variadic call", "func two() (int, error) { return 3, nil }\n---\nfmt.Println(two())\nx, err := two()\n_, _ = x, err", "3 <nil>\n"},
	{"goto and labels", "func f(n int) (s int) {\n\ti := 0\nagain:\n\tif i < n { s += i; i++; goto again }\n\treturn\n}\n---\nfmt.Println(f(5))", "10\n"},
	{"fallthrough and default in the middle", "for _, n := range []int{1, 2, 3, 9} { switch n { case 1: fmt.Print(\"one \"); fallthrough; case 2: fmt.Print(\"two \"); default: fmt.Print(\"other \"); case 3: fmt.Print(\"three \") } }", "one two two three other "},
	{"complex numbers", "c := complex(1, 2)\nc *= 2i\nfmt.Println(c, real(c), imag(c), cmplx.Abs(3+4i))", "(-4+2i) -4 2 5\n"},
	{"time arithmetic", "d := 90 * time.Minute\nt := time.Date(2024, time.February, 28, 23, 0, 0, 0, time.UTC)\nfmt.Println(d, t.Add(d).Format(\"2006-01-02 15:04\"), d.Hours())", "1h30m0s 2024-02-29 00:30 1.5\n"},
	{"a struct with a function field", "type Op struct { Name string; F func(a, b int) int }\n---\nops := []Op{{\"add\", func(a, b int) int { return a + b }}, {\"mul\", func(a, b int) int { return a * b }}}\nfor _, o := range ops { fmt.Print(o.Name, o.F(3, 4), \" \") }", "add7 mul12 "},
	{"embedded interfaces and overriding", "type Animal interface{ Sound() string }\ntype Base struct{}\nfunc (Base) Sound() string { return \"...\" }\nfunc (Base) Legs() int { return 4 }\ntype Dog struct{ Base }\nfunc (Dog) Sound() string { return \"woof\" }\n---\nvar a Animal = Dog{}\nfmt.Println(a.Sound(), Dog{}.Legs(), Dog{}.Base.Sound())\n_, ok := a.(interface{ Legs() int })\nfmt.Println(ok)", "woof 4 ...\ntrue\n"},
	{"an own http.Handler", "type H struct{ n int }\nfunc (h *H) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.n++; fmt.Fprintf(w, \"%d %s\", h.n, r.URL.Path) }\n---\nsrv := httptest.NewServer(&H{})\ndefer srv.Close()\nfor range 2 { r, err := http.Get(srv.URL + \"/p\"); if err != nil { panic(err) }; b, _ := io.ReadAll(r.Body); fmt.Print(string(b), \" \") }", "1 /p 2 /p "},
	{"sync.OnceFunc, atomic and sync.Map", "n := 0\nf := sync.OnceFunc(func() { n++ })\nf()\nf()\nvar c atomic.Int32\nc.Add(3)\nvar m sync.Map\nm.Store(\"k\", 1)\nv, ok := m.Load(\"k\")\nvar p atomic.Pointer[string]\ns := \"x\"\np.Store(&s)\nfmt.Println(n, c.Load(), v, ok, *p.Load())", "1 3 1 true x\n"},
	{"a function type with methods", "type F func(int) int\nfunc (f F) Twice(x int) int { return f(f(x)) }\n---\nfmt.Println(F(func(x int) int { return x + 3 }).Twice(1))", "7\n"},
	{"byte slices and builders", "var b strings.Builder\nfor i := range 3 { fmt.Fprintf(&b, \"%d,\", i) }\nbs := []byte(b.String())\nbs[0] = 'x'\ncopy(bs[2:], \"zz\")\nfmt.Println(string(bs), bytes.Contains(bs, []byte(\"zz\")))", "x,zz2, true\n"},
	{"matrix of slices", "m := make([][]float64, 2)\nfor i := range m { m[i] = make([]float64, 2); for j := range m[i] { m[i][j] = float64(i*2 + j) } }\nm[1][0] += 10\nm[0][1]++\nfmt.Println(m)", "[[0 2] [12 3]]\n"},
	{"closures over loop variables in goroutines", "ch := make(chan int, 5)\nfor i := 0; i < 5; i++ { go func() { ch <- i * i }() }\ns := 0\nfor range 5 { s += <-ch }\nfmt.Println(s)", "30\n"},
	{"division and shifts of every kind", "var a int8 = -128\nvar b uint16 = 65535\nx := 7\nfmt.Println(-a, b+1, x/2, -x/2, x%3, -x%3, 1<<x, uint32(1)<<31, x&^5, ^x)", "-128 0 3 -3 1 -1 128 2147483648 2 -8\n"},
	{"a string with invalid bytes", "for i, r := range \"a\\xff\\xc3é\" { fmt.Print(i, \":\", r, \" \") }", "0:97 1:65533 2:65533 3:233 "},
	{"a function name as a value", "func one() int { return 1 }\nfunc get() func() int { return one }\nfs := []func() int{one, get()}\nm := map[string]func() int{\"a\": one}\nfmt.Println(fs[0]()+fs[1]()+m[\"a\"]()+get()())", "4\n"},
	{"fallthrough out of and into default", "for n := range 3 { switch n { default: fmt.Print(\"d\"); fallthrough; case 1: fmt.Print(\"1\"); case 2: fmt.Print(\"2\"); fallthrough; case 7: fmt.Print(\"7\") }; fmt.Print(\" \") }", "d1 1 27 "},
	{"ranges over containers of channels", "func f() (n int) { var a []chan int; m := map[string]chan int{}; for i := range 3 { c := make(chan int, 2); c <- i; a = append(a, c); m[fmt.Sprint(i)] = c }; for _, c := range a { n += <-c; c <- 10 }; for k, c := range m { n += <-c + len(k) }; for i := range a { n += i }; return }\nfmt.Println(f())", "39\n"},
	{"range assigns to places in parallel", "x := []int{10, 20}\ni := 1\nfor i, x[i] = range []int{99} { break }\nfmt.Println(i, x)", "0 [10 99]\n"},
	{"package variables in any order", "package main\nvar a = b + f()\nvar b = 2\nfunc f() int { return c }\nvar c = 5\nfunc main() { fmt.Println(a, b, c) }\n---\nmain()", "7 2 5\n"},
	{"a top-level return with a value", "fmt.Print(\"a \")\nif true { return fmt.Errorf(\"x\") }\nfmt.Print(\"b\")", "a "},
	{"a top-level defer runs at the end of the cell", "defer fmt.Print(\"deferred\")\nfmt.Print(\"body \")", "body deferred"},
	{"a cell that only comments", "// nothing here\n/* at all */\n---\nfmt.Print(1)", "1"},
	{"resp, err := again and again", "a, err := strconv.Atoi(\"1\")\nb, err := strconv.Atoi(\"x\")\n_ = a\nfmt.Println(b, err != nil)\n---\na, err := strconv.Atoi(\"3\")\nfmt.Println(a, err)", "0 true\n3 <nil>\n"},
	{"a package shadowed and imported again", "bytes := 3\nfmt.Print(bytes)\n---\nimport \"bytes\"\nfmt.Print(bytes.Contains([]byte(\"a\"), nil))", "3true"},
	{"method set of a value in an interface", "type N struct{ v int }\nfunc (n N) Get() int { return n.v }\ntype G interface{ Get() int }\n---\nn := N{1}\nvar g G = n\nn.v = 5\nvar p G = &n\nn.v = 6\nfmt.Println(g.Get(), p.Get(), g == G(N{1}), g == p)", "1 6 true false\n"},
	{"range over a map while deleting", "m := map[int]bool{}\nfor i := range 100 { m[i] = true }\nfor k := range m { if k%2 == 0 { delete(m, k) } }\nfmt.Println(len(m))", "50\n"},
	{"nil slices, maps and any", "var s []int\nvar m map[string]int\nvar x any\nvar e error\nfmt.Println(s == nil, m == nil, x == nil, e == nil, len(s), m[\"a\"], nil, x)", "true true true true 0 0 <nil> <nil>\n"},
	{"sorting with a compare chain", "type P struct { N string; A int }\n---\nps := []P{{\"b\", 2}, {\"a\", 2}, {\"c\", 1}}\nslices.SortFunc(ps, func(x, y P) int { return cmp.Or(cmp.Compare(x.A, y.A), strings.Compare(x.N, y.N)) })\nfmt.Println(ps)", "[{c 1} {a 2} {b 2}]\n"},
	{"a state machine of functions in a struct", "type S struct { next func(*S) bool; n int }\n---\ns := &S{}\nvar step func(*S) bool\nstep = func(s *S) bool { s.n++; s.next = step; return s.n < 3 }\ns.next = step\nfor s.next(s) { }\nfmt.Println(s.n)", "3\n"},
	{"local types and constants", "func f() string { type pair struct { a, b int }; const k = 3; p := []pair{{1, k}}; return fmt.Sprint(p, len(p)) }\n---\nfmt.Println(f())", "[{1 3}] 1\n"},
	{"anonymous structs and nested literals", "cfg := struct { Name string; Opts map[string][]int }{\"x\", map[string][]int{\"a\": {1, 2}}}\ncfg.Opts[\"a\"][0]++\nfmt.Printf(\"%+v\\n\", cfg)", "{Name:x Opts:map[a:[2 2]]}\n"},
	{"pointers to everything", "x := 1\np := &x\npp := &p\n**pp = 5\na := []int{1, 2}\nq := &a[1]\n*q = 9\nf := struct{ v int }{3}\nr := &f.v\n*r++\nfmt.Println(x, a, f.v)", "5 [1 9] 4\n"},
	{"bufio reads what was written", "sc := bufio.NewScanner(strings.NewReader(\"a b\\nc\"))\nsc.Split(bufio.ScanWords)\nn := 0\nfor sc.Scan() { n++; fmt.Print(sc.Text()) }\nfmt.Println(n)", "abc3\n"},
	{"errors.Is through an own Is", "type E struct{}\nfunc (E) Error() string { return \"e\" }\nfunc (E) Is(t error) bool { return t == io.EOF }\n---\nfmt.Println(errors.Is(fmt.Errorf(\"w: %w\", E{}), io.EOF), errors.Is(E{}, io.ErrNoProgress))", "true false\n"},
}

func TestNotebookHabits(t *testing.T) {
	for _, c := range snippets {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := New(Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			rec := &recorder{}
			for i, code := range strings.Split(c.cells, "\n---\n") {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				_, err := s.Exec(ctx, Cell{Code: code, Number: i + 1}, rec)
				cancel()
				if err != nil {
					t.Fatalf("cell %d: %v", i+1, err)
				}
			}
			if got := rec.stdout(); c.want != "" && got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
