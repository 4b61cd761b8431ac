package kvcache

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// seq is a sequence as a scheduler would keep it.
type seq struct {
	key    Key
	tokens []int32
	pages  []int32
}

func held(seqs ...*seq) (all []int32) {
	for _, s := range seqs {
		all = append(all, s.pages...)
	}
	return all
}

func mustCheck(t *testing.T, c *Cache, seqs ...*seq) {
	t.Helper()
	if err := c.Check(held(seqs...)); err != nil {
		t.Fatal(err)
	}
}

func count(from, n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(from + i)
	}
	return out
}

// start matches and allocates as an admission does; nil if there is no room.
func start(c *Cache, key Key, tokens []int32) (*seq, int) {
	s := &seq{key: key, tokens: tokens}
	s.pages = c.Match(nil, key, tokens)
	hit := len(s.pages)
	pages, ok := c.Alloc(s.pages, c.PagesFor(len(tokens))-hit)
	if !ok {
		c.Release(s.pages)
		return nil, 0
	}
	s.pages = pages
	return s, hit
}

func TestMatchFindsWholePagesOfTheSameKeyOnly(t *testing.T) {
	c := New(16, 4)
	a, _ := start(c, Key{}, count(0, 11))
	c.Insert(a.key, a.tokens, a.pages)
	mustCheck(t, c, a)
	for _, q := range []struct {
		name   string
		key    Key
		tokens []int32
		want   int
	}{
		{"the same tokens share the two full pages", Key{}, count(0, 11), 2},
		{"a longer prompt shares them too", Key{}, count(0, 40), 2},
		{"a shorter one shares what is full", Key{}, count(0, 7), 1},
		{"less than a page shares nothing", Key{}, count(0, 3), 0},
		{"a difference on page one shares nothing", Key{}, append([]int32{9}, count(1, 10)...), 0},
		{"a difference on page two shares one", Key{}, append(count(0, 7), 99), 1},
		{"another salt shares nothing", Key{Salt: "x"}, count(0, 11), 0},
		{"another adapter shares nothing", Key{Adapter: "x"}, count(0, 11), 0},
	} {
		t.Run(q.name, func(t *testing.T) {
			got := c.Match(nil, q.key, q.tokens)
			if len(got) != q.want || !slices.Equal(got, a.pages[:q.want]) {
				t.Errorf("matched %v of %v, want %d pages", got, a.pages, q.want)
			}
			c.Release(got)
		})
	}
}

func TestPagesStayAfterReleaseAndAreEvictedOldestFirst(t *testing.T) {
	c := New(6, 2)
	for i := range 3 { // three prefixes of two pages fill the pool
		s, _ := start(c, Key{}, count(100*i, 4))
		c.Insert(s.key, s.tokens, s.pages)
		c.Release(s.pages)
	}
	mustCheck(t, c)
	if c.Available() != 6 || c.Cached() != 6 {
		t.Fatalf("available %d, cached %d", c.Available(), c.Cached())
	}
	c.Release(c.Match(nil, Key{}, count(0, 4))) // 0 is now the youngest, 100 the oldest
	s, _ := start(c, Key{}, count(900, 6))
	mustCheck(t, c, s)
	for _, q := range []struct{ prefix, want int }{{0, 2}, {100, 0}, {200, 1}} {
		m := c.Match(nil, Key{}, count(q.prefix, 4))
		if len(m) != q.want {
			t.Errorf("prefix %d has %d pages left, want %d", q.prefix, len(m), q.want)
		}
		c.Release(m)
	}
}

func TestAllocIsAllOrNothing(t *testing.T) {
	c := New(3, 2)
	s, _ := start(c, Key{}, count(0, 4))
	if got, ok := c.Alloc(nil, 2); ok || got != nil {
		t.Errorf("gave %v", got)
	}
	mustCheck(t, c, s)
	if got, ok := c.Alloc(nil, 1); !ok || len(got) != 1 {
		t.Errorf("gave %v", got)
	}
}

func TestEqualPagesComputedTwiceAreKeptOnce(t *testing.T) {
	c := New(8, 2)
	a, _ := start(c, Key{}, count(0, 4))
	b, _ := start(c, Key{}, count(0, 6)) // before a's pages are known
	c.Insert(a.key, a.tokens, a.pages)
	c.Insert(b.key, b.tokens, b.pages)
	mustCheck(t, c, a, b)
	if !slices.Equal(a.pages, b.pages[:2]) || c.Available() != 5 {
		t.Errorf("pages %v and %v, available %d", a.pages, b.pages, c.Available())
	}
	c.Release(a.pages)
	mustCheck(t, c, b)
	if got, ok := c.Alloc(nil, 6); ok { // b's three are in use
		t.Errorf("gave %v", got)
	}
}

func TestClearForgetsWhatIsUnused(t *testing.T) {
	c := New(8, 2)
	a, _ := start(c, Key{}, count(0, 4))
	c.Insert(a.key, a.tokens, a.pages)
	b, _ := start(c, Key{Salt: "s"}, count(0, 4))
	c.Insert(b.key, b.tokens, b.pages)
	c.Release(a.pages)
	c.Clear()
	mustCheck(t, c, b)
	if c.Cached() != 2 || len(c.roots) != 1 {
		t.Errorf("cached %d, roots %d", c.Cached(), len(c.roots))
	}
}

func TestMisusePanicsWithThePage(t *testing.T) {
	for name, misuse := range map[string]func(c *Cache, s *seq){
		"a double release":              func(c *Cache, s *seq) { c.Release(s.pages); c.Release(s.pages) },
		"a release of the tree's own":   func(c *Cache, s *seq) { c.Insert(s.key, s.tokens, s.pages); c.Release(s.pages); c.Release(s.pages) },
		"an insertion of a free page":   func(c *Cache, s *seq) { c.Release(s.pages); c.Insert(s.key, s.tokens, s.pages) },
		"a reference to a page of none": func(c *Cache, s *seq) { c.Release(s.pages); c.Retain(s.pages) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if r := fmt.Sprint(recover()); !strings.Contains(r, "page 0") {
					t.Errorf("panic %q", r)
				}
			}()
			c := New(2, 2)
			s, _ := start(c, Key{}, count(0, 2))
			misuse(c, s)
		})
	}
}

func TestCheckNoticesWhatIsBroken(t *testing.T) {
	for name, damage := range map[string]func(c *Cache, s *seq){
		"a lost reference":  func(c *Cache, s *seq) { c.refs[s.pages[0]]-- },
		"a page free twice": func(c *Cache, s *seq) { c.free = append(c.free, c.free[0]) },
		"a leaked page":     func(c *Cache, s *seq) { c.free = c.free[1:] },
		"a wrong count":     func(c *Cache, s *seq) { c.evictable++ },
		"a page held by nobody known": func(c *Cache, s *seq) {
			s.pages = s.pages[1:]
		},
		"a forgotten node": func(c *Cache, s *seq) { c.nodes[s.pages[1]] = nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := New(8, 2)
			s, _ := start(c, Key{}, count(0, 4))
			c.Insert(s.key, s.tokens, s.pages)
			mustCheck(t, c, s)
			damage(c, s)
			if c.Check(s.pages) == nil {
				t.Error("not noticed")
			}
		})
	}
}

// FuzzOperations plays any sequence of operations as a scheduler would and checks
// every invariant after each, and that a match gives the pages of the same tokens.
func FuzzOperations(f *testing.F) {
	f.Add([]byte("start insert grow stop match 0123456789"))
	f.Add([]byte{0, 1, 2, 3, 4, 5, 0, 0, 0, 1, 1, 1, 9, 9, 3, 3, 200, 100, 50, 25})
	for s := range uint64(6) {
		r := rand.New(rand.NewPCG(s, 0))
		b := make([]byte, 300)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 600 {
			ops = ops[:600]
		}
		play(t, ops)
	})
}

func play(t *testing.T, ops []byte) {
	c := New(12, 3)
	var live []*seq
	content := map[int32]string{} // what each page holds, from its start
	for len(ops) >= 2 {
		op, arg := ops[0]%6, int(ops[1])
		ops = ops[2:]
		switch {
		case op == 0: // a new sequence over a small alphabet, so that prefixes meet
			tokens := make([]int32, 1+arg%20)
			for i := range tokens {
				tokens[i] = int32(arg >> (i % 5) & 1)
			}
			s, hit := start(c, Key{Salt: []string{"", "x"}[arg&1]}, tokens)
			if s == nil {
				break
			}
			for i, p := range s.pages {
				text := fmt.Sprint(s.key, tokens[:min((i+1)*3, len(tokens))])
				if i < hit && content[p] != text {
					t.Fatalf("matched page %d holds %s, want %s", p, content[p], text)
				}
				content[p] = text
			}
			live = append(live, s)
		case op == 5:
			c.Clear()
		case len(live) == 0:
		case op == 1:
			s := live[arg%len(live)]
			c.Insert(s.key, s.tokens, s.pages)
		case op == 2: // one token more
			s := live[arg%len(live)]
			s.tokens = append(s.tokens, int32(arg&1))
			if len(s.tokens) > len(s.pages)*3 {
				pages, ok := c.Alloc(s.pages, 1)
				if !ok {
					s.tokens = s.tokens[:len(s.tokens)-1]
					break
				}
				s.pages = pages
			}
			last := len(s.pages) - 1
			content[s.pages[last]] = fmt.Sprint(s.key, s.tokens)
		default:
			i := arg % len(live)
			if op == 3 {
				c.Insert(live[i].key, live[i].tokens, live[i].pages)
			}
			c.Release(live[i].pages)
			live = slices.Delete(live, i, i+1)
		}
		mustCheck(t, c, live...)
	}
	for _, s := range live {
		c.Release(s.pages)
	}
	if mustCheck(t, c); c.Available() != c.Pages() {
		t.Fatalf("%d of %d pages are available at the end", c.Available(), c.Pages())
	}
}

func BenchmarkMatch(b *testing.B) {
	c := New(512, 16)
	s, _ := start(c, Key{}, count(0, 8192))
	c.Insert(s.key, s.tokens, s.pages)
	buf := make([]int32, 0, 512)
	for b.Loop() {
		buf = c.Match(buf[:0], Key{}, s.tokens)
		c.Release(buf)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/512, "ns/page")
}
