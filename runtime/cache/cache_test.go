package cache

import (
	"os"
	"path/filepath"
	"testing"
)

type point struct {
	X, Y int
	note string
}

func TestAValueIsMadeOnce(t *testing.T) {
	SetDir(filepath.Join(t.TempDir(), "new"))
	defer SetDir("")
	calls := 0
	get := func() point { return Cache("p", func() point { calls++; return point{1, 2, "gone"} }) }
	if first, second := get(), get(); first.note != "gone" || second != (point{X: 1, Y: 2}) || calls != 1 {
		t.Errorf("made %d times: %v, %v", calls, first, second)
	}
	if got := Cache("p", func() []int { return []int{3} }); len(got) != 1 {
		t.Errorf("a value of another type was taken: %v", got)
	}
	if get(); calls != 2 {
		t.Error("a value that was replaced by one of another type was found")
	}
	if err := Delete("p"); err != nil {
		t.Error(err)
	}
	if err := Delete("p"); err != nil {
		t.Error("deleting nothing is no error:", err)
	}
	if get(); calls != 3 {
		t.Error("a deleted value was found")
	}
	if err := Clear(); err != nil {
		t.Error(err)
	}
	if get(); calls != 4 {
		t.Error("a value was found after Clear")
	}
}

func TestADamagedFileIsNoValue(t *testing.T) {
	SetDir(t.TempDir())
	defer SetDir("")
	name, err := file("k")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", `{"key":"other","type":"*int","value":1}`, `{"key":"k","type":"*string","value":1}`, `{"key":"k","type":"*int","value":"x"}`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Cache("k", func() int { return 9 }); got != 9 {
			t.Errorf("%s gives %d", text, got)
		}
	}
	if got := Cache("k", func() int { return 1 }); got != 9 {
		t.Errorf("the value was not kept: %d", got)
	}
}

func TestWhatCannotBeKeptIsReturned(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	SetDir(filepath.Join(blocked, "below"))
	defer SetDir("")
	if got := Cache("k", func() int { return 5 }); got != 5 {
		t.Error(got)
	}
	if got := Cache("f", func() func() int { return func() int { return 6 } }); got() != 6 {
		t.Error("a function is not returned")
	}
}
