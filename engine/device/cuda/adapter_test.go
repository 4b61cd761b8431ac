package cuda

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/devicetest"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/sample"
)

// randomAdapter has pairs for the products that pick chooses by their place in order.
func randomAdapter(p *op.Program, rank int, seed uint64, pick func(n int) bool) *device.Adapter {
	r := rand.New(rand.NewPCG(seed, 3))
	values := func(n int, size float64) []float32 {
		f := make([]float32, n)
		for i := range f {
			f[i] = float32(r.NormFloat64() * size)
		}
		return f
	}
	a := &device.Adapter{Pairs: map[string]device.LowRank{}}
	products := device.Products(p)
	n := 0
	for _, w := range p.Weights {
		if _, ok := products[w.Name]; !ok {
			continue
		}
		if n++; pick == nil || pick(n) {
			k := min(rank, w.Shape[0], w.Shape[1])
			a.Pairs[w.Name] = device.LowRank{Rank: k, A: values(k*w.Shape[1], 0.05), B: values(w.Shape[0]*k, 0.05), Scale: 0.75}
		}
	}
	return a
}

// half reads number i of the half floats in b.
func half(b []byte, i int) float64 {
	return float64(quant.F16ToF32(binary.LittleEndian.Uint16(b[2*i:])))
}

// TestPackedPairsGiveTheirTerms multiplies as the kernel does, piece by piece, with what
// pack wrote, and compares with the definition.
func TestPackedPairsGiveTheirTerms(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		n, k, rank, first int
		size              float64
	}{{8, 8, 1, 0, 1}, {33, 40, 3, 2, 1e-6}, {96, 64, 8, 0, 300}, {101, 136, 17, 5, 1e-3}} {
		t.Run(fmt.Sprintf("%d×%d of rank %d and size %g", c.n, c.k, c.rank, c.size), func(t *testing.T) {
			values := func(n int) []float32 {
				f := make([]float32, n)
				for i := range f {
					f[i] = float32(rng.NormFloat64() * c.size)
				}
				return f
			}
			pair := device.LowRank{Rank: c.rank, A: values(c.rank * c.k), B: values(c.n * c.rank), Scale: 2}
			r := &lowRankRun{names: []string{"w"}, k: c.k, a: &loraArgs{}}
			r.a.pair[0] = loraPair{n: int32(c.n), step: 1}
			terms := make([]loraTerm, 1)
			a := &device.Adapter{Pairs: map[string]device.LowRank{"w": pair}}
			bytes, octets := r.place(a, terms, 0)
			data := make([]byte, bytes)
			r.pack(a, terms, data)
			if octets != (c.rank+7)/8 || int(terms[0].total) != octets {
				t.Fatalf("%d octets, terms %+v", octets, terms[0])
			}
			x := values(c.k)
			mid := make([]float64, 8*octets)
			chunks := (c.k + 31) / 32
			for o := range octets {
				for at := range chunks * 32 {
					if at >= c.k {
						continue
					}
					for g := range 8 {
						lane := 4*g + at%32/8
						mid[8*o+g] += float64(x[at]) * half(data[int(terms[0].a)+((o*chunks+at/32)*32+lane)*16:], at%8)
					}
				}
			}
			for col := range c.n {
				got, want, size := 0.0, 0.0, 0.0
				for r := range 8 * octets {
					got += mid[r] * half(data[int(terms[0].b)+((col/32*octets+r/8)*32+col%32)*16:], r%8)
				}
				got *= float64(terms[0].factor)
				for r := range c.rank {
					m := 0.0
					for i := range c.k {
						m += float64(x[i]) * float64(pair.A[r*c.k+i])
					}
					want += 2 * m * float64(pair.B[col*c.rank+r])
					size += 2 * math.Abs(m*float64(pair.B[col*c.rank+r]))
				}
				if math.Abs(got-want) > 2e-3*size+1e-30 {
					t.Fatalf("column %d: %g, want %g", col, got, want)
				}
			}
		})
	}
}

func TestEveryRowIsInOneTileOfItsAdapter(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		slots, rows := 1+rng.IntN(20), 1+rng.IntN(700)
		l := &adapters{on: true, slots: make([]adapterSlot, slots+1), counts: make([]int32, slots+2), rows: min(rows, 1+rng.IntN(300)), limit: 200 << 10, octets: 2}
		tiles := l.shape(rows)
		if tiles > l.most(rows) {
			t.Fatalf("%d tiles for %d rows and %d adapters, room for %d", tiles, rows, slots, l.most(rows))
		}
		of, order, work := make([]int32, rows), make([]int32, rows), make([]int32, 4*tiles)
		some := 1 + rng.IntN(slots)
		for i := range of {
			of[i] = int32(rng.IntN(some + 1))
		}
		for i := range work {
			work[i] = -9
		}
		seen := make([]int, rows)
		for _, c := range l.chunks {
			part := work[4*c.tile : 4*(c.tile+c.tiles)]
			l.fillChunk(of, order, part, c)
			for tile := range slices.Chunk(part, 4) {
				if tile[1] < 0 || int(tile[1]) > l.tile {
					t.Fatalf("a tile of %d rows", tile[1])
				}
				for _, r := range order[tile[0] : tile[0]+tile[1]] {
					seen[r]++
					if of[r] != tile[2] || int(r) < c.row || int(r) >= c.row+c.rows {
						t.Fatalf("row %d of slot %d is in a tile of slot %d, chunk %+v", r, of[r], tile[2], c)
					}
				}
			}
		}
		for r, n := range seen {
			if want := min(1, int(of[r])); n != want {
				t.Fatalf("row %d of slot %d is in %d tiles", r, of[r], n)
			}
		}
	}
}

// loraStep is a step of some rows with the slots of their adapters.
func loraStep(slots ...int32) *device.Batch {
	b := &device.Batch{}
	for i, slot := range slots {
		b.Tokens = append(b.Tokens, int32(i+1))
		b.Seqs = append(b.Seqs, device.Seq{Row: i, Rows: 1, Pages: []int32{int32(i)}, Adapter: slot})
		b.Outputs = append(b.Outputs, device.OutputRow{Row: i, Params: &sample.Params{}})
	}
	return b
}

func runStep(t testing.TB, e device.Exec, b *device.Batch) []device.Output {
	t.Helper()
	p, err := e.Launch(b)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStepsAreRecordedWithAndWithoutAdapters(t *testing.T) {
	d, s := standInDevice(t, Options{})
	e := s.compile(t, d, device.Options{Pages: 64, PageTokens: 16, MaxRows: 300, MaxSeqs: 16, MaxOutputs: 16, MaxAdapters: 4})
	nodes := len(e.lora.all)
	if nodes != 8 { // two layers: queries with keys and values, output, gate with up, down
		t.Fatalf("%d products can be adapted", nodes)
	}
	low := func(slots ...int32) (kernels, recorded int) {
		t.Helper()
		s.started, recorded = map[string]int{}, s.recorded
		runStep(t, e, loraStep(slots...))
		for name, n := range s.started {
			if strings.HasPrefix(name, "lora_") || strings.HasPrefix(name, "together_") {
				kernels += n
			}
		}
		return kernels, s.recorded - recorded
	}
	put := func(slot int, a *device.Adapter) {
		t.Helper()
		if err := e.SetAdapter(slot, a); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, kernels, recorded int, slots ...int32) {
		t.Helper()
		if k, r := low(slots...); k != kernels || r != recorded {
			t.Errorf("%s: %d kernels of adapters and %d recordings, want %d and %d", what, k, r, kernels, recorded)
		}
	}
	expect("slots without adapters", 0, 1, 1, 2, 0)
	bytes, free := e.Bytes(), s.free()
	put(1, randomAdapter(e.p, 8, 1, nil))
	put(2, randomAdapter(e.p, 5, 2, nil))
	put(3, randomAdapter(e.p, 4, 3, func(n int) bool { return n%7 == 1 })) // queries
	if e.Bytes() <= bytes || int(e.Bytes()-bytes) != free-s.free() {
		t.Errorf("%d bytes are counted for adapters, %d taken", e.Bytes()-bytes, free-s.free())
	}
	expect("the base model", 0, 0, 0, 0, 0)
	expect("two adapters", nodes, 1, 1, 2, 0)
	expect("the other way round", 0, 0, 2, 0, 1)
	expect("queries alone", 2, 1, 3, 0, 3)
	put(1, randomAdapter(e.p, 7, 4, nil))
	expect("another adapter", 0, 0, 1, 1, 2)
	put(1, randomAdapter(e.p, 40, 4, nil))
	expect("one of a higher rank", nodes, 1, 1, 1, 2)
	put(2, nil)
	expect("an emptied slot", 0, 0, 2, 2, 0)
	for i := 1; i < 4; i++ {
		put(i, nil)
	}
	if e.Bytes() != bytes || s.free() != free {
		t.Errorf("%d bytes are counted after unloading, %d before; %d and %d free", e.Bytes(), bytes, s.free(), free)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if len(s.live)+len(s.hosts) > 0 {
		t.Errorf("%d device and %d host allocations are left", len(s.live), len(s.hosts))
	}
}

func TestAnAdapterThatDoesNotFitLeavesItsSlotAlone(t *testing.T) {
	d, s := standInDevice(t, Options{})
	e := s.compile(t, d, device.Options{Pages: 64, PageTokens: 16, MaxRows: 64, MaxSeqs: 8, MaxOutputs: 8, MaxAdapters: 2})
	if err := e.SetAdapter(1, randomAdapter(e.p, 4, 1, nil)); err != nil {
		t.Fatal(err)
	}
	bytes, slot := e.Bytes(), e.lora.slots[1]
	wrong := randomAdapter(e.p, 4, 1, nil)
	for name, pair := range wrong.Pairs {
		pair.A = pair.A[1:]
		wrong.Pairs[name] = pair
		break
	}
	refuse := func(what string, a *device.Adapter, words ...string) {
		t.Helper()
		err := e.SetAdapter(1, a)
		if err == nil {
			t.Errorf("%s: accepted", what)
			return
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", what, err, w)
			}
		}
		if e.Bytes() != bytes || e.lora.slots[1].memory != slot.memory || e.lora.slots[1].touched == nil {
			t.Errorf("%s: the slot has changed", what)
		}
	}
	refuse("the wrong size", wrong, "does not fit")
	e.lora.limit = loraSums + 2*sumBytes(loraTile)
	refuse("too high a rank", randomAdapter(e.p, 20, 1, nil), "rows of rank", "has room for 16")
	e.lora.limit = e.code.most - skinnyStatic
	s.total -= s.free() - 1<<10
	refuse("no memory", randomAdapter(e.p, 30, 1, nil), "out of GPU memory", "are free")
	runStep(t, e, loraStep(1, 0, 2))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.SetAdapter(1, nil); !errors.Is(err, errLaunchClosed) {
		t.Errorf("a slot of a closed exec: %v", err)
	}
}

// TestStepsWithAdaptersDoNotAllocate is the host's side of decode steps.
func TestStepsWithAdaptersDoNotAllocate(t *testing.T) {
	d, s := standInDevice(t, Options{})
	e := s.compile(t, d, device.Options{Pages: 64, PageTokens: 16, MaxRows: 64, MaxSeqs: 8, MaxOutputs: 8, MaxAdapters: 2})
	if err := e.SetAdapter(1, randomAdapter(e.p, 4, 1, nil)); err != nil {
		t.Fatal(err)
	}
	b := loraStep(1, 0, 1, 2)
	f, _ := e.form(b)
	if _, err := e.fill(&e.slots[0], b, f); err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(50, func() {
		f, _ := e.form(b)
		if _, err := e.fill(&e.slots[0], b, f); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations per step", n)
	}
}

// adapted plays steps of several sizes with adapters on a device and returns the logits
// of every row's last token.
func adapted(t *testing.T, dev device.Device, p *op.Program, w device.Weights, sets []*device.Adapter) (all [][]float32, exec device.Exec) {
	t.Helper()
	o := device.Options{Pages: 400, PageTokens: 16, MaxRows: 3000, MaxSeqs: 48, MaxOutputs: 48, MaxAdapters: len(sets)}
	exec, err := dev.Compile(t.Context(), p, w, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range sets {
		if err := exec.(device.Adapting).SetAdapter(i+1, a); err != nil {
			t.Fatal(err)
		}
	}
	const seqs = 40
	rng := rand.New(rand.NewPCG(7, 8))
	past, pages, next := make([]int, seqs), make([][]int32, seqs), 0
	step := func(rows func(s int) int) {
		b := &device.Batch{}
		for s := range seqs {
			n := rows(s)
			if n == 0 {
				continue
			}
			for len(pages[s])*16 < past[s]+n {
				pages[s] = append(pages[s], int32((next*7+3)%o.Pages))
				next++
			}
			b.Seqs = append(b.Seqs, device.Seq{Row: len(b.Tokens), Rows: n, Past: past[s], Pages: pages[s], Adapter: int32(s % (len(sets) + 1))})
			for range n {
				b.Tokens = append(b.Tokens, int32(rng.IntN(p.Vocab)))
			}
			b.Outputs = append(b.Outputs, device.OutputRow{Row: len(b.Tokens) - 1, Target: -1, Logits: true})
			past[s] += n
		}
		for _, out := range runStep(t, exec, b) {
			all = append(all, slices.Clone(out.Logits))
		}
	}
	few := func(n, rows int) func(s int) int {
		return func(s int) int {
			if s < n {
				return rows
			}
			return 0
		}
	}
	for _, n := range []int{1, 4, 8, 9, 16, 33, 40} {
		step(few(n, 1))
	}
	step(func(s int) int { return 1 + s%5 })    // 120 rows
	step(few(3, 90))                            // 270 rows
	step(func(s int) int { return s % 3 * 60 }) // about 2,400 rows
	return all, exec
}

// TestAdaptersAgreeWithTheReference has adapters of several ranks side by side in steps
// of all sizes, for each format of weights.
func TestAdaptersAgreeWithTheReference(t *testing.T) {
	dev := gpu(t, Options{})
	byKernel := gpu(t, Options{noGraphs: true, noBatch: true})
	for i, s := range shapes[:3] {
		for _, w := range []quant.Type{quant.BF16, quant.Q4_1, quant.Q8_0, quant.F32} {
			if testing.Short() && w != quant.BF16 || w == quant.F32 && i != 2 {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s", s.name, w), func(t *testing.T) {
				t.Parallel() // the reference takes seconds
				size := s.size
				size.Hidden, size.Intermediate, size.Heads, size.KVHeads = size.Hidden/2/size.HeadDim*size.HeadDim, size.Intermediate/2, size.Heads/2, max(1, size.KVHeads/2)
				size.Layers, size.Vocab = 1, 301
				p, weights, err := modeltest.RandomModel(s.arch, size, 5)
				if err == nil && w != quant.F32 {
					weights, err = weights.Stored(w, 9)
				}
				if err != nil {
					t.Fatal(err)
				}
				sets := []*device.Adapter{randomAdapter(p, 8, 1, nil), randomAdapter(p, 16, 2, nil), randomAdapter(p, 3, 3, func(n int) bool { return n%3 == 1 }),
					randomAdapter(p, 64, 4, nil), randomAdapter(p, 21, 5, func(n int) bool { return n%2 == 0 })}
				want, ref := adapted(t, reference.New(), p, weights, sets)
				ref.Close()
				for _, dev := range []*Device{dev, byKernel} {
					got, exec := adapted(t, dev, p, weights, sets)
					if err := exec.Close(); err != nil {
						t.Error(err)
					}
					nearAll(t, got, want, devicetest.Tolerance(w))
				}
			})
		}
	}
}

func nearAll(t *testing.T, got, want [][]float32, tolerance float64) {
	t.Helper()
	worst := 0.0
	for i := range want {
		var diff, all float64
		for j := range want[i] {
			d := float64(got[i][j]) - float64(want[i][j])
			diff, all = diff+d*d, all+float64(want[i][j])*float64(want[i][j])
		}
		e := math.Sqrt(diff / all)
		if worst = max(worst, e); !(e <= tolerance) {
			t.Fatalf("row %d of %d: rms error %.3g exceeds %.3g", i, len(want), e, tolerance)
		}
	}
	t.Logf("worst rms error %.2g of %.2g allowed", worst, tolerance)
}

// TestAdaptersComeAndGoBesideSteps replaces the adapter of one slot while steps of others
// are under way: these draw what they draw without that.
func TestAdaptersComeAndGoBesideSteps(t *testing.T) {
	dev := gpu(t, Options{})
	p, w, err := modeltest.RandomModel("qwen2", shapes[0].size, 5)
	if err == nil {
		w, err = w.Stored(quant.BF16, 9)
	}
	if err != nil {
		t.Fatal(err)
	}
	exec, err := dev.Compile(t.Context(), p, w, device.Options{Pages: 64, PageTokens: 16, MaxRows: 64, MaxSeqs: 16, MaxOutputs: 16, MaxAdapters: 3})
	if err != nil {
		t.Fatal(err)
	}
	e := exec.(interface {
		SetAdapter(int, *device.Adapter) error
		device.Exec
	})
	put := func(slot int, a *device.Adapter) {
		t.Helper()
		if err := e.SetAdapter(slot, a); err != nil {
			t.Fatal(err)
		}
	}
	first, second := randomAdapter(p, 16, 1, nil), randomAdapter(p, 8, 2, nil)
	others := []*device.Adapter{randomAdapter(p, 8, 3, nil), nil, randomAdapter(p, 48, 4, nil), randomAdapter(p, 4, 5, func(n int) bool { return n < 4 })}
	put(1, first)
	put(2, second)
	play := func(change bool) (all []int32) {
		b := loraStep(1, 2, 0, 1, 2, 0, 1)
		var flying device.Pending
		for n := range 60 {
			for i := range b.Seqs {
				b.Seqs[i].Past = n % 16
			}
			pending, err := e.Launch(b)
			if err != nil {
				t.Fatal(err)
			}
			if change {
				put(3, others[n%len(others)]) // the step is under way
			}
			if flying != nil {
				t.Fatal("two steps are under way")
			}
			outs, err := pending.Wait()
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range outs {
				all = append(all, o.Token)
				b.Tokens[i] = o.Token
			}
		}
		return all
	}
	want := play(false)
	if got := play(true); !slices.Equal(got, want) {
		t.Error("the texts changed while adapters came and went")
	}
	put(3, nil)
	bytes := e.Bytes()
	_, free := dev.MemoryBytes()
	for i := range 40 {
		put(3, others[i%2*2])
		put(3, nil)
	}
	if _, after := dev.MemoryBytes(); after+4<<20 < free || e.Bytes() != bytes {
		t.Errorf("after 40 cycles %d bytes are free, before %d; held %d, before %d", after, free, e.Bytes(), bytes)
	}
	if got := play(false); !slices.Equal(got, want) {
		t.Error("the texts changed after adapters had come and gone")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPlainAdaptersAgreeWithTheReference are models that compute in float32 and widths
// that the tensor cores cannot take.
func TestPlainAdaptersAgreeWithTheReference(t *testing.T) {
	dev := gpu(t, Options{})
	for _, c := range []struct {
		name   string
		size   modeltest.Size
		stored quant.Type
	}{
		{"float32", modeltest.Size{Hidden: 64, Intermediate: 96, Layers: 2, Heads: 2, KVHeads: 1, HeadDim: 32, Vocab: 100}, quant.F32},
		{"widths that are no multiples of eight", modeltest.Size{Hidden: 60, Intermediate: 100, Layers: 1, Heads: 3, KVHeads: 1, HeadDim: 20, Vocab: 97}, quant.BF16},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, w, err := modeltest.RandomModel("llama", c.size, 5)
			if err == nil && c.stored != quant.F32 {
				w, err = w.Stored(c.stored, 9)
			}
			if err != nil {
				t.Fatal(err)
			}
			sets := []*device.Adapter{randomAdapter(p, 8, 1, nil), randomAdapter(p, 30, 2, func(n int) bool { return n%2 == 0 })}
			want, ref := adapted(t, reference.New(), p, w, sets)
			ref.Close()
			got, exec := adapted(t, dev, p, w, sets)
			if err := exec.Close(); err != nil {
				t.Error(err)
			}
			nearAll(t, got, want, devicetest.Tolerance(c.stored))
		})
	}
}

// TestLowRankTermsOnTheGPU runs the kernels by themselves on random rows and compares
// every number that they leave with its definition.
func TestLowRankTermsOnTheGPU(t *testing.T) {
	dev := gpu(t, Options{})
	p, w, err := modeltest.RandomModel("qwen2", modeltest.Size{Hidden: 256, Intermediate: 328, Layers: 1, Heads: 4, KVHeads: 2, HeadDim: 64, Vocab: 101}, 5)
	if err == nil {
		w, err = w.Stored(quant.BF16, 9)
	}
	if err != nil {
		t.Fatal(err)
	}
	const slots = 5
	x, err := dev.Compile(t.Context(), p, w, device.Options{Pages: 400, PageTokens: 16, MaxRows: 2500, MaxSeqs: 300, MaxOutputs: 300, MaxAdapters: slots})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	e := x.(*exec)
	sets := make([]*device.Adapter, slots+1)
	for i, rank := range []int{8, 16, 5, 70} {
		sets[i+1] = randomAdapter(p, rank, uint64(i), func(n int) bool { return i != 2 || n%2 == 1 })
		if err := e.SetAdapter(i+1, sets[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 9))
	for _, seqs := range [][2]int{{1, 1}, {7, 1}, {16, 1}, {60, 1}, {5, 9}, {6, 50}, {30, 80}} {
		b := &device.Batch{}
		for s := range seqs[0] {
			pages := make([]int32, 6)
			for i := range pages {
				pages[i] = int32(6*s+i) % 400
			}
			b.Seqs = append(b.Seqs, device.Seq{Row: len(b.Tokens), Rows: seqs[1], Pages: pages, Adapter: int32((s*3 + 1) % (slots + 1))})
			b.Tokens = append(b.Tokens, make([]int32, seqs[1])...)
			b.Outputs = append(b.Outputs, device.OutputRow{Row: len(b.Tokens) - 1, Params: &sample.Params{}})
		}
		for _, r := range e.nodes {
			if pr, ok := r.(*productRun); ok && pr.low != nil {
				e.checkTerms(t, fmt.Sprintf("%d × %d rows, %s", seqs[0], seqs[1], pr.low.names[0]), pr, b, sets, rng)
			}
		}
	}
}

// checkTerms runs one product's kernel over the rows of b.
func (e *exec) checkTerms(t *testing.T, what string, pr *productRun, b *device.Batch, sets []*device.Adapter, rng *rand.Rand) {
	unlock, err := e.lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	slot := &e.slots[1-e.at]
	f, _ := e.form(b)
	bytes, err := e.fill(slot, b, f)
	if err == nil {
		err = e.stream.UploadAsync(e.meta, slot.staging, bytes)
	}
	if err != nil {
		t.Fatal(err)
	}
	k, rows := pr.width, len(b.Tokens)
	in := make([]byte, 2*rows*k)
	for i := range rows * k {
		binary.LittleEndian.PutUint16(in[2*i:], quant.F32ToF16(float32(rng.NormFloat64())))
	}
	x := view{p: e.scratch, typ: f16, stride: k, width: k}
	of := make([]int32, rows)
	for _, s := range b.Seqs {
		for r := range s.Rows {
			of[s.Row+r] = s.Adapter
		}
	}
	low, stride := pr.low, int(pr.low.a.deltaStride)
	for i := range e.lora.chunks {
		c := &e.lora.chunks[i]
		out := make([]byte, 2*c.rows*stride)
		for _, err := range []error{e.stream.UploadBytes(x.p, in), e.stream.Fill(e.lora.delta, 0xff, int64(len(out))), low.run(&e.step, c, x, 0, 0), e.stream.Wait(),
			e.dev.ctx.Download(out, e.lora.delta)} {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		for r := c.row; r < min(rows, c.row+c.rows); r++ {
			if of[r] == 0 || e.lora.slots[of[r]].touched == nil {
				continue
			}
			for j, name := range low.names {
				want := lowRankRow(sets[of[r]].Pairs[name], in[2*r*k:], k, int(low.a.pair[j].n))
				for col, v := range want {
					got := half(out, (r-c.row)*stride+int(low.a.pair[j].offset)+col*int(low.a.pair[j].step))
					if !(math.Abs(got-v) <= 2e-3*math.Abs(v)+4e-3) {
						t.Fatalf("%s: row %d of slot %d, %s, column %d: %g, want %g", what, r, of[r], name, col, got, v)
					}
				}
			}
		}
	}
}

// lowRankRow is what a pair adds to a product for one row of half floats.
func lowRankRow(pair device.LowRank, x []byte, k, n int) []float64 {
	out := make([]float64, n)
	for r := range pair.Rank {
		m := 0.0
		for i := range k {
			m += half(x, i) * float64(pair.A[r*k+i])
		}
		for c := range out {
			out[c] += float64(pair.Factor()) * m * float64(pair.B[c*pair.Rank+r])
		}
	}
	return out
}
