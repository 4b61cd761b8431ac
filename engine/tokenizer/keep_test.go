package tokenizer

import "testing"

func TestSkippedSpecialTokensCanBeKept(t *testing.T) {
	tok := family(t, "gptoss")
	ids := tok.Encode("<|start|>assistant<|channel|>final<|message|>Hi<|end|>", false)
	channel, ok := tok.ID("<|channel|>")
	if !ok {
		t.Fatal("no <|channel|>")
	}
	d := tok.NewDecoder(true)
	d.Keep(channel)
	text := ""
	for _, id := range ids {
		text += d.Next(id)
	}
	if want := "assistant<|channel|>finalHi"; text+d.Flush() != want {
		t.Errorf("%q, want %q", text, want)
	}
}
