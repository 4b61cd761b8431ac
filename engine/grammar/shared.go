package grammar

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sync"
)

// sum names the form of an expression without calls, the same in all grammars of the
// process.
type sum [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

// sumOf is the sum of an expression without calls.
func (g *builder) sumOf(e expr) sum {
	if s, ok := g.sums[e]; ok {
		return s
	}
	n := &g.nodes[e]
	b := make([]byte, 0, 64)
	b = append(b, byte(n.op))
	b = binary.LittleEndian.AppendUint32(b, uint32(n.min))
	b = binary.LittleEndian.AppendUint32(b, uint32(n.max))
	switch n.op {
	case opBytes:
		for _, w := range *g.setOf(n) {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	case opMod:
		b = binary.LittleEndian.AppendUint32(b, uint32(n.a))
		b = binary.LittleEndian.AppendUint32(b, uint32(n.b))
	case opWords:
		b = b[:1]
		for _, w := range g.wordsOf(n) {
			b = append(binary.AppendUvarint(b, uint64(len(w)-int(n.max))), w[n.max:]...)
		}
	case opConcat:
		b = g.sumOf(n.a).append(b)
		b = g.sumOf(n.b).append(b)
	case opNot, opRepeat:
		b = g.sumOf(n.a).append(b)
	case opOr, opAnd:
		parts := make([][]byte, n.b)
		for i, x := range g.parts(n) {
			parts[i] = g.sumOf(x).append(nil)
		}
		slices.SortFunc(parts, bytes.Compare)
		b = append(b, bytes.Join(parts, nil)...)
	}
	s := sum{maphash.Bytes(seeds[0], b), maphash.Bytes(seeds[1], b) | 1}
	g.sums[e] = s
	return s
}

func (s sum) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, s[0])
	return binary.LittleEndian.AppendUint64(b, s[1])
}

// sharedReaches remembers what states without calls reach, for every grammar of a
// vocabulary: the same formats, patterns and strings come again and again. All are
// forgotten when they become too many.
type sharedReaches struct {
	mu   sync.RWMutex
	of   map[sharedKey]*reach
	size int
}

type sharedKey struct {
	state sum
	long  bool
}

// sharedBytes bounds what is remembered.
const sharedBytes = 64 << 20

func newSharedReaches() *sharedReaches { return &sharedReaches{of: map[sharedKey]*reach{}} }

func (s *sharedReaches) get(k sharedKey) *reach {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.of[k]
}

func (s *sharedReaches) put(k sharedKey, r *reach) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size > sharedBytes {
		s.of, s.size = map[sharedKey]*reach{}, 0
	}
	s.of[k] = r
	s.size += r.bytes() + 64
}
