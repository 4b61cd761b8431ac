package grammar

import "testing"

func TestTheFormatRegexTakesRegularExpressionsOnly(t *testing.T) {
	gr, err := CompileSchema(byteVocabulary(), []byte(`{"type":"string","format":"regex"}`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		``: true, `abc`: true, `^[a-z0-9_]+$`: true, `(?:a|b)*?c{2,}`: true, `\d+\.\d{3}`: true, `(?!x)[^\]a-f]`: true, `a/b`: true, `é|日本`: true,
		`(`: false, `a)`: false, `*a`: false, `a**`: false, `[z-a]`: false, `[`: false, `[^]`: false, `a{`: false, `\`: false, `(?<n>a)`: false,
	} {
		if got := accepts(gr, quoteJSON(text)); got != want {
			t.Errorf("%s: got %t, want %t", text, got, want)
		}
	}
}
