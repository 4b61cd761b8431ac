package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/batchjobs"
	"github.com/godwit-ai/godwit/cmd/internal/cli"
)

func catCommand() *cobra.Command {
	var limit int
	var raw bool
	c := &cobra.Command{
		Use:   "cat FILE…",
		Short: "Print the answers in output files (any compression)",
		Example: `  batchjobs cat prompts.out.jsonl.zst
  batchjobs cat -n 3 prompts.out.jsonl.zst
  batchjobs cat --raw prompts.out.jsonl.zst | jq .custom_id`,
		Args: cli.Args(1, -1, "name at least one file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n := 0
			err := batchjobs.Each(args, os.Stdin, func(line []byte) bool {
				if limit > 0 && n == limit {
					return false
				}
				n++
				if raw {
					fmt.Printf("%s\n", line)
					return true
				}
				a := batchjobs.ReadAnswer(line)
				fmt.Printf("%s%s%s\n%s\n\n", cli.Blue(os.Stdout), a.Title, cli.Reset(os.Stdout), a.Text)
				return true
			})
			if err != nil {
				return &cli.ExitError{Code: batchjobs.ExitPermanent, Err: err}
			}
			return nil
		},
	}
	c.Flags().IntVarP(&limit, "limit", "n", 0, "print only so many answers")
	c.Flags().BoolVar(&raw, "raw", false, "print the lines as they are")
	return c
}

func checkCommand() *cobra.Command {
	var o batchjobs.Options
	c := &cobra.Command{
		Use:     "check IN…",
		Short:   "Read the inputs and list bad lines, without a model",
		Example: `  batchjobs check prompts.jsonl.zst`,
		Args:    cli.Args(1, -1, "name at least one file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Inputs = args
			lines, bad, err := batchjobs.Check(o, func(where string, e *batchjobs.LineError) {
				fmt.Printf("%s: %s\n", where, e)
			})
			fmt.Fprintf(os.Stderr, "%d lines, %d bad\n", lines, bad)
			switch {
			case err != nil:
				return &cli.ExitError{Code: batchjobs.ExitPermanent, Err: err}
			case bad > 0:
				return &cli.ExitError{Code: batchjobs.ExitErrorLines}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&o.Text, "text", false, "every input line is a prompt of plain text")
	c.Flags().BoolVar(&o.Chat, "chat", false, "plain prompts are user messages")
	c.Flags().IntVar(&o.MaxLineBytes, "max-line-bytes", 16<<20, "longer lines are bad")
	c.Flags().Uint64Var(&o.MaxWindow, "max-window", 128<<20, "largest window, in bytes, that a compressed input may ask for")
	return c
}
