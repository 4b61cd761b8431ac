package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWordsWithoutAFlagAreInputsOrAdapters(t *testing.T) {
	odd := filepath.Join(t.TempDir(), "a=b.jsonl")
	if err := os.WriteFile(odd, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                string
		adapters, args      []string
		wantAdapters, wants []string
	}{
		{"inputs alone", nil, []string{"in.jsonl", "x=y.jsonl"}, nil, []string{"in.jsonl", "x=y.jsonl"}},
		{"a second adapter behind the first", []string{"a=p"}, []string{"b=q", "in.jsonl", `{"lora_name":"c","lora_path":"r"}`},
			[]string{"a=p", "b=q", `{"lora_name":"c","lora_path":"r"}`}, []string{"in.jsonl"}},
		{"a file that looks like one", []string{"a=p"}, []string{odd}, []string{"a=p"}, []string{odd}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &runFlags{}
			f.engine.LoRAPaths = c.adapters
			f.takeInputs(c.args)
			if !slices.Equal(f.engine.LoRAPaths, c.wantAdapters) || !slices.Equal(f.Inputs, c.wants) {
				t.Errorf("adapters %q, inputs %q", f.engine.LoRAPaths, f.Inputs)
			}
		})
	}
}
