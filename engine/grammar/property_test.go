package grammar

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
)

// smallVocabulary has tokens of every length up to three over a few letters that make
// JSON, so that tokens span terminals; the last id ends the text.
func smallVocabulary(letters string) *Vocabulary {
	var tokens [][]byte
	for _, a := range letters {
		tokens = append(tokens, []byte(string(a)))
		for _, b := range letters {
			tokens = append(tokens, []byte(string(a)+string(b)))
			for _, c := range letters {
				tokens = append(tokens, []byte(string(a)+string(b)+string(c)))
			}
		}
	}
	for b := range 256 {
		tokens = append(tokens, []byte{byte(b)})
	}
	tokens = append(tokens, []byte(letters[:1]), nil) // a twin, and a token never allowed
	tokens = append(tokens, []byte("<end>"))
	return newVocabulary(tokens, []int32{int32(len(tokens) - 1)}, 2) // tokens of three count as long
}

// checkMask compares a mask with what Accept says of each token.
func checkMask(t *testing.T, v *Vocabulary, m *Matcher, text string) []int32 {
	t.Helper()
	mask := make([]uint64, v.Words())
	if err := m.Mask(mask); err != nil {
		t.Fatal(err)
	}
	var allowed []int32
	for id := range v.Size() {
		c := m.Clone()
		want := c.Accept(int32(id)) == nil
		if got := mask[id>>6]>>(id&63)&1 != 0; got != want {
			t.Fatalf("after %q token %d %q: mask says %v, accept %v", text, id, v.tokens[id], got, want)
		}
		if want {
			allowed = append(allowed, int32(id))
		}
	}
	if len(allowed) == 0 && !m.ended {
		t.Fatalf("after %q nothing is allowed", text)
	}
	return allowed
}

var propertySchemas = []string{
	`{"type":"array","items":{"type":"object"},"contains":{}}`, `{"type":"array","items":{"type":["null","integer"]},"contains":{"type":"integer"},"maxContains":2}`,
	`{"type":"array","uniqueItems":true,"items":{"type":"string","maxLength":2}}`, `{"type":"array","uniqueItems":true,"items":{"enum":["a","1",1,null]},"minItems":2}`,
	`{"type":"array","uniqueItems":true,"items":{"type":"integer","minimum":0,"maximum":11}}`, `{"type":"array","uniqueItems":true,"items":{"type":"array","uniqueItems":true}}`,
	`{"oneOf":[{"type":"integer"},{"type":"number","minimum":1}]}`, `{"not":{"enum":["a",1,null]}}`,
	`{"type":"string"}`, `{"type":"string","maxLength":4}`, `{"type":"string","minLength":2,"maxLength":35}`,
	`{"type":"string","minLength":3,"maxLength":6}`, `{"type":"string","minLength":300,"maxLength":305}`, `{"type":"string","maxLength":12}`,
	`{"type":"string","pattern":"^[a1]{2,7}$"}`, `{"type":"string","pattern":"^[a1]{3,5}\\.$"}`,
	`{"type":"string","pattern":"^a1*$"}`, `{"type":"string","pattern":"a.1"}`, `true`,
	`{"type":"integer","minimum":-11,"maximum":101}`, `{"type":"number","exclusiveMinimum":0.1,"maximum":11.01}`,
	`{"type":"integer","multipleOf":11}`, `{"enum":["a","a1",1,11,null,[1,"a"],{"a":1}]}`,
	`{"type":"object","properties":{"a":{"type":"integer"},"1":{"type":"string"}},"required":["1"],"additionalProperties":false}`,
	`{"type":"object","properties":{"a":{"$ref":"#"},"1":{"type":"array","items":{"$ref":"#"}}},"additionalProperties":{"type":"null"}}`,
	`{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"integer"},"minItems":1,"maxItems":4}`,
	`{"anyOf":[{"type":"integer"},{"type":"array","items":{"type":"integer"},"minItems":2}]}`,
	`{"type":"object","patternProperties":{"^a":{"type":"integer"}},"additionalProperties":{"type":"string"},"maxProperties":2}`,
	`{"type":"object","minProperties":1,"propertyNames":{"maxLength":2}}`, `{"type":"object","minProperties":2}`,
	`{"anyOf":[{"type":"array","uniqueItems":true},{"type":"array","items":{"type":"integer"}}]}`,
	`{"type":"object","not":{"propertyNames":{"maxLength":1}},"allOf":[{"not":{"additionalProperties":{"type":"string"}}}]}`,
}

func TestEveryMaskSaysOfEveryTokenWhatAcceptSays(t *testing.T) {
	v := smallVocabulary(`a1"{}[]:,\ -.`)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, schema := range propertySchemas {
		for _, compact := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s compact %v", schema, compact), func(t *testing.T) {
				gr, err := CompileSchema(v, []byte(schema), Options{Compact: compact})
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					m := gr.NewMatcher()
					text := ""
					for range 12 {
						allowed := checkMask(t, v, m, text)
						id := allowed[rng.IntN(len(allowed))]
						if err := m.Accept(id); err != nil {
							t.Fatal(err)
						}
						if m.ended {
							break
						}
						text += string(v.tokens[id])
					}
				}
			})
		}
	}
}

// TestRegexAgreesWithGo tries all short texts.
func TestRegexAgreesWithGo(t *testing.T) {
	v := byteVocabulary()
	patterns := []string{`a*b`, `(a|b)*ab`, `a{2,3}b?`, `[^a]b+`, `(?i)aB`, `^ab$`, `(ab|a)(b|bb)`, `(a*)*b`, `a|`, `\x{e9}?a`, `(^a|b$)`, `.b`, `\w\W`, `(^|a)b($|a)`, `(?:^a)?b`}
	for _, p := range patterns {
		gr, err := CompileRegex(v, p, Options{})
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		re := regexp.MustCompile(`^(?:` + p + `)$`)
		search := regexp.MustCompile(p)
		inside, err := CompileSchema(v, []byte(`{"type":"string","pattern":`+quoteJSON(p)+`}`), Options{})
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		words := []string{""}
		for range 4 {
			for _, w := range words[:] {
				for _, x := range []string{"a", "b", "B", "é", "\n"} {
					words = append(words, w+x)
				}
			}
			if len(words) > 3000 {
				break
			}
		}
		for _, w := range words {
			if got, want := accepts(gr, w), re.MatchString(w); got != want {
				t.Errorf("%s on %q: %v, want %v", p, w, got, want)
			}
			if got, want := accepts(inside, quoteJSON(w)), search.MatchString(w); got != want {
				t.Errorf("search %s on %q: %v, want %v", p, w, got, want)
			}
		}
	}
}

func TestNumbersWithinBoundsAreExact(t *testing.T) {
	v := byteVocabulary()
	bounds := []string{"-110", "-12.05", "-0.5", "0", "0.07", "1", "9", "10", "12.5", "99.99", "250"}
	var texts []string
	for _, w := range []string{"0", "1", "5", "7", "9", "10", "11", "12", "13", "49", "99", "100", "109", "110", "111", "249", "250", "251", "1000"} {
		for _, f := range []string{"", ".0", ".04", ".05", ".050", ".06", ".07", ".070", ".071", ".4999", ".5", ".500", ".51", ".9", ".99", ".991"} {
			texts = append(texts, w+f, "-"+w+f)
		}
	}
	for i, lo := range bounds {
		for _, hi := range bounds[i:] {
			for _, out := range []bool{false, true} {
				keys := [2]string{"minimum", "maximum"}
				if out {
					keys = [2]string{"exclusiveMinimum", "exclusiveMaximum"}
				}
				gr, err := CompileSchema(v, fmt.Appendf(nil, `{"type":"number","%s":%s,"%s":%s}`, keys[0], lo, keys[1], hi), Options{})
				if err != nil {
					if out && lo == hi {
						continue
					}
					t.Fatalf("%s %s: %v", lo, hi, err)
				}
				l, h := (&value{text: lo}).rat(), (&value{text: hi}).rat()
				for _, x := range texts {
					r := (&value{text: x}).rat()
					want := r.Cmp(l) >= 0 && r.Cmp(h) <= 0
					if out {
						want = r.Cmp(l) > 0 && r.Cmp(h) < 0
					}
					if got := accepts(gr, x); got != want {
						t.Fatalf("%s..%s (exclusive %v) on %s: %v, want %v", lo, hi, out, x, got, want)
					}
				}
			}
		}
	}
}

func TestChoiceAndForcedText(t *testing.T) {
	v := byteVocabulary()
	gr, err := CompileChoice(v, []string{"yes", "yesterday", "no"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"yes": true, "yesterday": true, "no": true, "yest": false, "": false, "nope": false} {
		if accepts(gr, text) != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
	gr, err = CompileSchema(v, []byte(`{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false}`), Options{Compact: true})
	if err != nil {
		t.Fatal(err)
	}
	forced, err := gr.NewMatcher().Forced()
	if err != nil || string(forced) != `{"name":"` {
		t.Errorf("forced %q, %v", forced, err)
	}
}

func TestErrorsNameTheirPlace(t *testing.T) {
	v := byteVocabulary()
	for schema, want := range map[string]string{
		`{"properties":{"a/b":{"not":{"anyOf":[{}],"unevaluatedItems":false}}}}`:                     "/properties/a~1b/not/unevaluatedItems",
		`{"type":"array","items":{"uniqueItems":true,"type":"array","contains":{},"minContains":2}}`: "/items/uniqueItems",
		`{"$ref":"#/$defs/gone"}`:                              "/$ref",
		`{"allOf":[{"type":"strin"}]}`:                         "/allOf/0/type",
		`{"properties":{"x":{"pattern":"(?<=ab)c"}}}`:          "/properties/x/pattern",
		`{"type":"string","format":"idn-email"}`:               "/format",
		`{"not":{"uniqueItems":true},"prefixItems":[{}]}`:      "/not/uniqueItems",
		`{"anyOf":[{"$ref":"#"},{"type":"null"}]}`:             "",
		`{"type":"object","minProperties":300}`:                "/minProperties",
		`{"type":"string","minLength":-1}`:                     "/minLength",
		`{"properties":{"a":{"type":"number","minimum":"1"}}}`: "/properties/a/minimum",
	} {
		_, err := CompileSchema(v, []byte(schema), Options{})
		e, ok := err.(*Error)
		if !ok {
			t.Errorf("%s: %v", schema, err)
			continue
		}
		if strings.TrimSuffix(e.Pointer, "/") != want {
			t.Errorf("%s: pointer %q, want %q (%v)", schema, e.Pointer, want, err)
		}
	}
}

func TestHostileSchemasEndInBoundedTime(t *testing.T) {
	v := byteVocabulary()
	for name, schema := range map[string]string{
		"nesting of 10,000":      strings.Repeat(`{"items":`, 10_000) + "true" + strings.Repeat("}", 10_000),
		"a pattern of 2^n":       `{"type":"string","pattern":"(a|b)*a(a|b){60}","maxLength":1000,"minLength":900}`,
		"endless recursion":      `{"$ref":"#"}`,
		"recursion with no end":  `{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}`,
		"products of alternates": `{"allOf":[` + strings.TrimSuffix(strings.Repeat(`{"anyOf":[{"minLength":1},{"minLength":2},{"minLength":3}]},`, 12), ",") + `]}`,
		"not JSON":               `{"type":`,
		"ten megabytes":          `{"title":"` + strings.Repeat("a", 10<<20) + `"}`,
	} {
		if _, err := CompileSchema(v, []byte(schema), Options{Limits: Limits{Time: 2 * time.Second}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzCompileSchema(f *testing.F) {
	for _, s := range propertySchemas {
		f.Add([]byte(s))
	}
	v := smallVocabulary(`a1"{}[]:,`)
	f.Fuzz(func(t *testing.T, schema []byte) {
		gr, err := CompileSchema(v, schema, Options{Limits: Limits{States: 20_000}})
		if err != nil {
			return
		}
		m := gr.NewMatcher()
		mask := make([]uint64, v.Words())
		for range 5 {
			if err := m.Mask(mask); err != nil {
				return
			}
			for id := range v.Size() {
				if mask[id>>6]>>(id&63)&1 != 0 {
					if err := m.Accept(int32(id)); err != nil {
						t.Fatalf("token %d is in the mask: %v", id, err)
					}
					break
				}
			}
		}
	})
}

func FuzzCompileRegex(f *testing.F) {
	f.Add(`(a|b)*c{2,9}\d[^x-z]`)
	v := smallVocabulary(`a1"`)
	f.Fuzz(func(t *testing.T, pattern string) {
		gr, err := CompileRegex(v, pattern, Options{Limits: Limits{States: 20_000}})
		if err == nil {
			_ = gr.NewMatcher().Mask(make([]uint64, v.Words()))
		}
	})
}
