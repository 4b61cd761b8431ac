package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/runtime/bench"
)

// serveBench are the flags of bench serve.
type serveBench struct {
	benchFlags
	load     bench.Load
	trace    string
	requests int
	rate     float64
	in, out  int
	vary     bool
	fake     bool
	interval int
	storm    bench.Storm
}

func benchServeCommand() *cobra.Command {
	f := serveBench{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "What clients of a server see: time to first token, between tokens, to the end",
		Long: `What clients of a server see under an open-loop load: requests are sent at their times, whatever
has become of those before, and read as streams. The times come from a trace (lines of time,
prompt tokens, generated tokens), or from --rate; without either all are sent at once.

Without --base-url the model is loaded here and served on a loopback port. With it any server that
has OpenAI's routes is measured in the same way; prompts are token ids unless --text or --chat.

With --fake a scripted engine is served by a process of its own, and the table shows what serving
alone costs per streamed token, and what is left in memory afterwards.`,
		Example: `  godwit bench serve --model-path smollm2 --requests 32 --rate 4
  godwit bench serve --trace azure-llm-2023-conv.csv --requests 500 --speed 4
  godwit bench serve --base-url http://127.0.0.1:8000 --model-name NAME --requests 100 --rate 10
  godwit bench serve --fake --streams 200,1000`,
		Args: cli.Args(0, 0, "the load is chosen with flags"),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.start(cmd) },
	}
	f.register(cmd.Flags())
	fs := cmd.Flags()
	fs.StringVar(&f.load.Target.URL, "base-url", "", "measure this server instead of an own one")
	fs.StringVar(&f.load.Target.Model, "model-name", "", "model in requests (default: the server's first)")
	fs.StringVar(&f.load.Target.Key, "api-key", "", "key of the server")
	fs.BoolVar(&f.load.Target.Chat, "chat", false, "chat completions with prompts of words instead of completions")
	fs.BoolVar(&f.load.Target.Text, "text", false, "prompts of words instead of token ids")
	fs.IntVar(&f.load.Target.Vocab, "vocab", 10000, "ids of prompts are below this")
	fs.Float64Var(&f.load.Target.Temperature, "temperature", 0, "of the requests")
	fs.DurationVar(&f.load.Target.Timeout, "timeout", 10*time.Minute, "of one request")
	fs.StringVar(&f.trace, "trace", "", "file with arrivals: time, prompt tokens, generated tokens")
	fs.Float64Var(&f.load.Speed, "speed", 1, "of the trace; 2 is twice as fast")
	fs.IntVar(&f.requests, "requests", 0, "how many (default 64; all of a trace)")
	fs.Float64Var(&f.rate, "rate", 0, "requests per second, with random gaps (default: all at once)")
	fs.IntVar(&f.in, "input", 256, "prompt tokens, without a trace")
	fs.IntVar(&f.out, "output", 64, "generated tokens, without a trace")
	fs.BoolVar(&f.vary, "vary", false, "let lengths vary by a quarter to both sides")
	fs.IntVar(&f.load.MaxIn, "max-input", 0, "cut longer prompts (default: those beyond the context)")
	fs.IntVar(&f.load.MaxOut, "max-output", 0, "cut longer answers (default: those beyond half of the context)")
	fs.IntVar(&f.load.Concurrency, "max-concurrency", 0, "requests under way at most; then the load is not open-loop any more")
	fs.BoolVar(&f.fake, "fake", false, "serve a scripted engine and measure the cost of serving")
	fs.IntSliceVar(&f.storm.Streams, "streams", []int{200, 1000}, "with --fake: streams at once")
	fs.IntVar(&f.storm.Tokens, "tokens", 200, "with --fake: tokens of each stream")
	fs.IntVar(&f.storm.Rate, "token-rate", 20000, "with --fake: tokens per second of all streams together")
	fs.IntVar(&f.interval, "stream-interval", 1, "with --fake: tokens of a stream per write, as of the server's flag")
	fs.BoolVar(&f.storm.Own, "own-times", false, "with --fake: each stream has its tokens at its own times, not all with the engine's step")
	fs.DurationVar(&f.storm.For, "for", 0, "with --fake: repeat each row for so long")
	cmd.AddCommand(benchFakeCommand())
	return cmd
}

func (f *serveBench) start(cmd *cobra.Command) error {
	if f.fake {
		exe, err := os.Executable()
		if err != nil {
			return cli.Failed(err)
		}
		for _, n := range f.storm.Streams {
			if n < 1 || n > 20000 {
				return fmt.Errorf("--streams %d: give 1 to 20000", n)
			}
		}
		f.storm.Child = []string{exe, "bench", "serve", "fake-server", "--stream-interval", strconv.Itoa(f.interval)}
		return f.run(cmd, func(ctx context.Context) (*bench.Report, error) { return bench.StormBench(ctx, f.storm, f.Progress) })
	}
	if err := f.arrivals(); err != nil {
		return err
	}
	return f.run(cmd, func(ctx context.Context) (*bench.Report, error) { return bench.ServeBench(ctx, f.Options, f.load) })
}

// arrivals reads the trace or draws them.
func (f *serveBench) arrivals() error {
	switch {
	case f.requests < 0 || f.requests > 1<<20:
		return fmt.Errorf("--requests %d: give 1 to %d", f.requests, 1<<20)
	case f.rate < 0 || f.load.Speed <= 0:
		return errors.New("--rate must not be negative and --speed must be above 0")
	case f.in < 1 || f.out < 2:
		return errors.New("--input must be at least 1 and --output at least 2")
	}
	if f.trace == "" {
		n := f.requests
		if n == 0 {
			n = 64
		}
		f.load.Arrivals = bench.Poisson(n, f.rate, f.in, f.out, f.vary, 0)
		return nil
	}
	if f.rate > 0 {
		return errors.New("--trace and --rate exclude each other: a trace has its own times (see --speed)")
	}
	src, err := os.Open(f.trace)
	if err != nil {
		return cli.Failed(err)
	}
	defer src.Close()
	if f.load.Arrivals, err = bench.ParseTrace(src, f.requests); err != nil {
		return cli.Failed(fmt.Errorf("%s: %w", f.trace, err))
	}
	return nil
}

// benchFakeCommand is the other process of bench serve --fake.
func benchFakeCommand() *cobra.Command {
	interval := 1
	cmd := &cobra.Command{Use: "fake-server", Hidden: true, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return cli.Failed(bench.ServeFake(cmd.Context(), os.Stdin, os.Stdout, interval))
	}}
	cmd.Flags().IntVar(&interval, "stream-interval", interval, "")
	return cmd
}

func benchStartCommand() *cobra.Command {
	var f benchFlags
	var s bench.Start
	var overHTTP bool
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Processes from their start to their first token",
		Long: `Starts processes of this program that open the model and generate one token, and shows when they
got how far: the program's own code runs, the device is open, the weights are loaded, step sizes
are captured, the engine is ready, the first token is there. Random weights are written to a
temporary folder first, so that there is something to load.`,
		Example: `  godwit bench start --model-path smollm2
  godwit bench start --model-path Qwen2.5-0.5B --cold --runs 9`,
		Args: cli.Args(0, 0, "the model goes behind --model-path"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.Runs < 1 || s.Runs > 1000 || s.Prompt < 1 {
				return errors.New("--runs must be 1 to 1000 and --prompt at least 1")
			}
			exe, err := os.Executable()
			if err != nil {
				return cli.Failed(err)
			}
			s.Child = []string{exe, "bench", "start", "first-token"}
			if overHTTP {
				s.Serve = []string{exe, "serve", "--log-level", "warning"}
			}
			return f.run(cmd, func(ctx context.Context) (*bench.Report, error) { return bench.StartBench(ctx, f.Options, s) })
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().IntVar(&s.Runs, "runs", 5, "processes of each kind; the median counts")
	cmd.Flags().IntVar(&s.Prompt, "prompt", 30, "tokens of the prompt")
	cmd.Flags().BoolVar(&s.Cold, "cold", false, "also with the model's files out of the page cache")
	cmd.Flags().BoolVar(&overHTTP, "http", true, "also from the start of godwit serve to the first token at a client")
	cmd.AddCommand(firstTokenCommand())
	return cmd
}

// firstTokenCommand is the child process of bench start.
func firstTokenCommand() *cobra.Command {
	var f benchFlags
	var prompt int
	var began int64
	cmd := &cobra.Command{Use: "first-token", Hidden: true, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := f.prepare(); err != nil {
			return err
		}
		return cli.Failed(bench.FirstToken(cmd.Context(), f.Options, prompt, time.Unix(0, began), os.Stdout))
	}}
	f.register(cmd.Flags())
	cmd.Flags().IntVar(&prompt, "prompt", 30, "")
	cmd.Flags().Int64Var(&began, "began", 0, "")
	cmd.SetOut(io.Discard)
	return cmd
}
