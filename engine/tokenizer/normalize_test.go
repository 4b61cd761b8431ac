package tokenizer

import "testing"

func TestNFCAsTheReferenceHasIt(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"marks are ordered and composed", "q\u0307\u0323 e\u0301", "q\u0323\u0307 \u00e9"},
		{"a mark of Unicode 10 stays where it is", "\u0d15\u0345\u0d3c", "\u0d15\u0345\u0d3c"},
		{"a mark of Unicode 12 too", "\u0e9a\u0e38\u0eba", "\u0e9a\u0e38\u0eba"},
		{"nothing composes across one", "a\u09fe\u0301e\u0301", "a\u09fe\u0301\u00e9"},
		{"a later composite stays in parts", "\U00011935\U00011930e\u0301", "\U00011935\U00011930\u00e9"},
		{"many in a row", "e\u0301\u08ca\u08ca\u08ca\u0323\u0301", "\u00e9\u08ca\u08ca\u08ca\u0323\u0301"},
	} {
		if got := nfc(c.in); got != c.want {
			t.Errorf("%s: %+q gives %+q, want %+q", c.name, c.in, got, c.want)
		}
	}
}
