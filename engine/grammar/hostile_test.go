package grammar

import (
	"fmt"
	"os"
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
	"a member for each of 200 names":   {Kind: Schema, Text: `{"type":"object","minProperties":200}`},
	"members of four kinds":            {Kind: Schema, Text: `{"type":"object","not":{"anyOf":[{"additionalProperties":{"type":"string"}},{"additionalProperties":{"type":"number"}},{"propertyNames":{"maxLength":9}},{"patternProperties":{"(a|b)*a(a|b){12}":{"type":"null"}}}]}}`},
	"four contains of twelve":          {Kind: Schema, Text: `{"type":"array","allOf":[` + many(4, func(i int) string { return fmt.Sprintf(`{"contains":{"minimum":%d},"minContains":12}`, i) }) + `]}`},
	"contains beside places":           {Kind: Schema, Text: `{"type":"array","prefixItems":[` + many(900, func(i int) string { return fmt.Sprintf(`{"const":%d}`, i) }) + `],"contains":{"const":3}}`},
	"anyOf under unevaluated": {Kind: Schema, Text: `{"allOf":[` + many(8, func(i int) string {
		return fmt.Sprintf(`{"anyOf":[{"properties":{"a%d":{}}},{"properties":{"b%d":{}}},{"properties":{"c%d":{}}}]}`, i, i, i)
	}) + `],"unevaluatedProperties":false}`},
	"enum of large objects":    {Kind: Schema, Text: `{"enum":[` + many(400, func(i int) string { return fmt.Sprintf(`{"k%d":"%s"}`, i, strings.Repeat("v", 2000)) }) + `],"properties":{"k1":{"pattern":"v*w"}}}`},
	"not any of 2,000 objects": {Kind: Schema, Text: `{"type":"object","not":{"enum":[` + many(2000, func(i int) string { return fmt.Sprintf(`{"a":%d,"b":[%d]}`, i, i) }) + `]}}`},
	"conditions on values": {Kind: Schema, Text: `{"type":"object","allOf":[` + many(80, func(i int) string {
		return fmt.Sprintf(`{"if":{"properties":{"m%d":{"minimum":%d}}},"then":{"properties":{"m%d":{"maximum":%d}}}}`, i%9, i, (i*5)%9, 99-i)
	}) + `]}`},
	"patterns in conditions": {Kind: Schema, Text: `{"type":"object","allOf":[` + many(60, func(i int) string {
		return fmt.Sprintf(`{"if":{"properties":{"k":{"pattern":"a.{%d}b"}}},"then":{"required":["r%d"]}}`, i%20, i)
	}) + `]}`},
	"one of 40 that overlap": {Kind: Schema, Text: `{"oneOf":[` + many(40, func(i int) string {
		return fmt.Sprintf(`{"properties":{"a%d":{"type":"string"}},"minProperties":1}`, i)
	}) + `]}`},
	"a chain of 5,000 references": {Kind: Schema, Text: `{"$ref":"#/$defs/d0","$defs":{` + many(5000, func(i int) string { return fmt.Sprintf(`"d%d":{"$ref":"#/$defs/d%d"}`, i, i+1) }) + `,"d5000":{"type":"null"}}}`},
	"a loop through not":          {Kind: Schema, Text: `{"not":{"$ref":"#"}}`},
	"a loop through names":        {Kind: Schema, Text: `{"propertyNames":{"$ref":"#"}}`},
	"a loop through dynamic":      {Kind: Schema, Text: `{"$dynamicAnchor":"x","allOf":[{"$dynamicRef":"#x"}]}`},
	"objects without an end":      {Kind: Schema, Text: `{"type":"object","required":["a"],"properties":{"a":{"$ref":"#"}}}`},
	"lists of lists to 2^60": {Kind: Schema, Text: `{"$ref":"#/$defs/d0","$defs":{` + many(60, func(i int) string {
		return fmt.Sprintf(`"d%d":{"type":"array","minItems":2,"items":{"$ref":"#/$defs/d%d"}}`, i, i+1)
	}) + `,"d60":{"type":"null"}}}`},
	"a million digits":             {Kind: Schema, Text: `{"minimum":1` + strings.Repeat("0", 1_000_000) + `}`},
	"an exponent of a billion":     {Kind: Schema, Text: `{"minimum":1e1000000000}`},
	"a multiple of a million":      {Kind: Schema, Text: `{"type":"number","multipleOf":0.9999999,"minimum":-1e300}`},
	"text that is no text":         {Kind: Schema, Text: "{\"const\":\"\xff\xfe\",\"pattern\":\"\\ud800\"}"},
	"a name a hundred times":       {Kind: Schema, Text: `{"properties":{` + many(100_000, func(int) string { return `"a":{}` }) + `}}`},
	"500 patterns for 500 names":   {Kind: Schema, Text: `{"properties":{` + many(500, func(i int) string { return fmt.Sprintf(`"n%d":{}`, i) }) + `},"patternProperties":{` + many(100, func(i int) string { return fmt.Sprintf(`"%d$":{"minimum":%d}`, i, i) }) + `}}`},
	"alternatives of one letter":   {Kind: Regex, Text: `(` + strings.Repeat("a|", 50_000) + `b)*c`},
	"counts in counts":             {Kind: Regex, Text: `((((((a{9}){9}){9}){9}){9}){9}){9}`},
	"all of Unicode, 60,000 times": {Kind: Regex, Text: `[\x{0}-\x{10FFFF}]{60000}`},
	"folded letters":               {Kind: Regex, Text: `(?i)` + strings.Repeat("[a-zα-ω]", 2000)},
	"a class of 30,000 ranges":     {Kind: EBNF, Text: "root ::= [" + ranges(15_000) + "]+"},
	"a million braces":             {Kind: EBNF, Text: "root ::= " + strings.Repeat("(", 500_000)},
	"rules in a ring":              {Kind: EBNF, Text: "root ::= r0\n" + strings.ReplaceAll(many(2000, func(i int) string { return fmt.Sprintf("r%d ::= r%d \"x\"?", i, (i+1)%2000) }), ",", "\n")},
	"forms in forms":               nested(200),
	"a tag for each letter":        {Kind: Tags, Triggers: numbered(2000), Parts: tagged(2000)},
	"everything but 20,000 words":  {Kind: Any, Choices: numbered(20_000)},
	"deep parentheses":             {Kind: Regex, Text: strings.Repeat("(", 5000) + "a" + strings.Repeat(")", 5000)},
}

func numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint("v", i)
	}
	return list
}

func ranges(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `\U%08x-\U%08x`, 0x10000+3*i, 0x10001+3*i)
	}
	return b.String()
}

func nested(depth int) *Form {
	f := &Form{Kind: Regex, Text: "a+"}
	for range depth {
		f = &Form{Kind: Repeat, Min: 0, Max: -1, Parts: []*Form{{Kind: Either, Parts: []*Form{f, {Kind: Fixed, Text: "b"}}}}}
	}
	return f
}

func tagged(n int) (parts []*Form) {
	for _, s := range numbered(n) {
		parts = append(parts, &Form{Kind: Sequence, Parts: []*Form{{Kind: Fixed, Text: s}, {Kind: Regex, Text: "x*"}}})
	}
	return parts
}

// hostileTable is one line for each of them: the answer, the time to it, and the bytes
// that were taken for it and that the grammar holds.
func hostileTable(v *Vocabulary) {
	var mem runtime.MemStats
	fmt.Printf("%-34s %9s %9s %9s %9s  %s\n", "case", "source", "ms", "taken kB", "held kB", "answer")
	for _, name := range sortedNames(hostile) {
		runtime.GC()
		runtime.ReadMemStats(&mem)
		taken, held := mem.TotalAlloc, mem.HeapAlloc
		size, _ := hostile[name].size()
		start := time.Now()
		gr, err := Compile(v, hostile[name], Options{Tidy: true, Limits: Limits{Time: 2 * time.Second}}) // the default of programs
		took := time.Since(start)
		runtime.ReadMemStats(&mem)
		taken = mem.TotalAlloc - taken
		runtime.GC()
		runtime.ReadMemStats(&mem)
		says := "compiles"
		if err != nil {
			says = "400: " + err.Error()
		}
		fmt.Printf("%-34s %9d %9.1f %9d %9d  %.90s\n", name, size, ms(took), taken>>10, (max(mem.HeapAlloc, held)-held)>>10, says)
		runtime.KeepAlive(gr)
	}
}

// TestHostileGrammarsEndWithinTheirLimits also tries the masks of those that compile.
// With -v it prints what each one took.
func TestHostileGrammarsEndWithinTheirLimits(t *testing.T) {
	v := smallVocabulary(`ab"{}[]:,x1`)
	if os.Getenv("GODWIT_HOSTILE") != "" {
		hostileTable(v)
		return
	}
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
