package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/runtime/serve"
)

func versionCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Show what this program was made from and the GPU driver that it finds",
		Example: "  godwit version\n  godwit version --json",
		Args:    cli.Args(0, 0, "version takes none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.Failed(tellVersion(cmd.OutOrStdout(), asJSON))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as one JSON object")
	return cmd
}

// about is what `godwit version --json` prints.
type about struct {
	serve.Build
	CUDA    string `json:"cuda_driver"` // "12.9"; "" where there is none
	CUDAWhy string `json:"cuda_error,omitempty"`
	GPUs    int    `json:"gpus"`
}

func tellVersion(w io.Writer, asJSON bool) error {
	a := about{Build: serve.ThisBuild()}
	a.look()
	if asJSON {
		b, err := json.MarshalIndent(a, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", b)
		return err
	}
	commit := a.Commit
	switch {
	case commit == "":
		commit = "not recorded"
	case a.Modified:
		commit += ", with changes"
	}
	if a.Time != "" {
		commit += " (" + a.Time + ")"
	}
	cuda := "none: " + a.CUDAWhy
	if a.CUDA != "" {
		cuda = fmt.Sprintf("driver for CUDA %s; GPUs: %d", a.CUDA, a.GPUs)
	}
	_, err := fmt.Fprintf(w, "godwit    %s\ncommit    %s\ngo        %s\nplatform  %s\ncuda      %s\n", a.Version, commit, a.Go, a.Platform, cuda)
	return err
}

// look asks the GPU driver. It makes no context.
func (a *about) look() {
	lib, err := driver.Open()
	if err != nil {
		a.CUDAWhy = err.Error()
		return
	}
	a.CUDA = fmt.Sprintf("%d.%d", lib.Version()/1000, lib.Version()%1000/10)
	if a.GPUs, err = lib.Count(); err != nil && !errors.Is(err, driver.ErrNoDevice) {
		a.CUDAWhy = err.Error()
	}
}
