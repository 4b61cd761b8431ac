package grammar

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
)

// slowly reads a value by encoding/json alone.
func slowly(src []byte, depth int) (*value, bool) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	v, err := readValue(d, depth)
	if err != nil {
		return nil, false
	}
	_, err = d.Token()
	return v, err == io.EOF
}

var jsonTexts = []string{`{"a":[1,-0.5e+3,"x\n\u00e9\ud83d\ude00\/"],"b":{},"c":[],"a":null}`, ` [true , false,null ] `, `"\ud800"`, `"a`, `[1,]`, `{"a":1,}`,
	`01`, `-`, `1.`, `1e`, "\"\x00\"", "\"\xff\"", `"\x"`, `"\u12"`, `{"a" 1}`, `{1:2}`, `[[[[1]]]]`, `1 2`, ``, `nul`, `{"":0}`}

func TestJSONIsReadAsEncodingJSONReadsIt(t *testing.T) {
	for _, s := range jsonTexts {
		sameReading(t, []byte(s))
	}
}

func sameReading(t *testing.T, src []byte) {
	for _, depth := range []int{2, 100} {
		want, ok := slowly(src, depth)
		got, err := parseValue(src, depth)
		if (err == nil) != ok {
			t.Fatalf("%q: %v, encoding/json takes it: %v", src, err, ok)
		}
		if ok && (!got.equal(want) || string(got.compact(nil)) != string(want.compact(nil))) {
			t.Fatalf("%q: %s, want %s", src, got.compact(nil), want.compact(nil))
		}
	}
}

func FuzzParseValue(f *testing.F) {
	for _, s := range jsonTexts {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) { sameReading(t, src) })
}
