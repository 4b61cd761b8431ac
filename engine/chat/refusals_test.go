package chat

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
)

var update = flag.Bool("update", false, "write TEMPLATES.md")

const refusalsHead = `# Which conversations which template renders

Written by ` + "`go test ./engine/chat -run TestRefusalsAreListed -update`" + ` from the conversations of testdata/cases.json; the same test holds it to be true, and
TestTemplatesRenderAsTransformersDoes that every text is, byte for byte, the one that transformers renders, and that what fails there fails here.

*refuses*: the template says so itself (raise_exception). *fails*: it reads what the conversation does not have or adds what cannot be added, in transformers as well. The
server tries such a conversation again in simpler forms (chat.Input.Lenient): an empty text for a missing content, one message for each of several calls. The two of
Hermes are for requests with tools only; that of firefunction wants a template variable ` + "`functions`" + `.

| template | renders | |
|---|---|---|
`

// TestRefusalsAreListed tells which conversations which template does not render.
func TestRefusalsAreListed(t *testing.T) {
	var cases []testCase
	var goldens struct {
		Templates map[string]map[string]rendering
	}
	readTestdata(t, "cases.json", &cases)
	readTestdata(t, "goldens.json", &goldens)
	var b strings.Builder
	b.WriteString(refusalsHead)
	for _, name := range slices.Sorted(maps.Keys(goldens.Templates)) {
		if name == "SmolLM2" {
			continue // its template is in the model's file, which may be absent
		}
		tmpl, err := Compile(templateSource(t, name), goldenOptions())
		if err != nil {
			t.Fatal(err)
		}
		refused, failed, reasons := []string{}, map[string][]string{}, []string{}
		for i := range cases {
			_, err := tmpl.Render(cases[i].input(t))
			switch {
			case err == nil:
			case errors.Is(err, engine.ErrInvalidRequest):
				refused = append(refused, cases[i].Name)
			default:
				why := strings.TrimPrefix(err.Error(), "chat template, ")
				if failed[why] == nil {
					reasons = append(reasons, why)
				}
				failed[why] = append(failed[why], cases[i].Name)
			}
		}
		var notes []string
		if len(refused) > 0 {
			notes = append(notes, "refuses: "+strings.Join(refused, "; "))
		}
		renders := len(cases) - len(refused)
		for _, why := range reasons {
			renders -= len(failed[why])
			which := strings.Join(failed[why], "; ")
			if len(failed[why]) > len(cases)/2 {
				which = fmt.Sprintf("%d of them", len(failed[why]))
			}
			notes = append(notes, fmt.Sprintf("fails (%s): %s", why, which))
		}
		fmt.Fprintf(&b, "| %s | %d of %d | %s |\n", name, renders, len(cases), strings.Join(notes, ". "))
	}
	if *update {
		if err := os.WriteFile("TEMPLATES.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile("TEMPLATES.md")
	if err != nil || string(want) != b.String() {
		t.Errorf("TEMPLATES.md is not true (%v); write it with -update", err)
	}
}
