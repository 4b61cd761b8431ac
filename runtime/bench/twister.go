package bench

// twister is MT19937 (Matsumoto and Nishimura 1998) seeded as Python's random.seed does
// with a small integer: its draws are those of CPython.
type twister struct {
	s  [624]uint32
	at int
}

func newTwister(seed uint32) *twister {
	m := &twister{at: 624}
	m.s[0] = 19650218
	for i := uint32(1); i < 624; i++ {
		m.s[i] = 1812433253*(m.s[i-1]^m.s[i-1]>>30) + i
	}
	i := 1
	wrap := func() {
		if i++; i >= 624 {
			m.s[0], i = m.s[623], 1
		}
	}
	for range 624 { // the key has one word, so its index is always 0
		m.s[i] = (m.s[i] ^ (m.s[i-1]^m.s[i-1]>>30)*1664525) + seed
		wrap()
	}
	for range 623 {
		m.s[i] = (m.s[i] ^ (m.s[i-1]^m.s[i-1]>>30)*1566083941) - uint32(i)
		wrap()
	}
	m.s[0] = 0x80000000
	return m
}

func (m *twister) next() uint32 {
	if m.at == 624 {
		for i := range m.s {
			y := m.s[i]&0x80000000 | m.s[(i+1)%624]&0x7fffffff
			m.s[i] = m.s[(i+397)%624] ^ y>>1 ^ y&1*0x9908b0df
		}
		m.at = 0
	}
	y := m.s[m.at]
	m.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// between is Python's randint(a, b): both bounds can be drawn.
func (m *twister) between(a, b int) int {
	n, bits := b-a+1, 0
	for n>>bits > 0 {
		bits++
	}
	for {
		if r := int(m.next() >> (32 - bits)); r < n {
			return a + r
		}
	}
}

// Workload are requests of token ids with the lengths of their answers.
type Workload struct {
	Prompts [][]int32
	Lengths []int
	Models  []string // of each request, "" the model itself; nil: of none
}

// Tokens counts both sides.
func (w *Workload) Tokens() (in, out int) {
	for i := range w.Prompts {
		in, out = in+len(w.Prompts[i]), out+w.Lengths[i]
	}
	return in, out
}

// OfflineWorkload is that of nano-vllm's benchmark (github.com/GeeeekExplorer/nano-vllm,
// bench.py) for n sequences and a seed; 256 and 0 are the published ones. First each
// prompt's length, 100 to 1024, and its ids, 0 to 10000, are drawn, then all lengths of
// answers, 100 to 1024.
func OfflineWorkload(n int, seed uint32) Workload {
	m := newTwister(seed)
	var w Workload
	for range n {
		p := make([]int32, m.between(100, 1024))
		for i := range p {
			p[i] = int32(m.between(0, 10000))
		}
		w.Prompts = append(w.Prompts, p)
	}
	for range n {
		w.Lengths = append(w.Lengths, m.between(100, 1024))
	}
	return w
}
