package grammar

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestKeywordsTakeTheirKindOfValue gives keywords every kind of value: what the standard's
// metaschema does not allow is refused with its place, and what it allows is compiled.
func TestKeywordsTakeTheirKindOfValue(t *testing.T) {
	kinds := map[string]string{"string": `"a"`, "number": `1`, "fraction": `1.5`, "negative": `-1`, "true": `true`, "false": `false`, "null": `null`,
		"object": `{}`, "list": `[]`, "names": `["a","b"]`, "mixed": `["a",1]`, "schemas": `[{"maxLength":1}]`, "members": `{"a":{"maxLength":1}}`}
	kinds["lists"] = `{"a":["b"]}`
	beside := map[string]string{"minContains": `,"contains":{"maxLength":1}`, "maxContains": `,"contains":{"maxLength":1}`, "if": `,"then":{"maxLength":1}`,
		"then": `,"if":{"maxLength":2}`, "else": `,"if":{"maxLength":2}`, "additionalItems": `,"items":[{}]`,
		"exclusiveMinimum": `,"minimum":1`, "exclusiveMaximum": `,"maximum":1`}
	const schema = "object true false members lists"
	for k, takes := range map[string]string{
		"required":              "list names",
		"uniqueItems":           "true false",
		"enum":                  "names mixed schemas list", // an empty one is satisfied by nothing
		"minimum":               "number fraction negative",
		"maximum":               "number fraction negative",
		"exclusiveMinimum":      "number fraction negative true false", // draft 4
		"exclusiveMaximum":      "number fraction negative true false",
		"multipleOf":            "number fraction",
		"minLength":             "number",
		"maxLength":             "number",
		"minItems":              "number",
		"maxItems":              "number",
		"minProperties":         "number",
		"maxProperties":         "number",
		"minContains":           "number",
		"maxContains":           "number",
		"pattern":               "string",
		"format":                "string",
		"properties":            "object members",
		"patternProperties":     "object members",
		"dependentSchemas":      "object members",
		"additionalProperties":  schema,
		"propertyNames":         schema,
		"items":                 schema + " schemas list", // draft 4
		"prefixItems":           "schemas list",
		"contains":              schema,
		"not":                   schema,
		"if":                    schema,
		"then":                  schema,
		"else":                  schema,
		"additionalItems":       schema,
		"unevaluatedItems":      schema,
		"unevaluatedProperties": schema,
		"dependentRequired":     "object lists",
		"dependencies":          "object members lists",
		"anyOf":                 "schemas",
		"allOf":                 "schemas",
		"oneOf":                 "schemas",
	} {
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			allowed := slices.Contains(strings.Fields(takes), kind)
			for at, around := range map[string]string{"": `{%s}`, "/properties/p": `{"properties":{"p":{%s}}}`, "/anyOf/0": `{"anyOf":[{%s},{"type":"null"}]}`} {
				more := beside[k]
				text := fmt.Sprintf(around, fmt.Sprintf("%q:%s%s", k, kinds[kind], more))
				_, err := CompileSchema(byteVocabulary(), []byte(text), Options{})
				var e *Error
				switch located := errors.As(err, &e) && strings.Contains(err.Error(), "#"+at+"/"+k); {
				case !allowed && err == nil:
					t.Errorf("%s is read", text)
				case !allowed && !located:
					t.Errorf("%s: %v, without its place", text, err)
				case allowed && located && strings.Contains(err.Error(), "must be"):
					t.Errorf("%s: %v", text, err)
				}
			}
		}
	}
}

// TestUnknownTypesAreNamedAsTheyStandThere holds the words of the error.
func TestUnknownTypesAreNamedAsTheyStandThere(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"strin"}`:              `there is no type "strin"`,
		`{"type":["string","objekt"]}`:  `there is no type "objekt"`,
		`{"type":""}`:                   `there is no type ""`,
		`{"type":5}`:                    `it must be the name of a type or a list of such names, not 5`,
		`{"type":[["string"]]}`:         `it must be the name of a type or a list of such names, not ["string"]`,
		`{"items":{"type":{"a":1}}}`:    `it must be the name of a type or a list of such names, not {"a":1}`,
		`{"type":"a\"b"}`:               `there is no type "a\"b"`,
		`{"type":null}`:                 `it must be the name of a type or a list of such names, not null`,
		`{"not":{"type":"stringg"}}`:    `there is no type "stringg"`,
		`{"type":["null",null,"null"]}`: `it must be the name of a type or a list of such names, not null`,
	} {
		_, err := CompileSchema(byteVocabulary(), []byte(text), Options{})
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
