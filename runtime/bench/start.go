package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/hub"
	"github.com/godwit-ai/godwit/engine/local"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// Start says what StartBench measures: processes from their start to their first token.
type Start struct {
	Runs   int      // of each kind; 0: 5
	Prompt int      // tokens; 0: 30
	Cold   bool     // also with the model's files out of the page cache
	Child  []string // the command that runs FirstToken; the model's options are added
	Serve  []string // the command that serves; the model and the port are added; nil: not measured
}

// Phases are the moments of a process that answers once, since its start.
type Phases struct {
	Main    time.Duration // the program's own code runs: loading, linking, package variables are over
	Device  time.Duration // the device is open and the model's header read
	Weights time.Duration // the weights are on the device
	Capture time.Duration // step sizes are recorded; 0: none are
	Ready   time.Duration // the engine takes requests
	First   time.Duration // the first token is there
	Sized   int           // step sizes recorded
	On      string        // the device
}

// FirstToken is the child: it opens the model, generates one token and writes the
// moments to out. began is when the parent started it.
func FirstToken(ctx context.Context, o Options, prompt int, began time.Time, out io.Writer) error {
	p := Phases{Main: time.Since(began)}
	var mu sync.Mutex
	mark := func(d *time.Duration) {
		mu.Lock()
		*d = time.Since(began)
		mu.Unlock()
	}
	lo := local.Options{ModelPath: o.Model, LoadFormat: o.LoadFormat, DType: o.DType, Device: o.Device, Threads: o.Threads, AllowDownload: true,
		SkipTokenizer: o.LoadFormat == "dummy", Logger: o.Logger, MaxTotalTokens: o.MaxTotalTokens,
		Progress: func(stage string, done, total int64) {
			switch {
			case stage == "device":
				mark(&p.Device)
			case stage == "weights" && done >= total:
				mark(&p.Weights)
			}
		},
		Recorded: func(rows, done, total int, free uint64) {
			mark(&p.Capture)
			mu.Lock()
			p.Sized = done
			mu.Unlock()
		}}
	e, err := local.Open(ctx, lo)
	if err != nil {
		return err
	}
	defer e.Close()
	mark(&p.Ready)
	ids := (&Model{Program: e.Program()}).prompt(1, 1, prompt)
	s, err := e.Generate(ctx, &engine.Request{TokenIDs: ids, Sampling: engine.Sampling{MaxTokens: 1, IgnoreEOS: true}})
	if err != nil {
		return err
	}
	for s.Next() {
		if len(s.Event().Tokens) > 0 {
			mark(&p.First)
			break
		}
	}
	if err := errors.Join(s.Err(), s.Close()); err != nil {
		return err
	}
	p.On = e.Info()
	return json.NewEncoder(out).Encode(&p)
}

// StartBench measures new processes, in turns of the kinds. Dummy weights are written to
// a temporary folder first, so that there is something to load.
func StartBench(ctx context.Context, o Options, s Start) (*Report, error) {
	if s.Runs <= 0 {
		s.Runs = 5
	}
	if s.Prompt <= 0 {
		s.Prompt = 30
	}
	r := newReport("start", Column{"kind", "", ""}, Column{"exec", "program runs", "%.0f"}, Column{"device", "device open", "%.0f"}, Column{"weights", "weights loaded", "%.0f"},
		Column{"capture", "sizes captured", "%.0f"}, Column{"ready", "ready", "%.0f"}, Column{"first", "first token", "%.0f"},
		Column{"min", "least", "%.0f"}, Column{"max", "most", "%.0f"}, Column{"share", "of limit %", "%.1f"})
	r.Model = o.Model
	files, cleanup, err := s.files(ctx, &o)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	bytes := int64(0)
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			bytes += info.Size()
		}
	}
	r.note("Milliseconds from the start of the process to each moment, medians of %d processes; prompt of %d tokens, model files of %.0f MB. Limit: reading these files once at the measured bandwidth of the memory.", s.Runs, s.Prompt, float64(bytes)/1e6)
	rate, err := s.memory(ctx, &o, r)
	if err != nil {
		return nil, err
	}
	kinds := []string{"warm"}
	if s.Cold {
		kinds = append(kinds, "cold")
	}
	if s.Serve != nil {
		kinds = append(kinds, "warm, over HTTP")
	}
	all := map[string][]Phases{}
	defer func() { // also after an error: what there is
		for _, kind := range kinds {
			if len(all[kind]) > 0 {
				r.add(startRow(kind, all[kind], float64(bytes)/max(rate, 1)))
			}
		}
	}()
	for run := range s.Runs + 1 { // the first of each kind warms up
		for i, kind := range kinds {
			o.Progress.say("starting, "+kind, run*len(kinds)+i, (s.Runs+1)*len(kinds))
			if kind == "cold" {
				for _, f := range files {
					if err := dropCache(f); err != nil {
						return r, fmt.Errorf("cold start: %w", err)
					}
				}
			}
			p, err := s.once(ctx, &o, kind)
			if err != nil {
				return r, fmt.Errorf("%s: %w", kind, err)
			}
			if p.On != "" {
				r.Device = p.On
			}
			if run > 0 {
				all[kind] = append(all[kind], p)
			}
		}
	}
	return r, nil
}

// memory measures the rate of the processor's memory, which every file passes through.
func (s *Start) memory(ctx context.Context, o *Options, r *Report) (float64, error) {
	if o.NoCeilings {
		return 0, nil
	}
	d, _, err := local.OpenDevice("cpu", o.Threads, o.Logger)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	rate, err := readRate(ctx, d)
	r.note("Memory reads at %.1f GB/s.", rate/1e9)
	return rate, err
}

func startRow(kind string, all []Phases, limit float64) map[string]any {
	row := map[string]any{"kind": kind}
	for key, of := range map[string]func(*Phases) time.Duration{
		"exec": func(p *Phases) time.Duration { return p.Main }, "device": func(p *Phases) time.Duration { return p.Device },
		"weights": func(p *Phases) time.Duration { return p.Weights }, "capture": func(p *Phases) time.Duration { return p.Capture },
		"ready": func(p *Phases) time.Duration { return p.Ready }, "first": func(p *Phases) time.Duration { return p.First },
	} {
		var x []float64
		for i := range all {
			if d := of(&all[i]); d > 0 {
				x = append(x, 1e3*d.Seconds())
			}
		}
		if len(x) == 0 {
			continue
		}
		v := spread(x)
		row[key] = v.P50
		if key == "first" {
			row["min"], row["max"] = v.Min, v.Max
			if limit > 0 {
				row["share"] = 100 * 1e3 * limit / v.P50
			}
		}
	}
	return row
}

// once starts one process.
func (s *Start) once(ctx context.Context, o *Options, kind string) (Phases, error) {
	if strings.HasSuffix(kind, "HTTP") {
		return s.overHTTP(ctx, o)
	}
	var p Phases
	args := append([]string{}, s.Child[1:]...)
	args = append(args, "--model-path", o.Model, "--load-format", o.LoadFormat, "--device", o.Device, "--threads", strconv.Itoa(o.Threads), "--prompt", strconv.Itoa(s.Prompt))
	began := time.Now()
	cmd := exec.CommandContext(ctx, s.Child[0], append(args, "--began", strconv.FormatInt(began.UnixNano(), 10))...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cerr := context.Cause(ctx); cerr != nil {
		return p, cerr
	}
	if err != nil {
		return p, fmt.Errorf("%w: %s", err, lastLines(stderr.String()))
	}
	return p, json.Unmarshal(out, &p)
}

func lastLines(s string) string {
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-400):]
}

// overHTTP starts the server and asks it for a token as soon as its port answers.
func (s *Start) overHTTP(ctx context.Context, o *Options) (p Phases, err error) {
	port, err := freePort()
	if err != nil {
		return p, err
	}
	began := time.Now()
	args := append(append([]string{}, s.Serve[1:]...), "--model-path", o.Model, "--load-format", o.LoadFormat, "--device", o.Device,
		"--threads", strconv.Itoa(o.Threads), "--host", "127.0.0.1", "--port", strconv.Itoa(port))
	cmd := exec.CommandContext(ctx, s.Serve[0], args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return p, err
	}
	if err := cmd.Start(); err != nil {
		return p, err
	}
	var said strings.Builder
	read := make(chan struct{})
	go func() { // ends with the process's output
		defer close(read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
		}
	}()
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended by itself
		<-read
		if werr := cmd.Wait(); err != nil && werr != nil {
			err = fmt.Errorf("%w: %v: %s", err, werr, lastLines(said.String()))
		}
	}()
	t := Target{URL: "http://127.0.0.1:" + strconv.Itoa(port), Model: "default", Timeout: 2 * time.Minute}
	t.prepare()
	defer t.close()
	path, body := t.body(1, s.Prompt, 1)
	for {
		if p.Main == 0 && listening(port) {
			p.Main = time.Since(began)
		}
		if p.Main > 0 {
			break
		}
		select {
		case <-read:
			return p, errors.New("the server ended before it served")
		case <-ctx.Done():
			return p, context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
	for {
		a := t.ask(ctx, path, body)
		p.First = time.Since(began)
		if a.err == nil || a.out > 0 {
			return p, nil
		}
		if !strings.Contains(a.err.Error(), "status 503") { // the model is being loaded
			return p, a.err
		}
		select {
		case <-read:
			return p, errors.New("the server ended before it served")
		case <-ctx.Done():
			return p, context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}

func listening(port int) bool {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// files are the model's, written to a temporary folder if it has none; o.Model then
// names that folder.
func (s *Start) files(ctx context.Context, o *Options) (files []string, cleanup func(), err error) {
	cleanup = func() {}
	var path string
	if o.LoadFormat == "dummy" {
		dir, err := os.MkdirTemp("", "godwit-bench-")
		if err != nil {
			return nil, cleanup, err
		}
		cleanup = func() { os.RemoveAll(dir) }
		o.Progress.say("writing random weights", 0, 1)
		if err := writeDummy(ctx, dir, o); err != nil {
			cleanup()
			return nil, func() {}, err
		}
		o.Progress.say("writing random weights", 1, 1)
		o.Model, o.LoadFormat, path = dir, "safetensors", dir
	} else if path, err = hub.Resolve(ctx, o.Model, hub.Options{AllowDownload: true}); err != nil {
		return nil, cleanup, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, cleanup, err
	}
	if !info.IsDir() {
		return []string{path}, cleanup, nil
	}
	files, err = filepath.Glob(filepath.Join(path, "*.safetensors"))
	return files, cleanup, err
}

// writeDummy writes random weights for a configuration as a folder that can be loaded.
func writeDummy(ctx context.Context, dir string, o *Options) error {
	config, ok := model.BuiltIn(o.Model)
	if !ok {
		folder, err := weights.ReadFolder(o.Model)
		if err != nil {
			return err
		}
		config = folder.Config()
	}
	p, err := model.Build(config)
	if err != nil {
		return err
	}
	typ := quant.BF16
	if o.DType != "" && o.DType != "auto" {
		if typ, err = quant.ParseType(o.DType); err != nil {
			return err
		}
	}
	names := map[quant.Type]string{quant.BF16: "BF16", quant.F16: "F16", quant.F32: "F32"}
	if names[typ] == "" {
		return fmt.Errorf("random weights of type %v cannot be stored as safetensors: use bf16, f16 or f32", typ)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
		return err
	}
	return writeSafetensors(ctx, filepath.Join(dir, "model.safetensors"), p.Weights, typ, names)
}
