package stop

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// run feeds a text in pieces and returns what is shown and what stopped it.
func run(t testing.TB, pieces, stops, patterns []string, keep bool) (text, stop string) {
	p, err := Compile(patterns)
	if err != nil {
		t.Fatal(err)
	}
	m := New(stops, p)
	for _, piece := range pieces {
		more, s := m.Next(piece, keep)
		text += more
		if s != "" {
			return text, s
		}
	}
	return text + m.Flush(), ""
}

func TestStops(t *testing.T) {
	for _, c := range []struct {
		name           string
		text           string
		stops, regexes []string
		keep           bool
		want, stop     string
	}{
		{"nothing to stop", "one two", nil, nil, false, "one two", ""},
		{"a string", "one STOP two", []string{"STOP"}, nil, false, "one ", "STOP"},
		{"a string that is kept", "one STOP two", []string{"STOP"}, nil, true, "one STOP", "STOP"},
		{"the string that is complete first", "abcd", []string{"abcd", "bc"}, nil, false, "a", "bc"},
		{"the longest of those that end together", "abc", []string{"c", "bc"}, nil, false, "a", "bc"},
		{"a pattern", "total: 42 apples", nil, []string{`\d+ a`}, false, "total: ", `\d+ a`},
		{"a pattern stops as soon as it can", "x aaa", nil, []string{`a+`}, false, "x ", `a+`},
		{"the earliest start of a pattern", "xxabab", nil, []string{`(ab)+|ab`}, false, "xx", `(ab)+|ab`},
		{"a pattern that begins before another ends", "a1b2", nil, []string{`a.b`, `1`}, false, "a", "1"},
		{"a string and a pattern", "key: value", []string{"value"}, []string{`k\w+:`}, false, "", `k\w+:`},
		{"the begin of the text", "no\nyes", nil, []string{`^yes`}, false, "no\nyes", ""},
		{"the begin of a line", "no\nyes", nil, []string{`(?m)^yes`}, false, "no\n", `(?m)^yes`},
		{"letters of any case", "The END.", nil, []string{`(?i)the end`}, false, "", `(?i)the end`},
		{"what looks like a match and is none comes in full", "foo ba", nil, []string{`foo.*bar`}, false, "foo ba", ""},
		{"other scripts", "日本語です。次", nil, []string{`。`}, false, "日本語です", `。`},
		{"a class of other scripts", "abc 語 x", nil, []string{`\p{Han}`}, true, "abc 語", `\p{Han}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			whole := []string{c.text}
			for _, pieces := range [][]string{whole, strings.Split(c.text, "")} {
				text, stop := run(t, pieces, c.stops, c.regexes, c.keep)
				if text != c.want || stop != c.stop {
					t.Errorf("%q: %q stopped by %q, want %q by %q", pieces, text, stop, c.want, c.stop)
				}
			}
		})
	}
}

func TestPatternsThatAreRefused(t *testing.T) {
	for _, p := range []string{`a$`, `\bfoo`, `foo\z`, `(?m)x$`, `a*`, `(`, `x{3000}`, `(a|)`, `^`, `(((a{50}){50}){50})`, ``} {
		_, err := Compile([]string{"fine", p})
		var e *Error
		if !errors.As(err, &e) || e.Index != 1 || e.Reason == "" {
			t.Errorf("%q: %v", p, err)
		}
	}
}

// TestAnyCutGivesTheSame compares random cuts with the whole, and the whole with a search
// of all prefixes by package regexp.
func TestAnyCutGivesTheSame(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	atoms := []string{"a", "b", "c", "ä", "ab", "bca", "\n"}
	patterns := []string{`ab+c`, `a.?c`, `(a|b){3}`, `c[^b]b`, `ä(b|c)+a`, `(?m)^b`, `b.*c`}
	for range 3000 {
		var b strings.Builder
		for range rnd.IntN(20) {
			b.WriteString(atoms[rnd.IntN(len(atoms))])
		}
		text := b.String()
		var stops, regexes []string
		for range rnd.IntN(3) {
			stops = append(stops, atoms[rnd.IntN(3)]+atoms[rnd.IntN(len(atoms))])
		}
		for range rnd.IntN(3) {
			regexes = append(regexes, patterns[rnd.IntN(len(patterns))])
		}
		keep := rnd.IntN(2) == 0
		want, stop := brute(text, stops, regexes, keep)
		got, by := run(t, []string{text}, stops, regexes, keep)
		if got != want || (by == "") != (stop == "") {
			t.Fatalf("%q with %q and %q: %q by %q, want %q by %q", text, stops, regexes, got, by, want, stop)
		}
		var pieces []string
		for rest := text; rest != ""; {
			n := 1 + rnd.IntN(len(rest))
			for !utf8.ValidString(rest[:n]) {
				n++
			}
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if g, s := run(t, pieces, stops, regexes, keep); g != got || s != by {
			t.Fatalf("%q with %q and %q in %q: %q by %q, want %q by %q", text, stops, regexes, pieces, g, s, got, by)
		}
	}
}

// brute looks at every prefix: the first that ends with a stop, then its earliest start.
func brute(text string, stops, regexes []string, keep bool) (string, string) {
	for end := 1; end <= len(text); end++ {
		if !utf8.ValidString(text[:end]) {
			continue
		}
		at, stop := -1, ""
		note := func(from int, s string) {
			if from >= 0 && (at < 0 || from < at) {
				at, stop = from, s
			}
		}
		for _, s := range stops {
			if strings.HasSuffix(text[:end], s) {
				note(end-len(s), s)
			}
		}
		for _, r := range regexes {
			re := regexp.MustCompile(`(?:` + r + `)\z`)
			if loc := re.FindStringIndex(text[:end]); loc != nil {
				note(loc[0], r)
			}
		}
		if stop != "" && keep {
			return text[:end], stop
		}
		if stop != "" {
			return text[:at], stop
		}
	}
	return text, ""
}

func FuzzCompile(f *testing.F) {
	f.Add(`a+b`, "xaab")
	f.Add(`(?i)ä|[^x]{2,5}`, "ÄÖ")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := Compile([]string{pattern})
		if err != nil || !utf8.ValidString(text) {
			return
		}
		m := New(nil, p)
		shown, stop := m.Next(text, false)
		if shown += m.Flush(); stop == "" && shown != text || !strings.HasPrefix(text, shown) {
			t.Errorf("%q in %q: %q by %q", pattern, text, shown, stop)
		}
	})
}
