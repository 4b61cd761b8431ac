package goclient_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// seedsAsked is GODWIT_SEEDS, or a few.
func seedsAsked(few int) int {
	if n, err := strconv.Atoi(os.Getenv("GODWIT_SEEDS")); err == nil {
		return n
	}
	return few
}

// eachSeed runs work for every seed, some at once, and returns how many were true.
func eachSeed(seeds int, work func(seed int) bool) int {
	var next, ended atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for seed := int(next.Add(1)) - 1; seed < seeds; seed = int(next.Add(1)) - 1 {
				if work(seed) {
					ended.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return int(ended.Load())
}

// TestGoClientStructuredOutput asks a random model, so that nothing but the grammar makes
// its answers valid.
func TestGoClientStructuredOutput(t *testing.T) {
	seeds := seedsAsked(10)
	eng, err := local.Open(context.Background(), local.Options{ModelPath: modeltest.TinyModel(t, "llama"), MaxTotalTokens: 16 * 2048})
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	c := client(serve(t, eng, httpapi.Options{}), "None")
	ended := eachSeed(seeds, func(seed int) bool {
		ask := openai.CompletionNewParams{Model: "default", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("An order:")},
			MaxTokens: openai.Int(1200), Seed: openai.Int(int64(seed)), Temperature: openai.Float(float64(1 + seed%2))}
		ask.SetExtraFields(map[string]any{"response_format": map[string]any{"type": "json_schema",
			"json_schema": map[string]any{"name": "order", "strict": true, "schema": orderSchema}}})
		answer, err := c.Completions.New(context.Background(), ask)
		if err != nil {
			t.Error(err)
			return false
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
			return false
		}
		var o order
		if err := strictly(choice.Text, &o); err != nil || choice.FinishReason != "stop" {
			t.Errorf("seed %d: %v, %s: %s", seed, err, choice.FinishReason, choice.Text)
			return false
		}
		o.check(t, choice.Text)
		return true
	})
	t.Logf("%d of %d answers ended by themselves, all valid", ended, seeds)
	if ended == 0 {
		t.Error("no answer ended by itself")
	}
}

// strictly reads JSON into what has a field for every member.
func strictly(text string, into any) error {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// ticket has an enum, members that may be left out, a union told apart by a field, a map
// and itself. Its schema is of the form that reflection packages for Go make.
type ticket struct {
	Kind   string            `json:"kind"`
	What   json.RawMessage   `json:"what"`
	Labels map[string]string `json:"labels"`
	Due    *string           `json:"due,omitempty"`
	Parent *ticket           `json:"parent,omitempty"`
	Weight float64           `json:"weight"`
}

var ticketSchema = json.RawMessage(`{"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/Ticket","$defs":{
	"Ticket":{"type":"object","additionalProperties":false,"required":["kind","what","labels","weight"],"properties":{
		"kind":{"type":"string","enum":["bug","wish"]},
		"what":{"anyOf":[{"$ref":"#/$defs/Bug"},{"$ref":"#/$defs/Wish"}]},
		"labels":{"type":"object","additionalProperties":{"type":"string","maxLength":6},"maxProperties":2},
		"due":{"type":"string","format":"date"},"parent":{"$ref":"#/$defs/Ticket"},
		"weight":{"type":"number","exclusiveMinimum":0,"maximum":2,"multipleOf":0.5}}},
	"Bug":{"type":"object","additionalProperties":false,"required":["is","line"],"properties":{"is":{"const":"bug"},"line":{"type":"integer","minimum":1,"maximum":500}}},
	"Wish":{"type":"object","additionalProperties":false,"required":["is","of"],"properties":{"is":{"const":"wish"},"of":{"type":"array","items":{"type":"string","maxLength":5},"minItems":1,"maxItems":2}}}}}`)

func (k *ticket) check(text string) error {
	var bug struct {
		Is   string `json:"is"`
		Line int    `json:"line"`
	}
	var wish struct {
		Is string   `json:"is"`
		Of []string `json:"of"`
	}
	isBug := strictly(string(k.What), &bug) == nil && bug.Is == "bug" && bug.Line >= 1 && bug.Line <= 500
	isWish := strictly(string(k.What), &wish) == nil && wish.Is == "wish" && len(wish.Of) >= 1 && len(wish.Of) <= 2
	if k.Kind != "bug" && k.Kind != "wish" || isBug == isWish || k.Labels == nil || len(k.Labels) > 2 || !slices.Contains([]float64{0.5, 1, 1.5, 2}, k.Weight) {
		return fmt.Errorf("not valid: %s", text)
	}
	for _, v := range k.Labels {
		if len([]rune(v)) > 6 {
			return fmt.Errorf("a long label: %s", text)
		}
	}
	if k.Due != nil {
		if _, err := time.Parse(time.DateOnly, *k.Due); err != nil {
			return err
		}
	}
	if k.Parent != nil {
		return k.Parent.check(text)
	}
	return nil
}

// TestGoClientStructuredChat asks the model that godwit brings along, streamed and not.
func TestGoClientStructuredChat(t *testing.T) {
	seeds := seedsAsked(16)
	eng, err := local.Open(context.Background(), local.Options{ModelPath: "builtin:tiny", MaxTotalTokens: 16 * 1024})
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	c := client(serve(t, eng, httpapi.Options{}), "None")
	ended := eachSeed(seeds, func(seed int) bool {
		ask := openai.ChatCompletionNewParams{Model: "default", Messages: user("Make up a ticket, as JSON."), MaxTokens: openai.Int(400), Seed: openai.Int(int64(seed)),
			Temperature: openai.Float(float64(1 + seed%2)), ResponseFormat: openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &openai.ResponseFormatJSONSchemaParam{
				JSONSchema: openai.ResponseFormatJSONSchemaJSONSchemaParam{Name: "ticket", Strict: openai.Bool(true), Schema: ticketSchema}}}}
		var acc openai.ChatCompletionAccumulator
		if seed%4 > 1 {
			stream := c.Chat.Completions.NewStreaming(context.Background(), ask)
			for stream.Next() {
				acc.AddChunk(stream.Current())
			}
			if stream.Err() != nil {
				t.Error(stream.Err())
				return false
			}
		} else if r, failed := c.Chat.Completions.New(context.Background(), ask); failed == nil {
			acc.ChatCompletion = *r
		} else {
			t.Error(failed)
			return false
		}
		choice := acc.Choices[0]
		if choice.FinishReason == "length" {
			return false
		}
		var k ticket
		if err := strictly(choice.Message.Content, &k); err != nil || choice.FinishReason != "stop" {
			t.Errorf("seed %d: %v, %s: %s", seed, err, choice.FinishReason, choice.Message.Content)
		} else if err := k.check(choice.Message.Content); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		return true
	})
	t.Logf("%d of %d answers ended by themselves, all valid", ended, seeds)
	if ended == 0 {
		t.Error("no answer ended by itself")
	}
}
