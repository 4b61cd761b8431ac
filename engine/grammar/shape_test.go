package grammar

import (
	"fmt"
	"strings"
	"testing"
)

func compileSchema(t *testing.T, schema string) (*Grammar, error) {
	t.Helper()
	return CompileSchema(byteVocabulary(), []byte(schema), Options{})
}

// TestManyConditionsOnValuesHoldTogether has more combinations than are looked at one by
// one, and beside them some that are.
func TestManyConditionsOnValuesHoldTogether(t *testing.T) {
	const n = 10
	var conditions, names []string
	for i := range n {
		conditions = append(conditions, fmt.Sprintf(`{"if":{"properties":{"a%d":{"const":1}},"required":["a%d"]},"then":{"required":["b%d"],"properties":{"b%d":{"const":%d}}}}`, i, i, i, i, i))
		names = append(names, fmt.Sprintf(`"a%d":{"type":"integer"},"b%d":{"type":"integer"}`, i, i))
	}
	gr, err := compileSchema(t, `{"type":"object","properties":{`+strings.Join(names, ",")+`},"additionalProperties":false,"allOf":[`+strings.Join(conditions, ",")+`]}`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		j := (i + 3) % n
		for text, want := range map[string]bool{
			fmt.Sprintf(`{"a%d":1}`, i):                   false,
			fmt.Sprintf(`{"a%d":2}`, i):                   true,
			fmt.Sprintf(`{"a%d":1,"b%d":%d}`, i, i, i):    true,
			fmt.Sprintf(`{"a%d":1,"b%d":%d}`, i, i, i+20): false,
			fmt.Sprintf(`{"a%d":2,"b%d":%d}`, i, i, i+20): true,
			fmt.Sprintf(`{"a%d":1,"b%d":%d}`, i, j, j):    false,
		} {
			if accepts(gr, text) != want {
				t.Errorf("%s: accepted is %v", text, !want)
			}
		}
	}
}

// TestBranchesDoNotSeeEachOthersConditions: alternatives share what was read before them.
func TestBranchesDoNotSeeEachOthersConditions(t *testing.T) {
	gr, err := compileSchema(t, `{"required":["x"],"type":"object","properties":{"a":{},"b":{},"c":{},"x":{}},"additionalProperties":false,"anyOf":[
		{"required":["a"],"properties":{"x":{"const":1}},"anyOf":[{"required":["c"],"properties":{"c":{"const":1}}},{"maxProperties":2,"properties":{"a":{"const":3}}}]},
		{"required":["b"],"properties":{"x":{"const":2}}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		`{"a":0,"c":1,"x":1}`: true, `{"a":3,"x":1}`: true, `{"a":0,"x":1}`: false, `{"a":3,"c":2,"x":1}`: false,
		`{"b":0,"x":2}`: true, `{"b":0,"x":1}`: false, `{"a":0,"b":0,"c":5,"x":2}`: true, `{"a":3,"x":2}`: false,
	} {
		if accepts(gr, text) != want {
			t.Errorf("%s: accepted is %v", text, !want)
		}
	}
}

func TestMembersThatReferToOneSchemaShareIt(t *testing.T) {
	member := func(i int) string { return fmt.Sprintf(`"m%d":{"$ref":"#/$defs/v","description":"%d"}`, i, i) }
	size := func(n int) int {
		g := begin(byteVocabulary(), 0, Options{})
		if _, err := g.schema([]byte(`{"type":"object","properties":{`+many(n, func(i int) string { return member(i) })+`,"z":{"$ref":"#/$defs/v"}},"additionalProperties":false,"$defs":{"v":{"type":"object","properties":{"k":{"$ref":"#"}}}}}`), Options{}); err != nil {
			t.Fatal(err)
		}
		return len(g.rules)
	}
	if a, b := size(1), size(20); a != b {
		t.Errorf("%d rules for two members, %d for more of the same kind", a, b)
	}
}

func TestAReferenceToItselfIsAnErrorOfItsPlace(t *testing.T) {
	_, err := compileSchema(t, `{"properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":{"$ref":"#/$defs/y"},"y":{"$ref":"#/$defs/x"}}}`)
	if err == nil || !strings.Contains(err.Error(), "refers to itself") {
		t.Fatalf("got %v", err)
	}
}
