package local

import (
	"errors"
	"testing"

	"github.com/godwit-ai/godwit/engine"
)

func TestFlushForgetsPrefixesAndWaitsForNobody(t *testing.T) {
	e := open(t, func(o *Options) { o.PageTokens = 4 })
	cached := func() int {
		st, err := e.Generate(t.Context(), prompt("the bird in the tree sings", 2))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Collect(st); err != nil {
			t.Fatal(err)
		}
		return st.Usage().Cached
	}
	cached()
	if cached() == 0 {
		t.Fatal("the second request found no prefix")
	}
	if err := e.FlushCache(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := cached(); n != 0 {
		t.Errorf("%d tokens were still cached", n)
	}
	st, err := e.Generate(t.Context(), prompt("the", 200))
	if err != nil {
		t.Fatal(err)
	}
	if !st.Next() {
		t.Fatal(st.Err())
	}
	if err := e.FlushCache(t.Context()); err != nil && !errors.Is(err, engine.ErrInvalidRequest) {
		t.Errorf("while a request runs: %v", err)
	}
	if _, err := engine.Collect(st); err != nil {
		t.Error(err)
	}
	e.Close()
	if err := e.FlushCache(t.Context()); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
