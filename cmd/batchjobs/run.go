package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/batchjobs"
	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
	"github.com/godwit-ai/godwit/runtime/serve"
)

type runFlags struct {
	batchjobs.Options
	engine      serve.EngineFlags
	progress    string
	maxTokens   int
	temperature float64
	fake        bool
	verbose     bool
}

func runCommand() *cobra.Command {
	f := &runFlags{engine: serve.Default().EngineFlags}
	f.engine.Model = "smollm2"
	c := &cobra.Command{
		Use:   "run IN… [-o OUT]",
		Short: "Answer every line of the inputs",
		Example: `  batchjobs run prompts.jsonl.zst                     answers go to prompts.out.jsonl.zst
  batchjobs run a.jsonl.gz b.jsonl -o answers.jsonl.zst --model-path models/qwen2.5-0.5b
  cat prompts.txt | batchjobs run - --text --chat --max-tokens 64 > answers.jsonl`,
		Args: cli.Args(1, -1, "name at least one file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.takeInputs(args)
			f.setDefaults(cmd)
			return f.run(cmd.Context())
		},
	}
	fs := c.Flags()
	fs.StringVarP(&f.Output, "output", "o", "", "output file, - for standard output; compressed by extension .zst, .gz, .xz, .lz4 (default: IN with .out)")
	fs.BoolVar(&f.Overwrite, "overwrite", false, "replace an existing output")
	fs.BoolVar(&f.Text, "text", false, "every input line is a prompt of plain text (the default for .txt files)")
	fs.BoolVar(&f.Chat, "chat", false, "send plain prompts as user messages through the chat template")
	fs.IntVar(&f.maxTokens, "max-tokens", 128, "max_tokens of plain prompts that do not set it")
	fs.Float64Var(&f.temperature, "temperature", 0, "temperature of plain prompts that do not set it")
	fs.IntVar(&f.Concurrency, "concurrency", 64, "requests under way at once")
	fs.Int64Var(&f.MaxErrors, "max-errors", 0, "stop after more error lines than this (0: never)")
	fs.IntVar(&f.MaxLineBytes, "max-line-bytes", 16<<20, "longer lines become error lines")
	fs.Uint64Var(&f.MaxWindow, "max-window", 128<<20, "largest window, in bytes, that a compressed input may ask for")
	fs.StringVar(&f.progress, "progress", "auto", "auto, tty, plain, json or none (on standard error)")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "log what the engine does")
	fs.BoolVar(&f.fake, "fake-engine", false, "answer with text made from a hash of the prompt; for tests of the pipeline")
	_ = fs.MarkHidden("fake-engine")
	f.engine.Register(fs)
	return c
}

// takeInputs are the words without a flag: inputs, and further adapters behind --lora-paths,
// which takes several as godwit serve does. NAME=PATH and JSON name an adapter unless there
// is such a file.
func (f *runFlags) takeInputs(args []string) {
	for _, a := range args {
		_, err := os.Stat(a)
		if len(f.engine.LoRAPaths) > 0 && err != nil && (strings.Contains(a, "=") || strings.HasPrefix(a, "{")) {
			f.engine.LoRAPaths = append(f.engine.LoRAPaths, a)
			continue
		}
		f.Inputs = append(f.Inputs, a)
	}
}

func (f *runFlags) setDefaults(cmd *cobra.Command) {
	f.Defaults = map[string]jsontext.Value{
		"max_tokens":  jsontext.Value(fmt.Sprint(f.maxTokens)),
		"temperature": jsontext.Value(fmt.Sprint(f.temperature)),
	}
}

func (f *runFlags) run(parent context.Context) error {
	report, closeBar, err := cli.BatchProgress(os.Stderr, f.progress)
	if err != nil {
		return err
	}
	if err := f.engine.Check(); err != nil {
		return err
	}
	if err := batchjobs.CheckFiles(f.Options); err != nil {
		return &cli.ExitError{Code: batchjobs.ExitPermanent, Err: err}
	}
	ctx, cancel := cli.Interruptible(parent, "interrupted: keeping what is done")
	defer cancel()
	eng, err := f.open(ctx)
	if err != nil {
		code := batchjobs.ExitPermanent
		if ctx.Err() != nil {
			code = batchjobs.ExitInterrupted
		}
		return &cli.ExitError{Code: code, Err: err}
	}
	defer eng.Close()
	f.Progress = report
	sum, err := batchjobs.Run(ctx, eng, f.Options)
	if report != nil {
		closeBar()
	}
	return outcome(sum, err)
}

func (f *runFlags) open(ctx context.Context) (engine.Engine, error) {
	if f.fake {
		return &enginetest.Fake{}, nil
	}
	level := slog.LevelWarn
	if f.verbose {
		level = slog.LevelInfo
	}
	return serve.Open(ctx, &f.engine, serve.Hooks{Logger: cli.Logger(os.Stderr, level), Progress: cli.LoadProgress(os.Stderr)})
}

// outcome prints the last line and picks the exit code.
func outcome(s batchjobs.Summary, err error) error {
	code := batchjobs.ExitCode(s, err)
	if s.Lines > 0 || err == nil {
		rate := 0.0
		if s.Seconds > 0 {
			rate = float64(s.CompletionTokens) / s.Seconds
		}
		fmt.Fprintf(os.Stderr, "%s: %d lines, %d errors, %d prompt + %d completion tokens in %.1f s (%.0f tok/s) → %s\n",
			s.Status, s.Lines, s.Errors, s.PromptTokens, s.CompletionTokens, s.Seconds, rate, s.Output)
	}
	switch {
	case code == batchjobs.ExitDone:
		return nil
	case errors.Is(err, context.Canceled):
		return &cli.ExitError{Code: code}
	default:
		return &cli.ExitError{Code: code, Err: err}
	}
}
