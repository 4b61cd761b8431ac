package sample

import (
	"cmp"
	"math"
	"slices"
)

const (
	bins      = 2048
	blockLen  = 256 // entries surveyed and summed together
	greedyMax = 1e-6
	// deepest is the scaled logit below the maximum from which on a token has no
	// mass: e^-40 is below the resolution of a draw.
	deepest = -40
)

// Sampler draws tokens. It holds scratch memory for one goroutine; results do not
// depend on what it sampled before.
type Sampler struct {
	weight []float64 // of the tokens that stay, 0 for the others
	blocks []float64 // sums of blockLen weights
	peak   []float32 // largest logit of each block: most blocks lie below a cut
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

// scaling maps a logit to x.
type scaling struct{ top, inv float32 }

func (c scaling) x(l float32) float32 { return (l - c.top) * c.inv }

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
	n := (vocab + blockLen - 1) / blockLen
	s.weight = make([]float64, vocab)
	s.blocks = make([]float64, n)
	s.peak = make([]float32, n)
}

// blockRange is the half-open range of block b's entries among n.
func blockRange(b, n int) (int, int) { return b * blockLen, min((b+1)*blockLen, n) }

// Sample applies p to logits, in place, and returns the token drawn. NaN counts as
// -Inf; if several logits are +Inf they share the whole mass. When nothing can be
// drawn, because every logit is NaN, banned or -Inf, it returns -1.
func (s *Sampler) Sample(logits []float32, p *Params) int32 {
	Process(logits, p)
	if p.Temperature < greedyMax {
		return Argmax(logits)
	}
	s.grow(len(logits))
	top, bottom := s.survey(logits)
	if math.IsInf(float64(top), -1) {
		return -1
	}
	if math.IsInf(float64(top), 1) {
		flatten(logits)
		top, bottom = s.survey(logits)
	}
	return s.draw(logits, top, bottom, p)
}

// survey notes every block's peak and returns the largest and the smallest logit,
// both -Inf when nothing is larger.
func (s *Sampler) survey(logits []float32) (top, bottom float32) {
	n := len(logits)
	top, bottom = float32(math.Inf(-1)), float32(math.Inf(1))
	for b := 0; b*blockLen < n; b++ {
		lo, hi := blockRange(b, n)
		high, low := extremes(logits[lo:hi])
		s.peak[b] = high
		top, bottom = max(top, high), min(bottom, low)
	}
	return top, min(top, bottom)
}

// extremes returns the largest and the smallest entry, NaN ignored. Two chains of
// comparisons hide half of their latency.
func extremes(v []float32) (high, low float32) {
	h0, h1 := float32(math.Inf(-1)), float32(math.Inf(-1))
	l0, l1 := float32(math.Inf(1)), float32(math.Inf(1))
	i := 0
	for ; i+1 < len(v); i += 2 {
		a, b := v[i], v[i+1]
		if a > h0 {
			h0 = a
		}
		if b > h1 {
			h1 = b
		}
		if a < l0 {
			l0 = a
		}
		if b < l1 {
			l1 = b
		}
	}
	if i < len(v) {
		if v[i] > h0 {
			h0 = v[i]
		}
		if v[i] < l0 {
			l0 = v[i]
		}
	}
	return max(h0, h1), min(l0, l1)
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
func flatten(logits []float32) {
	for i, l := range logits {
		if math.IsInf(float64(l), 1) {
			logits[i] = 0
		} else {
			logits[i] = float32(math.Inf(-1))
		}
	}
}

// draw filters and draws; top and bottom are survey's, top is finite.
func (s *Sampler) draw(logits []float32, top, bottom float32, p *Params) int32 {
	n := int32(len(logits))
	sc := scaling{top, 1 / p.Temperature}
	low := max(sc.x(bottom), deepest)
	if low != low {
		low = deepest // infinite temperature times an infinite distance
	}
	last := cut{low, n}
	if p.TopK > 0 && p.TopK < len(logits) {
		last = s.cutCount(logits, sc, last, p.TopK)
	}
	if p.TopP > 0 && p.TopP < 1 {
		last = s.cutMass(logits, sc, low, last, float64(p.TopP))
	}
	if p.MinP > 0 {
		// p >= MinP · pmax is x >= log MinP; the best token (x = 0) always stays.
		if x := float32(min(0, math.Log(float64(p.MinP)))); x > last.x {
			last = cut{x, n}
		}
	}
	total := s.weigh(logits, sc, last)
	return s.pick(len(logits), Uniform(p.Seed, p.Choice, p.Position)*total)
}

// binner maps x in [low, 0] to bins of equal width, the largest x in bin 0.
func binner(low float32) float32 {
	if low > -1e-20 {
		return 0 // all in one bin; a smaller low would make the factor infinite
	}
	return (bins - 1) / low
}

// cutCount finds the k-th token of the order among those that stay by last, whose
// x is the lowest of all.
func (s *Sampler) cutCount(logits []float32, sc scaling, last cut, k int) cut {
	clear(s.count[:])
	f := binner(last.x)
	for _, l := range logits {
		if x := sc.x(l); x >= last.x {
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
		s.collect(logits, sc, f, b, last)
		return cut(s.edge[k-before-1])
	}
	return last // fewer than k have mass
}

// cutMass finds the last token before which at most topP of the mass lies, among
// those that stay by last.
func (s *Sampler) cutMass(logits []float32, sc scaling, low float32, last cut, topP float64) cut {
	clear(s.mass[:])
	f, total := binner(low), 0.0
	for b := range s.peaks(len(logits)) {
		if sc.x(s.peak[b]) < last.x {
			continue
		}
		lo, hi := blockRange(b, len(logits))
		for i, l := range logits[lo:hi] {
			if x := sc.x(l); x > last.x || x == last.x && int32(lo+i) <= last.id {
				s.mass[int(x*f)] += expNeg(float64(x))
			}
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
		s.collect(logits, sc, f, b, last)
		return s.cutEdge(before, limit)
	}
	return last
}

// cutEdge walks the collected tokens until the mass before the next one exceeds limit.
func (s *Sampler) cutEdge(before, limit float64) cut {
	for i, e := range s.edge {
		if before > limit {
			return cut(s.edge[i-1])
		}
		before += expNeg(float64(e.x))
	}
	return cut(s.edge[len(s.edge)-1])
}

// peaks are the peaks of the blocks of n entries.
func (s *Sampler) peaks(n int) []float32 { return s.peak[:(n+blockLen-1)/blockLen] }

// collect gathers and sorts the tokens of bin that stay by last.
func (s *Sampler) collect(logits []float32, sc scaling, f float32, bin int, last cut) {
	s.edge = s.edge[:0]
	for b, peak := range s.peaks(len(logits)) {
		if x := sc.x(peak); !(x >= last.x) || int(x*f) > bin {
			continue
		}
		lo, hi := blockRange(b, len(logits))
		for i, l := range logits[lo:hi] {
			x := sc.x(l)
			if x >= last.x && int(x*f) == bin && last.keeps(x, int32(lo+i)) {
				s.edge = append(s.edge, entry{x, int32(lo + i)})
			}
		}
	}
	slices.SortFunc(s.edge, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.x, a.x), cmp.Compare(a.id, b.id))
	})
}

// weigh fills the weights of the tokens that stay and returns their sum. Blocks
// without one keep stale weights; their sum of 0 says so.
func (s *Sampler) weigh(logits []float32, sc scaling, last cut) float64 {
	total := 0.0
	for b, peak := range s.peaks(len(logits)) {
		s.blocks[b] = 0
		if !(sc.x(peak) >= last.x) {
			continue
		}
		lo, hi := blockRange(b, len(logits))
		sum := 0.0
		for i, l := range logits[lo:hi] {
			x, w := sc.x(l), 0.0
			if x > last.x || x == last.x && int32(lo+i) <= last.id {
				w = expNeg(float64(x))
			}
			s.weight[lo+i] = w
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
	lo, hi := blockRange(at, n)
	for i, w := range s.weight[lo:hi] {
		if w == 0 {
			continue
		}
		found = int32(lo + i)
		if target < w {
			break
		}
		target -= w
	}
	return found
}
