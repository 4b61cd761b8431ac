package nb

import (
	"strings"
	"testing"
)

func TestAProgressBarIsDrawnInItsPlace(t *testing.T) {
	n := newNotebook(t)
	c := n.next(t.Context())
	sum := 0
	for i := range n.Steps("a & b", 200) {
		sum += i
	}
	shown := c.displays()
	if sum != 199*100 || len(shown) < 2 || len(shown) > 200 {
		t.Fatalf("sum %d, drawn %d times", sum, len(shown))
	}
	first, last := shown[0], shown[len(shown)-1]
	if first.update || !last.update || first.id == "" || first.id != last.id {
		t.Errorf("first %+v, last %+v", first, last)
	}
	if text := last.data["text/plain"].(string); !strings.HasPrefix(text, "a & b: 200/200 (100 %) ") {
		t.Errorf("at the end %q", text)
	}
	if page := last.data["text/html"].(string); !strings.Contains(page, `value="100.0"`) || !strings.Contains(page, "a &amp; b") {
		t.Errorf("at the end %q", page)
	}

	c = n.next(t.Context())
	for range n.Steps("left", 10) {
		break
	}
	if got := c.displays(); len(got) != 2 || !strings.HasPrefix(got[1].data["text/plain"].(string), "left: 0/10 (0 %)") {
		t.Errorf("a loop that was left drew %d times", len(got))
	}

	c = n.next(t.Context())
	p := n.NewProgress("", 0)
	p.Add(3)
	p.Label("bytes")
	p.Close()
	p.Add(1)
	p.Close()
	if p.String() != "bytes: 3" {
		t.Errorf("as a value it is %q", p)
	}
	got := c.displays()
	if text := got[len(got)-1].data["text/plain"].(string); !strings.HasPrefix(text, "bytes: 3 ") {
		t.Errorf("without an end %q", text)
	}
}
