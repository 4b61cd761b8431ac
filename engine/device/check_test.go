package device

import (
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/op"
)

func TestBatchCheck(t *testing.T) {
	p := &op.Program{Vocab: 10, ContextLen: 12}
	o := &Options{Pages: 3, PageTokens: 4, MaxRows: 6, MaxSeqs: 2, MaxOutputs: 2}
	cases := []struct {
		name   string
		change func(*Batch)
		want   string // "" means that the batch is good
	}{
		{"two sequences", func(*Batch) {}, ""},
		{"more pages than needed", func(b *Batch) { b.Seqs[1].Pages = []int32{0, 1, 2} }, ""},
		{"a sequence that fills the context", func(b *Batch) { b.Seqs[1].Past, b.Seqs[1].Pages = 11, []int32{0, 1, 2} }, ""},
		{"no outputs", func(b *Batch) { b.Outputs = nil }, ""},
		{"a whole page copied", func(b *Batch) { b.Copies = []PageCopy{{0, 2, 4}} }, ""},
		{"no rows", func(b *Batch) { b.Tokens = nil }, "0 rows"},
		{"too many rows", func(b *Batch) { b.Tokens = make([]int32, 7) }, "7 rows"},
		{"no sequences", func(b *Batch) { b.Seqs = nil }, "0 sequences"},
		{"too many sequences", func(b *Batch) { b.Seqs = make([]Seq, 3) }, "3 sequences"},
		{"too many outputs", func(b *Batch) { b.Outputs = make([]OutputRow, 3) }, "3 outputs"},
		{"a token outside the vocabulary", func(b *Batch) { b.Tokens[2] = 10 }, "row 2: token 10"},
		{"a gap between sequences", func(b *Batch) { b.Seqs[1].Row = 4 }, "sequence 1: rows 4+1"},
		{"a sequence without rows", func(b *Batch) { b.Seqs[0].Rows = 0 }, "sequence 0"},
		{"a sequence past the last row", func(b *Batch) { b.Seqs[1].Rows = 2 }, "sequence 1"},
		{"rows of nobody", func(b *Batch) { b.Seqs = b.Seqs[:1] }, "cover 3 of 4"},
		{"a negative past", func(b *Batch) { b.Seqs[0].Past = -1 }, "sequence 0: -1 past"},
		{"a past that overflows", func(b *Batch) { b.Seqs[0].Past = int(^uint(0) >> 1) }, "sequence 0"},
		{"a sequence beyond the context", func(b *Batch) { b.Seqs[1].Past, b.Seqs[1].Pages = 12, []int32{0, 1, 2, 0} }, "context of 12"},
		{"too few pages", func(b *Batch) { b.Seqs[0].Pages = nil }, "do not cover 3 tokens"},
		{"a page outside the cache", func(b *Batch) { b.Seqs[0].Pages = []int32{3} }, "page 3 of 3"},
		{"a copy to a page outside", func(b *Batch) { b.Copies = []PageCopy{{0, -1, 1}} }, "copy 0: page -1"},
		{"a copy of too many tokens", func(b *Batch) { b.Copies = []PageCopy{{0, 1, 5}} }, "copy 0: 5 tokens"},
		{"a token of the step before", func(b *Batch) { b.From = []int32{-1, -1, -1, 0} }, "cannot do"},
		{"draws that begin later", func(b *Batch) { b.Late = true }, "cannot do"},
		{"an output of no row", func(b *Batch) { b.Outputs[0].Row = 4 }, "output 0: row 4 of 4"},
		{"a target outside the vocabulary", func(b *Batch) { b.Outputs[0].Target = -2 }, "target -2"},
		{"more alternatives than tokens", func(b *Batch) { b.Outputs[0].Top = 11 }, "11 alternatives"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := &Batch{
				Tokens:  []int32{1, 2, 3, 4},
				Seqs:    []Seq{{Row: 0, Rows: 3, Past: 0, Pages: []int32{0}}, {Row: 3, Rows: 1, Past: 4, Pages: []int32{1, 2}}},
				Outputs: []OutputRow{{Row: 2, Target: -1}, {Row: 3}},
			}
			c.change(b)
			err := b.Check(p, o)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestOptionsCheck(t *testing.T) {
	good := Options{Pages: 1, PageTokens: 1, MaxRows: 1, MaxSeqs: 1, MaxOutputs: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for i, field := range []func(*Options) *int{
		func(o *Options) *int { return &o.Pages }, func(o *Options) *int { return &o.PageTokens }, func(o *Options) *int { return &o.MaxRows },
		func(o *Options) *int { return &o.MaxSeqs }, func(o *Options) *int { return &o.MaxOutputs },
	} {
		for _, v := range []int{0, -1, 1 << 40} {
			o := good
			*field(&o) = v
			if o.Check() == nil {
				t.Errorf("field %d = %d passes", i, v)
			}
		}
	}
}
