// Command godwit makes a notebook, a script or a terminal an LLM workstation: it
// serves models to OpenAI clients, runs Go cells for Jupyter, and runs scripts.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/runtime/serve"
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
	args, notes, refused := sglangFlags(os.Args[1:])
	root.SetArgs(args)
	root.AddCommand(commands(notes, refused)...)
	cli.Main(root, 2)
}

// commands are all there are; notes and refused are what sglangFlags has for serve.
func commands(notes []string, refused error) []*cobra.Command {
	return []*cobra.Command{serveCommand(notes, refused), chatCommand(), runCommand(), replCommand(), kernelCommand(), pullCommand(), modelCommand(), deviceCommand(),
		benchCommand(), versionCommand()}
}

// sglangFlags prepares the command line of serve, which accepts the flags of SGLang's
// server: those without effect become notes for the log, and a flag that asks for what
// is not there is the error that serve reports.
func sglangFlags(args []string) (rest, notes []string, refused error) {
	if len(args) == 0 || args[0] != "serve" {
		return args, nil, nil
	}
	rest, notes, refused = serve.Screen(args)
	if refused != nil {
		rest = args[:1]
	}
	return rest, notes, refused
}
