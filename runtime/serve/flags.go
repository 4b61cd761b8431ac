// Package serve runs one model behind an HTTP port inside the calling process: it
// reads SGLang-style server flags, loads the model into an in-process engine and
// serves OpenAI clients until it is closed. `godwit serve` and the notebook's
// LaunchServer are thin layers over it.
//
// One launch: ParseCommand or flags → Config → Start (port bound at once, model
// loaded in the background) → Ready → Close (requests ended, memory returned).
package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/spf13/pflag"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat/parse"
	"github.com/godwit-ai/godwit/engine/local"
)

// EngineFlags are the flags that choose and size a model. They are shared by the
// commands that load one.
type EngineFlags struct {
	Model             string // path or name; see engine/hub
	Tokenizer         string
	LoadFormat        string
	ChatTemplate      string
	ReasoningParser   string
	ToolCallParser    string
	ServedName        string
	DType             string
	Device            string
	ContextLength     int
	MaxRunning        int
	MaxQueued         int
	MaxTotalTokens    int
	PageSize          int
	ChunkedPrefill    int
	MaxPrefillTokens  int
	DisableRadixCache bool
	Threads           int
	RandomSeed        uint64
	AutoTruncate      bool
	SkipTokenizer     bool

	EnableLoRA    bool
	LoRAPaths     []string // PATH, NAME=PATH or JSON
	LoRADir       string
	LoRAEviction  string
	MaxLoRARank   int
	MaxLoRABatch  int
	MaxLoRALoaded int
}

// HTTPFlags are the flags of the HTTP door.
type HTTPFlags struct {
	Host              string
	Port              int
	APIKey            string
	WeightVersion     string
	LogLevel          string
	LogLevelHTTP      string
	EnableCacheReport bool
	StrictModel       bool
	EnableMetrics     bool
	MetricsPublic     bool
	RequireAuth       bool
	SamplingDefaults  string
	AllowedHosts      []string
	AllowedOrigins    []string
	SkipWarmup        bool
	TrustTemplates    bool

	AdminKey       string
	APIKeyFile     string // one key per line
	TLSCert        string // PEM files
	TLSKey         string
	UnixSocket     string // listens there instead of on Host and Port
	MaxBodyBytes   int64
	MaxPerKey      int
	MaxConnections int
	HeaderTimeout  time.Duration
	BodyTimeout    time.Duration
	WriteTimeout   time.Duration
	DrainTimeout   time.Duration
	StreamUsage    bool
	Incremental    bool
	StreamInterval int // tokens of a choice per write of a stream
}

// Config is a whole launch.
type Config struct {
	EngineFlags
	HTTPFlags
}

// Default is what empty flags mean.
func Default() Config {
	return Config{
		EngineFlags: EngineFlags{LoadFormat: "auto", DType: "auto", Device: "auto"},
		HTTPFlags: HTTPFlags{Host: "127.0.0.1", Port: 30000, WeightVersion: "default", LogLevel: "info", StrictModel: true, SamplingDefaults: "model",
			MaxBodyBytes: 8 << 20, MaxConnections: 8192, StreamInterval: 1, HeaderTimeout: 5 * time.Second, BodyTimeout: time.Minute, WriteTimeout: time.Minute, DrainTimeout: 30 * time.Second},
	}
}

// Register adds the engine's flags to fs.
func (e *EngineFlags) Register(fs *pflag.FlagSet) {
	fs.StringVar(&e.Model, "model-path", e.Model, "model: a .gguf file, a Hugging Face folder, or a name such as smollm2 or builtin:tiny")
	fs.StringVar(&e.Model, "model", e.Model, "the same as --model-path")
	fs.StringVar(&e.Tokenizer, "tokenizer-path", e.Tokenizer, "folder with tokenizer.json (default: the model's)")
	fs.BoolVar(&e.SkipTokenizer, "skip-tokenizer-init", e.SkipTokenizer, "no tokenizer: prompts and answers are token ids")
	fs.StringVar(&e.LoadFormat, "load-format", e.LoadFormat, "auto, gguf, safetensors or dummy (random weights from a config.json)")
	fs.StringVar(&e.ChatTemplate, "chat-template", e.ChatTemplate, "file with a Jinja chat template (default: the model's)")
	fs.StringVar(&e.ReasoningParser, "reasoning-parser", e.ReasoningParser, "how to tell thinking from answers: auto (by the chat template) or "+names(parse.Reasonings()))
	fs.StringVar(&e.ToolCallParser, "tool-call-parser", e.ToolCallParser, "how tool calls are written: auto (by the chat template) or "+names(parse.ToolCallParsers()))
	fs.StringVar(&e.ServedName, "served-model-name", e.ServedName, "name that clients use (default: what --model-path says); several separated by commas")
	fs.StringVar(&e.DType, "dtype", e.DType, "auto: weights keep the type of the file; with --load-format dummy the type to make")
	fs.StringVar(&e.Device, "device", e.Device, "auto, cpu, cuda or cuda:N")
	fs.IntVar(&e.ContextLength, "context-length", e.ContextLength, "tokens of prompt and answer together (default: the model's)")
	fs.IntVar(&e.MaxRunning, "max-running-requests", e.MaxRunning, "sequences computed together (default: automatic)")
	fs.IntVar(&e.MaxQueued, "max-queued-requests", e.MaxQueued, "waiting requests before new ones get 429 (default: automatic)")
	fs.IntVar(&e.MaxTotalTokens, "max-total-tokens", e.MaxTotalTokens, "tokens in the KV cache (default: automatic)")
	fs.IntVar(&e.PageSize, "page-size", e.PageSize, "tokens per cache page (default: automatic)")
	fs.IntVar(&e.ChunkedPrefill, "chunked-prefill-size", e.ChunkedPrefill, "prompt tokens per step and sequence (default: automatic)")
	fs.IntVar(&e.MaxPrefillTokens, "max-prefill-tokens", e.MaxPrefillTokens, "prompt tokens per step over all sequences (default: automatic)")
	fs.BoolVar(&e.EnableLoRA, "enable-lora", e.EnableLoRA, "let requests name LoRA adapters; --lora-paths implies it")
	fs.StringArrayVar(&e.LoRAPaths, "lora-paths", e.LoRAPaths, `adapters to load: PATH, NAME=PATH or {"lora_name":…,"lora_path":…,"pinned":…}; several, or the flag again`)
	fs.StringVar(&e.LoRADir, "lora-dir", e.LoRADir, "folder from inside which /load_lora_adapter may load (default: none)")
	fs.IntVar(&e.MaxLoRARank, "max-lora-rank", e.MaxLoRARank, "refuse adapters of a higher rank (default: no limit)")
	fs.IntVar(&e.MaxLoRABatch, "max-loras-per-batch", e.MaxLoRABatch, "adapters that are used together; requests for others wait (default: 8)")
	fs.IntVar(&e.MaxLoRALoaded, "max-loaded-loras", e.MaxLoRALoaded, "adapters in memory; others are read again when they are wanted (default: no limit)")
	fs.StringVar(&e.LoRAEviction, "lora-eviction-policy", e.LoRAEviction, "which adapter makes room: lru or fifo (default: lru)")
	fs.BoolVar(&e.AutoTruncate, "allow-auto-truncate", e.AutoTruncate, "cut the end of over-long prompts and answers instead of refusing them")
	fs.BoolVar(&e.DisableRadixCache, "disable-radix-cache", e.DisableRadixCache, "do not reuse common prefixes")
	fs.IntVar(&e.Threads, "threads", e.Threads, "CPU threads (default: all cores)")
	fs.Uint64Var(&e.RandomSeed, "random-seed", e.RandomSeed, "seed of requests that bring none (default: random)")
}

// Register adds the server's flags to fs.
func (s *HTTPFlags) Register(fs *pflag.FlagSet) {
	fs.StringVar(&s.Host, "host", s.Host, "address to listen on; 0.0.0.0 opens the port to the network")
	fs.IntVar(&s.Port, "port", s.Port, "port to listen on; 0 picks a free one")
	fs.StringVar(&s.APIKey, "api-key", s.APIKey, "key that clients must send; several separated by commas")
	fs.StringVar(&s.APIKeyFile, "api-key-file", s.APIKeyFile, "file with one such key per line")
	fs.StringVar(&s.AdminKey, "admin-api-key", s.AdminKey, "key for pausing, flushing and other routes of administrators; it is good for all others too")
	fs.StringVar(&s.TLSCert, "ssl-certfile", s.TLSCert, "PEM file with a certificate chain: serve HTTPS (with --ssl-keyfile)")
	fs.StringVar(&s.TLSKey, "ssl-keyfile", s.TLSKey, "PEM file with the certificate's key")
	fs.StringVar(&s.UnixSocket, "unix-socket", s.UnixSocket, "path of a Unix socket to listen on instead of --host and --port; only this user can connect")
	fs.StringVar(&s.UnixSocket, "uds", s.UnixSocket, "the same as --unix-socket")
	fs.Int64Var(&s.MaxBodyBytes, "max-request-bytes", s.MaxBodyBytes, "largest request body; larger ones get 413")
	fs.IntVar(&s.MaxPerKey, "max-requests-per-key", s.MaxPerKey, "requests under way per API key before that key gets 429; 0 is no limit")
	fs.IntVar(&s.MaxConnections, "max-connections", s.MaxConnections, "open connections; more wait to be accepted")
	fs.DurationVar(&s.HeaderTimeout, "header-timeout", s.HeaderTimeout, "time to send a request's headers")
	fs.DurationVar(&s.BodyTimeout, "body-timeout", s.BodyTimeout, "time to send a request's body")
	fs.DurationVar(&s.WriteTimeout, "write-timeout", s.WriteTimeout, "time for a client to take one piece of an answer before it is cut")
	fs.DurationVar(&s.DrainTimeout, "drain-timeout", s.DrainTimeout, "time that running requests get to finish when the server ends")
	fs.BoolVar(&s.StreamUsage, "stream-response-default-include-usage", s.StreamUsage, "end streams with usage unless stream_options says otherwise")
	fs.BoolVar(&s.Incremental, "incremental-streaming-output", s.Incremental, "/generate streams pieces instead of the text so far")
	fs.IntVar(&s.StreamInterval, "stream-interval", s.StreamInterval, "tokens of an answer that a stream sends at a time: more save processor time and make pieces come later")
	fs.BoolVar(&s.RequireAuth, "require-auth", s.RequireAuth, "refuse to listen beyond loopback without --api-key")
	fs.StringVar(&s.WeightVersion, "weight-version", s.WeightVersion, "reported in answers as metadata.weight_version")
	fs.StringVar(&s.LogLevel, "log-level", s.LogLevel, "debug, info, warning or error")
	fs.StringVar(&s.LogLevelHTTP, "log-level-http", s.LogLevelHTTP, "level of the access log (default: --log-level)")
	fs.BoolVar(&s.EnableCacheReport, "enable-cache-report", s.EnableCacheReport, "report cached_tokens in usage")
	fs.BoolVar(&s.StrictModel, "strict-model", s.StrictModel, "answer 404 to unknown model names")
	fs.StringVar(&s.SamplingDefaults, "sampling-defaults", s.SamplingDefaults, "model (generation_config.json) or openai")
	fs.StringSliceVar(&s.AllowedHosts, "allowed-hosts", s.AllowedHosts, "Host names that requests may carry, beside addresses and localhost")
	fs.StringSliceVar(&s.AllowedOrigins, "allowed-origins", s.AllowedOrigins, "browser origins that may call the API (CORS); default none")
	fs.BoolVar(&s.MetricsPublic, "metrics-public", s.MetricsPublic, "serve /metrics without a key")
	fs.BoolVar(&s.TrustTemplates, "trust-request-chat-template", s.TrustTemplates, "accept a chat_template in requests")
	fs.BoolVar(&s.EnableMetrics, "enable-metrics", false, "accepted; /metrics is always served")
	fs.BoolVar(&s.SkipWarmup, "skip-server-warmup", false, "accepted; there is no warm-up request to skip")
	_ = fs.MarkHidden("enable-metrics")
	_ = fs.MarkHidden("skip-server-warmup")
}

// names joins the parsers behind "auto".
func names(list []string) string { return strings.Join(list[1:], ", ") }

// without are flags of SGLang's server that godwit refuses, with the reason.
var without = map[string]string{
	"tp-size": "one device: leave tensor parallelism out", "tp": "one device: leave tensor parallelism out",
	"dp-size": "one device: leave data parallelism out", "pp-size": "one device: leave pipeline parallelism out",
	"quantization":                            "weights keep the format of their file: give a quantised GGUF instead",
	"kv-cache-dtype":                          "the cache's type is fixed",
	"speculative-algorithm":                   "speculative decoding is not there yet",
	"speculative-draft-model-path":            "speculative decoding is not there yet",
	"speculative-num-steps":                   "speculative decoding is not there yet",
	"speculative-eagle-topk":                  "speculative decoding is not there yet",
	"speculative-num-draft-tokens":            "speculative decoding is not there yet",
	"config":                                  "flags are given on the command line",
	"revision":                                "name a folder, or a model as it is in the cache",
	"download-dir":                            "models lie in the user's cache; HF_HOME moves that of Hugging Face",
	"json-model-override-args":                "change the model's config.json instead",
	"cpu-offload-gb":                          "a model is on one device as a whole",
	"hf-chat-template-name":                   "give the template's file with --chat-template",
	"completion-template":                     "completions continue a text and fill no gap",
	"tool-server":                             "the server runs no tools; clients do",
	"preferred-sampling-params":               "the model's generation_config.json gives its defaults",
	"enable-return-hidden-states":             "hidden states do not leave the device",
	"file-storage-path":                       "the Files API is not offered",
	"model-checksum":                          "sizes and shapes are checked, not sums",
	"delete-ckpt-after-loading":               "no file of a model is ever deleted",
	"enable-trace":                            "there is no tracing; --log-level debug shows each step",
	"otlp-traces-endpoint":                    "there is no tracing; --log-level debug shows each step",
	"export-metrics-to-file":                  "read them from /metrics",
	"export-metrics-to-file-dir":              "read them from /metrics",
	"dist-init-addr":                          "one machine: leave the address of others out",
	"fastapi-root-path":                       "let the proxy in front cut the prefix off",
	"crash-dump-folder":                       "nothing of a request is written to disk",
	"constrained-json-whitespace-pattern":     "white space between JSON's tokens is a blank, or line breaks and an indent",
	"constrained-json-disable-any-whitespace": "white space between JSON's tokens is a blank, or line breaks and an indent; structured_outputs.disable_any_whitespace of a request leaves it out",
	"is-embedding":                            "embedding models are not there yet",
	"enable-custom-logit-processor":           "logit processors are Python pickles; use logit_bias",
}

// hints are flags of SGLang's server that tune its own back ends and change no
// answer. They are accepted with a line in the log. The value says whether the flag
// takes an argument.
var hints = map[string]bool{
	"mem-fraction-static": true, "attention-backend": true, "sampling-backend": true,
	"cuda-graph-max-bs": true, "cuda-graph-bs": true, "disable-cuda-graph": false, "disable-overlap-schedule": false,
	"schedule-policy": true, "schedule-conservativeness": true, "tokenizer-mode": true, "tokenizer-worker-num": true,
	"decode-log-interval": true, "watchdog-timeout": true, "enable-torch-compile": false,
	"lora-backend": true, "max-lora-chunk-size": true, "lora-target-modules": true, "enable-lora-overlap-loading": false, "lora-drain-wait-threshold": true,
	"enable-mixed-chunk": false, "num-continuous-decode-steps": true, "nnodes": true, "node-rank": true, "base-gpu-id": true,
	"enable-deterministic-inference": false, "disable-cuda-graph-padding": false, "trust-remote-code": false,
	"grammar-backend": true, "enable-priority-scheduling": false, "radix-eviction-policy": true, "enable-memory-saver": false, "sleep-on-idle": false,
	"warmups": true, "log-requests": false, "log-requests-level": true, "log-requests-format": true, "soft-watchdog-timeout": true,
	"enable-request-time-stats-logging": false, "enable-tokenizer-batch-encode": false,
}

// lists are those of the hints that take several words.
var lists = map[string]bool{"cuda-graph-bs": true, "lora-target-modules": true}

// ParseArgs reads server flags. Notes are lines for the log about flags that have
// no effect here.
func ParseArgs(args []string) (c Config, notes []string, err error) {
	c = Default()
	args, notes, err = Screen(args)
	if err != nil {
		return c, notes, err
	}
	fs := pflag.NewFlagSet("server", pflag.ContinueOnError)
	fs.SetOutput(discard{})
	fs.Usage = func() {}
	c.EngineFlags.Register(fs)
	c.HTTPFlags.Register(fs)
	if err := fs.Parse(args); err != nil {
		return c, notes, fmt.Errorf("server flags: %w", err)
	}
	if fs.NArg() > 0 {
		return c, notes, fmt.Errorf("server flags: unexpected argument %q", fs.Arg(0))
	}
	return c, notes, c.Check()
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Screen takes flags of SGLang's server out that have no effect in godwit, with a
// note for the log about each, and refuses those that ask for what godwit does not have.
func Screen(args []string) (rest, notes []string, err error) {
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "--")
		name, _, inline := strings.Cut(name, "=")
		if !isFlag {
			rest = append(rest, args[i])
			continue
		}
		if why, ok := without[name]; ok && !trivial(name, args, i, inline) {
			return nil, notes, fmt.Errorf("--%s: %s", name, why)
		}
		if name == "lora-paths" {
			rest = append(rest, args[i])
			for i++; i < len(args) && !strings.HasPrefix(args[i], "-"); i++ { // several behind one flag
				if inline || strings.HasPrefix(rest[len(rest)-1], "--lora-paths=") {
					rest = append(rest, "--lora-paths="+args[i])
				} else {
					rest[len(rest)-1] = "--lora-paths=" + args[i]
				}
			}
			i--
			continue
		}
		takes, hint := hints[name]
		if _, refused := without[name]; refused {
			takes, hint = true, true
		}
		if !hint {
			rest = append(rest, args[i])
			continue
		}
		notes = append(notes, "--"+name+" has no effect in godwit")
		if takes && !inline {
			i++
		}
		for lists[name] && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
		}
	}
	return rest, notes, nil
}

// trivial reports flags whose value asks for nothing special: --tp 1, --quantization none.
func trivial(name string, args []string, i int, inline bool) bool {
	var v string
	switch {
	case inline:
		_, v, _ = strings.Cut(args[i], "=")
	case i+1 < len(args):
		v = args[i+1]
	}
	switch name {
	case "tp", "tp-size", "dp-size", "pp-size":
		return v == "1"
	case "kv-cache-dtype":
		return v == "auto"
	}
	return false
}

// Check finds wrong values.
func (c *Config) Check() error {
	if c.Model == "" {
		return errors.New("--model-path is missing: name a .gguf file, a model folder, smollm2 or builtin:tiny")
	}
	if c.Port < 0 || c.Port > 65535 {
		return fmt.Errorf("--port %d: a port is 0 to 65535", c.Port)
	}
	if _, err := Level(c.LogLevel); err != nil {
		return err
	}
	if err := c.HTTPFlags.check(); err != nil {
		return err
	}
	if c.SamplingDefaults != "model" && c.SamplingDefaults != "openai" {
		return fmt.Errorf("--sampling-defaults %q: use model or openai", c.SamplingDefaults)
	}
	return c.EngineFlags.Check()
}

// check finds wrong values of the limits.
func (s *HTTPFlags) check() error {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return errors.New("--ssl-certfile and --ssl-keyfile belong together")
	}
	for _, d := range []struct {
		flag string
		d    time.Duration
	}{{"header-timeout", s.HeaderTimeout}, {"body-timeout", s.BodyTimeout}, {"write-timeout", s.WriteTimeout}, {"drain-timeout", s.DrainTimeout}} {
		if d.d <= 0 {
			return fmt.Errorf("--%s %v: give a time above 0, such as 30s", d.flag, d.d)
		}
	}
	for _, n := range []struct {
		flag   string
		n, min int64
	}{{"max-request-bytes", s.MaxBodyBytes, 1}, {"max-connections", int64(s.MaxConnections), 1}, {"max-requests-per-key", int64(s.MaxPerKey), 0}, {"stream-interval", int64(s.StreamInterval), 1}} {
		if n.n < n.min {
			return fmt.Errorf("--%s %d: give a number of at least %d", n.flag, n.n, n.min)
		}
	}
	return nil
}

// keys are all API keys: of the flag, separated by commas, and of the file's lines.
func (s *HTTPFlags) keys() ([]string, error) {
	list := strings.Split(s.APIKey, ",")
	if s.APIKeyFile != "" {
		b, err := os.ReadFile(s.APIKeyFile)
		if err != nil {
			return nil, fmt.Errorf("--api-key-file: %w", err)
		}
		list = append(list, strings.Split(strings.TrimPrefix(string(b), "\ufeff"), "\n")...)
	}
	var keys []string
	for _, k := range list {
		if k = strings.TrimSpace(k); k == "" {
			continue
		}
		if err := sendable(k); err != nil {
			return nil, fmt.Errorf("--api-key, --api-key-file: %w", err)
		}
		keys = append(keys, k)
	}
	if s.APIKey != "" && len(keys) == 0 {
		return nil, errors.New("--api-key holds no key; leave it out for a server without keys")
	}
	if s.APIKeyFile != "" && len(keys) == 0 {
		return nil, fmt.Errorf("--api-key-file %s holds no key", s.APIKeyFile)
	}
	return keys, nil
}

// sendable refuses keys that no header can hold; they would never match. The key itself is
// not part of the error.
func sendable(key string) error {
	if !utf8.ValidString(key) {
		return errors.New("a key is not valid UTF-8")
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("a key holds a control character, which no header can hold")
	}
	return nil
}

// adminKey is the administrators' key as headers hold it.
func (s *HTTPFlags) adminKey() (string, error) {
	key := strings.TrimSpace(s.AdminKey)
	if s.AdminKey != "" && key == "" {
		return "", errors.New("--admin-api-key holds no key; leave it out for a server without one")
	}
	if err := sendable(key); err != nil {
		return "", fmt.Errorf("--admin-api-key: %w", err)
	}
	return key, nil
}

// Check finds wrong values of the engine's flags.
func (e *EngineFlags) Check() error {
	if !slices.Contains([]string{"", "auto", "gguf", "safetensors", "dummy"}, e.LoadFormat) {
		return fmt.Errorf("--load-format %q: use auto, gguf, safetensors or dummy", e.LoadFormat)
	}
	if !slices.Contains([]string{"", "auto", "cpu", "cuda"}, e.Device) && !strings.HasPrefix(e.Device, "cuda:") {
		return fmt.Errorf("--device %q: use auto, cpu, cuda or cuda:N", e.Device)
	}
	if !slices.Contains([]string{"", "auto"}, e.DType) && e.LoadFormat != "dummy" {
		return fmt.Errorf("--dtype %q: weights keep the type of the file; use auto", e.DType)
	}
	if _, err := e.adapters(); err != nil {
		return err
	}
	if !slices.Contains([]string{"", "lru", "fifo"}, e.LoRAEviction) {
		return fmt.Errorf("--lora-eviction-policy %q: use lru or fifo", e.LoRAEviction)
	}
	if err := parse.CheckReasoning(e.ReasoningParser); err != nil {
		return fmt.Errorf("--reasoning-parser: %w", err)
	}
	if err := parse.CheckToolCalls(e.ToolCallParser); err != nil {
		return fmt.Errorf("--tool-call-parser: %w", err)
	}
	for name, v := range map[string]int{
		"context-length": e.ContextLength, "max-running-requests": e.MaxRunning, "max-queued-requests": e.MaxQueued,
		"max-total-tokens": e.MaxTotalTokens, "page-size": e.PageSize, "max-prefill-tokens": e.MaxPrefillTokens, "threads": e.Threads,
		"max-lora-rank": e.MaxLoRARank, "max-loras-per-batch": e.MaxLoRABatch, "max-loaded-loras": e.MaxLoRALoaded,
	} {
		if v < 0 {
			return fmt.Errorf("--%s %d: must not be negative", name, v)
		}
	}
	return nil
}

// Level reads a log level as SGLang spells them.
func Level(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warning", "warn":
		return slog.LevelWarn, nil
	case "error", "critical":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("--log-level %q: use debug, info, warning or error", s)
}

// adapters are those of --lora-paths in its three forms.
func (e *EngineFlags) adapters() (list []engine.AdapterSpec, err error) {
	for _, p := range e.LoRAPaths {
		var a engine.AdapterSpec
		name, path, named := strings.Cut(p, "=")
		switch {
		case strings.HasPrefix(strings.TrimSpace(p), "{"):
			var q struct {
				Name   string `json:"lora_name"`
				Path   string `json:"lora_path"`
				Pinned bool   `json:"pinned"`
			}
			if err := json.Unmarshal([]byte(p), &q, json.RejectUnknownMembers(true)); err != nil {
				return nil, fmt.Errorf("--lora-paths %s: %w", p, err)
			}
			a = engine.AdapterSpec{Name: q.Name, Path: q.Path, Pinned: q.Pinned}
		case named:
			a = engine.AdapterSpec{Name: name, Path: path}
		default:
			a = engine.AdapterSpec{Name: p, Path: p}
		}
		if a.Path == "" || named && a.Name == "" {
			return nil, fmt.Errorf("--lora-paths %q: give PATH, NAME=PATH or JSON with lora_name and lora_path", p)
		}
		list = append(list, a)
	}
	return list, nil
}

// Options translates the flags for engine/local.
func (e *EngineFlags) Options(log *slog.Logger) local.Options {
	o := local.Options{
		ModelPath: e.Model, AllowDownload: true, TokenizerPath: e.Tokenizer, LoadFormat: e.LoadFormat, ChatTemplate: e.ChatTemplate,
		ReasoningParser: e.ReasoningParser, ToolCallParser: e.ToolCallParser,
		Device: e.Device, ContextLength: e.ContextLength, MaxRunningRequests: e.MaxRunning, MaxQueuedRequests: e.MaxQueued,
		MaxTotalTokens: e.MaxTotalTokens, PageTokens: e.PageSize, ChunkedPrefillSize: e.ChunkedPrefill,
		MaxPrefillTokens: e.MaxPrefillTokens, DisableRadixCache: e.DisableRadixCache, Threads: e.Threads,
		AutoTruncate: e.AutoTruncate, SkipTokenizer: e.SkipTokenizer,
		EnableLoRA: e.EnableLoRA, LoRADir: e.LoRADir, LoRAEviction: e.LoRAEviction, MaxLoRARank: e.MaxLoRARank,
		MaxAdaptersPerBatch: e.MaxLoRABatch, MaxLoadedAdapters: e.MaxLoRALoaded,
		RandomSeed: e.RandomSeed, DType: e.DType, Logger: log,
	}
	o.Adapters, _ = e.adapters() // Check has seen them
	for name := range strings.SplitSeq(e.ServedName, ",") {
		if name = strings.TrimSpace(name); name != "" {
			o.ServedNames = append(o.ServedNames, name)
		}
	}
	return o
}
