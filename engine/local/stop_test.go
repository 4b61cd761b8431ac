package local

import (
	"strings"
	"testing"
)

func TestStopStrings(t *testing.T) {
	for _, c := range []struct {
		name  string
		stops []string
		text  string
		keep  bool
		want  string
		stop  string
	}{
		{"without stop strings everything passes", nil, "abc", false, "abc", ""},
		{"the text ends before the stop string", []string{"\n\n"}, "one\ntwo\n\nthree", false, "one\ntwo", "\n\n"},
		{"or behind it", []string{"\n\n"}, "one\n\nthree", true, "one\n\n", "\n\n"},
		{"the one that is complete first wins", []string{"THE END", "\n"}, "a THE\nEND", false, "a THE", "\n"},
		{"of two that end together the longer wins", []string{"b", "ab"}, "xab", false, "x", "ab"},
		{"a beginning that does not go on is text", []string{"<stop>"}, "a<sto b<st", false, "a<sto b<st", ""},
		{"overlapping beginnings are followed", []string{"aab"}, "aaaab", false, "aa", "aab"},
		{"other scripts work", []string{"世界"}, "你好世世界!", false, "你好世", "世界"},
		{"a stop string at the very beginning leaves nothing", []string{"ab"}, "abc", false, "", "ab"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for size := 1; size <= len(c.text); size++ { // any chunking gives the same
				s := stopper{stops: c.stops}
				var out strings.Builder
				var stop string
				for i := 0; i < len(c.text) && stop == ""; i += size {
					var text string
					text, stop = s.next(c.text[i:min(i+size, len(c.text))], c.keep)
					out.WriteString(text)
					if stop == "" && !strings.HasPrefix(c.want, out.String()) {
						t.Fatalf("chunks of %d: showed %q too early", size, out.String())
					}
				}
				if stop == "" {
					out.WriteString(s.flush())
				}
				if out.String() != c.want || stop != c.stop {
					t.Errorf("chunks of %d: got %q and %q, want %q and %q", size, out.String(), stop, c.want, c.stop)
				}
			}
		})
	}
}

// FuzzStopper compares any chunking of a text with the text in one-byte pieces.
func FuzzStopper(f *testing.F) {
	f.Add("abcabcabd", "abd", "bca", uint8(3))
	f.Add("aaaaab", "aab", "ab", uint8(2))
	f.Fuzz(func(t *testing.T, text, a, b string, size uint8) {
		if a == "" || b == "" || size == 0 {
			return
		}
		play := func(size int) (string, string) {
			s := stopper{stops: []string{a, b}}
			out := ""
			for i := 0; i < len(text); i += size {
				piece, stop := s.next(text[i:min(i+size, len(text))], false)
				if out += piece; stop != "" {
					return out, stop
				}
			}
			return out + s.flush(), ""
		}
		out, stop := play(1)
		if out2, stop2 := play(int(size)); out2 != out || stop2 != stop {
			t.Fatalf("chunks of %d give %q, %q; of 1 %q, %q", size, out2, stop2, out, stop)
		}
		if stop == "" && (out != text || strings.Contains(text, a) || strings.Contains(text, b)) {
			t.Fatalf("no stop in %q: %q", text, out)
		}
	})
}
