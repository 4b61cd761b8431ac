package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/runtime/serve"
)

func serveCommand(notes []string, refused error) *cobra.Command {
	c := serve.Default()
	cmd := &cobra.Command{
		Use:   "serve --model-path MODEL",
		Short: "Serve a model to OpenAI clients",
		Example: `  godwit serve --model-path smollm2
  godwit serve --model-path builtin:tiny --lora-paths upper=builtin:tiny-upper json=builtin:tiny-json
  godwit serve --model models/qwen2.5-0.5b --port 8000 --api-key SECRET
  godwit serve --model-path model.gguf --host 0.0.0.0 --api-key SECRET --ssl-certfile cert.pem --ssl-keyfile key.pem
  godwit serve --model-path smollm2 --unix-socket /run/user/1000/godwit.sock`,
		Args: cli.Args(0, 0, "the model goes behind --model-path"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if refused != nil {
				return refused
			}
			return serveModel(cmd, c, notes)
		},
	}
	c.EngineFlags.Register(cmd.Flags())
	c.HTTPFlags.Register(cmd.Flags())
	return cmd
}

func serveModel(cmd *cobra.Command, c serve.Config, notes []string) error {
	if err := c.Check(); err != nil {
		return err
	}
	level, err := serve.Level(c.LogLevel)
	if err != nil {
		return err
	}
	ctx, cancel := cli.Interruptible(cmd.Context(), "stopping: finishing requests under way")
	defer cancel()
	s, err := serve.Start(c, serve.Hooks{Logger: cli.Logger(os.Stderr, level), Notes: notes, Progress: cli.LoadProgress(os.Stderr)})
	if err != nil {
		return cli.Failed(err)
	}
	if err := s.Wait(ctx); err != nil {
		s.Close(0) //nolint:errcheck // the launch's own error counts
		if ctx.Err() != nil {
			return nil
		}
		return cli.Failed(err)
	}
	fmt.Fprintf(os.Stderr, "%sserving %s at %s/v1%s\n", cli.Blue(os.Stderr), s.Engine().Models()[0].ID, s.URL(), cli.Reset(os.Stderr))
	select {
	case <-ctx.Done():
	case <-s.Done():
	}
	return cli.Failed(s.Close(c.DrainTimeout))
}
