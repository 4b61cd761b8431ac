package chat

import "testing"

func TestFromJSONTakesOneValueAndNothingElse(t *testing.T) {
	for _, text := range []string{`{"a":1}}`, `"x"}`, `1]`, `{} {}`, `[] x`, ``, `{`} {
		if v, err := fromJSON([]byte(text)); err == nil {
			t.Errorf("%s was read as %v", text, v)
		}
	}
	for _, text := range []string{" {\"a\": [1, 2.5, null]}\n", `"x" `} {
		if _, err := fromJSON([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
