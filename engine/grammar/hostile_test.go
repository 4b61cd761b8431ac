package grammar

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// many joins n pieces.
func many(n int, piece func(i int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = piece(i)
	}
	return strings.Join(parts, ",")
}

// hostile are grammars that cost far more than their length, or are meant to.
var hostile = map[string]*Form{
	"exponential pattern":             {Kind: Regex, Text: `((a|b)*a(a|b){20}(c|d)*c(c|d){20})+`},
	"exponential pattern and a bound": {Kind: Schema, Text: `{"type":"string","pattern":"(a|b)*a(a|b){60}","minLength":900,"maxLength":1000}`},
	"two exponential patterns":        {Kind: Schema, Text: `{"type":"string","pattern":"(a|b)*a(a|b){18}$","allOf":[{"pattern":"^(a|b)*b(a|b){17}"}]}`},
	"repeat of a repeat":              {Kind: Regex, Text: `(a{0,1000}){0,1000}`},
	"repeat to a million":             {Kind: EBNF, Text: `root ::= "a"{0,1000000}`},
	"ten megabytes":                   {Kind: Schema, Text: `{"description":"` + strings.Repeat("x", 10<<20) + `"}`},
	"nesting of 10,000":               {Kind: Schema, Text: strings.Repeat(`{"items":`, 10_000) + "{}" + strings.Repeat("}", 10_000)},
	"endless reference":               {Kind: Schema, Text: `{"$ref":"#"}`},
	"references to each other":        {Kind: Schema, Text: `{"$ref":"#/$defs/a","$defs":{"a":{"allOf":[{"$ref":"#/$defs/b"}]},"b":{"anyOf":[{"$ref":"#/$defs/a"}]}}}`},
	"a million alternatives":          {Kind: Choice, Choices: numbered(1_000_000)},
	"enum of 100,000":                 {Kind: Schema, Text: `{"enum":[` + many(100_000, func(i int) string { return fmt.Sprintf(`"a shared prefix %d"`, i) }) + `]}`},
	"500 patterns at once":            {Kind: Schema, Text: `{"type":"string","allOf":[` + many(500, func(i int) string { return fmt.Sprintf(`{"pattern":"[a-f]%d"}`, i) }) + `]}`},
	"500 patterns at once, not":       {Kind: Schema, Text: `{"type":"string","allOf":[` + many(500, func(i int) string { return fmt.Sprintf(`{"not":{"pattern":"x.{%d}y"}}`, i%40) }) + `]}`},
	"huge lookahead":                  {Kind: Schema, Text: `{"pattern":"^(?=.*` + strings.Repeat("(a|b|c)*", 500) + `x).*$"}`},
	"200 lookaheads":                  {Kind: Schema, Text: `{"pattern":"^` + strings.Repeat(`(?=.*[a-f]{3,9}x)`, 200) + `.*$"}`},
	"lookbehind":                      {Kind: Schema, Text: `{"pattern":"(?<=` + strings.Repeat("a", 5000) + `)b"}`},
	"Unicode classes, counted":        {Kind: Schema, Text: `{"pattern":"^(\\p{L}{1,200}\\p{N}{1,200}){1,200}$","maxLength":30000}`},
	"a product of anyOf": {Kind: Schema, Text: `{"allOf":[` + many(40, func(i int) string {
		return fmt.Sprintf(`{"anyOf":[{"minLength":%d},{"minimum":%d},{"minItems":%d}]}`, i, i, i)
	}) + `]}`},
	"nested anyOf":                {Kind: Schema, Text: strings.Repeat(`{"anyOf":[{"minLength":1},{"maxLength":9},`, 100) + `{}` + strings.Repeat(`]}`, 100)},
	"nested oneOf that overlap":   {Kind: Schema, Text: strings.Repeat(`{"oneOf":[{"minLength":1},{"properties":{"a":{"type":"null"}}},`, 60) + `{}` + strings.Repeat(`]}`, 60)},
	"50 patterns that overlap":    {Kind: Schema, Text: `{"type":"object","patternProperties":{` + many(50, func(i int) string { return fmt.Sprintf(`"%c.*%c":{"minimum":%d}`, 'a'+i%26, 'a'+(i*7)%26, i) }) + `}}`},
	"bounds of 300 digits":        {Kind: Schema, Text: `{"type":"number","minimum":` + strings.Repeat("7", 300) + `,"maximum":` + strings.Repeat("8", 301) + `}`},
	"bounds with exponents":       {Kind: Schema, Text: `{"type":"number","minimum":1e-399,"maximum":1e399}`},
	"multipleOf 1e-300":           {Kind: Schema, Text: `{"type":"number","multipleOf":1e-300}`},
	"multipleOf 9973 and 9967":    {Kind: Schema, Text: `{"type":"integer","multipleOf":9973,"allOf":[{"multipleOf":9967},{"multipleOf":9949}]}`},
	"minItems of a million":       {Kind: Schema, Text: `{"type":"array","minItems":1000000,"items":{"type":"integer"}}`},
	"minLength of a million":      {Kind: Schema, Text: `{"type":"string","minLength":1000000,"maxLength":1000000}`},
	"contains a million":          {Kind: Schema, Text: `{"type":"array","contains":{"type":"null"},"minContains":1000000}`},
	"20,000 properties, required": {Kind: Schema, Text: `{"type":"object","properties":{` + many(20_000, func(i int) string { return fmt.Sprintf(`"p%d":{}`, i) }) + `},"required":[` + many(20_000, func(i int) string { return fmt.Sprintf(`"p%d"`, i) }) + `]}`},
	"conditions on 60 members": {Kind: Schema, Text: `{"type":"object","allOf":[` + many(60, func(i int) string {
		return fmt.Sprintf(`{"oneOf":[{"required":["a%d","b%d"]},{"required":["c%d"]}]}`, i, (i*17)%60, (i*31)%60)
	}) + `]}`},
	"one of 3,000 members": {Kind: Schema, Text: `{"oneOf":[` + many(3000, func(i int) string { return fmt.Sprintf(`{"required":["p%d"]}`, i) }) + `]}`},
	"a ladder of references": {Kind: Schema, Text: `{"$ref":"#/$defs/d0","$defs":{` + many(60, func(i int) string {
		return fmt.Sprintf(`"d%d":{"anyOf":[{"$ref":"#/$defs/d%d"},{"items":{"$ref":"#/$defs/d%d"}}]}`, i, i+1, i+1)
	}) + `,"d60":{"type":"null"}}}`},
	"a ladder of objects": {Kind: Schema, Text: `{"$ref":"#/$defs/d0","$defs":{` + many(60, func(i int) string {
		return fmt.Sprintf(`"d%d":{"oneOf":[{"required":["x"],"properties":{"x":{"$ref":"#/$defs/d%d"}}},{"required":["x"],"properties":{"x":{"$ref":"#/$defs/d%d"},"y":{}}}]}`, i, i+1, i+1)
	}) + `,"d60":{"type":"null"}}}`},
	"not of not":                       {Kind: Schema, Text: strings.Repeat(`{"not":`, 200) + `{"required":["a"],"minimum":3}` + strings.Repeat(`}`, 200)},
	"if in if":                         {Kind: Schema, Text: strings.Repeat(`{"if":{"minimum":1},"then":{"maxLength":4},"else":`, 100) + `{}` + strings.Repeat(`}`, 100)},
	"propertyNames of many":            {Kind: Schema, Text: `{"propertyNames":{"pattern":"^(a|b)*a(a|b){40}$","maxLength":41},"patternProperties":{"b(a|b){30}$":{}}}`},
	"unique and long":                  {Kind: Schema, Text: `{"type":"array","uniqueItems":true,"minItems":100000,"items":{"type":"integer","minimum":0,"maximum":300}}`},
	"left recursion of the empty text": {Kind: EBNF, Text: `root ::= root root | root root root | "a" | ""`},
	"rules that call each other":       {Kind: EBNF, Text: "root ::= r0\n" + strings.ReplaceAll(many(3000, func(i int) string { return fmt.Sprintf("r%d ::= r%d r%d | \"x\"", i, (i+1)%3000, (i*7)%3000) }), ",", "\n")},
	"deep parentheses":                 {Kind: Regex, Text: strings.Repeat("(", 5000) + "a" + strings.Repeat(")", 5000)},
}

func numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint("v", i)
	}
	return list
}

// TestHostileGrammarsEndWithinTheirLimits also tries the masks of those that compile.
// With -v it prints what each one took.
func TestHostileGrammarsEndWithinTheirLimits(t *testing.T) {
	v := smallVocabulary(`ab"{}[]:,x1`)
	for _, name := range sortedNames(hostile) {
		start := time.Now()
		gr, err := Compile(v, hostile[name], Options{Tidy: true, Limits: Limits{Time: 300 * time.Millisecond}})
		took := time.Since(start)
		if took > 10*time.Minute {
			t.Errorf("%s: compiling took %v", name, took)
		}
		says := "compiles"
		if err != nil {
			says = "refused: " + err.Error()
		} else if err := tryMasks(gr, v); err != nil {
			says = "compiles, then ends with: " + err.Error()
		}
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		if mem.HeapAlloc > 2<<30 {
			t.Errorf("%s: %d MB are held", name, mem.HeapAlloc>>20)
		}
		t.Logf("%-34s %8.1f ms + %8.1f ms  %.100s", name, ms(took), ms(time.Since(start)-took), says)
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func tryMasks(gr *Grammar, v *Vocabulary) error {
	m := gr.NewMatcher()
	mask := make([]uint64, v.Words())
	for range 20 {
		if err := m.Mask(mask); err != nil {
			return err
		}
		for id := range v.Size() {
			if mask[id>>6]>>(id&63)&1 != 0 {
				if err := m.Accept(int32(id)); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

func sortedNames(m map[string]*Form) []string {
	var names []string
	for n := range m {
		names = append(names, n)
	}
	return sorted(names)
}
