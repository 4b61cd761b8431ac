package grammar

import "testing"

func TestFormatsOfTheStandard(t *testing.T) {
	for format, texts := range map[string]map[string]bool{
		"ipv6": {"::": true, "::1": true, "1::": true, "1:2:3:4:5:6:7:8": true, "1:2:3:4:5:6:7::": true, "::2:3:4:5:6:7:8": true, "1::2::3": false, "::ffff:192.168.0.1": true,
			"1:2:3:4:5:6:1.2.3.4": true, "1::1.2.3.4": true, "64:ff9b::192.0.2.33": true, "::1.2.3": false, "1.2.3.4::": false, "::256.1.1.1": false, "fe80::1%eth0": false,
			"1:2:3:4:5:6:7:8:9": false, "12345::": false, "1:1": false, "": false},
		"uri": {"http://a.b/c?d=e#f": true, "urn:isbn:123": true, "http://[::1]:80/": true, "http://[v1.x]/": true, "http:": true, "file:///etc": true, "http://a:b:c/": false,
			"http://a@b@c/": false, "http://u:p@h:8/x//y": true, "http://a b": false, "//a.b": false, "a/b": false, "http://a/%zz": false, "http://[::1": false, "http://a/[b]": false,
			"http://a.b/#a#b": false, "x:/": true, "x://": true, "mailto:a@b.c": true, "1x:a": false, "http://é/": false},
		"uri-reference": {"": true, "a/b": true, "#f": true, "?q": true, "//a.b/c": true, "/a//b": true, "a:b": true, "1:b": false, "a/b:c": true, "//[::1]/x": true, "\\x": false, "/a b": false, "#a#": false},
		"iri":           {"http://ƒøø.ßår/?∂éœ=πîx#πîüx": true, "http://a/\ufffe": false, "http://a/\ue000": false, "http://a/?\ue000": true, "é": false},
		"iri-reference": {"é/ü": true, "//é": true, "é:": false, "": true, "é b": false},
		"regex":         {"a{2,3}": true, "a{3,2}": false, "a{10,12}": true, "a{12,11}": false, "a{9,100}": true, "a{100,99}": false, "[\\u00e9]": true, "\\x41": true, "\\xg1": false, "a{2}": true, "a{2,}": true},
		"hostname":      {"a-b.c": true, "-a": false, "a_b": false, "a.": false},
	} {
		gr, err := CompileSchema(byteVocabulary(), []byte(`{"type":"string","format":"`+format+`"}`), Options{Compact: true})
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range texts {
			if accepts(gr, quoteJSON(text)) != want {
				t.Errorf("%s: %q: got %t", format, text, !want)
			}
		}
	}
}
