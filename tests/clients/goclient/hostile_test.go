package goclient_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hostileSchemas are refused, or compiled within the limits.
func hostileSchemas() []any {
	deep := strings.Repeat(`{"items":`, 10_000) + "{}" + strings.Repeat("}", 10_000)
	many := make([]string, 100_000)
	for i := range many {
		many[i] = fmt.Sprintf("alternative %d of them", i)
	}
	return []any{
		deep, fields{"enum": many},
		fields{"type": "string", "pattern": "^(a{1,1000}){1,1000}$"}, fields{"type": "string", "pattern": "(x+x+)+y{0,1000000}"},
		fields{"type": "array", "minItems": 1_000_000, "uniqueItems": true}, fields{"$ref": "#"}, fields{"allOf": []any{fields{"$ref": "#"}}},
		fields{"type": "object", "patternProperties": fields{"^(a|b)*a(a|b){60}$": fields{}, "b.*(c|d){40}$": false}},
		fields{"not": fields{"type": "string", "pattern": "(a|b)*a(a|b){40}"}},
	}
}

// TestConstrainedStreamsBesideHostileSchemas runs 32 constrained streams of as many
// schemas and 8 free ones, while hostile schemas arrive and clients go away in the middle
// of a compilation and of a stream. Everything else comes to its end as it would alone,
// and nothing is left behind.
func TestConstrainedStreamsBesideHostileSchemas(t *testing.T) {
	s := serveTiny(t, "")
	free := func(i int) fields {
		return chat(fields{"response_format": nil, "temperature": 1, "seed": i, "max_tokens": 120, "ignore_eos": true})
	}
	ruled := func(i int) fields {
		schema := fields{"type": "object", "additionalProperties": false, "required": []string{"city", "n"}, "properties": fields{
			"city": fields{"type": "string", "maxLength": 20, "minLength": i % 5}, "n": fields{"type": "integer", "minimum": 0, "maximum": 60 + i}}}
		return chat(fields{"temperature": 2, "seed": i, "response_format": fields{"type": "json_schema", "json_schema": fields{"name": "x", "schema": schema}}})
	}
	var alone [8]string
	for i := range alone {
		alone[i], _ = s.streamed(free(i))
	}
	s.streamed(ruled(99)) // the vocabulary is arranged once
	http.DefaultClient.CloseIdleConnections()
	before := runtime.NumGoroutine()

	var wg sync.WaitGroup
	var ended atomic.Int64
	for i := range 32 {
		wg.Go(func() {
			text, finish := s.streamed(ruled(i))
			if finish == "stop" {
				ended.Add(1)
				if !isPlace(text) {
					t.Errorf("stream %d: %s", i, text)
				}
			} else if finish != "length" {
				t.Errorf("stream %d: %s: %s", i, finish, text)
			}
		})
	}
	for i := range alone {
		wg.Go(func() {
			if text, finish := s.streamed(free(i)); text != alone[i] || finish != "length" {
				t.Errorf("free stream %d: %s: %q, alone %q", i, finish, text, alone[i])
			}
		})
	}
	hostile := hostileSchemas()
	for i, schema := range hostile {
		body := chat(fields{"max_tokens": 8, "response_format": fields{"type": "json_schema", "json_schema": fields{"name": "x", "schema": schema}}})
		wg.Go(func() {
			if status, answer := s.post("/v1/chat/completions", body); status != 400 && status != 200 {
				t.Errorf("hostile schema %d: %d %.300v", i, status, answer)
			}
		})
		wg.Go(func() { // this client goes away while it compiles
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*5*time.Millisecond)
			defer cancel()
			if res, err := s.send(ctx, "/v1/chat/completions", body); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
		wg.Go(func() { // and this one in the middle of its stream
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			gone := ruled(i)
			gone["stream"] = true
			res, err := s.send(ctx, "/v1/chat/completions", gone)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = bufio.NewReader(res.Body).ReadString('\n')
			cancel()
			_ = res.Body.Close()
		})
	}
	wg.Wait()
	if ended.Load() == 0 {
		t.Error("no constrained stream ended by itself")
	}
	left := 0
	for range 600 {
		http.DefaultClient.CloseIdleConnections()
		st := s.eng.Stats()
		if left = runtime.NumGoroutine() - before; left <= 0 && st.Running == 0 && st.Waiting == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("%d goroutines more than before, %+v\n%s", left, s.eng.Stats(), stacks[:runtime.Stack(stacks, true)])
}

// streamed is the text of a stream and how it ended.
func (s *tiny) streamed(body fields) (text, finish string) {
	for _, e := range s.events("/v1/chat/completions", body) {
		list, _ := e["choices"].([]any)
		for _, c := range list {
			p, _ := c.(fields)["delta"].(fields)["content"].(string)
			text += p
			if f, _ := c.(fields)["finish_reason"].(string); f != "" {
				finish = f
			}
		}
	}
	return text, finish
}
