package openai

import (
	"strings"
	"testing"
)

func TestAPartThatIsRefusedSaysWhatToWriteInstead(t *testing.T) {
	for kind, hint := range map[string]string{"input_text": `{"type": "text"`, "output_text": `{"type": "text"`, "input_audio": "reads text"} {
		_, err := DecodeChat([]byte(`{"messages":[{"role":"user","content":[{"type":"`+kind+`","text":"hi"}]}]}`), testOptions())
		if e := ErrorFrom(err); err == nil || e.Param != "messages[0].content[0].type" || !strings.Contains(e.Message, hint) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
