package grammar

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestBoundedNumbersHaveExponents(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	decimal := func() string {
		s := fmt.Sprint(r.IntN(30))
		if r.IntN(2) == 0 {
			s = fmt.Sprintf("%d.%0*d", r.IntN(12), 1+r.IntN(4), r.IntN(10))
		}
		if r.IntN(3) == 0 {
			s = "-" + s
		}
		return s
	}
	for range 300 {
		lo, hi := decimal(), decimal()
		words := [][2]string{{"minimum", "maximum"}, {"exclusiveMinimum", "exclusiveMaximum"}, {"minimum", "exclusiveMaximum"}}[r.IntN(3)]
		schema := fmt.Sprintf(`{"type":"number",%q:%s,%q:%s}`, words[0], lo, words[1], hi)
		switch r.IntN(4) {
		case 0:
			schema = fmt.Sprintf(`{"type":"number",%q:%s}`, words[0], lo)
		case 1:
			schema = fmt.Sprintf(`{"type":"number",%q:%s}`, words[1], hi)
		}
		gr, err := CompileSchema(byteVocabulary(), []byte(schema), Options{})
		if err != nil {
			continue // nothing is between
		}
		doc, _ := parseValue([]byte(schema), 10)
		var n numbers
		for i, k := range doc.keys {
			if err := numberKeyword(&shape{}, &site{v: doc}, k, doc.elem[i]); k != "type" && err != nil {
				t.Fatal(err)
			}
			x, _ := new(big.Rat).SetString(doc.elem[i].text)
			switch k {
			case "minimum", "exclusiveMinimum":
				n.atLeast(x, k != "minimum")
			case "maximum", "exclusiveMaximum":
				n.atMost(x, k != "maximum")
			}
		}
		for range 40 {
			text := fmt.Sprintf("%d.%d", 1+r.IntN(9), r.IntN(100))
			if r.IntN(2) == 0 {
				text = fmt.Sprint(1 + r.IntN(9))
			}
			text += []string{"e", "E", "e+", "e-", "e0", "e-0", "e+0"}[r.IntN(7)] + fmt.Sprint(r.IntN(4))
			if r.IntN(3) == 0 {
				text = "-" + text
			}
			x, ok := new(big.Rat).SetString(text)
			if !ok {
				t.Fatal(text)
			}
			if got := accepts(gr, text); got != n.admits(x) {
				t.Fatalf("%s: %s: got %t", schema, text, got)
			}
		}
	}
}

func TestMultiplesOfLargeRoundNumbers(t *testing.T) {
	for schema, texts := range map[string]map[string]bool{
		`{"type":"integer","multipleOf":86400}`:                     {"0": true, "86400": true, "172800": true, "86401": false, "864000": true, "8640": false, "-86400": true, "00": false},
		`{"type":"number","multipleOf":1e10}`:                       {"10000000000": true, "20000000000.0": true, "1000000000": false, "0": true, "0.0": true},
		`{"type":"integer","multipleOf":1000000,"minimum":5000000}`: {"5000000": true, "4000000": false, "12000000": true, "5500000": false},
		`{"type":"integer","not":{"multipleOf":100000}}`:            {"100000": false, "10000": true, "0": false, "1": true, "300000": false},
	} {
		gr, err := CompileSchema(byteVocabulary(), []byte(schema), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range texts {
			if accepts(gr, text) != want {
				t.Errorf("%s: %s: got %t", schema, text, !want)
			}
		}
	}
}
