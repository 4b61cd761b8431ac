package local

import (
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
)

func TestAutoTruncateCutsInsteadOfRefusing(t *testing.T) {
	e := open(t, func(o *Options) { o.AutoTruncate, o.ContextLength = true, 40 })
	for _, c := range []struct {
		name        string
		prompt      string
		most, least int
		total       int
	}{
		{"a prompt that is too long", strings.Repeat("the bird ", 100), 5, 0, 40},
		{"an answer that is too long", "the bird", 1000, 50, 40},
	} {
		req := prompt(c.prompt, c.most)
		req.Sampling.MinTokens = c.least
		rs, usage := collect(t, e, req)
		if usage.Prompt+usage.Completion != c.total || rs[0].Finish.Reason != engine.FinishLength {
			t.Errorf("%s: %+v, %+v", c.name, usage, rs[0].Finish)
		}
		if req.Sampling.MaxTokens != c.most {
			t.Errorf("%s: the request was changed", c.name)
		}
	}
}
