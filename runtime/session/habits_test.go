package session

import (
	"strings"
	"testing"
)

func TestAReturnOfACell(t *testing.T) {
	for _, c := range []struct{ name, code, out, fails string }{
		{"of nothing", "fmt.Print(1)\nreturn\nfmt.Print(2)", "1", ""},
		{"of a value", "if true { return fmt.Sprint(3) }\nfmt.Print(2)", "", ""},
		{"of a call without a result", "if true { return println() }\nfmt.Print(2)", "", ""},
		{"of a function that logs", "log.SetFlags(0)\nreturn log.Println(\"x\")", "", ""},
		{"of an argument without a value", "return fmt.Sprint(log.Println())", "", "1:19: log.Println() (no value) used as value"},
		{"in a function", "func f() { return log.Println() }", "", "(no value) used as value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := &recorder{}
			_, err := newSession(t).Exec(t.Context(), Cell{Code: c.code, Number: 1}, rec)
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			if rec.stdout() != c.out {
				t.Errorf("printed %q, want %q", rec.stdout(), c.out)
			}
		})
	}
}
