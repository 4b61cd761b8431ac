package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/runtime/bench"
)

func benchStructuredCommand() *cobra.Command {
	var f benchFlags
	var d bench.Structured
	cmd := &cobra.Command{
		Use:   "structured",
		Short: "What constraints cost: rows inside JSON schemas beside free ones",
		Long: `What constraints cost: tokens per second of rows that generate together, all of them free,
half of them inside JSON schemas, and all of them.

The schemas have no end. Forced tokens, where a schema leaves no choice, take no step of their
own; they are counted, and then left out. On a GPU the table shows too how long the device had
nothing to do because masks were not there. Random weights get a vocabulary that is made up.`,
		Example: `  godwit bench structured
  godwit bench structured --model-path smollm2 --device cpu --rows 16`,
		Args: cli.Args(0, 0, "rows are chosen with --rows"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context) (*bench.Report, error) { return bench.StructuredBench(ctx, f.Options, d) })
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().IntVar(&d.Rows, "rows", 128, "sequences that generate together")
	cmd.Flags().IntVar(&d.Steps, "steps", 192, "steps of a measurement")
	cmd.Flags().IntVar(&d.Context, "context", 128, "tokens of each prompt")
	cmd.Flags().Float32Var(&d.Temperature, "temperature", 0.6, "0 takes the likeliest token")
	cmd.Flags().StringVar(&d.Tokenizer, "tokenizer-path", "", "tokenizer: a folder or a GGUF file (default: the model's own)")
	return cmd
}

func benchPaceCommand() *cobra.Command {
	var f benchFlags
	var d bench.Pace
	cmd := &cobra.Command{
		Use:   "pace",
		Short: "Time between tokens of free streams, beside constrained ones and hostile schemas",
		Long: `Time between two tokens of streams without a constraint: beside streams of the same kind,
beside constrained ones, and while schemas that are made to be hard come one after the other.`,
		Example: "  godwit bench pace --model-path smollm2 --device cpu",
		Args:    cli.Args(0, 0, "streams are chosen with --streams and --others"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context) (*bench.Report, error) { return bench.PaceBench(ctx, f.Options, d) })
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().IntVar(&d.Streams, "streams", 4, "streams that are measured")
	cmd.Flags().IntVar(&d.Others, "others", 4, "streams beside them")
	cmd.Flags().IntVar(&d.Tokens, "tokens", 128, "tokens of each measured stream")
	cmd.Flags().IntVar(&d.Context, "context", 64, "tokens of each prompt")
	cmd.Flags().Float32Var(&d.Temperature, "temperature", 0.6, "0 takes the likeliest token")
	cmd.Flags().StringVar(&d.Tokenizer, "tokenizer-path", "", "tokenizer: a folder or a GGUF file (default: the model's own)")
	return cmd
}
