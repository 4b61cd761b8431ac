package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bench runs one benchmark command with its table thrown away.
func runBench(t *testing.T, args ...string) error {
	t.Helper()
	out := os.Stdout
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = null
	defer func() { os.Stdout = out; null.Close() }()
	cmd := benchCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	return cmd.ExecuteContext(t.Context())
}

func TestBenchWritesItsFigures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.json")
	if err := runBench(t, "decode", "--model-path", "tiny", "--device", "cpu", "--batch", "1,2", "--context", "16", "--tokens", "8", "--repeat", "1", "--no-limits", "--json", path); err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Name    string
		Weights string
		Rows    []struct {
			Batch int
			Rate  float64 `json:"tokens_per_second"`
		}
	}
	if err := json.Unmarshal(src, &r); err != nil || r.Name != "decode" || len(r.Rows) != 2 || r.Rows[1].Batch != 2 || r.Rows[1].Rate <= 0 || !strings.HasPrefix(r.Weights, "random BF16") {
		t.Errorf("%s: %v", src, err)
	}
}

func TestBenchRefusesWrongFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"--repeat":          {"decode", "--repeat", "0"},
		"COUNTxLENGTH":      {"prefill", "--prompts", "many"},
		"--sequences":       {"offline", "--sequences", "0"},
		"exclude":           {"serve", "--trace", "t.csv", "--rate", "3"},
		"no such file":      {"serve", "--trace", filepath.Join(t.TempDir(), "none.csv")},
		"--speed":           {"serve", "--speed", "0"},
		"--streams":         {"serve", "--fake", "--streams", "0"},
		"--runs":            {"start", "--runs", "0"},
		"--dtype":           {"decode", "--model-path", "smollm2", "--dtype", "f16"},
		"unknown device":    {"decode", "--model-path", "tiny", "--device", "tpu"},
		"Qwen2.5-0.5B":      {"decode", "--model-path", "no-such", "--load-format", "dummy"},
		"unexpected":        {"decode", "smollm2"},
		"must not be negat": {"decode", "--threads", "-1"},
	} {
		if err := runBench(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want something about %q", args, err, want)
		}
	}
}
