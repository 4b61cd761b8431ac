// Command godwit makes a notebook, a script or a terminal an LLM workstation: it
// serves models to OpenAI clients, runs Go cells for Jupyter, and runs scripts.
package main

import (
	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
)

func main() {
	root := &cobra.Command{
		Use:   "godwit",
		Short: "Serve a model, run Go notebooks, chat: one program",
		Long: `godwit serves a language model to OpenAI clients, runs Go cells for Jupyter with the
model inside the same process, and runs Go scripts that use it. Files of prompts are
answered by its sister command batchjobs.

Exit codes: 0 done · 1 the work failed · 2 wrong flags or arguments · 130 stopped twice.`,
		Args: cobra.NoArgs,
	}
	root.AddCommand(serveCommand(), chatCommand(), runCommand(), kernelCommand(), pullCommand(), modelCommand(), deviceCommand())
	cli.Main(root, 2)
}
