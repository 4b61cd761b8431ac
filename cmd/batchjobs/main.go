// Command batchjobs answers files of prompts: JSON lines in, answers out, any
// compression, input order, one output line per input line.
package main

import (
	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/batchjobs"
	"github.com/godwit-ai/godwit/cmd/internal/cli"
)

func main() {
	root := &cobra.Command{
		Use:   "batchjobs",
		Short: "Answer files of prompts with a model on this machine",
		Long: `batchjobs answers files of prompts with a model on this machine.

Input lines are OpenAI batch lines (custom_id, method, url, body) or plain prompts
({"prompt": …}, {"messages": …} or a JSON string). Files may be compressed with zstd,
gzip, bzip2, xz, lz4 or snappy. A bad line becomes an error line; it never stops the job.

Exit codes: 0 done · 3 done, with error lines · 42 bad configuration or damaged input ·
75 interrupted or the output's storage failed: run it again.`,
		Args: cobra.NoArgs,
	}
	root.AddCommand(runCommand(), catCommand(), checkCommand())
	cli.Main(root, batchjobs.ExitPermanent)
}
