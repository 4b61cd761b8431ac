package grammar

import (
	"net/url"
	"strings"
)

// A document may refer to the schema of schemas itself, the one thing outside of it that
// is known: each draft's, in the keywords of validation that it defines. Formats in it are
// left out, as they are annotations there.

// metaOf is the text of a draft's schema by its URI without a fragment, "" for others.
func metaOf(uri string) string {
	uri = strings.TrimPrefix(strings.TrimPrefix(uri, "http://"), "https://")
	switch uri {
	case "json-schema.org/draft-04/schema":
		return metaDraft("definitions", "positiveInteger", `"id":{"type":"string"},"additionalItems":{"anyOf":[{"type":"boolean"},{"$ref":"#"}]},
			"additionalProperties":{"anyOf":[{"type":"boolean"},{"$ref":"#"}]},"exclusiveMinimum":{"type":"boolean"},"exclusiveMaximum":{"type":"boolean"},
			"multipleOf":{"type":"number","minimum":0,"not":{"enum":[0]}},"required":{"$ref":"#/definitions/stringArray"},"enum":{"type":"array","minItems":1,"uniqueItems":true},
			"dependencies":{"type":"object","additionalProperties":{"anyOf":[{"$ref":"#"},{"$ref":"#/definitions/stringArray"}]}},"items":{"anyOf":[{"$ref":"#"},{"$ref":"#/definitions/schemaArray"}]},
			"definitions":{"type":"object","additionalProperties":{"$ref":"#"}}`,
			`"dependencies":{"exclusiveMaximum":["maximum"],"exclusiveMinimum":["minimum"]},"type":"object"`, `"minItems":1,`)
	case "json-schema.org/draft-06/schema":
		return metaDraft("definitions", "nonNegativeInteger", metaSix+`,"examples":{"type":"array"}`, `"type":["object","boolean"]`, "")
	case "json-schema.org/draft-07/schema":
		return metaDraft("definitions", "nonNegativeInteger", metaSix+`,"examples":{"type":"array"},"$comment":{"type":"string"},"readOnly":{"type":"boolean"},"writeOnly":{"type":"boolean"},
			"contentMediaType":{"type":"string"},"contentEncoding":{"type":"string"},"if":{"$ref":"#"},"then":{"$ref":"#"},"else":{"$ref":"#"}`, `"type":["object","boolean"]`, "")
	case "json-schema.org/draft/2019-09/schema":
		return metaDraft("$defs", "nonNegativeInteger", metaNew+`,"items":{"anyOf":[{"$ref":"#"},{"$ref":"#/$defs/schemaArray"}]},"additionalItems":{"$ref":"#"},
			"$recursiveRef":{"type":"string"},"$recursiveAnchor":{"type":"boolean"},"$anchor":{"type":"string","pattern":"^[A-Za-z][-A-Za-z0-9.:_]*$"}`, `"type":["object","boolean"]`, "")
	case "json-schema.org/draft/2020-12/schema":
		return metaDraft("$defs", "nonNegativeInteger", metaNew+`,"items":{"$ref":"#"},"prefixItems":{"$ref":"#/$defs/schemaArray"},
			"$dynamicRef":{"type":"string"},"$dynamicAnchor":{"type":"string","pattern":"^[A-Za-z_][-A-Za-z0-9._]*$"},"$anchor":{"type":"string","pattern":"^[A-Za-z_][-A-Za-z0-9._]*$"}`, `"type":["object","boolean"]`, "")
	}
	return ""
}

const (
	metaSix = `"$id":{"type":"string"},"$ref":{"type":"string"},"additionalItems":{"$ref":"#"},"additionalProperties":{"$ref":"#"},
		"exclusiveMinimum":{"type":"number"},"exclusiveMaximum":{"type":"number"},"multipleOf":{"type":"number","minimum":0,"not":{"enum":[0]}},
		"required":{"$ref":"#/definitions/stringArray"},"contains":{"$ref":"#"},"propertyNames":{"$ref":"#"},"const":{},"enum":{"type":"array"},
		"dependencies":{"type":"object","additionalProperties":{"anyOf":[{"$ref":"#"},{"$ref":"#/definitions/stringArray"}]}},"items":{"anyOf":[{"$ref":"#"},{"$ref":"#/definitions/schemaArray"}]},
		"definitions":{"type":"object","additionalProperties":{"$ref":"#"}}`
	metaNew = `"$id":{"type":"string","pattern":"^[^#]*#?$"},"$ref":{"type":"string"},"$comment":{"type":"string"},"$vocabulary":{"type":"object","additionalProperties":{"type":"boolean"}},
		"$defs":{"type":"object","additionalProperties":{"$ref":"#"}},"definitions":{"type":"object","additionalProperties":{"$ref":"#"}},
		"dependencies":{"type":"object","additionalProperties":{"anyOf":[{"$ref":"#"},{"$ref":"#/$defs/stringArray"}]}},
		"additionalProperties":{"$ref":"#"},"unevaluatedItems":{"$ref":"#"},"unevaluatedProperties":{"$ref":"#"},"contains":{"$ref":"#"},"propertyNames":{"$ref":"#"},
		"if":{"$ref":"#"},"then":{"$ref":"#"},"else":{"$ref":"#"},"contentSchema":{"$ref":"#"},"dependentSchemas":{"type":"object","additionalProperties":{"$ref":"#"}},
		"dependentRequired":{"type":"object","additionalProperties":{"$ref":"#/$defs/stringArray"}},"minContains":{"$ref":"#/$defs/nonNegativeInteger"},"maxContains":{"$ref":"#/$defs/nonNegativeInteger"},
		"exclusiveMinimum":{"type":"number"},"exclusiveMaximum":{"type":"number"},"multipleOf":{"type":"number","minimum":0,"not":{"enum":[0]}},
		"required":{"$ref":"#/$defs/stringArray"},"const":{},"enum":{"type":"array"},"examples":{"type":"array"},"deprecated":{"type":"boolean"},"readOnly":{"type":"boolean"},"writeOnly":{"type":"boolean"},
		"contentMediaType":{"type":"string"},"contentEncoding":{"type":"string"}`
)

// metaDraft puts a schema of schemas together: what all drafts have, members of one
// draft's, and what it says besides; names of its definitions: defs, count; the bound of
// lists of names is least.
func metaDraft(defs, count, members, besides, least string) string {
	number := `{"$ref":"#/` + defs + `/` + count + `"}`
	schemas, names := `{"$ref":"#/`+defs+`/schemaArray"}`, `{"type":"object","additionalProperties":{"$ref":"#"}}`
	zero := ""
	if count != "positiveInteger" {
		zero = `,"nonNegativeIntegerDefault0":{"type":"integer","minimum":0}`
	} else {
		zero = `,"positiveIntegerDefault0":{"type":"integer","minimum":0}`
	}
	return `{"` + defs + `":{"` + count + `":{"type":"integer","minimum":0}` + zero + `,"schemaArray":{"type":"array","minItems":1,"items":{"$ref":"#"}},
		"simpleTypes":{"enum":["array","boolean","integer","null","number","object","string"]},"stringArray":{"type":"array","items":{"type":"string"},` + least + `"uniqueItems":true}},` + besides + `,
		"properties":{"$schema":{"type":"string"},"title":{"type":"string"},"description":{"type":"string"},"default":{},"maximum":{"type":"number"},"minimum":{"type":"number"},
		"maxLength":` + number + `,"minLength":` + number + `,"pattern":{"type":"string"},"maxItems":` + number + `,"minItems":` + number + `,"uniqueItems":{"type":"boolean"},
		"maxProperties":` + number + `,"minProperties":` + number + `,"properties":` + names + `,"patternProperties":` + names + `,
		"type":{"anyOf":[{"$ref":"#/` + defs + `/simpleTypes"},{"type":"array","items":{"$ref":"#/` + defs + `/simpleTypes"},"minItems":1,"uniqueItems":true}]},
		"format":{"type":"string"},"allOf":` + schemas + `,"anyOf":` + schemas + `,"oneOf":` + schemas + `,"not":{"$ref":"#"},` + members + `}}`
}

// readMeta makes a draft's schema known to references, if that is what a URI names.
func (c *schemaCompiler) readMeta(u *url.URL) bool {
	bare := *u
	bare.Fragment, bare.RawFragment = "", ""
	key := bare.String()
	src := metaOf(key)
	if src == "" || c.anchors[key] != nil {
		return false
	}
	v, err := parseValue([]byte(src), 100)
	if err != nil {
		panic("the schema " + key + " cannot be read: " + err.Error())
	}
	at := len(c.referring)
	if c.indexSchema(v, "/"+escapePointer(key), &bare) != nil {
		return false
	}
	c.referring = c.referring[:at] // it refers to itself only
	c.anchors[key] = c.siteOf(v)
	return true
}
