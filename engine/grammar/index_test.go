package grammar

import (
	"strings"
	"testing"
)

// Every keyword with a value of each wrong type is refused at its own place.
func TestKeywordsOfAWrongTypeAreRefusedAtTheirPlace(t *testing.T) {
	samples := map[string]string{"null": `null`, "boolean": `true`, "number": `5`, "string": `"a"`, "list": `[5]`, "object": `{"a":5}`, "negative": `-1`, "broken": `1.5`, "zero": `0`}
	fine := map[take]string{
		takeSchema: "boolean", takeItems: "boolean list", takeString: "string", takeList: "list", takeCount: "number zero",
		takeNumber: "number negative broken zero", takePositive: "number broken", takeBound: "number negative broken zero", takeBool: "boolean",
	}
	v := byteVocabulary()
	for k, want := range valuesOf {
		for kind, text := range samples {
			if strings.Contains(fine[want], kind) || k == "$schema" && kind == "string" {
				continue
			}
			for pointer, schema := range map[string]string{
				"":              `{"` + k + `":` + text + `}`,
				"/$defs/x~1y":   `{"type":"null","$defs":{"x/y":{"` + k + `":` + text + `}}}`,
				"/items/anyOf/": `{"items":{"anyOf":[{"type":"null"},{"` + k + `":` + text + `}]}}`,
			} {
				if strings.HasSuffix(pointer, "/") {
					pointer += "1"
				}
				_, err := CompileSchema(v, []byte(schema), Options{})
				if kind == "object" && (want == takeSchema || want == takeItems) {
					continue // "a" is an unknown keyword
				}
				e, ok := err.(*Error)
				if !ok || !strings.HasPrefix(e.Pointer, pointer+"/"+k) {
					t.Errorf("%s: %v", schema, err)
				}
			}
		}
	}
}

func TestWhatIsRefusedNamesItsPlace(t *testing.T) {
	for schema, pointer := range map[string]string{
		`{"prefixItems":5}`:                           "/prefixItems",
		`{"prefixItems":[true,5]}`:                    "/prefixItems/1",
		`{"allOf":[]}`:                                "/allOf",
		`{"properties":{"a":3}}`:                      "/properties/a",
		`{"properties":{"properties":{"enum":{}}}}`:   "/properties/properties/enum",
		`{"properties":{"default":{"minLength":-1}}}`: "/properties/default/minLength",
		`{"$defs":{"a":[]}}`:                          "/$defs/a",
		`{"type":["string","strong"]}`:                "/type",
		`{"type":[["string"]]}`:                       "/type",
		`{"pattern":"("}`:                             "/pattern",
		`{"patternProperties":{"(":true}}`:            "/patternProperties",
		`{"multipleOf":0}`:                            "/multipleOf",
		`{"multipleOf":0.00}`:                         "/multipleOf",
		`{"multipleOf":-2}`:                           "/multipleOf",
		`{"dependentRequired":{"a":"b"}}`:             "/dependentRequired",
		`{"dependentRequired":{"a":[1]}}`:             "/dependentRequired",
		`{"dependencies":{"a":4}}`:                    "/dependencies",
		`{"required":["a",1]}`:                        "/required",
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","items":[]}`:                          "/items",
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","items":[true]}`:                      "/items",
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","minimum":1,"exclusiveMinimum":true}`: "/exclusiveMinimum",
		`{"exclusiveMinimum":true}`:                         "/exclusiveMinimum",
		`{"$dynamicRef":"#nowhere"}`:                        "/$dynamicRef",
		`{"items":{"$dynamicRef":"#/$defs/nowhere"}}`:       "/items/$dynamicRef",
		`{"$ref":"#/x-parts/a","x-parts":{"a":{"enum":5}}}`: "/x-parts/a/enum",
		`{"$ref":"#/x-parts/a","x-parts":{"a":7}}`:          "/x-parts/a",
		`{"items":{"not":{"minimum":"a"}}}`:                 "/items/not/minimum",
		`{"contentEncoding":5}`:                             "/contentEncoding",
		`{"if":{"const":1},"then":3}`:                       "/then",
		`{"then":3}`:                                        "/then",
		`{"minContains":"a"}`:                               "/minContains",
		`{"properties":{"a":{"$ref":"#/definitions/b"}}}`:   "/properties/a/$ref",
	} {
		_, err := CompileSchema(byteVocabulary(), []byte(schema), Options{})
		if e, ok := err.(*Error); !ok || e.Pointer != pointer {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

func TestWhatIsNoKeywordIsNotRead(t *testing.T) {
	for _, schema := range []string{
		`{"properties":{"type":{"type":"null"},"enum":{"type":"null"},"required":{"minLength":2},"$ref":{"type":"string"}}}`,
		`{"enum":[{"type":5}],"default":{"enum":3},"examples":[{"$ref":7}],"x-own":{"pattern":"("}}`,
		`{"title":5,"description":null,"deprecated":"since 2"}`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","items":[],"prefixItems":7}`,
		`{"$schema":"http://json-schema.org/draft-04/schema#","minimum":1,"exclusiveMinimum":true,"const":3}`,
		`{"prefixItems":[],"type":"array"}`,
		`{"const":{"$ref":4}}`,
	} {
		if _, err := CompileSchema(byteVocabulary(), []byte(schema), Options{}); err != nil {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

func TestWhatNothingSatisfiesIsNamed(t *testing.T) {
	for schema, pointer := range map[string]string{
		`false`:       "",
		`{"enum":[]}`: "",
		`{"type":"string","minLength":3,"maxLength":1}`:                                                                                      "",
		`{"properties":{"b":false,"a":{"type":"string","pattern":"^a$","minLength":3}},"type":"object","required":["a"]}`:                    "/properties/a",
		`{"type":"array","minItems":1,"items":{"type":"integer","minimum":3,"maximum":1}}`:                                                   "/items",
		`{"type":"array","minItems":2,"prefixItems":[{"type":"null"},{"$ref":"#/$defs/a~1b"}],"$defs":{"a/b":{"enum":["x"],"type":"null"}}}`: "/$defs/a~1b",
		`{"allOf":[{"type":"string"},{"type":"integer"}]}`:                                                                                   "",
		`{"type":"object","required":["a"],"properties":{"a":{"type":"object","required":["b"],"properties":{"b":{"not":{}}}}}}`:             "/properties/a/properties/b",
		`{"type":"object","properties":{"a":false},"minProperties":3,"additionalProperties":false}`:                                          "",
		`{"type":"object","required":["a"],"properties":{"a":{"$ref":"#"}}}`:                                                                 "",
		`{"anyOf":[{"type":"object","required":["a"],"properties":{"a":false}},false]}`:                                                      "",
	} {
		_, err := CompileSchema(byteVocabulary(), []byte(schema), Options{})
		if e, ok := err.(*Error); !ok || e.Pointer != pointer || !strings.HasPrefix(err.Error(), "schema at #"+pointer+": nothing") {
			t.Errorf("%s: %v", schema, err)
		}
	}
}
