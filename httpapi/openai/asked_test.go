package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/enginetest"
)

// transcript runs a call as a stream and returns its events.
func transcript(t *testing.T, c *Call) (events []map[string]any) {
	t.Helper()
	streams, err := c.Start(context.Background(), &enginetest.Fake{})
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(streams)
	enc := c.NewEncoder()
	var b []byte
	for i, s := range streams {
		for s.Next() {
			b = enc.AppendEvent(b, i, s.Event(), s.Usage())
		}
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
	}
	for line := range strings.SplitSeq(string(b), "\n\n") {
		if line == "" {
			continue
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		events = append(events, m)
	}
	return events
}

func fakeOptions() Options {
	opt := testOptions()
	opt.Models = (&enginetest.Fake{}).Models()
	return opt
}

func TestLogprobsOfTokensThatWereNamed(t *testing.T) {
	const chat = `{"messages":[{"role":"user","content":"hi"}],"max_tokens":3,"ignore_eos":true,"n":2,"logprobs":true,"top_logprobs":5,"logprob_token_ids":[72,90]`
	entries := func(content any) (n int) {
		for _, e := range content.(map[string]any)["content"].([]any) {
			top := e.(map[string]any)["top_logprobs"].([]any)
			if len(top) != 2 || top[0].(map[string]any)["token"] != "H" || top[1].(map[string]any)["token"] != "Z" {
				t.Errorf("alternatives: %v", top)
			}
			n++
		}
		return n
	}
	c, err := DecodeChat([]byte(chat+"}"), fakeOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, choice := range whole(t, &enginetest.Fake{}, c)["choices"].([]any) {
		if n := entries(choice.(map[string]any)["logprobs"]); n != 3 {
			t.Errorf("%d tokens", n)
		}
	}
	c, err = DecodeChat([]byte(chat+`,"stream":true}`), fakeOptions())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, ev := range transcript(t, c) {
		if l := ev["choices"].([]any)[0].(map[string]any)["logprobs"]; l != nil {
			n += entries(l)
		}
	}
	if n != 6 {
		t.Errorf("%d tokens in the stream", n)
	}
	for _, stream := range []string{"", `,"stream":true`} {
		c, err = DecodeCompletion([]byte(`{"prompt":"hey","max_tokens":2,"echo":true,"ignore_eos":true,"logprobs":0,"logprob_token_ids":[72,90]`+stream+`}`), fakeOptions())
		if err != nil {
			t.Fatal(err)
		}
		answers := []map[string]any{}
		if stream != "" {
			answers = transcript(t, c)
		} else {
			answers = append(answers, whole(t, &enginetest.Fake{}, c))
		}
		var tops []any
		for _, a := range answers {
			if l, ok := a["choices"].([]any)[0].(map[string]any)["logprobs"].(map[string]any); ok {
				tops = append(tops, l["top_logprobs"].([]any)...)
			}
		}
		if len(tops) != 5 || tops[0] != nil {
			t.Fatalf("%q: %v", stream, tops)
		}
		for _, top := range tops[1:] {
			if m := top.(map[string]any); len(m) != 2 || m["H"] == nil || m["Z"] == nil {
				t.Errorf("%q: %v", stream, m)
			}
		}
	}
}

func TestTokenIDsLogprobOfGenerate(t *testing.T) {
	const body = `{"text":["abc","de"],"sampling_params":{"max_new_tokens":2,"ignore_eos":true,"n":2},"return_logprob":true,"logprob_start_len":0,"token_ids_logprob":%s%s}`
	shape := func(meta map[string]any, name string) (ids [][]int) {
		for _, e := range meta[name].([]any) {
			if e == nil {
				ids = append(ids, nil)
				continue
			}
			row := []int{}
			for _, x := range e.([]any) {
				row = append(row, int(x.([]any)[1].(float64)))
			}
			ids = append(ids, row)
		}
		return ids
	}
	for _, want := range []struct {
		field string
		rows  [2][]int
	}{{"[65,66]", [2][]int{{65, 66}, {65, 66}}}, {"[[65],[66,67]]", [2][]int{{65}, {66, 67}}}} {
		for _, stream := range []string{"", `,"stream":true`} {
			c, err := DecodeGenerate([]byte(fmt.Sprintf(body, want.field, stream)), fakeOptions())
			if err != nil {
				t.Fatal(err)
			}
			last := map[int]map[string]any{}
			if stream != "" {
				for _, ev := range transcript(t, c) {
					last[int(ev["index"].(float64))] = ev["meta_info"].(map[string]any)
				}
			} else {
				var list []map[string]any
				b, _, err := c.Do(context.Background(), &enginetest.Fake{}, nil)
				if err != nil || json.Unmarshal(b, &list) != nil {
					t.Fatalf("%s: %v", b, err)
				}
				for i, m := range list {
					last[i] = m["meta_info"].(map[string]any)
				}
			}
			if len(last) != 4 {
				t.Fatalf("%d answers", len(last))
			}
			for i, meta := range last {
				row := want.rows[i/2]
				if got := shape(meta, "output_token_ids_logprobs"); !reflect.DeepEqual(got, [][]int{row, row}) {
					t.Errorf("%s%s, answer %d: output %v", want.field, stream, i, got)
				}
				in := shape(meta, "input_token_ids_logprobs")
				if len(in) != []int{3, 2}[i/2] || in[0] != nil || !reflect.DeepEqual(in[1], row) {
					t.Errorf("%s%s, answer %d: input %v", want.field, stream, i, in)
				}
			}
		}
	}
}

func TestPromptsAreCutAndAnswersKeepToAllowedTokens(t *testing.T) {
	c, err := DecodeCompletion([]byte(`{"prompt":["abcdef","ghi"],"echo":true,"max_tokens":3,"truncate_prompt_tokens":2,"allowed_token_ids":[120],"return_prompt_token_ids":true}`), fakeOptions())
	if err != nil {
		t.Fatal(err)
	}
	m := whole(t, &enginetest.Fake{}, c)
	for i, want := range []string{"efxxx", "hixxx"} {
		if choice := m["choices"].([]any)[i].(map[string]any); choice["text"] != want || len(choice["prompt_token_ids"].([]any)) != 2 || choice["finish_reason"] != "length" {
			t.Errorf("%v, want %q", choice, want)
		}
	}
	if n := m["usage"].(map[string]any)["prompt_tokens"]; n != 4.0 {
		t.Errorf("%v prompt tokens", n)
	}
	c, err = DecodeGenerate([]byte(`{"text":"abcdef","sampling_params":{"max_new_tokens":3,"truncate_prompt_tokens":2,"truncation_side":"right","allowed_token_ids":[121,122]}}`), fakeOptions())
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Requests[0]; r.TruncatePrompt != 2 || !r.TruncateEnd || len(r.Sampling.Allowed) != 2 {
		t.Errorf("%+v", r)
	}
}

func TestRefusalsOfNamedTokensAndCuts(t *testing.T) {
	for _, c := range []struct{ fields, param string }{
		{`"allowed_token_ids":[]`, "allowed_token_ids"},
		{`"allowed_token_ids":[32000]`, "allowed_token_ids"},
		{`"allowed_token_ids":[-1]`, "allowed_token_ids[0]"},
		{`"allowed_token_ids":["5"]`, "allowed_token_ids[0]"},
		{`"allowed_token_ids":5`, "allowed_token_ids"},
		{`"logprob_token_ids":[5]`, "logprob_token_ids"},
		{`"logprobs":true,"logprob_token_ids":[32000]`, "logprob_token_ids"},
		{`"logprobs":true,"logprob_token_ids":[` + strings.Repeat("1,", 1024) + `1]`, "logprob_token_ids"},
		{`"truncate_prompt_tokens":0`, "truncate_prompt_tokens"},
		{`"truncate_prompt_tokens":-2`, "truncate_prompt_tokens"},
		{`"truncate_prompt_tokens":8193`, "truncate_prompt_tokens"},
		{`"truncate_prompt_tokens":1.5`, "truncate_prompt_tokens"},
		{`"truncation_side":"top"`, "truncation_side"},
	} {
		_, err := DecodeChat([]byte(`{"messages":[{"role":"user","content":"hi"}],`+c.fields+`}`), fakeOptions())
		if e := ErrorFrom(err); err == nil || e.Param != c.param || e.Status != 400 {
			t.Errorf("%s: %v, want %s", clip(c.fields, 80), err, c.param)
		}
	}
	for fields, param := range map[string]string{
		`"token_ids_logprob":[[1],[2]]`:              "token_ids_logprob",
		`"token_ids_logprob":[1,"a"]`:                "token_ids_logprob[1]",
		`"token_ids_logprob":[[1],2]`:                "token_ids_logprob[1]",
		`"token_ids_logprob":7`:                      "token_ids_logprob",
		`"token_ids_logprob":[32000]`:                "token_ids_logprob",
		`"token_ids_logprob":[[-1]]`:                 "token_ids_logprob[0][0]",
		`"token_ids_logprob":{"a":"b"}`:              "token_ids_logprob",
		`"allowed_token_ids":[1]`:                    "allowed_token_ids",
		`"sampling_params":{"allowed_token_ids":[]}`: "sampling_params.allowed_token_ids",
	} {
		_, err := DecodeGenerate([]byte(`{"text":"hi","return_logprob":true,`+fields+`}`), fakeOptions())
		if e := ErrorFrom(err); err == nil || e.Param != param {
			t.Errorf("%s: %v, want %s", fields, err, param)
		}
	}
}
