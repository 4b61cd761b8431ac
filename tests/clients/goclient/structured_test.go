package goclient_test

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/local"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/httpapi"
	"github.com/openai/openai-go/v3"
)

type order struct {
	ID    int     `json:"id"`
	State string  `json:"state"`
	Note  *string `json:"note"`
	Items []order `json:"items"`
}

var orderSchema = map[string]any{
	"type": "object", "additionalProperties": false, "required": []string{"id", "state", "note", "items"},
	"properties": map[string]any{
		"id": map[string]any{"type": "integer", "minimum": 1, "maximum": 99}, "state": map[string]any{"enum": []string{"open", "shut"}},
		"note": map[string]any{"type": []string{"string", "null"}, "maxLength": 4}, "items": map[string]any{"type": "array", "maxItems": 1, "items": map[string]any{"$ref": "#"}},
	},
}

func (o *order) check(t *testing.T, text string) {
	t.Helper()
	if o.ID < 1 || o.ID > 99 || o.State != "open" && o.State != "shut" || o.Note != nil && len([]rune(*o.Note)) > 4 || o.Items == nil || len(o.Items) > 1 {
		t.Errorf("not valid: %s", text)
	}
	for i := range o.Items {
		o.Items[i].check(t, text)
	}
}

// TestGoClientStructuredOutput asks a random model, so that nothing but the grammar makes
// its answers valid.
func TestGoClientStructuredOutput(t *testing.T) {
	seeds := 10
	if n, err := strconv.Atoi(os.Getenv("GODWIT_SEEDS")); err == nil {
		seeds = n
	}
	eng, err := local.Open(context.Background(), local.Options{ModelPath: modeltest.TinyModel(t, "llama"), MaxTotalTokens: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	c := client(serve(t, eng, httpapi.Options{}), "None")
	ended := 0
	for seed := range seeds {
		ask := openai.CompletionNewParams{Model: "default", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("An order:")},
			MaxTokens: openai.Int(1200), Seed: openai.Int(int64(seed)), Temperature: openai.Float(float64(1 + seed%2))}
		ask.SetExtraFields(map[string]any{"response_format": map[string]any{"type": "json_schema",
			"json_schema": map[string]any{"name": "order", "strict": true, "schema": orderSchema}}})
		answer, err := c.Completions.New(context.Background(), ask)
		if err != nil {
			t.Fatal(err)
		}
		choice := answer.Choices[0]
		var streamed strings.Builder
		stream := c.Completions.NewStreaming(context.Background(), ask)
		for stream.Next() {
			streamed.WriteString(stream.Current().Choices[0].Text)
		}
		if stream.Err() != nil || streamed.String() != choice.Text {
			t.Errorf("seed %d: the stream gave %q, %v; the answer was %q", seed, streamed.String(), stream.Err(), choice.Text)
		}
		if choice.FinishReason == "length" {
			continue
		}
		ended++
		dec := json.NewDecoder(strings.NewReader(choice.Text))
		dec.DisallowUnknownFields()
		var o order
		if err := dec.Decode(&o); err != nil || choice.FinishReason != "stop" {
			t.Errorf("seed %d: %v, %s: %s", seed, err, choice.FinishReason, choice.Text)
			continue
		}
		o.check(t, choice.Text)
	}
	t.Logf("%d of %d answers ended by themselves, all valid", ended, seeds)
	if ended == 0 {
		t.Error("no answer ended by itself")
	}
}
