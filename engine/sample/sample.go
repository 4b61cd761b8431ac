package sample

import (
	"cmp"
	"math"
	"slices"
)

const (
	bins      = 2048
	blockLen  = 256 // entries summed together for the draw
	greedyMax = 1e-6
	// deepest is the scaled logit below the maximum from which on a token has no
	// mass: 2^20 tokens of e^-60 together weigh less than a float64's last bit.
	deepest = -60
)

// Sampler draws tokens. It holds scratch memory for one goroutine; results do not
// depend on what it sampled before.
type Sampler struct {
	weight []float64 // exp of the scaled logits; 0 for what is filtered out
	blocks []float64 // sums of blockLen weights
	count  [bins]int32
	mass   [bins]float64
	edge   []entry // tokens of the bin that a cut goes through
}

type entry struct {
	x  float32 // (logit - max) / temperature, <= 0
	id int32
}

// cut is the last token that stays, in the order of falling x and rising id: every
// filter (top-k, top-p, min-p) keeps a prefix of that order.
type cut entry

func (c cut) keeps(x float32, id int32) bool {
	return x > c.x || x == c.x && id <= c.id
}

// New returns a sampler for logits of up to vocab entries; longer ones make it grow.
func New(vocab int) *Sampler {
	s := &Sampler{}
	s.grow(vocab)
	return s
}

func (s *Sampler) grow(vocab int) {
	if len(s.weight) >= vocab {
		return
	}
	s.weight = make([]float64, vocab)
	s.blocks = make([]float64, (vocab+blockLen-1)/blockLen)
}

// Sample applies p to logits, in place, and returns the token drawn. NaN counts as
// -Inf; if several logits are +Inf they share the whole mass. When nothing can be
// drawn, because every logit is NaN, banned or -Inf, it returns -1.
func (s *Sampler) Sample(logits []float32, p *Params) int32 {
	Process(logits, p)
	if p.Temperature < greedyMax {
		return Argmax(logits)
	}
	top := maximum(logits)
	if math.IsInf(float64(top), -1) {
		return -1
	}
	if math.IsInf(float64(top), 1) {
		top = flatten(logits)
	}
	s.grow(len(logits))
	return s.draw(logits, top, p)
}

// Argmax returns the largest entry's id, ties to the lowest, NaN ignored; -1 when
// every entry is NaN or -Inf.
func Argmax(logits []float32) int32 {
	best, at := float32(math.Inf(-1)), int32(-1)
	for i, l := range logits {
		if l > best {
			best, at = l, int32(i)
		}
	}
	return at
}

// Process applies penalties, bans, mask and bias to logits, in this order. Ids
// outside the logits are ignored.
func Process(logits []float32, p *Params) {
	penalize(logits, p)
	for _, id := range p.Banned {
		if uint(id) < uint(len(logits)) {
			logits[id] = float32(math.Inf(-1))
		}
	}
	if p.Mask != nil {
		applyMask(logits, p.Mask)
	}
	for _, b := range p.Bias {
		if uint(b.ID) < uint(len(logits)) {
			logits[b.ID] += b.Value
		}
	}
}

// penalize applies the repetition penalty (Keskar et al., arXiv:1909.05858: divide
// a positive logit, multiply a negative one), then OpenAI's frequency and presence
// penalties.
func penalize(logits []float32, p *Params) {
	rep := p.Repetition != 0 && p.Repetition != 1
	if !rep && p.Frequency == 0 && p.Presence == 0 {
		return
	}
	for _, c := range p.Counts {
		if uint(c.ID) >= uint(len(logits)) {
			continue
		}
		l := logits[c.ID]
		if rep && (c.Output > 0 || c.InPrompt) {
			if l > 0 {
				l /= p.Repetition
			} else {
				l *= p.Repetition
			}
		}
		if c.Output > 0 {
			l -= p.Frequency*float32(c.Output) + p.Presence
		}
		logits[c.ID] = l
	}
}

// applyMask bans what the mask does not allow; ids beyond its words are banned too.
func applyMask(logits []float32, mask []uint64) {
	inf := float32(math.Inf(-1))
	for base := 0; base < len(logits); base += 64 {
		word := uint64(0)
		if w := base / 64; w < len(mask) {
			word = mask[w]
		}
		if word == math.MaxUint64 {
			continue
		}
		for i := base; i < min(base+64, len(logits)); i++ {
			if word>>(i-base)&1 == 0 {
				logits[i] = inf
			}
		}
	}
}

// flatten makes every +Inf zero and the rest -Inf: the limit of the softmax.
func flatten(logits []float32) float32 {
	for i, l := range logits {
		if math.IsInf(float64(l), 1) {
			logits[i] = 0
		} else {
			logits[i] = float32(math.Inf(-1))
		}
	}
	return 0
}

// draw scales, filters and draws. top is the largest logit and finite.
func (s *Sampler) draw(logits []float32, top float32, p *Params) int32 {
	n := len(logits)
	inv := 1 / p.Temperature
	low := scale(logits, top, inv)
	last := cut{float32(math.Inf(-1)), int32(n)}
	if p.TopK > 0 && p.TopK < n {
		last = s.cutCount(logits, low, p.TopK)
	}
	if p.TopP > 0 && p.TopP < 1 {
		last = s.cutMass(logits, low, last, float64(p.TopP))
	}
	if p.MinP > 0 {
		// p >= MinP · pmax is x >= log MinP; the best token (x = 0) always stays.
		if x := float32(min(0, math.Log(float64(p.MinP)))); x > last.x {
			last = cut{x, int32(n)}
		}
	}
	total := s.weigh(logits, last)
	return s.pick(n, Uniform(p.Seed, p.Choice, p.Position)*total)
}

// scale turns logits into x = (l - top)/temperature and returns the smallest x that
// still has mass. NaN becomes -Inf.
func scale(logits []float32, top, inv float32) float32 {
	low := float32(0)
	for i, l := range logits {
		x := (l - top) * inv
		if !(x >= deepest) {
			logits[i] = float32(math.Inf(-1))
			continue
		}
		if x < low {
			low = x
		}
		logits[i] = x
	}
	return low
}

// binner maps x in [low, 0] to bins of equal width, the largest x in bin 0.
func binner(low float32) float32 {
	if low > -1e-20 {
		return 0 // all in one bin; a smaller low would make the factor infinite
	}
	return (bins - 1) / low
}

// cutCount finds the k-th token of the order.
func (s *Sampler) cutCount(xs []float32, low float32, k int) cut {
	clear(s.count[:])
	f := binner(low)
	for _, x := range xs {
		if x >= deepest {
			s.count[int(x*f)]++
		}
	}
	before := 0
	for b := range bins {
		c := int(s.count[b])
		if before+c < k {
			before += c
			continue
		}
		s.collect(xs, f, b, cut{float32(math.Inf(-1)), math.MaxInt32})
		return cut(s.edge[k-before-1])
	}
	return cut{float32(math.Inf(-1)), math.MaxInt32} // fewer than k have mass
}

// cutMass finds the last token before which at most topP of the mass lies, among
// those that stay by last.
func (s *Sampler) cutMass(xs []float32, low float32, last cut, topP float64) cut {
	clear(s.mass[:])
	f, total := binner(low), 0.0
	for i, x := range xs {
		if x >= last.x && x >= deepest && last.keeps(x, int32(i)) {
			s.mass[int(x*f)] += expNeg(float64(x))
		}
	}
	for _, m := range s.mass {
		total += m
	}
	limit, before := topP*total, 0.0
	for b, m := range s.mass {
		if m == 0 || before+m <= limit {
			before += m
			continue
		}
		s.collect(xs, f, b, last)
		for i, e := range s.edge {
			if before > limit {
				return cut(s.edge[max(i-1, 0)])
			}
			before += expNeg(float64(e.x))
		}
		return cut(s.edge[len(s.edge)-1])
	}
	return last
}

// collect gathers and sorts the tokens of bin b that stay by last.
func (s *Sampler) collect(xs []float32, f float32, b int, last cut) {
	s.edge = s.edge[:0]
	for i, x := range xs {
		if x >= deepest && int(x*f) == b && last.keeps(x, int32(i)) {
			s.edge = append(s.edge, entry{x, int32(i)})
		}
	}
	slices.SortFunc(s.edge, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.x, a.x), cmp.Compare(a.id, b.id))
	})
}

// weigh fills the weights of the tokens that stay and returns their sum.
func (s *Sampler) weigh(xs []float32, last cut) float64 {
	total := 0.0
	for b := 0; b*blockLen < len(xs); b++ {
		sum := 0.0
		for i := b * blockLen; i < min((b+1)*blockLen, len(xs)); i++ {
			x := xs[i]
			if !(x >= last.x) || x < deepest || x == last.x && int32(i) > last.id {
				s.weight[i] = 0
				continue
			}
			w := expNeg(float64(x))
			s.weight[i] = w
			sum += w
		}
		s.blocks[b] = sum
		total += sum
	}
	return total
}

// pick returns the token in whose share of the mass, laid out by rising id, target
// falls; the last token with mass if rounding carried target past the end.
func (s *Sampler) pick(n int, target float64) int32 {
	at := -1
	for b, sum := range s.blocks[:(n+blockLen-1)/blockLen] {
		if sum == 0 {
			continue
		}
		at = b
		if target < sum {
			break
		}
		target -= sum
	}
	found := int32(-1)
	for i := at * blockLen; i < min((at+1)*blockLen, n); i++ {
		w := s.weight[i]
		if w == 0 {
			continue
		}
		found = int32(i)
		if target < w {
			break
		}
		target -= w
	}
	return found
}
