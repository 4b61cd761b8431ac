// Command gpu runs the set of benchmarks that BENCHMARKS.md shows, on one device and in
// one run: decode, prefill, the offline workload, requests through a port, and the start
// of processes, for the models whose shapes are built in, with random weights.
//
//	go run ./tests/bench/gpu -json FILE
//
// It is a program of its own because it is a fifth of godwit's size, which matters where
// a machine with a GPU is reached over a narrow line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/godwit-ai/godwit/runtime/bench"
	"github.com/godwit-ai/godwit/runtime/serve"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "first-token":
		err = firstToken(ctx, os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "fake-server":
		err = bench.ServeFake(ctx, os.Stdin, os.Stdout, 1)
	case len(os.Args) > 1 && os.Args[1] == "serve":
		err = serving(ctx, os.Args[2:])
	default:
		err = run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// set is what one run does.
type set struct {
	o      bench.Options
	path   string
	all    []*bench.Report
	only   map[string]bool
	began  time.Time
	failed []error
}

func run(ctx context.Context) error {
	s := &set{began: time.Now()}
	flag.StringVar(&s.path, "json", "", "file for the figures")
	flag.StringVar(&s.o.Device, "device", "auto", "auto, cpu, cuda or cuda:N")
	flag.IntVar(&s.o.Repeat, "repeat", 3, "measurements of each row")
	only := flag.String("only", "", "some of qwen2.5, structured, lora, start, qwen3, llama8b, lora8b, storm, separated by commas; default: all")
	quick := flag.Bool("quick", false, "the smallest model instead of the others: whether everything runs")
	verbose := flag.Bool("v", false, "log what the engine does")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelInfo
	}
	s.o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	s.o.LoadFormat = "dummy"
	if *only != "" {
		s.only = map[string]bool{}
		for name := range strings.SplitSeq(*only, ",") {
			s.only[name] = true
		}
	}
	if *quick {
		s.quick(ctx)
	} else {
		s.whole(ctx)
	}
	fmt.Printf("%.0f s in all\n", time.Since(s.began).Seconds())
	return errors.Join(s.failed...)
}

// part runs f unless other parts were asked for.
func (s *set) part(ctx context.Context, name string, f func(context.Context) error) {
	if s.only != nil && !s.only[name] || ctx.Err() != nil {
		return
	}
	start := time.Now()
	if err := f(ctx); err != nil {
		s.failed = append(s.failed, fmt.Errorf("%s: %w", name, err))
		fmt.Printf("%s failed: %v\n", name, err)
	}
	fmt.Printf("(%s: %.1f s)\n\n", name, time.Since(start).Seconds())
}

// show prints a report and writes all that there are.
func (s *set) show(name string, r *bench.Report, err error) error {
	if r == nil {
		return err
	}
	if perr := r.Print(os.Stdout); perr != nil {
		return perr
	}
	fmt.Println()
	r.Name = name
	s.all = append(s.all, r)
	if s.path == "" {
		return err
	}
	return errors.Join(err, bench.WriteJSON(s.path, s.all))
}

// rows is what is measured on one model.
type rows struct {
	decode  []bench.Decode
	prefill []bench.Prompts
	offline *bench.Offline
	loads   []bench.Load
}

func (r *rows) sizes() bench.Sizes {
	var n bench.Sizes
	for i := range r.decode {
		n = n.Join(r.decode[i].Sizes())
	}
	if len(r.prefill) > 0 {
		n = n.Join(bench.PrefillSizes(r.prefill))
	}
	if r.offline != nil {
		n = n.Join(r.offline.Sizes())
	}
	return n
}

// model opens a model once and measures the rows on it.
func (s *set) model(ctx context.Context, model, short string, r rows) error {
	o := s.o
	o.Model = model
	start := time.Now()
	m, err := bench.Open(ctx, o, r.sizes())
	if err != nil {
		return err
	}
	defer m.Close()
	fmt.Printf("%s: measured and opened in %.1f s, of it opening %.1f s\n\n", model, time.Since(start).Seconds(), m.Opened.Seconds())
	for i, d := range r.decode {
		rep, err := m.Decode(ctx, d)
		if err := s.show(fmt.Sprintf("%s-decode-%d", short, i), rep, err); err != nil {
			return err
		}
	}
	if len(r.prefill) > 0 {
		rep, err := m.Prefill(ctx, r.prefill)
		if err := s.show(short+"-prefill", rep, err); err != nil {
			return err
		}
	}
	if r.offline != nil {
		rep, err := m.Offline(ctx, *r.offline)
		if err := s.show(short+"-offline", rep, err); err != nil {
			return err
		}
	}
	for i, l := range r.loads {
		rep, err := m.Serve(ctx, l)
		if err := s.show(fmt.Sprintf("%s-serve-%d", short, i), rep, err); err != nil {
			return err
		}
	}
	return nil
}

// whole is what BENCHMARKS.md shows.
func (s *set) whole(ctx context.Context) {
	s.part(ctx, "qwen2.5", func(ctx context.Context) error {
		return s.model(ctx, "Qwen2.5-0.5B", "qwen2.5-0.5b", rows{
			decode: []bench.Decode{
				{Batches: []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}, Contexts: []int{128}},
				{Batches: []int{1, 64, 256}, Contexts: []int{820}, Temperature: 0.6},
			},
			prefill: []bench.Prompts{{Count: 1, Length: 128}, {Count: 1, Length: 1024}, {Count: 16, Length: 1024}, {Count: 64, Length: 1024}},
			offline: &bench.Offline{Temperature: 0.6},
			loads: []bench.Load{
				{Arrivals: bench.Poisson(50, 0, 128, 8, false, 0), Concurrency: 1},
				{Arrivals: bench.Poisson(400, 100, 256, 64, true, 0)},
			},
		})
	})
	s.part(ctx, "structured", func(ctx context.Context) error {
		if err := s.structured(ctx, "Qwen2.5-0.5B", "qwen2.5-0.5b", bench.Structured{Temperature: 0.6}); err != nil {
			return err
		}
		path := os.Getenv("GODWIT_TEST_MODEL")
		if path == "" {
			return nil // answers of a real model are an extra
		}
		dummy := s.o.LoadFormat
		s.o.LoadFormat = ""
		defer func() { s.o.LoadFormat = dummy }()
		return s.structured(ctx, path, "smollm2", bench.Structured{Temperature: 0.6})
	})
	s.part(ctx, "lora", func(ctx context.Context) error {
		return s.lora(ctx, "Qwen2.5-0.5B", "qwen2.5-0.5b", bench.LoRA{Ranks: []int{8, 16}, Batches: []int{1, 16, 64, 256}, Prompts: []bench.Prompts{{Count: 16, Length: 1024}}, Context: 128})
	})
	s.part(ctx, "start", func(ctx context.Context) error { return s.start(ctx, "Qwen2.5-0.5B", "qwen2.5-0.5b") })
	s.part(ctx, "qwen3", func(ctx context.Context) error {
		return s.model(ctx, "Qwen3-0.6B", "qwen3-0.6b", rows{decode: []bench.Decode{{Batches: []int{1, 64, 256}, Contexts: []int{128}}}, offline: &bench.Offline{Temperature: 0.6}})
	})
	s.part(ctx, "llama8b", func(ctx context.Context) error {
		return s.model(ctx, "Llama-3.1-8B", "llama-3.1-8b", rows{decode: []bench.Decode{{Batches: []int{1, 8, 64}, Contexts: []int{128}, Tokens: 64}}})
	})
	s.part(ctx, "lora8b", func(ctx context.Context) error {
		return s.lora(ctx, "Llama-3.1-8B", "llama-3.1-8b", bench.LoRA{Ranks: []int{8}, Batches: []int{1, 16, 64}, Context: 128, Tokens: 64})
	})
	s.part(ctx, "storm", func(ctx context.Context) error { return s.storm(ctx, 200, 1000) })
}

// quick is every part with the smallest model.
func (s *set) quick(ctx context.Context) {
	s.part(ctx, "tiny", func(ctx context.Context) error {
		return s.model(ctx, "tiny", "tiny", rows{
			decode:  []bench.Decode{{Batches: []int{1, 4}, Contexts: []int{64}}},
			prefill: []bench.Prompts{{Count: 1, Length: 128}, {Count: 4, Length: 128}},
			offline: &bench.Offline{Sequences: 4, Temperature: 0.6},
			loads:   []bench.Load{{Arrivals: bench.Poisson(20, 20, 64, 16, true, 0)}},
		})
	})
	s.part(ctx, "structured", func(ctx context.Context) error {
		return s.structured(ctx, "tiny", "tiny", bench.Structured{Rows: 8, Steps: 16, Temperature: 0.6})
	})
	s.part(ctx, "lora", func(ctx context.Context) error {
		return s.lora(ctx, "tiny", "tiny", bench.LoRA{Ranks: []int{4}, Adapters: 3, Batches: []int{1, 6}, Prompts: []bench.Prompts{{Count: 2, Length: 64}}, Context: 64, Tokens: 16})
	})
	s.part(ctx, "start", func(ctx context.Context) error { return s.start(ctx, "tiny", "tiny") })
	s.part(ctx, "storm", func(ctx context.Context) error { return s.storm(ctx, 50) })
}

// structured compares rows that are kept inside schemas with free ones.
func (s *set) structured(ctx context.Context, model, short string, d bench.Structured) error {
	o := s.o
	o.Model = model
	r, err := bench.StructuredBench(ctx, o, d)
	return s.show(short+"-structured", r, err)
}

// lora compares rows with adapters and rows without, in turns.
func (s *set) lora(ctx context.Context, model, short string, d bench.LoRA) error {
	o := s.o
	o.Model = model
	r, err := bench.LoRABench(ctx, o, d)
	return s.show(short+"-lora", r, err)
}

func (s *set) start(ctx context.Context, model, short string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	o := s.o
	o.Model = model
	r, err := bench.StartBench(ctx, o, bench.Start{Runs: 5, Cold: true, Child: []string{exe, "first-token"}, Serve: []string{exe, "serve", "--log-level", "warning"}})
	return s.show(short+"-start", r, err)
}

func (s *set) storm(ctx context.Context, streams ...int) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	r, err := bench.StormBench(ctx, bench.Storm{Streams: streams, Child: []string{exe, "fake-server"}}, nil)
	return s.show("storm", r, err)
}

// serving is godwit serve, the other child process of start.
func serving(ctx context.Context, args []string) error {
	c, notes, err := serve.ParseArgs(args)
	if err != nil {
		return err
	}
	srv, err := serve.Start(c, serve.Hooks{Notes: notes})
	if err != nil {
		return err
	}
	err = srv.Wait(ctx)
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, srv.Close(time.Second))
}

// firstToken is the child process of start.
func firstToken(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("first-token", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	var o bench.Options
	fs.StringVar(&o.Model, "model-path", "", "")
	fs.StringVar(&o.LoadFormat, "load-format", "", "")
	fs.StringVar(&o.Device, "device", "auto", "")
	fs.IntVar(&o.Threads, "threads", 0, "")
	prompt := fs.Int("prompt", 30, "")
	began := fs.Int64("began", 0, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	return bench.FirstToken(ctx, o, *prompt, time.Unix(0, *began), os.Stdout)
}
