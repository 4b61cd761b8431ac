package nb

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

type part struct {
	Label string  `json:"label" maxLength:"4" description:"a short label"`
	Parts []*part `json:"parts" maxItems:"1"`
}

type base struct {
	ID uint8 `json:"id" minimum:"1"`
}

type thing struct {
	base
	Colour  string            `json:"colour" enum:"red,green"`
	Sizes   []int             `json:"sizes" enum:"1,2" minItems:"1" maxItems:"2"`
	Weights map[string]int8   `json:"weights,omitempty" maxProperties:"2"`
	Note    *string           `json:"note" maxLength:"3"`
	Pair    [2]bool           `json:"pair"`
	Made    time.Time         `json:"made"`
	Code    string            `json:"code" pattern:"^[A-Z]{2}$"`
	Blob    []byte            `json:"blob" maxLength:"8"`
	Part    part              `json:"part"`
	Links   map[string]string `json:"-"`
	hidden  int
}

func TestGenerateIntoFillsAStruct(t *testing.T) {
	n := newNotebook(t)
	n.launchTiny(t)
	filled := 0
	for seed := range int64(6) {
		var got thing
		var a *Answer
		if err := failure(func() {
			a = n.GenerateInto(&got, "A thing:", GenerateOptions{Temperature: 1, Seed: seed + 1, MaxTokens: 1500, System: "JSON."})
		}); err != nil {
			if !strings.Contains(err.Error(), "cut off after 1500 tokens") { // a random model may go on and on
				t.Error(err)
			}
			continue
		}
		filled++
		if got.ID < 1 || got.Colour != "red" && got.Colour != "green" || len(got.Sizes) < 1 || len(got.Sizes) > 2 || slices.Max(got.Sizes) > 2 ||
			got.Note != nil && len([]rune(*got.Note)) > 3 || got.Made.IsZero() && got.Made.Year() != 0 && got.Made.Year() != 1 || len(got.Code) != 2 ||
			len(got.Part.Parts) > 1 || len([]rune(got.Part.Label)) > 4 || got.hidden != 0 {
			t.Errorf("seed %d: %s gave %+v", seed, a.Text, got)
		}
	}
	if filled == 0 {
		t.Error("no answer came to its end")
	}
}

func TestChooseAndRegexKeepToTheirTexts(t *testing.T) {
	n := newNotebook(t)
	n.launchTiny(t)
	choices := []string{"yes", "no", "perhaps not"}
	o := GenerateOptions{Temperature: 2, Seed: 3}
	if got := n.Choose("Is it?", choices, o); !slices.Contains(choices, got) {
		t.Errorf("chose %q", got)
	}
	if got := n.Regex("A date:", `\d{4}-\d\d`, o); !regexp.MustCompile(`^\d{4}-\d\d$`).MatchString(got) {
		t.Errorf("wrote %q", got)
	}
	if err := failure(func() { n.Regex("x", `a{100}`, GenerateOptions{MaxTokens: 3}) }); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("an answer that was cut off: %v", err)
	}
	if err := failure(func() { n.Regex("x", `a{1000}`, GenerateOptions{MaxTokens: 400}) }); err == nil || len(err.Error()) > 400 {
		t.Errorf("a long answer that was cut off: %v", err)
	}
	if err := failure(func() { n.Regex("x", `abcd`, Stop("bc")) }); err == nil || !strings.Contains(err.Error(), `stop string "bc"`) {
		t.Errorf("an answer that a stop string ended: %v", err)
	}
	var long struct {
		S string `pattern:"^a{5000}$"`
	}
	if err := failure(func() { n.GenerateInto(&long, "x") }); err == nil || !strings.Contains(err.Error(), "context of") {
		t.Errorf("an answer that fills the context: %v", err)
	}
	if err := failure(func() { n.Regex("x", `(`) }); err == nil || !strings.Contains(err.Error(), "missing closing )") {
		t.Errorf("a bad pattern: %v", err)
	}
}

func TestSchemaOfSaysWhatJSONReads(t *testing.T) {
	n := newNotebook(t)
	s, err := n.SchemaOf(&part{})
	const want = `{"$ref":"#/$defs/part","$defs":{"part":{"type":"object","properties":{"label":{"maxLength":4,"description":"a short label","allOf":[{"type":"string"}]},` +
		`"parts":{"maxItems":1,"allOf":[{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/part"},{"type":"null"}]}}]}},"required":["label","parts"],"additionalProperties":false}}}`
	if err != nil || s != want {
		t.Errorf("%v, %s", err, s)
	}
	for _, v := range []any{nil, struct{ F func() }{}, struct {
		N int `minimum:"much"`
	}{}, map[bool]int{}, struct{ E error }{}, struct {
		S string `json:",string"`
	}{}, struct{ B big.Int }{}, struct {
		N int `maxLength:"3"`
	}{}, struct {
		B bool `enum:"true"`
	}{}, struct {
		M map[string]int `minimum:"3"`
	}{}, struct {
		G [][]int `minimum:"3"`
	}{}, struct{ A animal }{}} {
		if s, err := n.SchemaOf(v); err == nil {
			t.Errorf("%T: %s", v, s)
		}
	}
}

// animal shows no methods, as interfaces of cells do.
type animal any

// level is a number that is written as a word.
type level int

func (l level) MarshalText() ([]byte, error) { return []byte([]string{"low", "high"}[l]), nil }

func (l *level) UnmarshalText(b []byte) (err error) {
	if *l = level(slices.Index([]string{"low", "high"}, string(b))); *l < 0 {
		err = fmt.Errorf("no level %q", b)
	}
	return err
}

type machine struct {
	Level  level         `json:"level" enum:"low,high"`
	Other  *level        `json:"other" enum:"low"`
	Levels []level       `json:"levels" enum:"high" maxItems:"2"`
	By     map[level]int `json:"by" maxProperties:"0"`
	At     netip.Addr    `json:"at"`
	From   net.IP        `json:"from"`
	Loads  []*float64    `json:"loads" minimum:"0" maximum:"1" maxItems:"2"`
	Names  *[]string     `json:"names" maxLength:"2" maxItems:"1"`
	Count  int           `json:"count,string" enum:"3,4"`
	Log    []byte        `json:"log" maxLength:"4"`
	Note   string        `json:"note,omitempty" maxLength:"2"`
	kept   int
}

func TestTagsBoundValuesAsTheyAreWritten(t *testing.T) {
	n := newNotebook(t)
	n.WaitForServer(n.LaunchServer(ServerOptions{Model: "builtin:tiny", Threads: 1}), 60)
	got, filled := machine{kept: 7}, 0
	for seed := range int64(6) {
		got.Note, got.Levels = "what an earlier answer said", []level{0, 0, 0}
		var a *Answer
		if err := failure(func() {
			a = n.GenerateInto(&got, "Make up a machine.", GenerateOptions{Temperature: 1, Seed: seed + 1, MaxTokens: 900, System: "JSON."})
		}); err != nil {
			if !strings.Contains(err.Error(), "cut off after 900 tokens") { // a small model may go on and on
				t.Error(err)
			}
			continue
		}
		filled++
		if got.Other != nil && *got.Other != 0 || slices.Contains(got.Levels, 0) || len(got.Levels) > 2 || len(got.By) > 0 || !got.At.IsValid() || len(got.From) == 0 ||
			slices.ContainsFunc(got.Loads, func(f *float64) bool { return f != nil && (*f < 0 || *f > 1) }) || got.Count < 3 || got.Count > 4 || len(got.Note) > 2*4 || got.kept != 7 {
			t.Errorf("%s gave %+v", a.Text, got)
		}
		if got.Names != nil && (len(*got.Names) > 1 || slices.ContainsFunc(*got.Names, func(s string) bool { return len([]rune(s)) > 2 })) {
			t.Errorf("%s gave names %q", a.Text, *got.Names)
		}
	}
	if filled == 0 {
		t.Error("no answer came to its end")
	}
	brief, err := (&schemaMaker{brief: true}).text(got)
	if err != nil || !strings.Contains(brief, `"loads":{"type":"array","items":{"anyOf":[{"type":"number"},{"type":"null"}],"minimum":0,"maximum":1},"maxItems":2}`) ||
		!strings.Contains(brief, `"names":{"anyOf":[{"type":"array","items":{"type":"string"}},{"type":"null"}],"maxItems":1,"items":{"maxLength":2}}`) {
		t.Errorf("what the model reads: %v, %s", err, brief)
	}
}

func TestASchemaIsTextAMapOrAType(t *testing.T) {
	const want = `{"properties":{"a":{"type":"null"}},"type":"object"}`
	for _, v := range []any{want, []byte(want), json.RawMessage(want), map[string]any{"type": "object", "properties": map[string]any{"a": map[string]string{"type": "null"}}},
		Params{"type": "object", "properties": Params{"a": Params{"type": "null"}}}} {
		if s, err := schemaText(v); err != nil || s != want {
			t.Errorf("%T: %v, %s", v, err, s)
		}
	}
	if s, err := schemaText(map[string]int{"type": 1}); err != nil || !strings.Contains(s, `"additionalProperties":{"type":"integer"`) {
		t.Errorf("a map that is no schema: %v, %s", err, s)
	}
	if _, err := schemaText(map[string]any{"type": func() {}}); err == nil {
		t.Error("a function in a schema")
	}
}

// Ring is embedded in itself.
type Ring struct {
	*Ring
	N int8 `json:"n,string"`
}

type inner struct{ A, B string }

type other struct {
	B, D string
	E    json.RawMessage `json:",omitzero"`
}

type outer struct {
	inner
	*other // json cannot make one
	Other
	A int `enum:"1"`
	C json.Number
}

// Other is embedded by a pointer elsewhere.
type Other struct{ B int }

// TestTheFieldsAreThoseOfEncodingJSON draws a value of each schema and reads it back.
func TestTheFieldsAreThoseOfEncodingJSON(t *testing.T) {
	n := newNotebook(t)
	for _, c := range []struct {
		v    any
		want string // properties and what is required
	}{
		{&Ring{}, `{"n":{"type":"string","pattern":"^(0|-?[1-9][0-9]{0,1})$"}},"required":["n"]`},
		{&outer{}, `{"A":{"enum":[1],"allOf":[{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807}]},"C":{"type":"number"}},"required":["A","C"]`},
		{&other{}, `{"B":{"type":"string"},"D":{"type":"string"},"E":{}},"required":["B","D"]`},
	} {
		s, err := n.SchemaOf(c.v)
		if err != nil || !strings.Contains(s, `"properties":`+c.want) {
			t.Errorf("%T: %v, %s", c.v, err, s)
		}
	}
	if err := json.Unmarshal([]byte(`{"n":"-12"}`), &Ring{}); err != nil {
		t.Error(err)
	}
	var o outer
	if err := json.Unmarshal([]byte(`{"A":1,"C":1.5,"B":"none"}`), &o); err != nil || o.inner.B != "" || o.Other.B != 0 {
		t.Errorf("%v, %+v", err, o)
	}
}

func TestCommentsDescribeWhatNoTagDoes(t *testing.T) {
	n := newNotebook(t)
	n.opt.Comments = func(t reflect.Type) (string, map[string]string) {
		return "about " + t.Name(), map[string]string{"Label": "not this one", "Parts": "what is in it"}
	}
	s, err := n.SchemaOf(part{})
	for _, want := range []string{`"description":"about part"`, `"description":"a short label"`, `"description":"what is in it"`} {
		if err != nil || !strings.Contains(s, want) {
			t.Errorf("no %s: %v, %s", want, err, s)
		}
	}
}
