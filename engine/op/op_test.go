package op

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func header() Program {
	return Program{Arch: "toy", Vocab: 50, Hidden: 8, Layers: 1, KVHeads: 1, HeadDim: 4, ContextLen: 64}
}

func toyRope() *Rope { return &Rope{InvFreq: []float64{1, 0.01}, Scale: 1} }

// toy records a one-layer model that uses every kind.
func toy(b *Builder) {
	h := b.Embed("embed", "embed")
	x := b.RMSNorm("norm1", h, "n1", 1e-5)
	q := b.HeadNorm("q.norm", b.Linear("q", x, 8, "wq", "bq"), 4, "nq", 1e-5)
	k := b.Linear("k", x, 4, "wk", "")
	v := b.Linear("v", x, 4, "wv", "")
	r := toyRope()
	q, k = b.Rope("q.rope", q, 2, r), b.Rope("k.rope", k, 1, r)
	a := b.Linear("o", b.Attention("attn", 0, 2, q, k, v, 0.5, 16), 8, "wo", "")
	h = b.Add("h1", h, a)
	g := b.GLU("glu", b.Linear("gate", h, 12, "wg", ""), b.Linear("up", h, 12, "wu", ""), SiLU)
	h = b.Add("h2", h, b.Linear("down", g, 8, "wd", ""))
	b.Linear("logits", b.RMSNorm("norm", b.Rows("rows", h), "n", 1e-5), 50, "embed", "")
}

func toyProgram(t *testing.T) *Program {
	t.Helper()
	b := NewBuilder(header())
	toy(b)
	p, err := b.Program()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStringMatchesTheGoldenFile(t *testing.T) {
	got, path := toyProgram(t).String(), filepath.Join("testdata", "toy.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the dump is\n%swant\n%s", got, want)
	}
}

func TestStringBearsBrokenPrograms(t *testing.T) {
	p := Program{Arch: "broken", Instrs: []Instr{
		{Kind: Kind(77), Out: -1, In: []Value{9}, W: []WeightID{-3}},
		{Kind: GLU, Act: Act(9), Out: 4},
		{Kind: RopeOp},
	}}
	for _, want := range []string{"Kind(77)", "value(9)", "weight(-3)", "Act(9)"} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("%q is not in %s", want, p.String())
		}
	}
}

func TestEveryKindHasANameAndAnArity(t *testing.T) {
	for k := Embed; k <= Rows; k++ {
		if strings.Contains(k.String(), "(") || k.String() == "" {
			t.Errorf("kind %d is %q", k, k)
		}
	}
	if len(arity) != int(Rows)+1 || len(kindNames) != int(Rows)+1 {
		t.Errorf("%d arities and %d names for %d kinds", len(arity), len(kindNames), Rows+1)
	}
}

func TestKVFloats(t *testing.T) {
	p := Program{Layers: 3, KVHeads: 2, HeadDim: 8}
	if n := p.KVFloats(); n != 96 {
		t.Errorf("%d, want 96", n)
	}
}

func TestBuilderErrorsNameInstructionAndWeight(t *testing.T) {
	cases := []struct {
		name  string
		build func(*Builder)
		want  []string
	}{
		{"a weight used in two shapes", func(b *Builder) {
			h := b.Embed("h", "w")
			b.Linear("y", h, 9, "w", "")
		}, []string{"instruction 1 (y)", "weight w", "[50 8]", "[9 8]"}},
		{"two values of one name", func(b *Builder) {
			h := b.Embed("h", "w")
			b.Add("h", h, h)
		}, []string{"instruction 1 (h)", "taken"}},
		{"sum of different widths", func(b *Builder) {
			h := b.Embed("h", "w")
			b.Add("sum", h, b.Linear("y", h, 9, "wy", ""))
		}, []string{"(sum)", "h has width 8, y has 9"}},
		{"heads that do not fill the width", func(b *Builder) {
			b.Rope("r", b.Embed("h", "w"), 3, toyRope())
		}, []string{"(r)", "3 heads of 4", "width 8"}},
		{"a rope without frequencies", func(b *Builder) { b.Rope("r", b.Embed("h", "w"), 2, nil) }, []string{"(r)", "frequencies"}},
		{"head norm of another dim", func(b *Builder) {
			b.HeadNorm("n", b.Embed("h", "w"), 3, "wn", 1e-5)
		}, []string{"(n)", "multiple of the head dim 3"}},
		{"keys of the wrong width", func(b *Builder) {
			h := b.Embed("h", "w")
			b.Attention("a", 0, 2, h, h, h, 1, 0)
		}, []string{"(a)", "h has width 8", "1 KV heads"}},
		{"a sum of all and kept rows", func(b *Builder) {
			h := b.Embed("h", "w")
			b.Add("sum", h, b.Rows("r", h))
		}, []string{"(sum)", "different rows"}},
		{"an unnamed weight", func(b *Builder) { b.Embed("h", "") }, []string{"(h)", "weight needs a name"}},
		{"an unnamed value", func(b *Builder) { b.Embed("", "w") }, []string{"value needs a name"}},
		{"an operand from nowhere", func(b *Builder) { b.Rows("r", 7) }, []string{"(r)"}},
		{"no instruction", func(*Builder) {}, []string{"toy", "Rows"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := NewBuilder(header())
			c.build(b)
			_, err := b.Program()
			wantError(t, err, c.want...)
		})
	}
}

func TestTheFirstBuilderErrorStays(t *testing.T) {
	b := NewBuilder(header())
	b.Embed("", "w")
	first := b.Err()
	toy(b)
	if _, err := b.Program(); err != first || first == nil {
		t.Errorf("error %v, want the first one %v", err, first)
	}
}

func TestNewBuilderRefusesAbsurdHeaders(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Program)
	}{
		{"vocabulary", func(p *Program) { p.Vocab = 0 }},
		{"hidden size", func(p *Program) { p.Hidden = -1 }},
		{"layers", func(p *Program) { p.Layers = 1 << 40 }},
		{"KV heads", func(p *Program) { p.KVHeads = 0 }},
		{"head dim", func(p *Program) { p.HeadDim = 1 << 30 }},
		{"context length", func(p *Program) { p.ContextLen = 0 }},
		{"wider", func(p *Program) { p.KVHeads, p.HeadDim = 1<<20, 1<<20 }},
	} {
		h := header()
		c.change(&h)
		_, err := NewBuilder(h).Program()
		wantError(t, err, c.name)
	}
}

// TestCheckFindsEverySabotage breaks one thing of a good program at a time.
func TestCheckFindsEverySabotage(t *testing.T) {
	at := func(p *Program, name string) *Instr {
		for i := range p.Instrs {
			if p.valueName(p.Instrs[i].Out) == name {
				return &p.Instrs[i]
			}
		}
		panic("no value " + name)
	}
	cases := []struct {
		name     string
		sabotage func(*Program)
		want     []string
	}{
		{"an unknown kind", func(p *Program) { p.Instrs[3].Kind = 99 }, []string{"instruction 3", "kind 99"}},
		{"a missing operand", func(p *Program) { at(p, "h1").In = at(p, "h1").In[:1] }, []string{"h1", "1 operands"}},
		{"a missing weight", func(p *Program) { at(p, "q").W = nil }, []string{"Linear q", "0 weights"}},
		{"three weights", func(p *Program) { at(p, "q").W = []WeightID{0, 0, 0} }, []string{"3 weights"}},
		{"a result outside the table", func(p *Program) { at(p, "q").Out = 400 }, []string{"result 400"}},
		{"a negative result", func(p *Program) { at(p, "q").Out = -1 }, []string{"result -1"}},
		{"a value defined twice", func(p *Program) { at(p, "k").Out = at(p, "q").Out }, []string{"twice"}},
		{"a value used before its definition", func(p *Program) { at(p, "q").In = []Value{at(p, "down").Out} }, []string{"down is used before"}},
		{"an operand outside the table", func(p *Program) { at(p, "q").In = []Value{99} }, []string{"operand 99"}},
		{"a weight outside the table", func(p *Program) { at(p, "q").W[0] = 99 }, []string{"weight 99"}},
		{"a weight of another shape", func(p *Program) { p.Weights[at(p, "up").W[0]].Shape = []int{12, 9} }, []string{"Linear up", "weight wu", "[12 9]", "[12 8]"}},
		{"a bias of another shape", func(p *Program) { p.Weights[at(p, "q").W[1]].Shape = []int{7} }, []string{"weight bq", "[7]", "[8]"}},
		{"a norm of another size", func(p *Program) { p.Weights[at(p, "norm1").W[0]].Shape = []int{4} }, []string{"weight n1"}},
		{"a head norm that does not divide", func(p *Program) { at(p, "q.norm").HeadDim = 3 }, []string{"multiple of the head dim 3"}},
		{"an embedding of another width", func(p *Program) { p.Values[at(p, "embed").Out].Width = 9 }, []string{"width 9"}},
		{"a value of no width", func(p *Program) { p.Values[2].Width = 0 }, []string{"width 0"}},
		{"a negative size of a weight", func(p *Program) { p.Weights[2].Shape = []int{-4, 2} }, []string{"[-4 2]"}},
		{"two weights of one name", func(p *Program) { p.Weights[2].Name = p.Weights[1].Name }, []string{"taken"}},
		{"two values of one name", func(p *Program) { p.Values[2].Name = p.Values[1].Name }, []string{"taken"}},
		{"a layer outside the program", func(p *Program) { at(p, "attn").Layer = 1 }, []string{"layer 1 of 1"}},
		{"a layer without attention", func(p *Program) { p.Layers = 2 }, []string{"layer 1"}},
		{"other KV heads than the program's", func(p *Program) { at(p, "attn").KVHeads = 2 }, []string{"2 KV heads"}},
		{"query heads that do not divide", func(p *Program) { at(p, "attn").Heads = 0 }, []string{"0 query heads"}},
		{"too many query heads", func(p *Program) { at(p, "attn").Heads = 4 }, []string{"4 heads of 4"}},
		{"a negative window", func(p *Program) { at(p, "attn").Window = -1 }, []string{"window -1"}},
		{"a scale of zero", func(p *Program) { at(p, "attn").Scale = 0 }, []string{"scale is 0"}},
		{"an eps that is not a number", func(p *Program) { at(p, "norm").Eps = float32(math.NaN()) }, []string{"eps is NaN"}},
		{"no rope parameters", func(p *Program) { at(p, "q.rope").Rope = nil }, []string{"frequencies"}},
		{"a rope of another head dim", func(p *Program) { at(p, "q.rope").HeadDim = 8 }, []string{"frequencies"}},
		{"a rope of other heads", func(p *Program) { at(p, "q.rope").Heads = 1 }, []string{"1 heads of 4"}},
		{"an infinite frequency", func(p *Program) { at(p, "q.rope").Rope.InvFreq[1] = math.Inf(1) }, []string{"frequency 1"}},
		{"a rope scale of zero", func(p *Program) { at(p, "q.rope").Rope.Scale = 0 }, []string{"rope scale"}},
		{"an unknown activation", func(p *Program) { at(p, "glu").Act = 5 }, []string{"activation function 5"}},
		{"a second Rows", func(p *Program) { in := at(p, "norm"); *in = Instr{Kind: Rows, Out: in.Out, In: in.In} }, []string{"after Rows"}},
		{"no Rows", func(p *Program) {
			in := at(p, "rows")
			*in = Instr{Kind: Add, Out: in.Out, In: []Value{in.In[0], in.In[0]}}
		}, []string{"0 Rows"}},
		{"logits of all rows", func(p *Program) { p.Instrs = p.Instrs[:len(p.Instrs)-1] }, []string{"logits"}},
		{"a value that nobody uses", func(p *Program) { at(p, "h2").In[1] = at(p, "h1").Out }, []string{"down is never used"}},
		{"a value that nobody defines", func(p *Program) { p.Values = append(p.Values, ValueInfo{"ghost", 3}) }, []string{"ghost is never defined"}},
		{"a weight that nobody uses", func(p *Program) { p.Weights = append(p.Weights, WeightInfo{"ghost", []int{3}}) }, []string{"ghost is never used"}},
		{"no instruction at all", func(p *Program) { p.Instrs = nil }, []string{"Rows"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := toyProgram(t)
			c.sabotage(p)
			wantError(t, p.Check(), c.want...)
			_ = p.String()
		})
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, s := range parts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}
