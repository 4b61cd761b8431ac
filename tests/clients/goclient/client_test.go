// Package goclient_test drives httpapi with the official OpenAI client for Go. It stands
// apart from httpapi because that client takes long to compile.
package goclient_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
	"github.com/godwit-ai/godwit/httpapi"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
)

// serve starts a server on loopback and returns its root address.
func serve(t *testing.T, eng engine.Engine, opt httpapi.Options) string {
	t.Helper()
	s, err := httpapi.New(eng, opt)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := httpapi.Listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }() // waited for in the clean-up
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return "http://" + ln.Addr().String()
}

// client is the official Go client for a server on loopback.
func client(url, key string) openai.Client {
	return openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func user(text string) []openai.ChatCompletionMessageParamUnion {
	return []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}
}

// TestGoClientTutorial makes the calls of the SGLang tutorial's cells [2] to [8].
func TestGoClientTutorial(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"qwen/qwen2.5-0.5b-instruct"}, VocabSize: 151936,
		Replies: map[string]string{"Write a short story about a space explorer.": " Once upon a time.\n\nTHE END"}}
	url := serve(t, fake, httpapi.Options{})
	c, ctx := client(url, "None"), context.Background()
	const model = "Qwen/Qwen2.5-0.5B-Instruct"

	t.Run("cell 2: chat", func(t *testing.T) {
		r, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
			Model: model, Messages: user("List 3 countries and their capitals."), Temperature: param.NewOpt(0.0), MaxTokens: param.NewOpt[int64](64),
		})
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(r.ID) || r.Model != model || r.Choices[0].FinishReason != "stop" || r.Choices[0].Message.Content == "" {
			t.Errorf("%+v", r)
		}
		if r.Usage.TotalTokens != r.Usage.PromptTokens+r.Usage.CompletionTokens || r.Usage.PromptTokens == 0 {
			t.Errorf("usage %+v", r.Usage)
		}
		for _, want := range []string{`"matched_stop":256`, `"reasoning_content":null`, `"reasoning_tokens":0`, `"metadata":{"weight_version":"default"}`} {
			if !strings.Contains(r.RawJSON(), want) {
				t.Errorf("%s is not in %s", want, r.RawJSON())
			}
		}
	})

	t.Run("cell 3: chat with logit_bias", func(t *testing.T) {
		r, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
			Model: model, Messages: user("Complete this sentence: The weather today is"), Temperature: param.NewOpt(0.7), MaxTokens: param.NewOpt[int64](20),
			LogitBias: map[string]int64{"12345": 50, "67890": -50, "11111": 25},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Choices[0].Message.Content; got != strings.Repeat("<12345>", 20) {
			t.Errorf("answer %q", got)
		}
	})

	t.Run("cell 4: several turns", func(t *testing.T) {
		ask := func() string {
			r, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
				Model: model, Messages: []openai.ChatCompletionMessageParamUnion{
					openai.SystemMessage("You are a knowledgeable historian who provides concise responses."),
					openai.UserMessage("Tell me about ancient Rome"),
					openai.AssistantMessage("Ancient Rome was a civilization centered in Italy."),
					openai.UserMessage("What were their major achievements?"),
				},
				Temperature: param.NewOpt(0.3), MaxTokens: param.NewOpt[int64](128), TopP: param.NewOpt(0.95),
				PresencePenalty: param.NewOpt(0.2), FrequencyPenalty: param.NewOpt(0.2), N: param.NewOpt[int64](1), Seed: param.NewOpt[int64](42),
			})
			if err != nil {
				t.Fatal(err)
			}
			return r.Choices[0].Message.Content
		}
		if a, b := ask(), ask(); a != b || a == "" {
			t.Errorf("the same seed gave %q and %q", a, b)
		}
	})

	t.Run("cell 5: stream", func(t *testing.T) {
		s := c.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{Model: model, Messages: user("Say this is a test"), Seed: param.NewOpt[int64](1)})
		var acc openai.ChatCompletionAccumulator
		for s.Next() {
			if len(s.Current().Choices) == 0 || !acc.AddChunk(s.Current()) {
				t.Errorf("chunk %s", s.Current().RawJSON())
			}
		}
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		r, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: model, Messages: user("Say this is a test"), Seed: param.NewOpt[int64](1)})
		if err != nil || acc.Choices[0].Message.Content != r.Choices[0].Message.Content {
			t.Errorf("stream %q, whole %q, %v", acc.Choices[0].Message.Content, r.Choices[0].Message.Content, err)
		}
	})

	t.Run("cells 6 to 8: completions", func(t *testing.T) {
		prompt := func(s string) openai.CompletionNewParamsPromptUnion {
			return openai.CompletionNewParamsPromptUnion{OfString: param.NewOpt(s)}
		}
		r, err := c.Completions.New(ctx, openai.CompletionNewParams{
			Model: model, Prompt: prompt("The best programming language for AI is"), Temperature: param.NewOpt(0.7), MaxTokens: param.NewOpt[int64](20),
			LogitBias: map[string]int64{"12345": 75, "67890": -100, "11111": -25},
		})
		if err != nil || r.Choices[0].Text != strings.Repeat("<12345>", 20) || r.Choices[0].FinishReason != "length" {
			t.Errorf("cell 6: %+v %v", r, err)
		}
		r, err = c.Completions.New(ctx, openai.CompletionNewParams{
			Model: model, Prompt: prompt("List 3 countries and their capitals."), Temperature: param.NewOpt(0.0), MaxTokens: param.NewOpt[int64](3), N: param.NewOpt[int64](1),
		})
		if err != nil || r.Choices[0].FinishReason != "length" || r.Usage.CompletionTokens != 3 || !strings.Contains(r.RawJSON(), `"matched_stop":null`) {
			t.Errorf("cell 7: %+v %v", r, err)
		}
		r, err = c.Completions.New(ctx, openai.CompletionNewParams{
			Model: model, Prompt: prompt("Write a short story about a space explorer."), Temperature: param.NewOpt(0.7), MaxTokens: param.NewOpt[int64](150),
			TopP: param.NewOpt(0.9), Stop: openai.CompletionNewParamsStopUnion{OfStringArray: []string{"\n\n", "THE END"}},
			PresencePenalty: param.NewOpt(0.3), FrequencyPenalty: param.NewOpt(0.3), N: param.NewOpt[int64](1), Seed: param.NewOpt[int64](123),
		})
		if err != nil || r.Choices[0].Text != " Once upon a time." || !strings.Contains(r.RawJSON(), `"matched_stop":"\n\n"`) {
			t.Errorf("cell 8: %+v %v", r, err)
		}
	})
}

func TestGoClientErrors(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}, MaxRunning: 1, TokenDelay: 10 * time.Millisecond}
	url := serve(t, fake, httpapi.Options{APIKeys: []string{"key"}})
	c, ctx := client(url, "key"), context.Background()
	ask := func(c openai.Client, p openai.ChatCompletionNewParams) error {
		p.Messages = user("x")
		_, err := c.Chat.Completions.New(ctx, p)
		return err
	}
	check := func(name string, err error, status int, code, param string) {
		t.Helper()
		var e *openai.Error
		if !errors.As(err, &e) || e.StatusCode != status || e.Code != code || e.Param != param || e.Message == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	check("unknown model", ask(c, openai.ChatCompletionNewParams{Model: "gpt-4"}), 404, "model_not_found", "model")
	check("bad value", ask(c, openai.ChatCompletionNewParams{Model: "m", Temperature: param.NewOpt(-1.0)}), 400, "invalid_value", "temperature")
	check("wrong key", ask(client(url, "no"), openai.ChatCompletionNewParams{Model: "m"}), 401, "invalid_api_key", "")
	s := c.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{Model: "m", Messages: user("x")}, option.WithJSONSet("ignore_eos", true))
	if !s.Next() {
		t.Fatal(s.Err())
	}
	check("full queue", ask(c, openai.ChatCompletionNewParams{Model: "m"}), 429, "queue_full", "")
	s.Close()
	for end := time.Now().Add(time.Minute); fake.Stats().Running > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the request of a client that left still runs")
		}
	}
	if st := fake.Stats(); st.PagesFree != st.PagesTotal {
		t.Errorf("pages are not free: %+v", st)
	}
	if err := ask(c, openai.ChatCompletionNewParams{Model: "m"}); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestGoClientModels(t *testing.T) {
	url := serve(t, &enginetest.Fake{Names: []string{"org/fake"}}, httpapi.Options{})
	c := client(url, "None")
	page, err := c.Models.List(context.Background())
	if err != nil || len(page.Data) != 1 || page.Data[0].ID != "org/fake" {
		t.Fatalf("%+v %v", page, err)
	}
	if m, err := c.Models.Get(context.Background(), "ORG/fake"); err != nil || m.ID != "org/fake" {
		t.Errorf("%+v %v", m, err)
	}
}
