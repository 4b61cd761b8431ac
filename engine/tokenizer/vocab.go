package tokenizer

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/bits"
)

// Limits on what a vocabulary file may ask for; real ones stay far below.
const (
	maxID         = 1 << 22 // ids are below
	maxTokenBytes = 1 << 16
)

// vocabulary maps ids to token bytes and back. The bytes of all tokens lie in one
// slice, so loading 150,000 tokens makes a handful of allocations.
type vocabulary struct {
	blob  []byte
	spans []span // by id
	seed  maphash.Seed
	slots []int32 // open addressing, id+1, 0 is free; only byte-reachable tokens
	count int

	opaque map[string]int32 // tokens with runes outside the byte alphabet
}

type span struct {
	off, len uint32
	state    uint8
}

const (
	absent    uint8 = iota
	plain           // bytes are what the token stands for
	isOpaque        // not writable in the byte alphabet: no merge reaches it
	isByte          // SentencePiece byte token <0x0A>
	isRemoved       // present in the file, decodes to nothing
)

func newVocabulary(sizeHint, byteHint int) *vocabulary {
	size := 1 << bits.Len(uint(max(sizeHint, 16)*3/2))
	return &vocabulary{
		blob:   make([]byte, 0, byteHint),
		spans:  make([]span, 0, sizeHint),
		seed:   maphash.MakeSeed(),
		slots:  make([]int32, size),
		opaque: map[string]int32{},
	}
}

func (v *vocabulary) size() int { return len(v.spans) }

// bytes is the token's bytes, nil for an id that has none.
func (v *vocabulary) bytes(id int32) []byte {
	if id < 0 || int(id) >= len(v.spans) {
		return nil
	}
	s := v.spans[id]
	return v.blob[s.off : s.off+s.len : s.off+s.len]
}

func (v *vocabulary) has(id int32) bool {
	return id >= 0 && int(id) < len(v.spans) && v.spans[id].state != absent
}

// put stores the token that lies at the end of blob from off on.
func (v *vocabulary) put(id int64, off int, state uint8) error {
	if id < 0 || id >= maxID {
		return fmt.Errorf("id %d is outside 0..%d", id, maxID-1)
	}
	if len(v.blob)-off > maxTokenBytes {
		return fmt.Errorf("token of %d bytes is longer than %d", len(v.blob)-off, maxTokenBytes)
	}
	if len(v.blob) > 1<<31 {
		return fmt.Errorf("tokens take more than %d bytes", 1<<31)
	}
	for int(id) >= len(v.spans) {
		v.spans = append(v.spans, span{})
	}
	if v.spans[id].state != absent {
		return fmt.Errorf("id %d is used twice (%q and %q)", id, v.bytes(int32(id)), v.blob[off:])
	}
	v.spans[id] = span{uint32(off), uint32(len(v.blob) - off), state}
	return nil
}

// index makes the token findable by its bytes. It reports the id of an equal token.
func (v *vocabulary) index(id int32) (other int32, ok bool) {
	if v.count*2 >= len(v.slots) {
		v.grow()
	}
	key := v.bytes(id)
	mask := uint64(len(v.slots) - 1)
	for i := maphash.Bytes(v.seed, key) & mask; ; i = (i + 1) & mask {
		got := v.slots[i]
		if got == 0 {
			v.slots[i] = id + 1
			v.count++
			return 0, true
		}
		if bytes.Equal(v.bytes(got-1), key) {
			return got - 1, false
		}
	}
}

func (v *vocabulary) grow() {
	old := v.slots
	v.slots = make([]int32, 2*len(old))
	mask := uint64(len(v.slots) - 1)
	for _, got := range old {
		if got == 0 {
			continue
		}
		i := maphash.Bytes(v.seed, v.bytes(got-1)) & mask
		for v.slots[i] != 0 {
			i = (i + 1) & mask
		}
		v.slots[i] = got
	}
}

// find is the id of the token with these bytes.
func (v *vocabulary) find(key []byte) (int32, bool) {
	return v.probe(maphash.Bytes(v.seed, key), string(key))
}

// findString is find without a conversion.
func (v *vocabulary) findString(key string) (int32, bool) {
	return v.probe(maphash.String(v.seed, key), key)
}

func (v *vocabulary) probe(hash uint64, key string) (int32, bool) {
	mask := uint64(len(v.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		got := v.slots[i]
		if got == 0 {
			return 0, false
		}
		if string(v.bytes(got-1)) == key {
			return got - 1, true
		}
	}
}

// findText is the id of a token given as the file writes it (byte-level).
func (v *vocabulary) findText(text, scratch []byte) (int32, bool) {
	if raw, ok := appendByteLevel(scratch[:0], text); ok {
		return v.find(raw)
	}
	id, ok := v.opaque[string(text)]
	return id, ok
}

// addByteLevel stores a token written in the byte alphabet (or opaque text).
func (v *vocabulary) addByteLevel(text []byte, id int64) error {
	off := len(v.blob)
	blob, ok := appendByteLevel(v.blob, text)
	if ok {
		v.blob = blob
		if err := v.put(id, off, plain); err != nil {
			return err
		}
		if other, ok := v.index(int32(id)); !ok {
			return fmt.Errorf("token %q has two ids, %d and %d", text, other, id)
		}
		return nil
	}
	v.blob = append(v.blob, text...)
	if other, ok := v.opaque[string(text)]; ok {
		return fmt.Errorf("token %q has two ids, %d and %d", text, other, id)
	}
	if err := v.put(id, off, isOpaque); err != nil {
		return err
	}
	v.opaque[string(text)] = int32(id)
	return nil
}
