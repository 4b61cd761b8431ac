package device

import (
	"errors"
	"fmt"

	"github.com/godwit-ai/godwit/engine/op"
)

// Check verifies that the options can hold anything at all.
func (o *Options) Check() error {
	for _, f := range []struct {
		name string
		have int
	}{{"Pages", o.Pages}, {"PageTokens", o.PageTokens}, {"MaxRows", o.MaxRows}, {"MaxSeqs", o.MaxSeqs}, {"MaxOutputs", o.MaxOutputs}} {
		if f.have <= 0 || f.have > 1<<30 {
			return fmt.Errorf("device options: %s is %d", f.name, f.have)
		}
	}
	if o.MaxAdapters < 0 || o.MaxAdapters > 1<<16 {
		return fmt.Errorf("device options: MaxAdapters is %d", o.MaxAdapters)
	}
	return nil
}

// Check verifies a batch against the program and the sizes of the Exec: every
// index that a device will follow lies inside what it allocated. Devices call it
// at the start of Launch; it costs a few comparisons per row and allocates nothing.
// It cannot know who owns a page: that is the scheduler's business.
func (b *Batch) Check(p *op.Program, o *Options) error {
	if b.From != nil {
		return errors.New("batch: rows continue the step before, which this device cannot do")
	}
	if b.Late {
		return errors.New("batch: the draws begin later, which this device cannot do")
	}
	return b.check(p, o)
}

// CheckFed is Check for a Feeder whose step before had that many outputs.
func (b *Batch) CheckFed(p *op.Program, o *Options, before int) error {
	if b.From != nil && len(b.From) != len(b.Tokens) {
		return fmt.Errorf("batch: %d origins for %d rows", len(b.From), len(b.Tokens))
	}
	for i, k := range b.From {
		if int(k) >= before {
			return fmt.Errorf("batch: row %d: continues output %d of %d", i, k, before)
		}
	}
	return b.check(p, o)
}

// fed says whether row i has its token from the step before.
func (b *Batch) fed(i int) bool { return b.From != nil && b.From[i] >= 0 }

func (b *Batch) check(p *op.Program, o *Options) error {
	if n := len(b.Tokens); n == 0 || n > o.MaxRows {
		return fmt.Errorf("batch: %d rows, want 1..%d", n, o.MaxRows)
	}
	if n := len(b.Seqs); n == 0 || n > o.MaxSeqs {
		return fmt.Errorf("batch: %d sequences, want 1..%d", n, o.MaxSeqs)
	}
	if n := len(b.Outputs); n > o.MaxOutputs {
		return fmt.Errorf("batch: %d outputs, want at most %d", n, o.MaxOutputs)
	}
	for i, t := range b.Tokens {
		if (t < 0 || int(t) >= p.Vocab) && !b.fed(i) {
			return fmt.Errorf("batch: row %d: token %d is outside the vocabulary of %d", i, t, p.Vocab)
		}
	}
	if err := b.checkSeqs(p, o); err != nil {
		return err
	}
	return b.checkRest(p, o)
}

func (b *Batch) checkSeqs(p *op.Program, o *Options) error {
	row := 0
	for i := range b.Seqs {
		s := &b.Seqs[i]
		switch {
		case s.Row != row || s.Rows <= 0 || s.Rows > len(b.Tokens)-row:
			return fmt.Errorf("batch: sequence %d: rows %d+%d do not continue at %d of %d", i, s.Row, s.Rows, row, len(b.Tokens))
		case s.Past < 0 || s.Past > p.ContextLen-s.Rows:
			return fmt.Errorf("batch: sequence %d: %d past and %d new tokens exceed the context of %d", i, s.Past, s.Rows, p.ContextLen)
		case s.Adapter < 0 || int(s.Adapter) > o.MaxAdapters:
			return fmt.Errorf("batch: sequence %d: adapter slot %d of %d", i, s.Adapter, o.MaxAdapters)
		case len(s.Pages) < (s.Past+s.Rows+o.PageTokens-1)/o.PageTokens:
			return fmt.Errorf("batch: sequence %d: %d pages of %d tokens do not cover %d tokens", i, len(s.Pages), o.PageTokens, s.Past+s.Rows)
		}
		for _, page := range s.Pages {
			if page < 0 || int(page) >= o.Pages {
				return fmt.Errorf("batch: sequence %d: page %d of %d", i, page, o.Pages)
			}
		}
		row += s.Rows
	}
	if row != len(b.Tokens) {
		return fmt.Errorf("batch: the sequences cover %d of %d rows", row, len(b.Tokens))
	}
	return nil
}

func (b *Batch) checkRest(p *op.Program, o *Options) error {
	for i, c := range b.Copies {
		for _, page := range [...]int32{c.Src, c.Dst} {
			if page < 0 || int(page) >= o.Pages {
				return fmt.Errorf("batch: copy %d: page %d of %d", i, page, o.Pages)
			}
		}
		if c.Tokens < 0 || int(c.Tokens) > o.PageTokens {
			return fmt.Errorf("batch: copy %d: %d tokens of pages of %d", i, c.Tokens, o.PageTokens)
		}
	}
	return b.CheckOutputs(p)
}

// CheckOutputs verifies the wanted rows, for Drawer.Draw: they may have changed since
// Launch.
func (b *Batch) CheckOutputs(p *op.Program) error {
	for i := range b.Outputs {
		r := &b.Outputs[i]
		switch {
		case r.Row < 0 || r.Row >= len(b.Tokens):
			return fmt.Errorf("batch: output %d: row %d of %d", i, r.Row, len(b.Tokens))
		case r.Params == nil && (r.Target < -1 || int(r.Target) >= p.Vocab):
			return fmt.Errorf("batch: output %d: target %d is outside the vocabulary of %d", i, r.Target, p.Vocab)
		case r.Top < 0 || r.Top > p.Vocab:
			return fmt.Errorf("batch: output %d: %d alternatives of a vocabulary of %d", i, r.Top, p.Vocab)
		}
	}
	return nil
}
