package devicetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/sample"
)

// runFeeding checks the steps of a Feeder that continue the one before: they draw the
// same as steps that are told their tokens.
func runFeeding(t *testing.T, dev device.Device) {
	p, w := medium(t, quant.BF16)
	o := options()
	m := start(t, dev, p, w, o)
	f, ok := m.exec.(device.Feeder)
	if !ok || !f.Feeds() {
		b := m.batch(part{&sequence{}, []int32{1}})
		b.From = []int32{-1}
		if _, err := m.exec.Launch(b); err == nil {
			t.Error("a device that cannot continue a step takes one that does")
		}
		t.Skip("the device cannot continue a step")
	}
	same := func(t *testing.T, way way, masks bool) {
		want := start(t, dev, p, w, o).grow(waiting, masks, 30)
		for n, outs := range start(t, dev, p, w, o).grow(way, masks, 30) {
			for i, got := range outs {
				if want := want[n][i]; got.Token != want.Token || got.Logprob != want.Logprob || !slices.Equal(got.Top, want.Top) {
					t.Fatalf("step %d, output %d: %+v, and told its tokens %+v", n, i, got, want)
				}
			}
		}
	}
	t.Run("tokens", func(t *testing.T) { same(t, ahead, false) })
	t.Run("draws that begin later", func(t *testing.T) {
		if s, ok := m.exec.(device.Splitter); !ok || !s.Splits() {
			t.Skip("the device takes steps in one part")
		}
		same(t, inParts, false)
		same(t, inParts, true)
	})
	t.Run("refusals", func(t *testing.T) {
		m := start(t, dev, p, w, o)
		for name, from := range map[string][]int32{"of no step": {0}, "too many": {-1, -1}} {
			b := m.batch(part{&sequence{}, []int32{1}})
			b.From = from
			if _, err := m.exec.Launch(b); err == nil {
				t.Errorf("%s: a step with the origins %v is taken", name, from)
			}
		}
	})
}

// way is how steps follow each other.
type way int

const (
	waiting way = iota // each is waited for before the next one is launched
	ahead              // or after
	inParts            // and the draws of the next one begin when it was waited for
)

// follows is a mask behind a token: every eighth id.
func follows(token int32) []uint64 {
	return slices.Repeat([]uint64{0x0101010101010101 << (token % 8)}, 4)
}

// grow continues texts of all kinds of parameters for some steps, in an order that
// changes. With masks, some may draw only what their last token lets them.
func (m *machine) grow(way way, masks bool, steps int) [][]device.Output {
	const texts = 7
	var seqs [texts]sequence
	var tokens [texts][]int32
	var params [texts]sample.Params
	counts := make([]map[int32]int32, texts)
	for i := range seqs {
		tokens[i] = append(tokens[i], 3, int32(i), 5)
		params[i] = sample.Params{Temperature: float32(i%3) * 0.8, Seed: uint64(i), TopP: 0.9}
		counts[i] = map[int32]int32{}
		if i%2 == 1 {
			params[i].Repetition, params[i].Frequency, params[i].Presence = 1.3, 0.4, 0.2
			params[i].Bias = []sample.Bias{{ID: 9, Value: 3}, {ID: 11, Value: -2}}
		}
	}
	var all [][]device.Output
	var batches [2]device.Batch
	var flying device.Pending
	var before []int
	land := func() {
		if flying == nil {
			return
		}
		outs, err := flying.Wait()
		if err != nil {
			m.t.Fatal(err)
		}
		kept := slices.Clone(outs)
		for k, i := range before {
			kept[k].Top = slices.Clone(outs[k].Top)
			tokens[i] = append(tokens[i], outs[k].Token)
			counts[i][outs[k].Token]++
		}
		all, flying = append(all, kept), nil
	}
	know := func(p *sample.Params, i int) {
		p.Counts, p.Mask = nil, nil
		for id := range int32(203) {
			if c := counts[i][id]; c > 0 {
				p.Counts = append(p.Counts, sample.Count{ID: id, Output: c})
			}
		}
		if masks && i%3 < 2 {
			p.Mask = follows(tokens[i][len(tokens[i])-1])
		}
	}
	for n := range steps {
		order := []int{0, 1, 2, 3, 4, 5, 6}
		for k := range order {
			j := (k*3 + n) % texts
			order[k], order[j] = order[j], order[k]
		}
		if n%5 == 4 {
			order = order[:4]
		}
		if way == waiting {
			land()
		}
		b := &batches[n%2]
		*b = device.Batch{}
		for k, i := range order {
			s := &seqs[i]
			fed := flying != nil && slices.Contains(before, i)
			row := append([]int32(nil), tokens[i][s.past:]...)
			if fed {
				row = append(row, -1)
			}
			m.reserve(s, len(row))
			b.Seqs = append(b.Seqs, device.Seq{Row: len(b.Tokens), Rows: len(row), Past: s.past, Pages: s.pages})
			b.Tokens = append(b.Tokens, row...)
			for len(b.From) < len(b.Tokens) {
				b.From = append(b.From, -1)
			}
			s.past += len(row)
			p := params[i]
			p.Position = uint32(s.past - 3)
			know(&p, i)
			if fed {
				b.From[len(b.From)-1] = int32(slices.Index(before, i))
			}
			b.Outputs = append(b.Outputs, device.OutputRow{Row: len(b.Tokens) - 1, Params: &p, Logprob: k%2 == 0, Top: k % 3 * (n % 2)})
		}
		if flying == nil {
			b.From = nil
		}
		b.Late = way == inParts
		p, err := m.exec.Launch(b)
		if err != nil {
			m.t.Fatal(fmt.Errorf("step %d: %w", n, err))
		}
		land()
		if b.Late {
			for k, i := range order {
				know(b.Outputs[k].Params, i)
			}
			if err := p.(device.Drawer).Draw(); err != nil {
				m.t.Fatal(fmt.Errorf("draws of step %d: %w", n, err))
			}
		}
		flying, before = p, order
	}
	land()
	return all
}
