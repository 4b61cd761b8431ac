package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat/parse"
	"github.com/godwit-ai/godwit/runtime/serve"
)

func chatCommand() *cobra.Command {
	e := serve.Default().EngineFlags
	e.Model = "smollm2"
	var system string
	s := engine.Sampling{MaxTokens: 512}
	cmd := &cobra.Command{
		Use:   "chat [QUESTION…]",
		Short: "Talk to a model in the terminal",
		Example: `  godwit chat
  godwit chat "List 3 countries and their capitals."
  godwit chat --model-path model.gguf --system "Answer in French."`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := cli.Interruptible(cmd.Context(), "stopping")
			defer cancel()
			eng, err := serve.Open(ctx, &e, serve.Hooks{Logger: cli.Logger(os.Stderr, slog.LevelWarn), Progress: cli.LoadProgress(os.Stderr)})
			if err != nil {
				return cli.Failed(err)
			}
			defer eng.Close()
			t := &talk{eng: eng, sampling: s, out: os.Stdout, thinking: os.Stderr}
			if system != "" {
				t.turns = append(t.turns, engine.Message{Role: "system", Content: system})
			}
			if len(args) > 0 {
				return cli.Failed(t.say(ctx, strings.Join(args, " ")))
			}
			return cli.Failed(t.loop(ctx, os.Stdin))
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&system, "system", "", "system message")
	fs.IntVar(&s.MaxTokens, "max-tokens", s.MaxTokens, "longest answer, in tokens")
	fs.Float32Var(&s.Temperature, "temperature", 0, "0 is greedy")
	fs.Float32Var(&s.TopP, "top-p", 1, "nucleus sampling")
	e.Register(fs)
	return cmd
}

// talk is one conversation.
type talk struct {
	eng      engine.Engine
	sampling engine.Sampling
	turns    []engine.Message
	out      io.Writer
	thinking io.Writer // with a reasoning parser: what comes before the answer
}

func (t *talk) loop(ctx context.Context, in io.Reader) error {
	fmt.Fprintln(os.Stderr, "Type a message; /clear forgets the conversation, /exit or Ctrl-D ends it.")
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 8<<20)
	for {
		fmt.Fprint(os.Stderr, "> ")
		if !lines.Scan() || ctx.Err() != nil {
			fmt.Fprintln(os.Stderr)
			return lines.Err()
		}
		switch text := strings.TrimSpace(lines.Text()); text {
		case "":
		case "/exit":
			return nil
		case "/clear":
			t.turns = nil
		default:
			if err := t.say(ctx, text); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				fmt.Fprintln(os.Stderr, "godwit:", err)
			}
		}
	}
}

func (t *talk) say(ctx context.Context, text string) error {
	turns := append(t.turns, engine.Message{Role: "user", Content: text})
	s, err := parse.Generate(ctx, t.eng, &engine.Request{Messages: turns, Sampling: t.sampling, SkipSpecialTokens: true})
	if err != nil {
		return err
	}
	var answer, thoughts strings.Builder
	for ev, err := range s.All() {
		if err != nil {
			return err
		}
		if ev.Reasoning != "" {
			thoughts.WriteString(ev.Reasoning)
			fmt.Fprint(t.thinking, ev.Reasoning)
		}
		if ev.Text != "" && answer.Len() == 0 && thoughts.Len() > 0 {
			fmt.Fprint(t.thinking, "\n\n")
		}
		answer.WriteString(ev.Text)
		fmt.Fprint(t.out, ev.Text)
	}
	fmt.Fprintln(t.out)
	t.turns = append(turns, engine.Message{Role: "assistant", Content: answer.String(), Reasoning: thoughts.String()})
	return nil
}
