package sample

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var (
	inf = float32(math.Inf(1))
	nan = float32(math.NaN())
)

func TestPhiloxGivesThePublishedKnownAnswers(t *testing.T) {
	const f = math.MaxUint32
	for _, c := range []struct {
		ctr  [4]uint32
		key  [2]uint32
		want [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{f, f, f, f}, [2]uint32{f, f}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := philox(c.ctr, c.key); got != c.want {
			t.Errorf("philox(%x, %x) = %x, want %x", c.ctr, c.key, got, c.want)
		}
	}
}

func TestUniformIsInRangeAndDependsOnEachArgument(t *testing.T) {
	seen := map[float64]string{}
	for seed := range uint64(8) {
		for choice := range uint32(8) {
			for pos := range uint32(8) {
				for _, s := range []uint64{seed, seed << 40} {
					u := Uniform(s, choice, pos)
					if u < 0 || u >= 1 {
						t.Fatalf("Uniform(%d, %d, %d) = %v", s, choice, pos, u)
					}
					where := fmt.Sprint(s, choice, pos)
					if was, ok := seen[u]; ok && was != where {
						t.Errorf("%s and %s draw the same number", was, where)
					}
					seen[u] = where
				}
			}
		}
	}
}

func TestExpNegAgreesWithMathExp(t *testing.T) {
	for x := 0.0; x > -699; x -= 0.0137 {
		if got, want := expNeg(x), math.Exp(x); math.Abs(got/want-1) > 1e-12 {
			t.Fatalf("expNeg(%v) = %v, want %v", x, got, want)
		}
	}
}

func TestGreedy(t *testing.T) {
	for _, c := range []struct {
		name   string
		logits []float32
		p      Params
		want   int32
	}{
		{"takes the largest", []float32{1, 3, 2}, Params{}, 1},
		{"breaks ties by the lowest id", []float32{1, 3, 3}, Params{}, 1},
		{"ignores NaN", []float32{nan, 1, nan, 2}, Params{}, 3},
		{"takes an infinite logit", []float32{0, inf, 9}, Params{}, 1},
		{"answers -1 when nothing is left", []float32{nan, -inf}, Params{}, -1},
		{"skips banned tokens", []float32{1, 3, 2}, Params{Banned: []int32{1, 77, -5}}, 2},
		{"obeys the mask", []float32{1, 3, 2}, Params{Mask: []uint64{0b101}}, 2},
		{"treats ids beyond the mask as banned", append(make([]float32, 64), 9), Params{Mask: []uint64{^uint64(0)}}, 0},
		{"adds the bias before the argmax", []float32{1, 3, 2}, Params{Bias: []Bias{{0, 10}, {99, 5}}}, 0},
		{"keeps a masked token masked whatever its bias", []float32{1, 3, 2}, Params{Mask: []uint64{0b110}, Bias: []Bias{{0, 100}}}, 1},
		{"divides positive logits by the repetition penalty", []float32{1, 3, 2}, Params{Repetition: 2, Counts: []Count{{ID: 1, InPrompt: true}}}, 2},
		{"multiplies negative logits by it", []float32{-3, -2, -2.5}, Params{Repetition: 2, Counts: []Count{{ID: 1, Output: 1}}}, 2},
		{"subtracts the frequency penalty per occurrence", []float32{0, 3, 2}, Params{Frequency: 0.6, Counts: []Count{{ID: 1, Output: 2}}}, 2},
		{"subtracts the presence penalty once", []float32{0, 3, 2.2}, Params{Presence: 0.7, Counts: []Count{{ID: 1, Output: 9}}}, 1},
		{"leaves prompt tokens alone for frequency and presence", []float32{0, 3, 2}, Params{Frequency: 2, Presence: 2, Counts: []Count{{ID: 1, InPrompt: true}}}, 1},
		{"applies repetition before presence", []float32{0, 4, 1.5}, Params{Repetition: 2, Presence: 1, Counts: []Count{{ID: 1, Output: 1}}}, 2},
		{"counts a temperature below 1e-6 as greedy", []float32{1, 3, 2.9999}, Params{Temperature: 9e-7, Seed: 3}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := New(3).Sample(slices.Clone(c.logits), &c.p); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

// kept is the definition by a full sort: which tokens may be drawn.
func kept(logits []float32, p *Params) map[int32]bool {
	type tok struct {
		id int32
		x  float32
	}
	top := slices.Max(logits)
	inv := 1 / p.Temperature
	var toks []tok
	for i, l := range logits {
		if x := (l - top) * inv; x >= deepest {
			toks = append(toks, tok{int32(i), x})
		}
	}
	slices.SortFunc(toks, func(a, b tok) int { return cmp.Or(cmp.Compare(b.x, a.x), cmp.Compare(a.id, b.id)) })
	if p.TopK > 0 && p.TopK < len(toks) {
		toks = toks[:p.TopK]
	}
	total := 0.0
	for _, k := range toks {
		total += math.Exp(float64(k.x))
	}
	out, before := map[int32]bool{}, 0.0
	for _, k := range toks {
		if p.TopP > 0 && p.TopP < 1 && before/total > float64(p.TopP) {
			break
		}
		before += math.Exp(float64(k.x))
		if p.MinP > 0 && math.Exp(float64(k.x)) < float64(p.MinP)*(1-1e-7) {
			break
		}
		out[k.id] = true
	}
	return out
}

// stay lists the tokens that the last draw could have given.
func (s *Sampler) stay(n int) (ids []int32) {
	for i, w := range s.weight[:n] {
		if w > 0 && s.blocks[i/blockLen] > 0 {
			ids = append(ids, int32(i))
		}
	}
	return ids
}

func randomLogits(r *rand.Rand, n int) []float32 {
	l := make([]float32, n)
	shape := r.IntN(4)
	for i := range l {
		switch shape {
		case 0:
			l[i] = float32(r.NormFloat64() * 4)
		case 1:
			l[i] = float32(r.IntN(5)) // many ties
		case 2:
			l[i] = float32(-r.ExpFloat64() * 30)
		case 3:
			l[i] = float32(r.NormFloat64() * 1e-3)
		}
	}
	return l
}

func TestFiltersKeepExactlyWhatTheirDefinitionSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		n := 1 + r.IntN(400)
		logits := randomLogits(r, n)
		p := Params{Temperature: []float32{0.01, 0.7, 1, 3, 100}[r.IntN(5)]}
		if r.IntN(2) == 0 {
			p.TopK = 1 + r.IntN(n+3)
		}
		if r.IntN(2) == 0 {
			p.TopP = r.Float32()
		}
		if r.IntN(3) == 0 {
			p.MinP = r.Float32()
		}
		want := kept(logits, &p)
		s := New(n)
		xs := slices.Clone(logits)
		s.Sample(xs, &p)
		got := map[int32]bool{}
		for _, id := range s.stay(n) {
			got[id] = true
		}
		if len(got) != len(want) {
			t.Fatalf("n %d, %+v: kept %d tokens, want %d", n, p, len(got), len(want))
		}
		for id := range want {
			if !got[id] {
				t.Fatalf("n %d, %+v: token %d is missing", n, p, id)
			}
		}
	}
}

func TestTopPKeepsATokenWhileTheMassBeforeItIsAtMostTopP(t *testing.T) {
	logits := []float32{0, 0, 0, 0} // a quarter each
	for _, c := range []struct {
		topP float32
		want int
	}{{0.2, 1}, {0.25, 2}, {0.26, 2}, {0.5, 3}, {0.74, 3}, {0.75, 4}, {0.99, 4}} {
		s := New(4)
		s.Sample(slices.Clone(logits), &Params{Temperature: 1, TopP: c.topP})
		if n := len(s.stay(4)); n != c.want {
			t.Errorf("top_p %v keeps %d of four equal tokens, want %d", c.topP, n, c.want)
		}
	}
}

func TestDrawsFollowTheSoftmax(t *testing.T) {
	logits := []float32{2, 1, 0.5, 0, -1, -2, nan, -inf, 3}
	const temp, draws = 0.8, 40000
	want := make([]float64, len(logits))
	total := 0.0
	for i, l := range logits {
		if w := math.Exp(float64(l) / temp); !math.IsNaN(w) {
			want[i] = w
			total += w
		}
	}
	s, got := New(len(logits)), make([]int, len(logits))
	for i := range uint32(draws) {
		got[s.Sample(slices.Clone(logits), &Params{Temperature: temp, Seed: 7, Choice: i % 3, Position: i})]++
	}
	chi, dof := 0.0, -1
	for i := range want {
		e := want[i] / total * draws
		if e == 0 {
			if got[i] != 0 {
				t.Errorf("token %d cannot be drawn but was, %d times", i, got[i])
			}
			continue
		}
		chi += (float64(got[i]) - e) * (float64(got[i]) - e) / e
		dof++
	}
	if chi > 22.5 { // 6 degrees of freedom: 0.1 % of honest samplers exceed it
		t.Errorf("chi-square %.1f with %d degrees of freedom: %v", chi, dof, got)
	}
}

func TestInfiniteLogitsShareTheMass(t *testing.T) {
	s, got := New(4), map[int32]int{}
	for i := range uint32(200) {
		got[s.Sample([]float32{5, inf, nan, inf}, &Params{Temperature: 1, Position: i})]++
	}
	if len(got) != 2 || got[1] < 60 || got[3] < 60 {
		t.Errorf("drawn: %v", got)
	}
}

func TestNothingToDrawIsMinusOne(t *testing.T) {
	if got := New(2).Sample([]float32{nan, -inf}, &Params{Temperature: 1}); got != -1 {
		t.Errorf("got %d", got)
	}
	if got := New(0).Sample(nil, &Params{Temperature: 1}); got != -1 {
		t.Errorf("got %d", got)
	}
}

func TestASamplerKeepsNothingBetweenDraws(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	used := New(8)
	for range 500 {
		n := 1 + r.IntN(600)
		logits := randomLogits(r, n)
		p := Params{Temperature: 0.2 + r.Float32(), TopP: r.Float32(), TopK: r.IntN(40), Seed: r.Uint64(), Position: r.Uint32()}
		a := used.Sample(slices.Clone(logits), &p)
		b := New(n).Sample(slices.Clone(logits), &p)
		if a != b || a < 0 {
			t.Fatalf("%+v: used sampler drew %d, a new one %d", p, a, b)
		}
	}
}

func TestLogProbsSumToOneAndTopIsSorted(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		logits := randomLogits(r, 1+r.IntN(300))
		sum := 0.0
		for id := range logits {
			sum += math.Exp(float64(LogProb(logits, int32(id))))
		}
		if math.Abs(sum-1) > 1e-4 {
			t.Fatalf("probabilities sum to %v", sum)
		}
		n := 1 + r.IntN(12)
		top := Top(logits, n)
		if len(top) != min(n, len(logits)) {
			t.Fatalf("Top(%d) of %d returned %d", n, len(logits), len(top))
		}
		ids := make([]int32, len(logits))
		for i := range ids {
			ids[i] = int32(i)
		}
		slices.SortFunc(ids, func(a, b int32) int { return cmp.Or(cmp.Compare(logits[b], logits[a]), cmp.Compare(a, b)) })
		for i, e := range top {
			if e.ID != ids[i] || e.Logprob != LogProb(logits, e.ID) {
				t.Fatalf("rank %d is %+v, want id %d", i, e, ids[i])
			}
		}
	}
}

func TestLogProbOfStrangeLogits(t *testing.T) {
	for _, c := range []struct {
		name   string
		logits []float32
		id     int32
		want   float32
	}{
		{"an id outside has none", []float32{1, 2}, 2, -inf},
		{"NaN has none", []float32{1, nan}, 1, -inf},
		{"NaN does not disturb the others", []float32{1, nan}, 0, 0},
		{"an infinite logit is certain", []float32{1, inf}, 1, 0},
		{"beside it nothing is possible", []float32{1, inf}, 0, -inf},
		{"huge logits do not overflow", []float32{1e9, 1e9}, 0, -math.Ln2},
		{"all impossible", []float32{-inf, -inf}, 0, -inf},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := LogProb(c.logits, c.id); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func FuzzSampleDrawsAnAllowedToken(f *testing.F) {
	f.Add(uint64(1), float32(0.7), 5, float32(0.9), float32(0.01))
	f.Add(uint64(9), float32(1e-40), 0, float32(1e-30), float32(2))
	f.Fuzz(func(t *testing.T, seed uint64, temp float32, k int, topP, minP float32) {
		r := rand.New(rand.NewPCG(seed, 1))
		logits := randomLogits(r, 1+r.IntN(200))
		banned := int32(r.IntN(len(logits)))
		for range r.IntN(4) {
			logits[r.IntN(len(logits))] = []float32{nan, inf, -inf, 3e38, -3e38, 1e-45}[r.IntN(6)]
		}
		p := Params{Temperature: temp, TopK: k, TopP: topP, MinP: minP, Banned: []int32{banned}, Seed: seed}
		id := New(1).Sample(logits, &p)
		if id == banned || int(id) >= len(logits) {
			t.Fatalf("drew %d, banned %d", id, banned)
		}
	})
}

func BenchmarkSample(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, vocab := range []int{49152, 151936} {
		src := make([]float32, vocab)
		for i := range src {
			src[i] = float32(r.NormFloat64() * 3)
		}
		for _, c := range []struct {
			name string
			p    Params
		}{
			{"greedy", Params{}},
			{"T0.7_topp0.9", Params{Temperature: 0.7, TopP: 0.9}},
			{"T1", Params{Temperature: 1}},
			{"T1_topk50_topp0.95", Params{Temperature: 1, TopK: 50, TopP: 0.95}},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, vocab), func(b *testing.B) {
				s, buf := New(vocab), make([]float32, vocab)
				b.ReportAllocs()
				for b.Loop() {
					copy(buf, src)
					c.p.Position++
					s.Sample(buf, &c.p)
				}
			})
		}
	}
}
