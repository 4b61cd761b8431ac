package local

import (
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

func TestPauseStandsStillAndGoesOn(t *testing.T) {
	e := open(t, nil)
	want := ids(one(t, e, prompt("the bird", 60)).Tokens)
	st, err := e.Generate(t.Context(), prompt("the bird", 60))
	if err != nil {
		t.Fatal(err)
	}
	if !st.Next() {
		t.Fatal(st.Err())
	}
	got := []engine.Token(nil)
	got = append(got, st.Event().Tokens...)
	e.Pause()
	waiting, err := e.Generate(t.Context(), prompt("a stone", 3))
	if err != nil {
		t.Fatal(err)
	}
	// Once nothing moves any more the counters stay where they are.
	steps := e.Stats().Steps
	for end := time.Now().Add(time.Minute); ; {
		time.Sleep(20 * time.Millisecond)
		now := e.Stats().Steps
		if now == steps {
			break
		}
		if steps = now; time.Now().After(end) {
			t.Fatal("the engine goes on")
		}
	}
	e.Resume()
	for st.Next() {
		got = append(got, st.Event().Tokens...)
	}
	if st.Err() != nil || ids(got) != want {
		t.Errorf("with a pause %q, without %q, %v", ids(got), want, st.Err())
	}
	if rs, err := engine.Collect(waiting); err != nil || len(rs[0].Tokens) != 3 {
		t.Errorf("the request that waited: %v", err)
	}
	e.Pause()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
