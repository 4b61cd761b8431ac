package cuda

import (
	"slices"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
)

// TestAnotherExecTakesThePlaceOfOneThatWasClosed follows the calls of an exchange of weights
// where there is no room for both: beside the first Exec the second does not fit, and leaves
// it as it was; after it, it does, with as many pages, on whatever thread.
func TestAnotherExecTakesThePlaceOfOneThatWasClosed(t *testing.T) {
	d, s := standInDevice(t, Options{})
	s.total = 1 << 30
	o := device.Options{Pages: 1 << 20, PageTokens: 16, MaxRows: 64, MaxSeqs: 8, MaxOutputs: 8, CacheShare: 0.9}
	first := s.compile(t, d, o)
	o.Pages, o.CacheShare = first.Pages(), 0
	texts := func(e *exec) (drawn []int32) {
		s.e = e
		if err := e.Record(t.Context()); err != nil {
			t.Fatal(err)
		}
		g := &game{t: t, e: e}
		g.add([]int32{1, 2, 3})
		var b device.Batch
		for range 6 {
			drawn = append(drawn, g.draw(&b))
		}
		return drawn
	}
	want, held, hosts := texts(first), len(s.live), len(s.hosts)
	if _, err := s.tryCompile(t, d, o); err == nil {
		t.Fatal("there is room for two")
	}
	if len(s.live) != held || len(s.hosts) != hosts {
		t.Errorf("what did not fit holds memory: %d and %d blocks, before %d and %d", len(s.live), len(s.hosts), held, hosts)
	}
	if got := texts(first); !slices.Equal(got, want) {
		t.Errorf("the first Exec draws %v, before %v", got, want)
	}
	for range 3 {
		done := make(chan *exec)
		go func() { // another thread
			defer close(done)
			if err := first.Close(); err != nil {
				t.Error(err)
			}
			if len(s.live)+len(s.hosts) != 0 {
				t.Errorf("a closed Exec holds %d and %d blocks", len(s.live), len(s.hosts))
			}
			e, err := s.tryCompile(t, d, o)
			if err != nil {
				t.Error(err)
				return
			}
			done <- e
		}()
		next, ok := <-done
		if !ok {
			return
		}
		if next.Pages() != o.Pages {
			t.Errorf("%d pages, before %d", next.Pages(), o.Pages)
		}
		if got := texts(next); !slices.Equal(got, want) {
			t.Errorf("the next Exec draws %v, the first %v", got, want)
		}
		first = next
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
