package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/kernel"
	"github.com/godwit-ai/godwit/kernel/comm"
	"github.com/godwit-ai/godwit/runtime/display"
	_ "github.com/godwit-ai/godwit/runtime/linked" // what cells can import
	"github.com/godwit-ai/godwit/runtime/nb"
	"github.com/godwit-ai/godwit/runtime/session"
	"github.com/godwit-ai/godwit/viz"
)

func kernelCommand() *cobra.Command {
	c := &cobra.Command{Use: "kernel", Short: "The Go kernel for Jupyter: install, list, remove, build one with more packages", Args: cobra.NoArgs}
	c.AddCommand(kernelInstall(), kernelRemove(), kernelList(), kernelPackages(), kernelBuild(), kernelRun())
	return c
}

func placeFlags(cmd *cobra.Command, o *kernel.InstallOptions) {
	fs := cmd.Flags()
	fs.BoolVar(&o.User, "user", false, "in the user's Jupyter folder (the default)")
	fs.BoolVar(&o.SysPrefix, "sys-prefix", false, "in the active Python environment")
	fs.StringVar(&o.Prefix, "prefix", "", "below this folder, in share/jupyter")
	fs.StringVar(&o.Name, "name", "godwit", "name of the kernel; gophernotes makes its notebooks open without a question")
	cmd.MarkFlagsMutuallyExclusive("user", "sys-prefix", "prefix")
}

func kernelInstall() *cobra.Command {
	var o kernel.InstallOptions
	var aliases []string
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Tell Jupyter about the kernel",
		Example: `  godwit kernel install
  godwit kernel install --sys-prefix
  godwit kernel install --alias gophernotes`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !o.SysPrefix && o.Prefix == "" {
				o.User = true
			}
			return cli.Failed(install(o, aliases))
		},
	}
	placeFlags(cmd, &o)
	cmd.Flags().StringVar(&o.DisplayName, "display-name", "", `name shown to users (default "Go (godwit)")`)
	cmd.Flags().StringSliceVar(&aliases, "alias", nil, "install it under this name too; gophernotes makes notebooks of that kernel open without a question")
	return cmd
}

// install writes the kernelspec and one for each further name.
func install(o kernel.InstallOptions, aliases []string) error {
	for i, name := range append([]string{o.Name}, aliases...) {
		spec := o
		spec.Name = name
		if i > 0 {
			shown := o.DisplayName
			if shown == "" {
				shown = "Go (godwit)"
			}
			spec.DisplayName = fmt.Sprintf("%s, as %s", shown, name)
		}
		dir, err := kernel.Install(spec)
		if err != nil {
			return err
		}
		fmt.Printf("installed kernel %s in %s\n", name, dir)
	}
	fmt.Println("open it with: jupyter lab")
	return nil
}

func kernelRemove() *cobra.Command {
	var o kernel.InstallOptions
	cmd := &cobra.Command{
		Use:     "remove",
		Aliases: []string{"uninstall"},
		Short:   "Take the kernel out of Jupyter",
		Example: "  godwit kernel remove\n  godwit kernel remove --name gophernotes",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !o.SysPrefix && o.Prefix == "" {
				o.User = true
			}
			dir, err := kernel.Remove(o)
			if errors.Is(err, fs.ErrNotExist) {
				return cli.Failed(fmt.Errorf("kernel %s is not installed in %s; `godwit kernel list` shows where it is", o.Name, dir))
			}
			if err != nil {
				return cli.Failed(err)
			}
			fmt.Println("removed", dir)
			return nil
		},
	}
	placeFlags(cmd, &o)
	return cmd
}

func kernelList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List where the kernel is installed",
		Example: "  godwit kernel list",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			specs, err := kernel.List()
			if err != nil {
				return cli.Failed(err)
			}
			if len(specs) == 0 {
				fmt.Fprintln(os.Stderr, "the kernel is installed nowhere; `godwit kernel install` does it")
			}
			for _, s := range specs {
				fmt.Printf("%-14s %-20s %s\n", s.Name, s.DisplayName, s.Dir)
			}
			return nil
		},
	}
}

func kernelRun() *cobra.Command {
	var file, level, history string
	var remote bool
	cmd := &cobra.Command{
		Use:    "run --connection-file FILE",
		Short:  "Run the kernel; Jupyter calls this",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lv := slog.LevelWarn
			if level == "debug" {
				lv = slog.LevelDebug
			}
			if history == "none" {
				history = ""
			}
			return cli.Failed(runKernel(cmd.Context(), kernel.Options{
				ConnectionFile: file, AllowRemote: remote, HistoryDir: history, Version: cli.Version(), Logger: cli.Logger(os.Stderr, lv),
			}))
		},
	}
	cmd.Flags().StringVar(&file, "connection-file", "", "Jupyter's connection file")
	cmd.Flags().StringVar(&level, "log-level", "warning", "warning or debug")
	cmd.Flags().StringVar(&history, "history", kernel.DefaultHistoryDir(), `folder for the input of all sessions; "none" keeps it in memory`)
	cmd.Flags().BoolVar(&remote, "allow-remote", false, "accept an address beyond loopback without encryption")
	_ = cmd.MarkFlagRequired("connection-file")
	return cmd
}

func runKernel(ctx context.Context, o kernel.Options) error {
	os.Args = os.Args[:1] // Jupyter's arguments are not those of the cells
	w, err := newWorkstation(nil)
	if err != nil {
		return err
	}
	o.Session, o.Comms = w.session, w.comms
	o.OnShutdown = func(bool) { w.env.Close() } //nolint:errcheck // the process ends
	return kernel.Run(ctx, o)
}

// workstation is a session with the notebook functions in it.
type workstation struct {
	session *session.Session
	env     *nb.Env
	comms   *comm.Hub
	last    atomic.Pointer[cellOutput] // of the youngest cell; what servers log between cells goes there
}

// newWorkstation wires session and nb, which do not know each other. Servers log to
// log, or to the running cell if it is nil.
func newWorkstation(log io.Writer) (*workstation, error) {
	w := &workstation{comms: comm.NewHub()}
	w.last.Store(&cellOutput{silent{}})
	w.env = nb.New(nb.Options{Current: w.output, Context: w.context, Log: log, Methods: session.CallMethod,
		Image:    func(v any) (image.Image, bool) { return session.As[image.Image](w.session, v) },
		Comments: func(t reflect.Type) (string, map[string]string) { return w.session.Comments(t) }})
	s, err := session.New(session.Options{
		Exports: []map[string]map[string]reflect.Value{w.env.Symbols(), w.comms.Symbols()},
		Sources: map[string]fs.FS{nb.Path: nb.Source, comm.Path: comm.Source, "github.com/godwit-ai/godwit/viz": viz.Source,
			"github.com/godwit-ai/godwit/runtime/display": display.Source},
		DotImports: []string{nb.Path},
		Render: func(v any) (session.Bundle, bool) {
			data, meta, ok := w.env.Render(v)
			return session.Bundle{Data: data, Metadata: meta}, ok
		},
	})
	if err != nil {
		return nil, err
	}
	w.session = s
	return w, nil
}

// output is that of the calling goroutine's cell.
func (w *workstation) output() nb.Output {
	if out := w.session.Current(); out != nil {
		w.last.Store(&cellOutput{out})
	}
	return w.last.Load()
}

// context ends when the calling goroutine's cell is interrupted.
func (w *workstation) context() context.Context {
	return cellContext{context.Background(), w.session.Done()}
}

type cellContext struct {
	context.Context
	done <-chan struct{} // nil outside of cells
}

func (c cellContext) Done() <-chan struct{} { return c.done }

func (c cellContext) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

// cellOutput is a session's output as nb wants it.
type cellOutput struct{ session.Output }

func (o cellOutput) Display(data, metadata map[string]any, id string, update bool) {
	o.Output.Display(session.Bundle{Data: data, Metadata: metadata, ID: id, Update: update})
}

// silent is the output before the first cell.
type silent struct{}

func (silent) Stdout([]byte)          {}
func (silent) Stderr([]byte)          {}
func (silent) Display(session.Bundle) {}
func (silent) ClearOutput(bool)       {}
func (silent) Input(string, bool) (string, error) {
	return "", errors.New("no cell is running to ask from")
}

// describe makes one text of a session error: what, and where.
func describe(err error) string {
	var e *session.Error
	if !errors.As(err, &e) || len(e.Traceback) == 0 || e.Name == "CompileError" {
		return err.Error()
	}
	return e.Message + "\n" + strings.Join(e.Traceback, "\n")
}
