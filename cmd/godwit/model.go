package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/engine/builtin"
	"github.com/godwit-ai/godwit/engine/device/cpu"
	"github.com/godwit-ai/godwit/engine/device/cuda"
	"github.com/godwit-ai/godwit/engine/hub"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/quant"
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
		Example: "  godwit model info builtin:tiny\n  godwit model info smollm2\n  godwit model info --program model.gguf",
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
	list := &cobra.Command{Use: "list", Short: "List the models that can be used by name", Example: "  godwit model list", Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {
		for _, k := range hub.KnownModels() {
			fmt.Printf("%-18s %s, %d MB, %s\n", k.Name, k.Title, k.Bytes/1e6, k.License)
		}
		for _, b := range builtin.List() {
			fmt.Printf("%-18s %s, %.1f MB, Apache-2.0\n", b.Name, b.Title, float64(b.Bytes)/1e6)
		}
	}}
	c.AddCommand(info, list, convertCommand())
	return c
}

func convertCommand() *cobra.Command {
	var stored string
	c := &cobra.Command{
		Use:     "convert MODEL OUT.gguf",
		Short:   "Write a folder with safetensors as one GGUF file",
		Example: "  godwit model convert builtin:tiny tiny.gguf --type Q4_K",
		Args:    cli.Args(2, 2, "name a model and the file to write"),
		RunE: func(cmd *cobra.Command, args []string) error {
			typ, err := quant.ParseType(stored)
			if err != nil {
				return err
			}
			path, err := resolve(cmd, args[0])
			if err != nil {
				return cli.Failed(err)
			}
			return cli.Failed(convert(path, args[1], typ))
		},
	}
	c.Flags().StringVar(&stored, "type", "Q8_0", "format of the matrices: F32, F16, BF16, Q8_0, Q4_0, Q4_1 or Q4_K")
	return c
}

// convert writes the file under its name only when it is whole.
func convert(model, out string, typ quant.Type) (err error) {
	ck, err := weights.Open(model)
	if err != nil {
		return err
	}
	defer ck.Close()
	f, err := os.CreateTemp(filepath.Dir(out), ".convert-*.gguf")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain once it is renamed
	err = weights.ConvertGGUF(f, ck, typ)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("convert %s: %w", model, err)
	}
	return os.Rename(f.Name(), out)
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
		Use:     "device",
		Short:   "List what this build can compute on",
		Example: "  godwit device",
		Args:    cobra.NoArgs,
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
