package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/runtime/bench"
)

// benchFlags are what all benchmarks of a model have in common.
type benchFlags struct {
	bench.Options
	json    string
	verbose bool
}

func (f *benchFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.Model, "model-path", "", "model: a file, a folder, a name such as smollm2, or one of "+strings.Join(model.BuiltInNames(), ", ")+" with random weights (default Qwen2.5-0.5B)")
	fs.StringVar(&f.LoadFormat, "load-format", "auto", "auto, gguf, safetensors or dummy (random weights from a config.json or a built-in name)")
	fs.StringVar(&f.DType, "dtype", "auto", "type of dummy weights (default bf16)")
	fs.StringVar(&f.Device, "device", "auto", "auto, cpu, cuda or cuda:N")
	fs.IntVar(&f.Threads, "threads", 0, "CPU threads (default: one per core)")
	fs.IntVar(&f.Repeat, "repeat", 3, "measurements of each row; the median counts")
	fs.IntVar(&f.ChunkedPrefill, "chunked-prefill-size", 0, "prompt tokens per step (default: automatic, 16384 on a GPU)")
	fs.IntVar(&f.MaxTotalTokens, "max-total-tokens", 0, "tokens in the KV cache (default: what the benchmark needs)")
	fs.BoolVar(&f.NoCeilings, "no-limits", false, "do not measure the device's limits first")
	fs.StringVar(&f.json, "json", "", "write the figures to this file (- is standard output)")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "log what the engine does")
}

// prepare checks the flags and fills in what they leave open.
func (f *benchFlags) prepare() error {
	if f.Repeat < 1 || f.Repeat > 1000 {
		return fmt.Errorf("--repeat %d: give 1 to 1000", f.Repeat)
	}
	if f.Threads < 0 || f.ChunkedPrefill < 0 || f.MaxTotalTokens < 0 {
		return errors.New("--threads, --chunked-prefill-size and --max-total-tokens must not be negative")
	}
	if f.Model == "" {
		f.Model = model.BuiltInNames()[0]
	}
	if f.LoadFormat == "auto" {
		if _, ok := model.BuiltIn(f.Model); ok && !exists(f.Model) {
			f.LoadFormat = "dummy"
		}
	}
	if f.LoadFormat != "dummy" && f.DType != "auto" && f.DType != "" {
		return errors.New("--dtype chooses the type of dummy weights; stored ones keep theirs")
	}
	level := slog.LevelWarn
	if f.verbose {
		level = slog.LevelDebug
	}
	f.Logger = cli.Logger(os.Stderr, level)
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// run measures until the end or the first interrupt and shows what there is.
func (f *benchFlags) run(cmd *cobra.Command, measure func(context.Context) (*bench.Report, error)) error {
	if err := f.prepare(); err != nil {
		return err
	}
	ctx, cancel := cli.Interruptible(cmd.Context(), "stopping the benchmark")
	defer cancel()
	show, clear := cli.BenchProgress(os.Stderr)
	f.Progress = show
	start := time.Now()
	r, err := measure(ctx)
	clear()
	return finishBench(r, err, f.json, time.Since(start))
}

// finishBench prints a report, also one that an error cut short.
func finishBench(r *bench.Report, err error, path string, took time.Duration) error {
	if r != nil && (len(r.Rows) > 0 || err == nil) {
		if path != "-" {
			if perr := r.Print(os.Stdout); perr != nil {
				return cli.Failed(perr)
			}
			fmt.Fprintf(os.Stderr, "%.1f s\n", took.Seconds())
		}
		if path != "" {
			if werr := r.WriteJSON(path); werr != nil {
				return cli.Failed(werr)
			}
		}
	}
	if errors.Is(err, context.Canceled) {
		return &cli.ExitError{Code: 130, Err: errors.New("stopped before the end")}
	}
	return cli.Failed(err)
}

func benchDecodeCommand() *cobra.Command {
	var f benchFlags
	var d bench.Decode
	cmd := &cobra.Command{
		Use:   "decode",
		Short: "Tokens per second of sequences that generate together",
		Long: `Tokens per second of sequences that generate together, for each batch and each context.

Prompts are random ids that the prefix cache holds already; the clock runs while all sequences
of a row generate. The limit of a row is the time in which the device could read the weights
once and the caches of all sequences.`,
		Example: `  godwit bench decode
  godwit bench decode --model-path smollm2 --device cpu --batch 1,4 --context 64
  godwit bench decode --model-path Llama-3.1-8B --batch 1 --json decode.json`,
		Args: cli.Args(0, 0, "rows are chosen with --batch and --context"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context) (*bench.Report, error) { return bench.DecodeBench(ctx, f.Options, d) })
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().IntSliceVar(&d.Batches, "batch", []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}, "sequences that generate together")
	cmd.Flags().IntSliceVar(&d.Contexts, "context", []int{128}, "tokens of each sequence at the start")
	cmd.Flags().IntVar(&d.Tokens, "tokens", 0, "tokens that each sequence generates (default 128; 32 on the processor)")
	cmd.Flags().Float32Var(&d.Temperature, "temperature", 0, "0 takes the likeliest token")
	return cmd
}

func benchPrefillCommand() *cobra.Command {
	var f benchFlags
	var prompts []string
	cmd := &cobra.Command{
		Use:   "prefill",
		Short: "Tokens per second of prompts, and the time to their first token",
		Long: `Tokens per second of prompts that no cache has seen, and the time from submitting them to the
first token, for each number and length of prompts.`,
		Example: `  godwit bench prefill
  godwit bench prefill --model-path smollm2 --device cpu --prompts 1x32,1x512
  godwit bench prefill --prompts 64x1024 --repeat 5`,
		Args: cli.Args(0, 0, "rows are chosen with --prompts"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var rows []bench.Prompts
			for _, s := range prompts {
				p, err := bench.ParsePrompts(s)
				if err != nil {
					return fmt.Errorf("--prompts: %w", err)
				}
				rows = append(rows, p)
			}
			return f.run(cmd, func(ctx context.Context) (*bench.Report, error) { return bench.PrefillBench(ctx, f.Options, rows) })
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().StringSliceVar(&prompts, "prompts", []string{"1x128", "1x1024", "4x1024", "16x1024", "64x1024"}, "number and length of prompts")
	return cmd
}

func benchOfflineCommand() *cobra.Command {
	var f benchFlags
	o := bench.Offline{Temperature: 0.6}
	cmd := &cobra.Command{
		Use:   "offline",
		Short: "nano-vllm's workload: 256 requests at once",
		Long: `The workload of nano-vllm's benchmark: 256 requests of 100 to 1024 random ids are submitted at
once and generate 100 to 1024 tokens each, whatever they are. Lengths and ids are those that
Python draws with random.seed(0). The result is output tokens per second.`,
		Example: `  godwit bench offline
  godwit bench offline --model-path Qwen3-0.6B --repeat 5
  godwit bench offline --model-path smollm2 --device cpu --sequences 16 --repeat 1`,
		Args: cli.Args(0, 0, "the workload is fixed but for --sequences and --seed"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Sequences < 1 || o.Sequences > 1<<16 {
				return fmt.Errorf("--sequences %d: give 1 to 65536", o.Sequences)
			}
			return f.run(cmd, func(ctx context.Context) (*bench.Report, error) { return bench.OfflineBench(ctx, f.Options, o) })
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().IntVar(&o.Sequences, "sequences", 256, "requests; 256 is the published workload")
	cmd.Flags().Uint32Var(&o.Seed, "seed", 0, "of Python's generator")
	cmd.Flags().Float32Var(&o.Temperature, "temperature", o.Temperature, "0 takes the likeliest token")
	return cmd
}
