package grammar

import (
	"fmt"
	"slices"
	"strings"
)

// limitsOf says where an enforced keyword is refused all the same.
var limitsOf = map[string]string{
	"$dynamicRef":           "where several schemas have its anchor and the document itself has not",
	"$recursiveRef":         "where several schemas have a $recursiveAnchor and the document itself has not",
	"oneOf":                 "where branches overlap and one cannot be negated",
	"not":                   "of unevaluated…; of more than four kinds of undeclared members at once",
	"if":                    "where the condition cannot be negated",
	"patternProperties":     "patterns that part the names into more than 128 kinds",
	"minProperties":         "more than 200 members where undeclared ones are allowed",
	"contains":              "more than four for one array; very long arrays",
	"pattern":               "lookbehind at more than one character, backreferences, assertions repeated without a bound that see more than is repeated, other than ((?!…).)* at the end",
	"format":                "idn-email, idn-hostname; names that the standard does not have are annotations. Strings of the format regex have no backreferences, and beside other keywords no groups deeper than 2; negated, they begin with what can begin none",
	"multipleOf":            "above 10000 (in units of the last decimal place), zeros at the end apart",
	"$ref":                  "to other documents, the schemas of the drafts apart",
	"uniqueItems":           "beside minContains, maxContains or more than one contains; negated, beside contains or prefixItems",
	"unevaluatedProperties": "under an anyOf with more than six branches for members",
	"unevaluatedItems":      "under an anyOf with more than six branches for elements",
	"dependentSchemas":      "",
	"additionalProperties":  "",
}

// annotations are the keywords of the standard that say nothing about values.
var annotations = strings.Fields(`$schema $id $anchor $dynamicAnchor $comment $defs $vocabulary definitions title description default
	examples deprecated readOnly writeOnly contentEncoding contentMediaType contentSchema nullable`)

// KeywordTable is the table of JSON Schema keywords in Markdown: what is enforced, with
// its limits, what is refused with its place, and what is not looked at. Keywords that
// are not in it are annotations, as the standard has it.
func KeywordTable() string {
	var b strings.Builder
	b.WriteString("# JSON Schema keywords\n\nMade by `go test ./engine/grammar -run KeywordTable -update`; do not edit.\n\n| keyword | | refused |\n|---|---|---|\n")
	row := func(k, status, limit string) { fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k, status, limit) }
	for _, k := range sorted(enforced) {
		if k[0] != 0xFF {
			row(k, "enforced", limitsOf[k])
		}
	}
	for _, k := range sorted(annotations) {
		row(k, "annotation", "")
	}
	b.WriteString("\nWhere `$schema` names a draft, keywords that came later are annotations.\n\nFormats that are enforced: ")
	var names []string
	for f := range formats {
		names = append(names, "`"+f+"`")
	}
	b.WriteString(strings.Join(sorted(names), ", ") + ".\n")
	return b.String()
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
