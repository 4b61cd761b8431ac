package main

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/engine/device/cpu"
	"github.com/godwit-ai/godwit/engine/device/cuda"
	"github.com/godwit-ai/godwit/engine/hub"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/weights"
	"github.com/godwit-ai/godwit/runtime/serve"
)

func pullCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "pull NAME",
		Short:   "Fetch a model into the user's cache and print its path",
		Example: "  godwit pull smollm2",
		Args:    cli.Args(1, 1, "name one model, for example smollm2"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := resolve(cmd, args[0])
			if err != nil {
				return cli.Failed(err)
			}
			fmt.Println(path)
			return nil
		},
	}
}

func resolve(cmd *cobra.Command, name string) (string, error) {
	show := cli.LoadProgress(os.Stderr)
	return hub.Resolve(cmd.Context(), name, hub.Options{AllowDownload: true, Progress: func(p hub.Progress) {
		show(serve.Progress{Stage: p.Model + ": " + p.Stage, Done: p.Done, Total: p.Total, Bytes: true})
	}})
}

func modelCommand() *cobra.Command {
	var program bool
	info := &cobra.Command{
		Use:     "info MODEL",
		Short:   "Show what a model file or folder holds",
		Example: "  godwit model info smollm2\n  godwit model info --program model.gguf",
		Args:    cli.Args(1, 1, "name one model, for example smollm2"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := resolve(cmd, args[0])
			if err != nil {
				return cli.Failed(err)
			}
			return cli.Failed(showModel(path, program))
		},
	}
	info.Flags().BoolVar(&program, "program", false, "print the program that devices execute")
	c := &cobra.Command{Use: "model", Short: "Look at models", Args: cobra.NoArgs}
	list := &cobra.Command{Use: "list", Short: "List the models that can be fetched by name", Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {
		for _, k := range hub.KnownModels() {
			fmt.Printf("%-12s %s, %d MB, %s\n", k.Name, k.Title, k.Bytes/1e6, k.License)
		}
	}}
	c.AddCommand(info, list)
	return c
}

func showModel(path string, program bool) error {
	ck, err := weights.Open(path)
	if err != nil {
		return err
	}
	defer ck.Close()
	p, err := model.Build(ck.Config())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if program {
		fmt.Print(p)
		return nil
	}
	types := map[string]int{}
	params := 0
	for _, name := range ck.Names() {
		t, err := ck.Tensor(name)
		if err != nil {
			return err
		}
		types[t.Type.String()]++
		n := 1
		for _, d := range t.Shape {
			n *= d
		}
		params += n
	}
	fmt.Printf("path        %s\narch        %s\nparameters  %.1f M in %d tensors (%s)\nbytes       %.1f MB\nlayers      %d, hidden %d, vocabulary %d\ncontext     %d tokens\nKV cache    %d bytes per token in float32\n",
		path, p.Arch, float64(params)/1e6, len(ck.Names()), counts(types), float64(ck.Bytes())/1e6, p.Layers, p.Hidden, p.Vocab, p.ContextLen, 4*p.KVFloats())
	return nil
}

// counts is "61 F32, 210 Q4_1".
func counts(types map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(types)) {
		parts = append(parts, fmt.Sprintf("%d %s", types[name], name))
	}
	return strings.Join(parts, ", ")
}

func deviceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "device",
		Short: "List what this build can compute on",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d, err := cpu.New(cpu.Options{})
			if err != nil {
				return cli.Failed(err)
			}
			defer d.Close()
			fmt.Printf("%s  %s (%d cores)\n", d.Name(), d.Info(), runtime.NumCPU())
			gpus, err := cuda.List()
			if err != nil {
				fmt.Printf("cuda  not usable: %v\n", err)
				return nil
			}
			for _, line := range gpus {
				fmt.Println(line)
			}
			return nil
		},
	}
}
