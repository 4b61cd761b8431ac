package grammar

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// byteVocabulary has a token per byte and one end token, 256.
func byteVocabulary() *Vocabulary {
	tokens := make([][]byte, 257)
	for i := range 256 {
		tokens[i] = []byte{byte(i)}
	}
	return NewVocabulary(tokens, []int32{256})
}

func sharedData(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("outside the module")
		}
		dir = filepath.Dir(dir)
	}
	full := filepath.Join(dir, "..", "shared", "data", path)
	if _, err := os.Stat(full); err != nil {
		t.Skip("the test data is not here: " + path)
	}
	return full
}

func accepts(gr *Grammar, text string) bool {
	m := gr.NewMatcher()
	return m.AcceptBytes([]byte(text)) == nil && m.Done()
}

type caseGroup struct {
	Description string
	Schema      json.RawMessage
	Tests       []struct {
		Description string
		Data        json.RawMessage
		Valid       bool
	}
}

// knownDifferences are valid instances that the grammar does not write.
var knownDifferences = map[string]bool{
	"email format: invalid email string is only an annotation by default":                                           true, // formats are enforced
	"duration format: invalid duration string is only an annotation by default":                                     true,
	"all integers are multiples of 0.5, if overflow is handled: valid if optional overflow handling is implemented": true, // integers have no exponent
}

func TestSchemaCasesAreEnforcedExactlyOrRefused(t *testing.T) {
	root := sharedData(t, "json-schema/draft2020-12")
	v := byteVocabulary()
	groups, refusals := 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".json") {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var list []caseGroup
		if err := json.Unmarshal(src, &list); err != nil {
			return err
		}
		for _, g := range list {
			groups++
			gr, err := CompileSchema(v, g.Schema, Options{Compact: true, DotZero: true})
			if err != nil {
				refusals++
				t.Logf("refused: %s: %s: %v", d.Name(), g.Description, err)
			}
			for _, c := range g.Tests {
				data, err := InDeclaredOrder(g.Schema, c.Data)
				if err != nil {
					t.Fatal(err)
				}
				text := string(data)
				if knownDifferences[g.Description+": "+c.Description] {
					continue
				}
				if gr != nil && accepts(gr, text) != c.Valid {
					t.Errorf("%s: %s: %s: %s is valid: %v", d.Name(), g.Description, c.Description, text, c.Valid)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d groups compiled", groups-refusals, groups)
}

func TestTidyWhiteSpaceIsBounded(t *testing.T) {
	gr, err := CompileSchema(byteVocabulary(), []byte(`{"type":"object","required":["a"],"properties":{"a":{"type":"array"}}}`), Options{Tidy: true})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		`{"a":[]}`: true, "{\n  \"a\": [\n\n    1,\n    2\n  ]\n}": true, "{\r\n\t\"a\" : [ ]}": true, `{ "a": [1, 2] }`: true,
		`{  "a":[]}`: false, "{\n\n\n\"a\":[]}": false, "{\n" + strings.Repeat(" ", 41) + `"a":[]}`: false,
	} {
		if accepts(gr, text) != want {
			t.Errorf("%q: accepted is %v", text, !want)
		}
	}
}

func TestKeywordsThatStandForOthers(t *testing.T) {
	for _, c := range []struct {
		schema  string
		yes, no []string
	}{
		{`{"oneOf":[{"type":"integer"},{"type":"number","minimum":5}]}`, []string{`1`, `4`, `5.5`, `-3`}, []string{`5`, `7`, `1.5`, `"a"`}},
		{`{"oneOf":[{"required":["a"]},{"required":["b"]}],"type":"object","properties":{"a":{},"b":{}},"additionalProperties":false}`,
			[]string{`{"a":1}`, `{"b":1}`}, []string{`{}`, `{"a":1,"b":1}`}},
		{`{"oneOf":[{"type":"string"},{"type":"string","pattern":"^a"}]}`, []string{`"b"`, `""`}, []string{`"a"`, `"ab"`, `1`}},
		{`{"not":{"enum":["a",1,null,true]}}`, []string{`"b"`, `2`, `false`, `{}`, `1.5`}, []string{`"a"`, `1`, `1.0`, `null`, `true`}},
		{`{"type":["number","string"],"not":{"type":"integer"}}`, []string{`1.5`, `"x"`, `-0.25`}, []string{`1`, `1.0`, `-3`}},
		{`{"type":"string","not":{"pattern":"^a"}}`, []string{`"b"`, `""`}, []string{`"a"`, `"abc"`}},
		{`{"type":"object","not":{"required":["x"]}}`, []string{`{}`, `{"y":1}`}, []string{`{"x":1}`, `{"y":1,"x":2}`}},
		{`{"type":"object","properties":{"k":{"enum":["a","b"]},"v":{}},"required":["k"],"additionalProperties":false,
			"if":{"properties":{"k":{"const":"a"}}},"then":{"required":["v"],"properties":{"v":{"type":"integer"}}},"else":{"properties":{"v":false}}}`,
			[]string{`{"k":"a","v":1}`, `{"k":"b"}`}, []string{`{"k":"a"}`, `{"k":"a","v":"x"}`, `{"k":"b","v":1}`}},
		{`{"type":"object","properties":{"a":{},"b":{},"c":{}},"additionalProperties":false,"dependentRequired":{"a":["b"]},"dependentSchemas":{"c":{"properties":{"b":{"type":"null"}}}}}`,
			[]string{`{}`, `{"b":1}`, `{"a":1,"b":2}`, `{"b":null,"c":1}`, `{"c":1}`}, []string{`{"a":1}`, `{"b":1,"c":1}`}},
		{`{"type":"array","items":{"type":"integer"},"contains":{"minimum":5},"maxContains":2}`, []string{`[5]`, `[1,5,2,6]`}, []string{`[]`, `[1,2]`, `[5,6,7]`}},
		{`{"type":"array","prefixItems":[{"type":"string"}],"contains":{"type":"integer"},"minContains":2,"maxItems":4}`,
			[]string{`["a",1,2]`, `["a",1,null,2]`}, []string{`["a",1]`, `[1,2]`, `["a",1,2,3,4]`}},
		{`{"type":"number","multipleOf":0.25,"minimum":0,"maximum":2}`, []string{`0`, `0.25`, `0.5`, `1.50`, `1.750`, `2`}, []string{`0.3`, `0.251`, `2.25`, `1.1`}},
		{`{"type":"number","multipleOf":2.5}`, []string{`2.5`, `5`, `-7.5`, `10.0`, `0`}, []string{`2`, `1.25`, `3.5`}},
		{`{"anyOf":[{"not":{"anyOf":[{"type":"string"},{"type":"object"}]}},{"const":"x"}]}`, []string{`1`, `[]`, `"x"`}, []string{`"y"`, `{}`}},
		{`{"type":"string","format":"uri-reference"}`, []string{`""`, `"a/b?c#d"`, `"http://x.org"`, `"#x"`}, []string{`"a b"`, `"1:b"`}},
		{`{"type":"array","uniqueItems":true,"items":{"type":["object","array","string"]}}`, []string{`[{"a":1,"b":2},{"a":1},[],["x"],"x"]`, `[ "a" , "b" ]`},
			[]string{`[{"a":1,"b":2},{"b":2.0,"a":1}]`, `[[],[]]`, `["a","\u0061"]`, `["é","\u00e9"]`, `[ "a" , "a" ]`}},
		{`{"type":"array","uniqueItems":true,"items":{"type":"boolean"}}`, []string{`[]`, `[true]`, `[false,true]`}, []string{`[true,true]`, `[true,false,true]`}},
		{`{"type":"object","properties":{"a":{"type":"array","uniqueItems":true,"items":{"type":"array","items":{"type":"integer"}}},"b":{"type":"array"}}}`,
			[]string{`{"a":[[1,1],[1]],"b":[1,1]}`}, []string{`{"a":[[1,1],[1,1]]}`, `{"a":[[1],[1.0]]}`}},
		{`{"type":"string","pattern":"^(?!con|nul$)[a-z]+$"}`, []string{`"abc"`, `"nult"`}, []string{`"con"`, `"cons"`, `"nul"`, `"A"`}},
		{`{"type":"string","pattern":"^(?=.*[0-9])(?=.*[a-z])(?!.*x).{3,5}$"}`, []string{`"a1b"`, `"11a"`}, []string{`"abc"`, `"123"`, `"a1x"`, `"a1"`}},
		{`{"anyOf":[{"type":"array","uniqueItems":true,"items":{"type":"string"}},{"type":"array","items":{"type":"integer"}}]}`,
			[]string{`[1,1]`, `["a","b"]`, `[]`, `[2,1,2]`}, []string{`["a","a"]`, `[1,"a"]`}},
		{`{"type":"array","items":{"anyOf":[{"type":"array","uniqueItems":true},{"type":"array","items":{"type":"array","uniqueItems":true}}]}}`,
			[]string{`[[1,2],[[1],[1]],[[1,1],2]]`, `[[[2,1],[2,1]]]`}, []string{`[[1,1]]`, `[[[1,1],[1,1]]]`, `[[1,2],[2,[1],2]]`}},
		{`{"type":"object","minProperties":3,"properties":{"a":{"type":"null"}}}`, []string{`{"a":null,"b":1,"c":{"x":1,"x":1}}`, `{"x":1,"y":[],"z":"x"}`},
			[]string{`{"a":null,"b":1}`, `{"b":1,"b":2,"c":1}`, `{"b":1,"\u0062":2,"c":1}`, `{"x":"y","y":{}}`}},
		{`{"type":"object","minProperties":2,"patternProperties":{"^[xyz]$":{"type":"integer"}},"additionalProperties":false}`,
			[]string{`{"x":1,"y":2}`, `{"y":1,"z":2}`}, []string{`{"x":1}`, `{"x":1,"x":2}`, `{"x":1,"w":2}`}},
		{`{"type":"object","not":{"anyOf":[{"propertyNames":{"maxLength":1}},{"additionalProperties":{"type":"string"}}]}}`,
			[]string{`{"ab":1}`, `{"ab":"x","c":1}`, `{"c":1,"d":2,"ab":"x"}`}, []string{`{"a":1}`, `{"ab":"x"}`, `{}`, `{"c":1,"d":2}`}},
		{`{"type":"array","items":{"type":"integer"},"contains":{"const":3},"uniqueItems":true}`, []string{`[3]`, `[1,3,2]`}, []string{`[3,3]`, `[1,2]`, `[1,3,1]`}},
		{`{"enum":[{"a":1},{"a":"x"},[1],["x"],3],"properties":{"a":{"type":"integer"}},"items":{"type":"string"}}`, []string{`{"a":1}`, `["x"]`, `3`}, []string{`{"a":"x"}`, `[1]`}},
		{`{"type":["object","array"],"not":{"enum":[{"a":1},[1,2],[]]}}`, []string{`{"a":2}`, `{}`, `{"a":1,"b":1}`, `[1]`, `[1,3]`, `[1,2,3]`}, []string{`{"a":1}`, `[1,2]`, `[]`}},
		{`{"type":"integer","not":{"multipleOf":3}}`, []string{`1`, `-4`, `10`}, []string{`0`, `3`, `-9`, `300`}},
		{`{"type":"array","items":[{"type":"null"}],"not":{"items":[{}],"additionalItems":{"type":"string"}}}`, []string{`[null,1]`, `[null,"x",2]`}, []string{`[]`, `[null]`, `[null,"x"]`}},
		{`{"if":{"not":{"if":{},"then":{"type":"string"},"else":{"type":"string"}}},"then":{"maxProperties":1}}`, []string{`"a"`, `1`, `{}`}, []string{`{"a":1,"b":2}`}},
		{`{"type":"array","items":{"type":"integer"},"not":{"uniqueItems":true}}`, []string{`[1,1]`, `[1,2,3,2]`, `[5,5,5]`, `[1,1.0]`}, []string{`[]`, `[1]`, `[1,2]`}},
		{`{"type":"array","items":{"type":"string"},"maxItems":3,"not":{"uniqueItems":true}}`, []string{`["a","a"]`, `["a","b","a"]`}, []string{`["a","b","c"]`, `["a"]`, `["a","b","c","a"]`}},
		{`{"type":"string","format":"regex","maxLength":6,"minLength":2}`, []string{`"a+"`, `"(a|b)"`, `"[a-z]*"`}, []string{`"a"`, `"(ab"`, `"abcdefg"`, `"*a"`}},
		{`{"type":"string","not":{"format":"regex"}}`, []string{`"*a"`, `")"`}, []string{`"a"`, `"(a)*"`}},
		{`{"format":"regex","enum":["a+","(b","(?<=a)b"]}`, []string{`"a+"`, `"(?<=a)b"`}, []string{`"(b"`}},
		{`{"type":"object","required":["k"],"allOf":[` + strings.TrimSuffix(strings.Repeat(`{"if":{"properties":{"k":{"const":"a"}}},"then":{"properties":{"v":{"type":"null"}}}},
			{"if":{"properties":{"k":{"const":"b"}}},"then":{"required":["v"],"properties":{"v":{"type":"integer"}}},"else":{"properties":{"w":false}}},`, 6), ",") + `]}`,
			[]string{`{"k":"a","v":null}`, `{"k":"b","v":1,"w":2}`, `{"k":"c","v":true}`, `{"k":"a"}`}, []string{`{"k":"a","v":1}`, `{"k":"b"}`, `{"k":"c","w":1}`, `{"v":1}`}},
		{`{"propertyNames":{"$ref":"#"},"maxLength":2}`, []string{`{"a":1,"ab":{}}`, `"x"`}, []string{`{"abc":1}`, `"abc"`}},
		{`{"type":["object","null"],"required":["c"],"properties":{"c":{"type":"array","minItems":1,"items":{"$ref":"#/properties/c"}}}}`, []string{`null`}, []string{`{}`, `{"c":[]}`}},
		{`{"not":{"properties":{"c":{"items":true}},"items":false}}`, []string{`[1]`}, []string{`{}`, `[]`, `{"c":[]}`}},
		{`{"type":"string","minLength":3,"maxLength":0}`, nil, []string{`""`, `"abc"`}},
		{`{"type":"string","format":"json-pointer"}`, []string{`""`, `"/a/b~0"`}, []string{`"a"`, `"/~2"`}},
		{`{"type":"string","format":"date"}`, []string{`"2024-02-29"`, `"0004-02-29"`, `"2000-02-29"`, `"0400-02-29"`, `"0010-10-10"`, `"9999-12-31"`},
			[]string{`"2023-02-29"`, `"1900-02-29"`, `"0100-02-29"`, `"0000-02-29"`, `"0000-01-01"`, `"1000-04-31"`}},
		{`{"type":"string","format":"a-format-of-their-own","minLength":2}`, []string{`"ab"`}, []string{`"a"`}},
	} {
		gr, err := CompileSchema(byteVocabulary(), []byte(c.schema), Options{DotZero: true})
		if err != nil && c.yes == nil {
			continue // nothing fits
		}
		if err != nil {
			t.Errorf("%s: %v", c.schema, err)
			continue
		}
		for _, s := range c.yes {
			if !accepts(gr, s) {
				t.Errorf("%s refuses %s", c.schema, s)
			}
		}
		for _, s := range c.no {
			if accepts(gr, s) {
				t.Errorf("%s accepts %s", c.schema, s)
			}
		}
	}
}
