package tokenizer

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
)

// mergeTable maps a pair of ids to its rank and the id it becomes. Open addressing
// with a random multiplier: a hostile file cannot choose colliding pairs.
type mergeTable struct {
	slots []mergeSlot
	shift uint
	mul   uint64
	count int
}

type mergeSlot struct {
	key  uint64 // left<<32|right, plus 1; 0 is free
	rank uint32
	id   int32
}

const noRank = ^uint32(0)

func newMergeTable(n int) *mergeTable {
	log := bits.Len(uint(max(n, 8) * 3 / 2))
	return &mergeTable{
		slots: make([]mergeSlot, 1<<log),
		shift: uint(64 - log),
		mul:   rand.Uint64() | 1,
	}
}

func pairKey(left, right int32) uint64 { return (uint64(uint32(left))<<32 | uint64(uint32(right))) + 1 }

func (m *mergeTable) slot(key uint64) uint64 {
	h := key * m.mul
	h ^= h >> 29
	return (h * 0x9E3779B97F4A7C15) >> m.shift
}

// put adds a merge; of two equal pairs the later one counts.
func (m *mergeTable) put(left, right int32, rank uint32, id int32) {
	if m.count*4 >= len(m.slots)*3 {
		m.grow()
	}
	key := pairKey(left, right)
	i := m.slot(key)
	for m.slots[i].key != 0 && m.slots[i].key != key {
		i = (i + 1) & uint64(len(m.slots)-1)
	}
	if m.slots[i].key == 0 {
		m.count++
	}
	m.slots[i] = mergeSlot{key, rank, id}
}

func (m *mergeTable) grow() {
	old := m.slots
	m.slots = make([]mergeSlot, 2*len(old))
	m.shift--
	for _, s := range old {
		if s.key == 0 {
			continue
		}
		i := m.slot(s.key)
		for m.slots[i].key != 0 {
			i = (i + 1) & uint64(len(m.slots)-1)
		}
		m.slots[i] = s
	}
}

// get is the rank and the result of a pair, noRank if it never merges.
func (m *mergeTable) get(left, right int32) (uint32, int32) {
	key := pairKey(left, right)
	for i := m.slot(key); ; i = (i + 1) & uint64(len(m.slots)-1) {
		s := &m.slots[i]
		if s.key == key {
			return s.rank, s.id
		}
		if s.key == 0 {
			return noRank, 0
		}
	}
}

// bpe is byte-pair encoding over bytes (Sennrich et al., arXiv:1508.07909, with
// the byte alphabet of GPT-2): start from single bytes, always merge the adjacent
// pair with the lowest rank, the leftmost of equals.
type bpe struct {
	vocab        *vocabulary
	merges       *mergeTable
	byteID       [256]int32 // -1: the vocabulary has no such byte
	unk          int32      // for such bytes; -1: they are dropped
	ignoreMerges bool       // a piece that is a token is taken whole
	special      []bool     // by id; a piece never becomes one of these whole
	cache        pieceCache
}

func newBPE(v *vocabulary, m *mergeTable, unk int32, ignoreMerges bool) *bpe {
	b := &bpe{vocab: v, merges: m, unk: unk, ignoreMerges: ignoreMerges}
	for c := range 256 {
		id, ok := v.find([]byte{byte(c)})
		if !ok {
			id = -1
		}
		b.byteID[c] = id
	}
	b.cache.seed = maphash.MakeSeed()
	return b
}

const (
	cacheSlots    = 1 << 15
	cachePieceLen = 48  // longer pieces rarely come twice
	scanPieceLen  = 160 // below, a linear scan for the best pair beats a heap
)

// pieceCache remembers the ids of recent pieces: each has two places, so its size is
// bounded; entries are immutable and swapped atomically, so readers need no lock.
type pieceCache struct {
	seed  maphash.Seed
	slots [cacheSlots]atomic.Pointer[cacheEntry]
}

type cacheEntry struct {
	piece string
	ids   []int32
}

// encode appends the ids of one piece.
func (b *bpe) encode(ids []int32, piece string) []int32 {
	if len(piece) == 1 && b.byteID[piece[0]] >= 0 {
		return append(ids, b.byteID[piece[0]])
	}
	if len(piece) > cachePieceLen {
		return b.merge(ids, piece)
	}
	hash := maphash.String(b.cache.seed, piece)
	slot := &b.cache.slots[hash%cacheSlots]
	e := slot.Load()
	if e == nil || e.piece != piece {
		if e2 := b.cache.slots[hash%cacheSlots^1].Load(); e2 != nil && e2.piece == piece {
			e = e2
		} else {
			if e != nil && hash>>63 != 0 {
				slot = &b.cache.slots[hash%cacheSlots^1]
			}
			e = b.remember(slot, piece)
		}
	}
	if len(e.ids) == 1 {
		return append(ids, e.ids[0])
	}
	return append(ids, e.ids...)
}

func (b *bpe) remember(slot *atomic.Pointer[cacheEntry], piece string) *cacheEntry {
	var buf [cachePieceLen]int32
	e := &cacheEntry{piece: strings.Clone(piece), ids: slices.Clone(b.merge(buf[:0], piece))}
	slot.Store(e)
	return e
}

func (b *bpe) merge(ids []int32, piece string) []int32 {
	if b.ignoreMerges {
		if id, ok := b.vocab.findString(piece); ok && !b.special[id] {
			return append(ids, id)
		}
	}
	if len(piece) <= scanPieceLen {
		return b.mergeScan(ids, piece)
	}
	return b.mergeHeap(ids, piece)
}

// start appends the ids of the single bytes of piece.
func (b *bpe) start(ids []int32, piece string) []int32 {
	for i := range len(piece) {
		id := b.byteID[piece[i]]
		if id < 0 {
			id = b.unk
		}
		if id >= 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

type part struct {
	id   int32  // this token
	rank uint32 // of the pair with the next part
	to   int32  // what that pair becomes
}

// mergeScan merges short pieces with a linear search per merge.
func (b *bpe) mergeScan(ids []int32, piece string) []int32 {
	var first [scanPieceLen]int32
	var buf [scanPieceLen]part
	bytes := b.start(first[:0], piece)
	parts := buf[:len(bytes)]
	for i, id := range bytes {
		parts[i].id = id
		parts[i].rank = noRank
		if i > 0 {
			parts[i-1].rank, parts[i-1].to = b.merges.get(bytes[i-1], id)
		}
	}
	for len(parts) > 1 {
		best, at := noRank, 0
		for i := range parts {
			if parts[i].rank < best {
				best, at = parts[i].rank, i
			}
		}
		if best == noRank {
			break
		}
		parts[at].id = parts[at].to
		parts = append(parts[:at+1], parts[at+2:]...)
		parts[at].rank = noRank
		if at+1 < len(parts) {
			parts[at].rank, parts[at].to = b.merges.get(parts[at].id, parts[at+1].id)
		}
		if at > 0 {
			parts[at-1].rank, parts[at-1].to = b.merges.get(parts[at-1].id, parts[at].id)
		}
	}
	for i := range parts {
		ids = append(ids, parts[i].id)
	}
	return ids
}

// mergeHeap merges long pieces in O(n log n): a heap of rank and position over a
// doubly linked list; entries that no longer fit the list are skipped.
func (b *bpe) mergeHeap(ids []int32, piece string) []int32 {
	id := b.start(make([]int32, 0, len(piece)), piece)
	n := len(id)
	prev, next := make([]int32, n), make([]int32, n)
	queue := make(minHeap, 0, n)
	for i := range n {
		prev[i], next[i] = int32(i-1), int32(i+1)
		if i+1 < n {
			if rank, _ := b.merges.get(id[i], id[i+1]); rank != noRank {
				queue = append(queue, uint64(rank)<<32|uint64(i))
			}
		}
	}
	queue.init()
	for len(queue) > 0 {
		top := queue.pop()
		at := int32(uint32(top))
		right := next[at]
		if id[at] < 0 || int(right) >= n {
			continue
		}
		rank, to := b.merges.get(id[at], id[right])
		if rank != uint32(top>>32) {
			continue
		}
		id[at], id[right] = to, -1
		next[at] = next[right]
		if int(next[at]) < n {
			prev[next[at]] = at
			if rank, _ := b.merges.get(to, id[next[at]]); rank != noRank {
				queue.push(uint64(rank)<<32 | uint64(at))
			}
		}
		if p := prev[at]; p >= 0 {
			if rank, _ := b.merges.get(id[p], to); rank != noRank {
				queue.push(uint64(rank)<<32 | uint64(p))
			}
		}
	}
	for _, t := range id {
		if t >= 0 {
			ids = append(ids, t)
		}
	}
	return ids
}

// minHeap is a binary heap of uint64, smallest first.
type minHeap []uint64

func (h minHeap) init() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h *minHeap) push(v uint64) {
	*h = append(*h, v)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if s[parent] <= s[i] {
			return
		}
		s[parent], s[i] = s[i], s[parent]
		i = parent
	}
}

func (h *minHeap) pop() uint64 {
	s := *h
	top := s[0]
	s[0] = s[len(s)-1]
	*h = s[:len(s)-1]
	h.down(0)
	return top
}

func (h minHeap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if h[i] <= h[child] {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
