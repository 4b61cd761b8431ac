package reference

import (
	"math"
	"slices"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/sample"
)

// step is one batch on its way through the program.
type step struct {
	*exec
	b   *device.Batch
	seq []int // row -> index of its sequence
	pos []int // row -> position in the sequence

	tokens []int32 // of the rows
}

func newStep(e *exec, b *device.Batch) *step {
	s := &step{exec: e, b: b}
	for i, q := range b.Seqs {
		for r := range q.Rows {
			s.seq, s.pos = append(s.seq, i), append(s.pos, q.Past+r)
		}
	}
	e.values = make([][]float32, len(e.p.Values))
	s.tokens = append(s.tokens, b.Tokens...)
	for i, k := range b.From {
		if k >= 0 {
			s.tokens[i] = max(0, e.drawn[k]) // nothing may have been drawn: the row is of no use then
		}
	}
	return s
}

// matrix is an activation: rows of equal width.
type matrix struct {
	data  []float32
	width int
}

func (m matrix) rows() int           { return len(m.data) / m.width }
func (m matrix) row(r int) []float32 { return m.data[r*m.width : (r+1)*m.width] }

func (s *step) value(v op.Value) matrix { return matrix{s.values[v], s.p.Values[v].Width} }

func (s *step) run(in *op.Instr) {
	rows := len(s.b.Tokens)
	switch {
	case in.Kind == op.Rows:
		rows = len(s.b.Outputs)
	case len(in.In) > 0:
		rows = s.value(in.In[0]).rows()
	}
	out := matrix{make([]float32, rows*s.p.Values[in.Out].Width), s.p.Values[in.Out].Width}
	s.values[in.Out] = out.data
	switch in.Kind {
	case op.Embed:
		s.embed(in, out)
	case op.RMSNorm:
		s.rmsNorm(in, out)
	case op.Linear:
		s.linear(in, out)
	case op.RopeOp:
		s.rope(in, out)
	case op.Attention:
		s.attention(in, out)
	case op.Add:
		x, y := s.value(in.In[0]), s.value(in.In[1])
		for i := range out.data {
			out.data[i] = x.data[i] + y.data[i]
		}
	case op.GLU:
		x, y := s.value(in.In[0]), s.value(in.In[1])
		for i := range out.data {
			g := float64(x.data[i])
			out.data[i] = float32(g / (1 + math.Exp(-g)) * float64(y.data[i]))
		}
	case op.Rows:
		x := s.value(in.In[0])
		for i, o := range s.b.Outputs {
			copy(out.row(i), x.row(o.Row))
		}
	default:
		panic("reference: Check let an unknown instruction pass: " + in.Kind.String())
	}
}

func (s *step) embed(in *op.Instr, out matrix) {
	table := matrix{s.weights[in.W[0]], out.width}
	for r, t := range s.tokens {
		copy(out.row(r), table.row(int(t)))
	}
}

func (s *step) rmsNorm(in *op.Instr, out matrix) {
	x, w := s.value(in.In[0]), s.weights[in.W[0]]
	for i := 0; i < len(x.data); i += len(w) {
		sum := 0.0
		for _, v := range x.data[i : i+len(w)] {
			sum += float64(v) * float64(v)
		}
		scale := 1 / math.Sqrt(sum/float64(len(w))+float64(in.Eps))
		for j, g := range w {
			out.data[i+j] = float32(float64(x.data[i+j]) * scale * float64(g))
		}
	}
}

func (s *step) linear(in *op.Instr, out matrix) {
	x := s.value(in.In[0])
	w := matrix{s.weights[in.W[0]], x.width}
	var bias []float32
	if len(in.W) == 2 {
		bias = s.weights[in.W[1]]
	}
	low := s.shrink(in, x)
	for j := range out.width {
		wj := w.row(j)
		for r := range x.rows() {
			sum := dot(x.row(r), wj)
			if bias != nil {
				sum += float64(bias[j])
			}
			if low != nil {
				sum += low[r].expand(j)
			}
			out.row(r)[j] = float32(sum)
		}
	}
}

// lowRow is x·Aᵀ of one row and what follows it.
type lowRow struct {
	mid  []float64
	pair device.LowRank
}

// shrink computes x·Aᵀ for the rows that have an adapter with a pair for the product;
// nil when there is none.
func (s *step) shrink(in *op.Instr, x matrix) []lowRow {
	if x.rows() != len(s.seq) {
		return nil // behind Rows
	}
	var low []lowRow
	for r := range x.rows() {
		l, ok := s.adapters[s.b.Seqs[s.seq[r]].Adapter][in.W[0]]
		if !ok {
			continue
		}
		if low == nil {
			low = make([]lowRow, x.rows())
		}
		low[r] = lowRow{make([]float64, l.Rank), l}
		for k := range l.Rank {
			low[r].mid[k] = dot(x.row(r), l.A[k*x.width:][:x.width])
		}
	}
	return low
}

func (l *lowRow) expand(j int) float64 {
	sum := 0.0
	for k, m := range l.mid {
		sum += m * float64(l.pair.B[j*l.pair.Rank+k])
	}
	return sum * float64(l.pair.Factor())
}

func (s *step) rope(in *op.Instr, out matrix) {
	x, half := s.value(in.In[0]), in.HeadDim/2
	for r := range x.rows() {
		for i, f := range in.Rope.InvFreq {
			sin, cos := math.Sincos(float64(s.pos[r]) * f)
			sin, cos = sin*in.Rope.Scale, cos*in.Rope.Scale
			first, second := i, i+half
			if in.Rope.Interleaved {
				first, second = 2*i, 2*i+1
			}
			for h := range in.Heads {
				a, b := h*in.HeadDim+first, h*in.HeadDim+second
				u, v := float64(x.row(r)[a]), float64(x.row(r)[b])
				out.row(r)[a], out.row(r)[b] = float32(u*cos-v*sin), float32(u*sin+v*cos)
			}
		}
	}
}

func (s *step) attention(in *op.Instr, out matrix) {
	q, k, v := s.value(in.In[0]), s.value(in.In[1]), s.value(in.In[2])
	for r := range k.rows() {
		s.cache.put(in.Layer, s.cache.slot(&s.b.Seqs[s.seq[r]], s.pos[r]), k.row(r), v.row(r))
	}
	for r := range q.rows() {
		for h := range in.Heads {
			s.attend(in, r, h, q.row(r)[h*in.HeadDim:(h+1)*in.HeadDim], out.row(r)[h*in.HeadDim:(h+1)*in.HeadDim])
		}
	}
}

// attend computes one query head of one row.
func (s *step) attend(in *op.Instr, r, h int, q, out []float32) {
	seq, group := &s.b.Seqs[s.seq[r]], in.Heads/in.KVHeads
	keys, values := s.cache.k[in.Layer], s.cache.v[in.Layer]
	first := 0
	if in.Window > 0 {
		first = max(0, s.pos[r]-in.Window+1)
	}
	at := func(t int) int { return s.cache.slot(seq, t) + h/group*in.HeadDim }
	scores, top := make([]float64, 0, s.pos[r]+1-first), math.Inf(-1)
	for t := first; t <= s.pos[r]; t++ {
		x := dot(q, keys[at(t):at(t)+in.HeadDim]) * float64(in.Scale)
		scores, top = append(scores, x), max(top, x)
	}
	sum, acc := 0.0, make([]float64, in.HeadDim)
	for i, x := range scores {
		p := math.Exp(x - top)
		sum += p
		addScaled(acc, p, values[at(first+i):at(first+i)+in.HeadDim])
	}
	for j := range out {
		out[j] = float32(acc[j] / sum)
	}
}

// outputs turns the last value, the logits [outputs, vocab], into results.
func (s *step) outputs() done {
	logits := s.value(s.p.Instrs[len(s.p.Instrs)-1].Out)
	outs := make(done, len(s.b.Outputs))
	for i := range outs {
		outs[i] = s.output(&s.b.Outputs[i], logits.row(i))
	}
	return outs
}

// output may overwrite logits, after everything that needs them unmodified.
func (s *step) output(want *device.OutputRow, logits []float32) device.Output {
	o := device.Output{Token: want.Target}
	lse := sample.LogSumExp(logits)
	for _, t := range sample.TopFrom(logits, want.Top, lse) {
		o.Top = append(o.Top, device.TokenLogprob{ID: t.ID, Logprob: t.Logprob})
	}
	if want.Logits {
		o.Logits = append([]float32(nil), logits...)
	}
	if want.Params != nil {
		raw := append([]float32(nil), logits...)
		o.Token = s.sampler.Sample(logits, s.params(want))
		logits = raw
	}
	if o.Token >= 0 && (want.Params == nil || want.Logprob || want.Top > 0) {
		o.Logprob = sample.LogProbFrom(logits, o.Token, lse)
	}
	return o
}

// params are want's with the counts that they cannot know.
func (s *step) params(want *device.OutputRow) *sample.Params {
	if s.b.From == nil || s.b.From[want.Row] < 0 {
		return want.Params
	}
	p, token := *want.Params, s.drawn[s.b.From[want.Row]]
	p.Counts = slices.Clone(p.Counts)
	at := slices.IndexFunc(p.Counts, func(c sample.Count) bool { return c.ID == token })
	if at < 0 {
		at = len(p.Counts)
		p.Counts = append(p.Counts, sample.Count{ID: token})
	}
	p.Counts[at].Output++
	return &p
}

// dot and addScaled are where the time goes. They touch memory that the exec owns,
// and the race detector would make them twenty times slower.
//
//go:norace
func dot(x, y []float32) float64 {
	sum := 0.0
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}

//go:norace
func addScaled(sum []float64, p float64, x []float32) {
	for i, v := range x {
		sum[i] += p * float64(v)
	}
}
