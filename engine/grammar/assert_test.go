package grammar

import "testing"

func TestPatternsWithLookaheadsBoundariesAndLargeCounts(t *testing.T) {
	v := byteVocabulary()
	for pattern, texts := range map[string]map[string]bool{
		`^(?!foo)[a-z]+$`:                   {"foo": false, "foobar": false, "fo": true, "xfoo": true, "": false},
		`(^(?!_{2}))(^[a-zA-Z0-9_]+$)`:      {"__a": false, "_a": true, "a__": true, "a b": false},
		`(?!^[0-9]+$)([a-z0-9]+)`:           {"1": false, "1a": true, "a": true, "é": false, "é1": true},
		`^(?=.*[A-Z])(?=.*[0-9]).{3,5}$`:    {"A1b": true, "ab1": false, "Ab": false, "xxxA1": true, "xxxxA1": false},
		`^a(?=b)[a-z]{2}$`:                  {"abc": true, "acb": false},
		`^((?!foo).)*$`:                     {"": true, "fo": true, "afoo": false, "foo": false, "bar fo o": true},
		`^(?:(?!--)[a-z-])+$`:               {"a-b": true, "a--b": false, "": false},
		`\bcat\b`:                           {"cat": true, "a cat.": true, "concat": false, "cats": false, "cat_": false},
		`^\w+\b$`:                           {"abc": true, "": false},
		`a\Bb`:                              {"ab": true, "a b": false},
		`^[a-z]{2,1500}$`:                   {"a": false, "ab": true},
		`^([a-z]{1,60}\.){1,40}$`:           {"ab.": true, "ab.cd.": true, "ab": false},
		`^x{2}{2}$`:                         {"xxxx": true, "xx": false},
		`^(?<year>\d{4})-(?P<m>\d{2})$`:     {"2024-01": true, "2024-1": false},
		`^a{,3}$`:                           {"a{,3}": true, "aa": false},
		`^{.*}$`:                            {"{a}": true, "a": false},
		`^(?:a|b(?!c))+$`:                   nil,
		`^((?!-)[a-z-]{1,9}(?<!-)\.)+x$`:    {"a.x": true, "a-b.c.x": true, "-a.x": false, "a-.x": false, "a.b-.x": false, "a.-b.x": false, "x": false},
		`^((?![;,])[ -~])*$`:                {"": true, "ab c": true, "a;b": false, ",": false, "é": false},
		`^(a(?!bb)[ab]{2}){1,300}c$`:        {"aabc": true, "abbc": false, "abaaabc": true, "abaabbc": false},
		`^(/(?!\.)+[a-z.]+){1,4}$`:          {"/a": true, "/.a": false, "/a/b.": true, "/a/.b": false},
		`^([a-z](?!--)-*)*$`:                nil,
		`(?<=ab)c`:                          nil,
		`(?<=a)b`:                           {"ab": true, "b": false, "bab": true, "bb": false},
		`^(?!-)[a-z0-9-]{1,9}(?<!-)$`:       {"a-b": true, "a-": false, "-a": false, "a": true, "": false},
		`(?<=^|[^a-z])foo`:                  {"foo": true, "afoo": false, "a foo": true, "foofoo": true},
		`^((?!-)[A-Z-]{1,6}(?<!-)\.){2}x$`:  {"A.B.x": true, "A-.B.x": false, "A-B.C.x": true, "A.-B.x": false},
		`(?<=[ab])\b`:                       {"xa": true, "xb c": true, "ac": false, "": false},
		`(a|b)(?<!b)c`:                      {"ac": true, "bc": false},
		`(?<!^)a`:                           {"a": false, "ba": true, "aa": true},
		`\Aab\Z`:                            {"ab": true, "xab": false, "abx": false},
		`a\z|\Ab`:                           {"xa": true, "bx": true, "ax": false, "xb": false},
		`^[\b]$`:                            {"\b": true, "b": false},
		`^(\w+)\1$`:                         nil,
		`^[^(){2}]{2}$`:                     {"ab": true, "(b": false},
		`^[\s.]\s$`:                         {"\v ": true, ".\u00a0": true, "a ": false},
		`^[^\s]\S$`:                         {"ab": true, "a\u3000": false, "\va": false},
		`^\{{2}$`:                           {"{{": true, "{": false},
		`^(?!.*\.\.)(?!.*\.$)[^\W][\w.]+$`:  {"a.b": true, "a..b": false, "ab.": false, ".ab": false},
		`^(?!(?:con|prn)$)[a-z]+(?!.*\s)$`:  {"con": false, "cons": true, "a": true},
		`^[a-z](?:(?!-)[a-z-]){0,3}[a-z]?$`: {"abc": true, "a-b": false},
	} {
		gr, err := CompileSchema(v, []byte(`{"type":"string","pattern":`+quoteJSON(pattern)+`}`), Options{})
		if texts == nil {
			if err == nil {
				t.Errorf("%s: no error", pattern)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		for text, want := range texts {
			m := gr.NewMatcher()
			got := m.AcceptBytes([]byte(quoteJSON(text))) == nil && m.Done()
			if got != want {
				t.Errorf("%s: %q: got %t, want %t", pattern, text, got, want)
			}
		}
	}
}
