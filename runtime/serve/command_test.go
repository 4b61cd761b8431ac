package serve

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want []string
	}{
		"words are separated by any white space":       {"a  b\tc\nd\r\n e ", []string{"a", "b", "c", "d", "e"}},
		"nothing gives no words":                       {" \n\t ", nil},
		"a backslash before a newline joins lines":     {"serve \\\n  --port 1 \\\r\n --host h", []string{"serve", "--port", "1", "--host", "h"}},
		"single quotes keep everything":                {`a 'b c\d "e"' f`, []string{"a", `b c\d "e"`, "f"}},
		"double quotes keep blanks and single quotes":  {`--x "it's here"`, []string{"--x", "it's here"}},
		"a backslash in double quotes escapes a quote": {`"a\"b" "c\d" "e\\f"`, []string{`a"b`, `c\d`, `e\f`}},
		"quotes join the word around them":             {`--a='b c'd`, []string{"--a=b cd"}},
		"empty quotes are an empty word":               {`--api-key "" ''`, []string{"--api-key", "", ""}},
		"a backslash keeps a blank in the word":        {`models/my\ model`, []string{"models/my model"}},
		"a last backslash stays":                       {`a\`, []string{`a\`}},
		"letters beyond ASCII pass":                    {"--model \"größe 模型\"", []string{"--model", "größe 模型"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Split(tc.in)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("Split(%q) = %q, %v; want %q", tc.in, got, err, tc.want)
			}
		})
	}
	for _, open := range []string{`a "b`, `'`, `--json '{"a": 1}`} {
		if open == `--json '{"a": 1}` {
			open += " x"
		}
		if got, err := Split(open); err == nil {
			t.Errorf("Split(%q) = %q: a quote that is not closed must be an error", open, got)
		}
	}
}

func TestParseCommand(t *testing.T) {
	with := func(change func(*Config)) Config {
		c := Default()
		c.Model = "m"
		change(&c)
		return c
	}
	for name, tc := range map[string]struct {
		command string
		want    Config
		notes   []string // each must occur in one note
	}{
		"the tutorial's command as it stands": {
			"python3 -m sglang.launch_server --model-path qwen/qwen2.5-0.5b-instruct --host 0.0.0.0 --log-level warning",
			with(func(c *Config) {
				c.Model, c.Host, c.LogLevel = "qwen/qwen2.5-0.5b-instruct", "0.0.0.0", "warning"
			}), nil,
		},
		"a multi-line f-string of the tutorial": {
			"\npython3 -m sglang.launch_server --model-path m \\\n --host 0.0.0.0 --port 30123\n",
			with(func(c *Config) { c.Host, c.Port = "0.0.0.0", 30123 }), nil,
		},
		"--model is an alias":       {"python -m sglang.launch_server --model m", with(func(*Config) {}), nil},
		"a full path to the python": {"/opt/conda/bin/python3.11 -m sglang.launch_server --model m", with(func(*Config) {}), nil},
		"sglang serve":              {"sglang serve --model-path=m", with(func(*Config) {}), nil},
		"godwit serve":              {"bin/godwit serve --model m --port 0", with(func(c *Config) { c.Port = 0 }), nil},
		"flags alone":               {"--model m --threads 2", with(func(c *Config) { c.Threads = 2 }), nil},
		"leading KEY=VALUE words are named in a note": {
			"CUDA_VISIBLE_DEVICES=0 SGLANG_X='a b' python3 -m sglang.launch_server --model m", with(func(*Config) {}),
			[]string{"CUDA_VISIBLE_DEVICES=0", "SGLANG_X=a b"},
		},
		"a quoted value keeps its blanks": {
			`godwit serve --model "m" --served-model-name 'my model' --api-key="a,b"`,
			with(func(c *Config) { c.ServedName, c.APIKey = "my model", "a,b" }), nil,
		},
		"back-end hints are accepted and named in a note": {
			"godwit serve --model m --mem-fraction-static 0.8 --attention-backend=fa3 --disable-cuda-graph --port 1",
			with(func(c *Config) { c.Port = 1 }),
			[]string{"--mem-fraction-static", "--attention-backend", "--disable-cuda-graph"},
		},
		"parsers by name, and by the chat template": {
			"python3 -m sglang.launch_server --model m --reasoning-parser qwen3 --tool-call-parser=auto",
			with(func(c *Config) { c.ReasoningParser, c.ToolCallParser = "qwen3", "auto" }), nil,
		},
		"one device is what there is": {"godwit serve --model m --tp 1 --dp-size=1", with(func(*Config) {}), []string{"--tp", "--dp-size"}},
		"the last of a repeated flag counts": {
			"godwit serve --model x --log-level info --model m --log-level error", with(func(c *Config) { c.LogLevel = "error" }), nil,
		},
		"adapters in three forms, behind one flag": {
			`godwit serve --model m --lora-paths folder/a b=folder/b '{"lora_name":"c","lora_path":"d","pinned":true}' --lora-paths=e --max-loras-per-batch 4 --lora-backend csgmv`,
			with(func(c *Config) {
				c.LoRAPaths, c.MaxLoRABatch = []string{"folder/a", "b=folder/b", `{"lora_name":"c","lora_path":"d","pinned":true}`, "e"}, 4
			}), []string{"--lora-backend"},
		},
		"sizes": {
			"godwit serve --model m --context-length 512 --max-running-requests 8 --max-total-tokens 4096 --page-size 32 --chunked-prefill-size -1 --disable-radix-cache",
			with(func(c *Config) {
				c.ContextLength, c.MaxRunning, c.MaxTotalTokens, c.PageSize, c.ChunkedPrefill, c.DisableRadixCache = 512, 8, 4096, 32, -1, true
			}), nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, notes, err := ParseCommand(tc.command)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
			if len(notes) != len(tc.notes) {
				t.Errorf("notes %q, want %d", notes, len(tc.notes))
			}
			for _, n := range tc.notes {
				if !slices.ContainsFunc(notes, func(s string) bool { return strings.Contains(s, n) }) {
					t.Errorf("no note has %q: %q", n, notes)
				}
			}
		})
	}
}

// TestEveryFlagOfSGLangIsKnown walks the flags that launch commands of tutorials and
// documentations use: each works, is a note, or is refused with its reason.
func TestEveryFlagOfSGLangIsKnown(t *testing.T) {
	for flag := range strings.FieldsSeq(`config model-path model tokenizer-path tokenizer-mode tokenizer-worker-num skip-tokenizer-init
		enable-tokenizer-batch-encode load-format trust-remote-code context-length is-embedding revision download-dir dtype quantization
		kv-cache-dtype json-model-override-args delete-ckpt-after-loading model-checksum weight-version served-model-name host port
		fastapi-root-path api-key admin-api-key skip-server-warmup warmups strict-model mem-fraction-static max-running-requests
		max-queued-requests max-total-tokens chunked-prefill-size max-prefill-tokens schedule-policy enable-priority-scheduling
		schedule-conservativeness page-size radix-eviction-policy disable-radix-cache device tp-size tp pp-size dp-size base-gpu-id nnodes
		node-rank dist-init-addr enable-memory-saver cpu-offload-gb sleep-on-idle chat-template hf-chat-template-name completion-template
		reasoning-parser tool-call-parser tool-server sampling-defaults preferred-sampling-params stream-interval incremental-streaming-output
		stream-response-default-include-usage enable-cache-report allow-auto-truncate enable-custom-logit-processor
		enable-return-hidden-states file-storage-path random-seed enable-deterministic-inference enable-lora lora-paths max-lora-rank
		lora-target-modules max-loras-per-batch max-loaded-loras lora-eviction-policy lora-backend max-lora-chunk-size
		enable-lora-overlap-loading lora-drain-wait-threshold grammar-backend constrained-json-whitespace-pattern
		constrained-json-disable-any-whitespace attention-backend sampling-backend speculative-algorithm speculative-draft-model-path
		speculative-num-steps speculative-eagle-topk speculative-num-draft-tokens cuda-graph-max-bs cuda-graph-bs disable-cuda-graph
		disable-overlap-schedule enable-mixed-chunk num-continuous-decode-steps log-level log-level-http log-requests log-requests-level
		log-requests-format crash-dump-folder enable-metrics decode-log-interval enable-request-time-stats-logging export-metrics-to-file
		export-metrics-to-file-dir enable-trace otlp-traces-endpoint watchdog-timeout soft-watchdog-timeout ssl-certfile ssl-keyfile`) {
		if _, _, err := ParseArgs([]string{"--model", "m", "--" + flag + "=1"}); err != nil && strings.Contains(err.Error(), "unknown flag") {
			t.Errorf("--%s is unknown", flag)
		}
	}
	if c, notes, err := ParseArgs([]string{"--model", "m", "--cuda-graph-bs", "1", "2", "4", "--lora-target-modules", "q_proj", "v_proj", "--port", "5"}); err != nil || len(notes) != 2 || c.Port != 5 {
		t.Errorf("%+v %q %v", c, notes, err)
	}
}

func TestBadCommandsSayWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct{ command, want string }{
		"nothing":                               {"", "expected a server command"},
		"only an environment":                   {"A=1", "expected a server command"},
		"another program":                       {"rm -rf models", "expected a server command"},
		"another Python module":                 {"python3 -m http.server --model m", "expected a server command"},
		"a quote that is not closed":            {`godwit serve --model "m`, "not closed"},
		"no model":                              {"python3 -m sglang.launch_server --port 1", "--model-path is missing"},
		"an unknown flag":                       {"godwit serve --model m --no-such-flag 3", "no-such-flag"},
		"a flag without its value":              {"godwit serve --model m --port", "port"},
		"a number that is none":                 {"godwit serve --model m --port eighty", "eighty"},
		"a port beyond the range":               {"godwit serve --model m --port 70000", "70000"},
		"a negative port":                       {"godwit serve --model m --port -1", "-1"},
		"a stray argument":                      {"godwit serve --model m extra", `"extra"`},
		"an unknown log level":                  {"godwit serve --model m --log-level loud", "loud"},
		"an unknown load format":                {"godwit serve --model m --load-format zip", "zip"},
		"a data type":                           {"godwit serve --model m --dtype float8", "float8"},
		"a negative size":                       {"godwit serve --model m --context-length -5", "-5"},
		"a negative rank":                       {"godwit serve --model m --max-lora-rank -2", "--max-lora-rank -2"},
		"a negative number of adapters":         {"godwit serve --model m --max-loras-per-batch -1", "--max-loras-per-batch -1"},
		"unknown sampling defaults":             {"godwit serve --model m --sampling-defaults mine", "mine"},
		"tensor parallelism":                    {"godwit serve --model m --tp 8", "one device"},
		"tensor parallelism, inline":            {"godwit serve --model m --tp-size=2", "one device"},
		"an adapter without a path":             {"godwit serve --model m --lora-paths a=", "--lora-paths"},
		"an adapter in broken JSON":             {"godwit serve --model m --lora-paths '{\"lora_name\":1}'", "--lora-paths"},
		"an unknown eviction policy":            {"godwit serve --model m --enable-lora --lora-eviction-policy random", "fifo"},
		"an unknown reasoning parser":           {"godwit serve --model m --reasoning-parser qwen9", "deepseek-r1, "},
		"an unknown tool-call parser":           {"godwit serve --model m --tool-call-parser qwen9", "qwen25, qwen3_coder"},
		"quantisation at load":                  {"godwit serve --model m --quantization fp8", "GGUF"},
		"speculative decoding":                  {"godwit serve --model m --speculative-algorithm EAGLE", "speculative"},
		"a hint at the end without its value":   {"godwit serve --mem-fraction-static", "--model-path is missing"},
		"a refused flag at the end, valueless":  {"godwit serve --model m --tp", "one device"},
		"a model that is empty after the equal": {"godwit serve --model=", "--model-path is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := ParseCommand(tc.command)
			if err == nil {
				t.Fatalf("accepted as %+v", c)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%q does not mention %q", err, tc.want)
			}
		})
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add("A=1 python3 -m sglang.launch_server --model-path m \\\n --tp 1 --port=3 'x y' \"\\\"")
	f.Add(`godwit serve --model m --mem-fraction-static`)
	f.Fuzz(func(t *testing.T, s string) {
		c, _, err := ParseCommand(s)
		if err == nil && (c.Model == "" || c.Port < 0 || c.Port > 65535) {
			t.Errorf("%q gives %+v", s, c)
		}
	})
}
