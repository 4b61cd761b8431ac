package sched

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/kvcache"
)

var update = flag.Bool("update", false, "rewrite the schedules in testdata")

// TestSchedules plays the files of testdata. A line is a command; what it did
// follows in lines that begin with "= ". Commands:
//
//	new pages=8 page=4 running=4 queued=0 prefill=8 targets=8 nocache=0
//	add NAME PROMPT+NEW [prio=1] [like=NAME] [n=2] [targets]   prompt of as many tokens, generates NEW
//	step [COUNT]      runs steps; "a 0+8*" is rows 0..7 of a, * emits a token, t2-5 wants targets
//	cancel NAME
//
// Prompts differ from each other unless like= says that one begins with another.
func TestSchedules(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no schedules", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := playText(t, string(want))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("the schedule is now:\n%s", got)
			}
		})
	}
}

// player drives a scheduler as a step loop would, with made-up tokens.
type player struct {
	t      *testing.T
	cache  *kvcache.Cache
	s      *Scheduler
	live   []*Sequence
	names  map[*Sequence]string
	byName map[string]*Sequence
	finish int
	added  int
	ahead  bool
	forced int   // tokens that nobody draws come by this; 0: never
	flying []Run // of the step under way, with stepAhead
}

func (p *player) check() {
	p.t.Helper()
	if err := p.s.Check(); err != nil {
		p.t.Fatal(err)
	}
}

// step runs one step and describes it; a sequence at its limit is finished.
func (p *player) step() string {
	runs := p.s.Next()
	var parts []string
	outputs := map[*Sequence]bool{}
	for _, r := range runs {
		text := fmt.Sprintf("%s %d+%d", p.names[r.Seq], r.Past, r.Rows)
		if r.TargetTo > r.TargetFrom {
			text += fmt.Sprintf(" t%d-%d", r.TargetFrom, r.TargetTo)
		}
		if r.Emit {
			text += "*"
			outputs[r.Seq] = true
		}
		if len(r.Pages())*p.cache.PageTokens() < r.Past+r.Rows {
			p.t.Fatalf("%s: %d pages", text, len(r.Pages()))
		}
		parts = append(parts, text)
	}
	if runs == nil {
		return "idle"
	}
	p.s.Commit()
	p.check()
	for _, r := range runs {
		q := r.Seq
		if !outputs[q] {
			continue
		}
		if len(q.Tokens)+1 >= q.Limit {
			p.drop(q)
			parts = append(parts, "end "+p.names[q])
			p.finish++
			continue
		}
		p.s.Append(q, int32(len(q.Tokens)*7))
		p.extend(q)
	}
	p.check()
	return strings.Join(parts, " | ")
}

// stepAhead plans a step before the tokens of the one before are there, as a loop does
// whose device feeds tokens from step to step; some texts turn out to have ended. Now
// and then, by holds, a token must be there first; fails throws a step away.
func (p *player) stepAhead(holds, fails bool) {
	if holds {
		p.land()
	}
	runs := append([]Run(nil), p.s.Next()...)
	if len(runs) > 0 {
		p.s.Commit()
	}
	p.check()
	if fails {
		for _, r := range append(runs, p.flying...) {
			if r.Seq.state != ended {
				p.drop(r.Seq)
				p.finish++
			}
		}
		p.flying = nil
		p.s.Restart()
		p.check()
		return
	}
	p.land()
	for _, r := range runs {
		if q := r.Seq; r.Emit && q.state != ended && q.Awaits() && len(q.Tokens)+1 < q.Limit {
			p.s.Append(q, Unknown)
		}
	}
	p.flying = runs
	p.check()
}

// land resolves the tokens of the step under way.
func (p *player) land() {
	for _, r := range p.flying {
		q := r.Seq
		if !r.Emit || q.state == ended {
			continue
		}
		last := len(q.Tokens) <= r.Past+r.Rows // it was at its limit
		if !last && q.Tokens[len(q.Tokens)-1] != Unknown {
			continue // what it would have drawn was known
		}
		if !last {
			p.s.Resolve(q, int32(len(q.Tokens)*7))
		}
		if last || len(q.Tokens)*7%5 == 0 {
			p.drop(q)
			p.finish++
			continue
		}
		p.extend(q)
	}
	p.flying = nil
	p.check()
}

// extend now and then adds tokens that nobody draws.
func (p *player) extend(q *Sequence) {
	if n := p.forced * len(q.Tokens) % 7; n < 4 && len(q.Tokens)+n < q.Limit {
		p.s.Extend(q, make([]int32, n)...)
	}
}

func (p *player) drop(q *Sequence) {
	p.s.Finish(q)
	for i, l := range p.live {
		if l == q {
			p.live = append(p.live[:i], p.live[i+1:]...)
			break
		}
	}
}

func playText(t *testing.T, text string) string {
	p := &player{t: t, names: map[*Sequence]string{}, byName: map[string]*Sequence{}}
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "= ") {
			continue
		}
		out.WriteString(line)
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if p.s == nil && f[0] != "new" {
			t.Fatalf("%q before new", line)
		}
		switch f[0] {
		case "new":
			opt := map[string]int{"pages": 8, "page": 4, "running": 4, "prefill": 8, "targets": 8}
			numbers(t, f[1:], opt)
			p.cache = kvcache.New(opt["pages"], opt["page"])
			p.s = New(Options{MaxRunning: opt["running"], MaxQueued: opt["queued"], PrefillRows: opt["prefill"],
				TargetRows: opt["targets"], NoPrefixCache: opt["nocache"] == 1}, p.cache)
		case "add":
			if err := p.add(f[1], f[2:]); err != nil {
				fmt.Fprintf(&out, "= %v\n", err)
			}
		case "step":
			n := 1
			if len(f) > 1 {
				fmt.Sscan(f[1], &n)
			}
			for range n {
				fmt.Fprintf(&out, "= %s\n", p.step())
			}
		case "cancel":
			p.drop(p.byName[f[1]])
			p.check()
		case "state":
			fmt.Fprintf(&out, "= running %d, waiting %d, available %d of %d pages\n", p.s.Running(), p.s.Waiting(), p.cache.Available(), p.cache.Pages())
		default:
			t.Fatalf("unknown command %q", line)
		}
	}
	return out.String()
}

func numbers(t *testing.T, fields []string, into map[string]int) {
	for _, f := range fields {
		k, v, _ := strings.Cut(f, "=")
		n := 0
		if _, err := fmt.Sscan(v, &n); err != nil {
			t.Fatalf("%q: %v", f, err)
		}
		into[k] = n
	}
}

func (p *player) add(name string, f []string) error {
	var prompt, fresh, n, prio int
	fmt.Sscanf(f[0], "%d+%d", &prompt, &fresh)
	n = 1
	targets := false
	p.added++
	tokens := make([]int32, prompt)
	for i := range tokens {
		tokens[i] = int32(1000*p.added + i)
	}
	for _, o := range f[1:] {
		k, v, _ := strings.Cut(o, "=")
		switch k {
		case "prio":
			fmt.Sscan(v, &prio)
		case "n":
			fmt.Sscan(v, &n)
		case "like":
			copy(tokens, p.byName[v].Tokens)
		case "targets":
			targets = true
		}
	}
	var group []*Sequence
	for i := range n {
		q := &Sequence{Tokens: append([]int32(nil), tokens...), Limit: prompt + fresh, Priority: prio, Targets: targets && i == 0}
		label := name
		if n > 1 {
			label = fmt.Sprintf("%s%d", name, i)
		}
		p.names[q], p.byName[label] = label, q
		group = append(group, q)
	}
	if err := p.s.Add(group...); err != nil {
		return err
	}
	p.live = append(p.live, group...)
	p.check()
	return nil
}

func TestALongPromptDoesNotBlockShortOnes(t *testing.T) {
	p := newPlayer(t, Options{MaxRunning: 8, PrefillRows: 64}, 600, 16)
	p.addNew("long", 8000, 4, 0)
	p.step()
	p.addNew("short", 20, 4, 0)
	for n := 1; p.finish == 0; n++ {
		if p.step(); n > 6 {
			t.Fatal("a short prompt waits behind a long one")
		}
	}
}

func TestLimitPrefillLowersTheRowsOfAStep(t *testing.T) {
	s := New(Options{MaxRunning: 2, PrefillRows: 8}, kvcache.New(16, 4))
	if err := s.Add(&Sequence{Tokens: make([]int32, 30), Limit: 31}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ limit, rows int }{{0, 8}, {3, 3}, {1, 1}, {100, 8}, {-1, 8}} {
		s.LimitPrefill(c.limit)
		runs := s.Next()
		if len(runs) != 1 || runs[0].Rows != c.rows {
			t.Errorf("limit %d gave the runs %+v, want %d rows", c.limit, runs, c.rows)
		}
		s.Commit()
	}
}

func TestAStreamOfShortPromptsDoesNotStarveALongOne(t *testing.T) {
	p := newPlayer(t, Options{MaxRunning: 8, PrefillRows: 64}, 600, 16)
	long := p.addNew("long", 4000, 4, 0)
	for n := range 400 {
		for len(p.live) < 20 {
			p.addNew(fmt.Sprint("s", n, len(p.live)), 60, 2, 0)
		}
		p.step()
		if long.state == ended {
			return
		}
	}
	t.Fatalf("the long prompt has %d of 4000 tokens", long.past)
}

func TestHighPrioritiesDoNotStarveALowOne(t *testing.T) {
	p := newPlayer(t, Options{MaxRunning: 2, PrefillRows: 64}, 100, 16)
	for i := range 4 {
		p.addNew(fmt.Sprint("h", i), 10, 3, 9)
	}
	low := p.addNew("low", 10, 3, 0)
	for n := range 2000 {
		for len(p.live) < 20 {
			p.addNew(fmt.Sprint("h", n, len(p.live)), 10, 3, 9)
		}
		p.step()
		if low.state == ended {
			return
		}
	}
	t.Fatal("the sequence of low priority never ran")
}

func TestABigSequenceIsNotOvertakenForEver(t *testing.T) {
	p := newPlayer(t, Options{MaxRunning: 4, PrefillRows: 64}, 20, 4)
	for i := range 3 {
		p.addNew(fmt.Sprint("s", i), 8, 30, 0)
	}
	p.step()
	big := p.addNew("big", 70, 5, 0)
	for n := range 5000 {
		for len(p.live) < 12 {
			p.addNew(fmt.Sprint("s", n, len(p.live)), 8, 6, 0)
		}
		p.step()
		if big.state == ended {
			return
		}
	}
	t.Fatal("the big sequence never ran")
}

func TestAddRefuses(t *testing.T) {
	p := newPlayer(t, Options{MaxRunning: 1, MaxQueued: 2, PrefillRows: 8}, 4, 4)
	if err := p.s.Add(&Sequence{Tokens: make([]int32, 10), Limit: 18}); !errors.Is(err, ErrTooBig) {
		t.Errorf("18 tokens in 16 places: %v", err)
	}
	if err := p.s.Add(&Sequence{Tokens: make([]int32, 10), Limit: 17}); err != nil {
		t.Errorf("the last token needs no place: %v", err)
	}
	if err := p.s.Add(&Sequence{Tokens: []int32{1}, Limit: 2}, &Sequence{Tokens: []int32{1}, Limit: 2}, &Sequence{Tokens: []int32{1}, Limit: 2}); !errors.Is(err, ErrFull) {
		t.Errorf("one running, two queued, three more: %v", err)
	}
	if p.s.Waiting() != 1 {
		t.Errorf("%d wait", p.s.Waiting())
	}
}

func newPlayer(t *testing.T, o Options, pages, page int) *player {
	c := kvcache.New(pages, page)
	return &player{t: t, cache: c, s: New(o, c), names: map[*Sequence]string{}, byName: map[string]*Sequence{}}
}

func (p *player) addNew(name string, prompt, fresh, prio int) *Sequence {
	p.t.Helper()
	if err := p.add(name, []string{fmt.Sprintf("%d+%d", prompt, fresh), fmt.Sprintf("prio=%d", prio)}); err != nil {
		p.t.Fatal(err)
	}
	return p.byName[name]
}

// FuzzOperations plays any sequence of additions, steps and cancellations, checks
// every invariant after each, and then that everything admitted ends.
func FuzzOperations(f *testing.F) {
	for s := range uint64(64) {
		r := rand.New(rand.NewPCG(s, 1))
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) < 4 {
			return
		}
		if len(ops) > 600 {
			ops = ops[:600]
		}
		o := Options{MaxRunning: 1 + int(ops[0]%6), MaxQueued: int(ops[1] % 9), PrefillRows: 1 + int(ops[2]%20),
			TargetRows: 1 + int(ops[2]%5), NoPrefixCache: ops[3]&1 == 1, KnownShare: int(ops[1]>>6) * 3}
		p := newPlayer(t, o, 2+int(ops[3]%14), 3)
		p.ahead = ops[0]&64 != 0
		p.forced = int(ops[1]>>4) % 4
		playOps(p, ops[4:])
	})
}

func playOps(p *player, ops []byte) {
	added, ended := 0, 0
	for len(ops) >= 3 {
		op, a, b := ops[0]%8, int(ops[1]), int(ops[2])
		ops = ops[3:]
		switch {
		case op < 3:
			group := make([]*Sequence, 1+a%3/2*(1+b%3))
			tokens := make([]int32, 1+a%25)
			for i := range tokens {
				tokens[i] = int32(b >> (i % 4) & 1)
			}
			for i := range group {
				group[i] = &Sequence{Tokens: append([]int32(nil), tokens...), Limit: len(tokens) + 1 + b%12, Priority: b % 3,
					Targets: i == 0 && a&8 != 0, Key: kvcache.Key{Salt: "ab"[a&1 : a&1+1]}}
				p.names[group[i]] = fmt.Sprint(added, i)
			}
			if p.s.Add(group...) == nil {
				p.live = append(p.live, group...)
				added += len(group)
			}
		case op == 3 && len(p.live) > 0:
			p.drop(p.live[a%len(p.live)])
			ended++
		case p.ahead:
			p.stepAhead(a%4 == 0, b == 77)
		default:
			p.step()
		}
		p.check()
	}
	for n := 0; len(p.live) > 0; n++ {
		if n > 20000 {
			p.t.Fatalf("%d sequences never end%s", len(p.live), p.s.describe())
		}
		if p.ahead {
			p.stepAhead(false, false)
		} else {
			p.step()
		}
	}
	if ended+p.finish != added {
		p.t.Fatalf("%d were added, %d ended", added, ended+p.finish)
	}
	if p.check(); p.cache.Available() != p.cache.Pages() || p.s.Running()+p.s.Waiting() > 0 {
		p.t.Fatalf("%d of %d pages are available, %d run, %d wait", p.cache.Available(), p.cache.Pages(), p.s.Running(), p.s.Waiting())
	}
}

func BenchmarkStepOf16(b *testing.B) {
	c := kvcache.New(4096, 16)
	s := New(Options{MaxRunning: 16, PrefillRows: 512}, c)
	for i := range 16 {
		tokens := make([]int32, 30)
		tokens[0] = int32(i)
		s.Add(&Sequence{Tokens: tokens, Limit: 4096})
	}
	b.ReportAllocs()
	for b.Loop() {
		runs := s.Next()
		s.Commit()
		for i := range runs {
			q := runs[i].Seq
			if len(q.Tokens) > 2000 {
				q.Tokens, q.past = q.Tokens[:30], 29
			} else if runs[i].Emit {
				s.Append(q, 5)
			}
		}
	}
}

// TestKnownTokensHaveRowsOfTheirOwnUntilThereAreMany plans sequences that generate, one of
// them with tokens that nobody draws.
func TestKnownTokensHaveRowsOfTheirOwnUntilThereAreMany(t *testing.T) {
	for _, c := range []struct {
		name         string
		share, known int
		want         string // rows of that sequence, step by step, with a mark where it predicts a token
	}{
		{"few beside many rows come one by one", 2, 4, "1 1 1 1*"},
		{"many come at once", 2, 9, "9*"},
		{"none ever has a step of its own", 0, 2, "2*"},
		{"enough for the rows that there are", 8, 2, "2*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New(Options{MaxRunning: 8, PrefillRows: 64, KnownShare: c.share}, kvcache.New(100, 4))
			var all []*Sequence
			for range 8 {
				q := &Sequence{Tokens: []int32{1, 2, 3}, Limit: 60}
				all = append(all, q)
				if err := s.Add(q); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for n := range 6 {
				for _, r := range s.Next() {
					if r.Known == r.Emit && r.Rows == 1 {
						t.Errorf("run %+v", r)
					}
					if r.Seq == all[3] && n > 0 {
						mark := ""
						if r.Emit {
							mark = "*"
						}
						got = append(got, fmt.Sprint(r.Rows, mark))
					}
				}
				s.Commit()
				for _, q := range all {
					switch {
					case q == all[3] && n == 0:
						s.Extend(q, make([]int32, c.known)...) // in the place of the token that is drawn
					case q.Awaits():
						s.Append(q, 7)
					}
				}
				if err := s.Check(); err != nil {
					t.Fatal(err)
				}
				if len(got) > 0 && strings.HasSuffix(got[len(got)-1], "*") {
					break
				}
			}
			if have := strings.Join(got, " "); have != c.want {
				t.Errorf("rows %q, want %q", have, c.want)
			}
		})
	}
}
