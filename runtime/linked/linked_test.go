package linked

import (
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/runtime/cache"
	"github.com/godwit-ai/godwit/runtime/session"
	"github.com/godwit-ai/godwit/runtime/symbols"
)

// out is where the cells of these tests print.
type out struct{ strings.Builder }

func (o *out) Stdout(p []byte)                    { o.Write(p) }
func (o *out) Stderr(p []byte)                    { o.Write(p) }
func (o *out) Display(session.Bundle)             {}
func (o *out) ClearOutput(bool)                   {}
func (o *out) Input(string, bool) (string, error) { return "", io.EOF }

func TestEveryLinkedPackageHasTypesTableAndDocumentation(t *testing.T) {
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return symbols.Export(path) })
	for _, lib := range Libraries() {
		if len(lib.Packages()) < 40 || lib.Modules["gonum.org/v1/gonum"] == "" {
			t.Errorf("%s: %d packages, gonum %q", lib.Name, len(lib.Packages()), lib.Modules["gonum.org/v1/gonum"])
		}
		for _, path := range lib.Packages() {
			pkg, err := imp.Import(path)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			docs, err := symbols.Docs(path)
			if err != nil || len(docs) < 2 && path != "gonum.org/v1/plot/text" {
				t.Errorf("%s: %d comments, %v", path, len(docs), err)
			}
			table, _ := symbols.Table(path)
			scope := pkg.Scope()
			for _, name := range scope.Names() {
				f, ok := scope.Lookup(name).(*types.Func)
				if ok && f.Exported() && f.Signature().TypeParams().Len() == 0 && !table[name].IsValid() {
					t.Errorf("%s.%s is missing in the table", path, name)
				}
			}
		}
	}
}

func TestCellsUseLinkedPackages(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"matrices, with a closure and a format", `m := mat.NewDense(2, 2, []float64{1, 2, 3, 4})
var p mat.Dense
p.Mul(m, m)
p.Apply(func(i, j int, v float64) float64 { return v * 10 }, &p)
fmt.Printf("%0.4v", mat.Formatted(&p))`, "⎡ 70  100⎤\n⎣150  220⎦"},
		{"statistics", `fmt.Print(stat.Mean([]float64{1, 2, 3}, nil), floats.Sum([]float64{1, 2}), distuv.Normal{Sigma: 1}.CDF(0))`, "2 3 0.5"},
		{"a minimum of a cell's function", `r, err := optimize.Minimize(optimize.Problem{Func: func(x []float64) float64 { return (x[0] - 3) * (x[0] - 3) }}, []float64{0}, nil, nil)
fmt.Printf("%.3f %v", r.X[0], err)`, "3.000 <nil>"},
		{"an interface of a linked package", `type tri struct{ n int }
func (t tri) Dims() (int, int) { return t.n, t.n }
func (t tri) At(i, j int) float64 { return float64(i * j) }
func (t tri) T() mat.Matrix { return mat.Transpose{Matrix: t} }
fmt.Print(mat.Sum(tri{3}))`, "9"},
		{"a plot", `p := plot.New()
if err := plotutil.AddLinePoints(p, "a", plotter.XYs{{X: 1, Y: 2}, {X: 2, Y: 3}}); err != nil { panic(err) }
w, err := p.WriterTo(3*vg.Inch, 2*vg.Inch, "png")
var buf bytes.Buffer
w.WriteTo(&buf)
m, err := png.Decode(&buf)
fmt.Print(m.Bounds().Dx() > 100, err)`, "true <nil>"},
		{"two packages of one name", `var b bytes.Buffer
w, _ := zstd.NewWriter(&b)
w.Write([]byte("hello"))
w.Close()
r, _ := zstd.NewReader(&b)
x, err := io.ReadAll(r)
fmt.Print(string(x), err, draw.Over)`, "hello<nil> 0"},
		{"a constant of a linked package is typed", `var f vg.Length = 2 * vg.Inch
fmt.Print(f)`, "144"},
		{"shortest paths", `g := simple.NewWeightedUndirectedGraph(0, math.Inf(1))
for i := range 3 {
	g.SetWeightedEdge(simple.WeightedEdge{F: simple.Node(i), T: simple.Node(i + 1), W: 2})
}
import "gonum.org/v1/gonum/graph/path"
fmt.Print(path.DijkstraFrom(simple.Node(0), g).WeightTo(3))`, "6"},
		{"a cache that is kept", `type Model struct{ Name string; Weights []float64; secret int }
var calls int
get := func() Model { return cache.Cache("model", func() Model { calls++; return Model{"m", []float64{1, 2}, 3} }) }
a, b := get(), get()
n := cache.Cache("model", func() int { return 7 })
cache.Delete("model")
fmt.Print(a, b, calls, n, cache.Cache("model", func() string { return "new" }))
fmt.Print(cache.Cache("bad", func() func() { return nil }) == nil)`, "{m [1 2] 3} {m [1 2] 0} 1 7newcache: json: unsupported type: func()\ntrue"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cache.SetDir(t.TempDir())
			defer cache.SetDir("")
			s, err := session.New(session.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			o := &out{}
			if _, err := s.Exec(t.Context(), session.Cell{Code: c.code, Number: 1}, o); err != nil || o.String() != c.want {
				t.Errorf("printed %q, want %q; %v", o.String(), c.want, err)
			}
		})
	}
}

func TestInspectionShowsComments(t *testing.T) {
	s, err := session.New(session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for code, want := range map[string]string{
		"mat.NewDense":    "NewDense creates a new Dense matrix",
		"strings.Repeat":  "Repeat returns a new string",
		"strings.Builder": "A Builder is used to efficiently build a string",
		"stat":            "Package stat provides generalized statistical functions",
	} {
		b, ok := s.Inspect(code, len(code), 0)
		if text, _ := b.Data["text/plain"].(string); !ok || !strings.Contains(text, want) {
			t.Errorf("%s: %v %q", code, ok, text)
		}
	}
}
