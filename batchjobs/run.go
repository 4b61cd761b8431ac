// Package batchjobs runs offline completion jobs: JSON lines in, answers out, in
// input order, one output line per input line, in constant memory. Input may be
// compressed (zstd, gzip, bzip2, xz, lz4, snappy, recognised by content); output is
// compressed by the extension of its name.
//
// A bad line becomes an error line and never stops the job; damage to a whole file
// ends the job after every whole line before it was answered. The output file
// appears whole: it is written beside its final name and renamed, also when the job
// is interrupted (then with what is done).
//
// One line's way: reader (decompress, split) → window (bounded lines and bytes) →
// worker (parse, openai.Decode, Engine.Generate) → sink (back in input order).
package batchjobs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// Options describe a job. Inputs is required.
type Options struct {
	Inputs    []string // files, patterns, or "-" for standard input
	Output    string   // "" derives a name from the first input; "-" is standard output
	Overwrite bool

	Text     bool                      // every line is a prompt
	Chat     bool                      // plain prompts become a user message of a chat
	Defaults map[string]jsontext.Value // request fields for plain prompts that do not set them

	Concurrency  int    // requests under way; 0: 64
	MaxErrors    int64  // stop after more error lines than this; 0: never
	MaxLineBytes int    // 0: 16 MiB
	MaxWindow    uint64 // bytes a zstd frame's window may have; 0: 128 MiB

	Stdin  io.Reader
	Stdout io.Writer

	// Progress is called about every ProgressEvery (0: 100 ms) and at the end, from one
	// goroutine.
	Progress      func(Progress)
	ProgressEvery time.Duration
	// OnLine is called for every line in the order of completion, from many goroutines.
	OnLine func(Line)
}

// Progress is the state of a running job.
type Progress struct {
	Done, Errors     int64 // lines with an answer or an error line; and the latter alone
	Running          int64
	PromptTokens     int64
	CompletionTokens int64
	BytesRead        int64 // of the inputs as they lie on disk
	BytesTotal       int64 // 0: unknown (standard input, pipes)
	Elapsed          time.Duration
	Final            bool
}

// Line says how one line went.
type Line struct {
	Ordinal    int64
	Start, End time.Duration // since the job began
	Usage      engine.Usage
	Err        *LineError
}

// Summary is the outcome of a job; it is also written as OUTPUT.manifest.json.
type Summary struct {
	Status           string  `json:"status"` // completed, completed_with_errors, interrupted, failed
	Output           string  `json:"output"`
	Lines            int64   `json:"lines"` // lines of the output
	Errors           int64   `json:"errors"`
	PromptTokens     int64   `json:"prompt_tokens"`
	CachedTokens     int64   `json:"cached_tokens"`
	CompletionTokens int64   `json:"completion_tokens"`
	Seconds          float64 `json:"seconds"`
	Failure          string  `json:"failure,omitempty"`
}

// ErrTooManyErrors ends a job whose error lines passed Options.MaxErrors.
var ErrTooManyErrors = errors.New("too many error lines")

// Exit codes of the batchjobs command (batch.md section 7).
const (
	ExitDone        = 0
	ExitErrorLines  = 3  // done, with error lines
	ExitPermanent   = 42 // bad configuration or damaged input
	ExitInterrupted = 75 // run me again
)

// ExitCode maps the result of Run to the command's exit code.
func ExitCode(s Summary, err error) int {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), isTemporary(err):
		return ExitInterrupted
	case err != nil:
		return ExitPermanent
	case s.Errors > 0:
		return ExitErrorLines
	}
	return ExitDone
}

// writeError is a failure of the output's storage: the same command may work later.
type writeError struct{ err error }

func (e writeError) Error() string { return "write output: " + e.err.Error() }
func (e writeError) Unwrap() error { return e.err }

func isTemporary(err error) bool {
	var w writeError
	return errors.As(err, &w) || errors.Is(err, engine.ErrClosed)
}

// OutputName is the name that Run uses when Options.Output is empty:
// prompts.jsonl.zst gives prompts.out.jsonl.zst in the same folder.
func OutputName(input string) string {
	if input == "-" {
		return "-"
	}
	base := stem(input)
	compression := strings.TrimPrefix(input, base)
	switch compression {
	case ".bz2", ".sz", ".bgz":
		compression = ".zst"
	}
	ext := filepath.Ext(base)
	name := strings.TrimSuffix(base, ext)
	if ext == "" || ext == ".txt" {
		ext = ".jsonl"
	}
	return name + ".out" + ext + compression
}

// run is one job under way.
type run struct {
	opt    *Options
	eng    engine.Engine
	api    openai.Options
	inputs []string
	job    [32]byte
	start  time.Time

	window *window
	out    *sink

	mu      sync.Mutex
	prog    Progress
	cached  int64
	sources []*source
}

// Run executes a job. When ctx ends, requests under way are cancelled, what is done
// is kept as a whole output file, and the error wraps ctx's.
func Run(ctx context.Context, eng engine.Engine, opt Options) (Summary, error) {
	opt.fill()
	r := &run{opt: &opt, eng: eng, start: time.Now(), window: newWindow(windowLines, windowBytes)}
	if len(opt.Inputs) == 0 {
		return Summary{Status: "failed"}, errors.New("no input: name at least one file, or - for standard input")
	}
	inputs, err := expand(opt.Inputs)
	if err != nil {
		return Summary{Status: "failed"}, err
	}
	r.inputs = inputs
	r.job = sha256.Sum256([]byte(strings.Join(inputs, "\x00")))
	if opt.Output == "" {
		opt.Output = OutputName(inputs[0])
	}
	models := eng.Models()
	if len(models) == 0 {
		return Summary{Status: "failed"}, errors.New("the engine serves no model")
	}
	r.api = openai.Options{Models: models}
	if r.out, err = openSink(opt.Output, opt.Stdout, inputs, opt.Overwrite); err != nil {
		return Summary{Status: "failed"}, err
	}
	err = r.process(ctx)
	return r.finish(err)
}

func (o *Options) fill() {
	if o.Concurrency <= 0 {
		o.Concurrency = 64
	}
	if o.MaxLineBytes <= 0 {
		o.MaxLineBytes = 16 << 20
	}
	if o.MaxWindow == 0 {
		o.MaxWindow = 128 << 20
	}
	if o.ProgressEvery <= 0 {
		o.ProgressEvery = 100 * time.Millisecond
	}
	if o.Stdin == nil {
		o.Stdin = os.Stdin
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
}

// The window bounds what lies between reader and sink.
const (
	windowLines = 16 << 10
	windowBytes = 64 << 20
)

// process reads, answers and writes until the inputs end, ctx ends, an input is
// damaged or the output fails. It returns after every goroutine it started.
func (r *run) process(ctx context.Context) error {
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	lines := make(chan line)
	results := make(chan result, r.opt.Concurrency)
	readErr := make(chan error, 1)
	go func() { // ends with the inputs or with work; awaited through readErr
		defer close(lines)
		readErr <- r.readAll(work, lines)
	}()
	var workers sync.WaitGroup
	for range r.opt.Concurrency {
		workers.Go(func() { r.worker(work, stop, lines, results) })
	}
	go func() { // ends with the workers; awaited through the closed channel
		workers.Wait()
		close(results)
	}()
	ended := make(chan struct{})
	var ticker sync.WaitGroup
	ticker.Go(func() { r.report(ended) })
	writeErr := r.writeAll(results, stop)
	err := <-readErr
	close(ended)
	ticker.Wait()
	switch {
	case writeErr != nil:
		return writeErr
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case work.Err() != nil:
		return context.Cause(work)
	}
	return err
}

// readAll hands out the lines of all inputs.
func (r *run) readAll(ctx context.Context, lines chan<- line) error {
	var ordinal int64
	for _, name := range r.inputs {
		s, err := openSource(name, r.opt.Stdin, r.opt.MaxWindow)
		if err != nil {
			return err
		}
		r.addSource(s)
		err = r.readOne(ctx, s, &ordinal, lines)
		s.closer() //nolint:errcheck // reading is over
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) readOne(ctx context.Context, s *source, ordinal *int64, lines chan<- line) error {
	for {
		ln, err := s.next(r.opt.MaxLineBytes)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		ln.ordinal = *ordinal
		*ordinal++
		if !r.window.enter(ctx, len(ln.raw)) {
			return ctx.Err()
		}
		select {
		case lines <- ln:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *run) addSource(s *source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sources = append(r.sources, s)
}

type result struct {
	ordinal int64
	held    int // bytes to give back to the window
	ans     answer
}

func (r *run) worker(ctx context.Context, stop context.CancelCauseFunc, lines <-chan line, results chan<- result) {
	for ln := range lines {
		if ctx.Err() != nil {
			return
		}
		begin := time.Since(r.start)
		r.count(func(p *Progress) { p.Running++ })
		ans, err := r.answerLine(ctx, ln)
		r.count(func(p *Progress) { p.Running-- })
		if err != nil {
			return
		}
		r.account(ans, stop)
		if r.opt.OnLine != nil {
			r.opt.OnLine(Line{Ordinal: ln.ordinal, Start: begin, End: time.Since(r.start), Usage: ans.usage, Err: ans.err})
		}
		r.window.grow(len(ans.text))
		results <- result{ln.ordinal, len(ln.raw) + len(ans.text), ans}
	}
}

func (r *run) count(f func(*Progress)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.prog)
}

func (r *run) account(a answer, stop context.CancelCauseFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prog.Done++
	r.prog.PromptTokens += int64(a.usage.Prompt)
	r.prog.CompletionTokens += int64(a.usage.Completion)
	r.cached += int64(a.usage.Cached)
	if a.err == nil {
		return
	}
	r.prog.Errors++
	if r.opt.MaxErrors > 0 && r.prog.Errors > r.opt.MaxErrors {
		stop(fmt.Errorf("%w: more than %d; the last one: %w", ErrTooManyErrors, r.opt.MaxErrors, a.err))
	}
}

// do runs a call, waiting while the engine's queue is full.
func (r *run) do(ctx context.Context, call *openai.Call) ([]byte, engine.Usage, error) {
	wait := 5 * time.Millisecond
	for {
		body, usage, err := call.Do(ctx, r.eng, nil)
		if !errors.Is(err, engine.ErrOverloaded) {
			return body, usage, err
		}
		select {
		case <-ctx.Done():
			return nil, usage, ctx.Err()
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, time.Second)
	}
}

// writeAll puts the answers back into input order. After an interruption it goes on
// past gaps: what is done is kept.
func (r *run) writeAll(results <-chan result, stop context.CancelCauseFunc) error {
	var (
		next    int64
		waiting = map[int64]result{}
		failed  error
	)
	write := func(res result) {
		r.window.leave(res.held)
		if failed != nil {
			return
		}
		if err := r.out.write(res.ans.text); err != nil {
			failed = writeError{err}
			stop(failed)
			return
		}
	}
	for res := range results {
		waiting[res.ordinal] = res
		for {
			res, ok := waiting[next]
			if !ok {
				break
			}
			delete(waiting, next)
			next++
			write(res)
		}
	}
	for len(waiting) > 0 { // lines after a gap that an interruption left
		if res, ok := waiting[next]; ok {
			delete(waiting, next)
			write(res)
		}
		next++
	}
	return failed
}

// report calls Progress until the job is over.
func (r *run) report(ended <-chan struct{}) {
	if r.opt.Progress == nil {
		<-ended
		return
	}
	t := time.NewTicker(r.opt.ProgressEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			r.opt.Progress(r.progress(false))
		case <-ended:
			r.opt.Progress(r.progress(true))
			return
		}
	}
}

func (r *run) progress(final bool) Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.prog
	p.Elapsed = time.Since(r.start)
	p.Final = final
	known := int64(0)
	for i, name := range r.inputs {
		if i < len(r.sources) {
			p.BytesRead += r.sources[i].read.Load()
			known += r.sources[i].size
			if r.sources[i].size == 0 && r.sources[i].read.Load() > 0 {
				known = -1
				break
			}
			continue
		}
		st, err := os.Stat(name)
		if err != nil || name == "-" {
			known = -1
			break
		}
		known += st.Size()
	}
	p.BytesTotal = max(known, 0)
	return p
}

// finish makes the output final and writes the manifest.
func (r *run) finish(err error) (Summary, error) {
	p := r.progress(true)
	s := Summary{
		Status: "completed", Output: r.opt.Output, Lines: p.Done, Errors: p.Errors,
		PromptTokens: p.PromptTokens, CachedTokens: r.cached, CompletionTokens: p.CompletionTokens,
		Seconds: p.Elapsed.Seconds(),
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		s.Status = "interrupted"
	case err != nil:
		s.Status = "failed"
	case s.Errors > 0:
		s.Status = "completed_with_errors"
	}
	if err != nil {
		s.Failure = err.Error()
	}
	var w writeError
	if errors.As(err, &w) {
		r.out.abandon()
		return s, err
	}
	if e := r.out.commit(); e != nil {
		r.out.abandon()
		s.Status, s.Failure = "failed", e.Error()
		return s, errors.Join(err, writeError{e})
	}
	if r.opt.Output == "-" {
		return s, err
	}
	b, e := json.Marshal(s, jsontext.Multiline(true))
	if e == nil {
		e = writeFile(r.opt.Output+".manifest.json", append(b, '\n'))
	}
	if e != nil {
		return s, errors.Join(err, writeError{fmt.Errorf("manifest: %w", e)})
	}
	return s, err
}

// ProgressText is one line about a running job for people.
func ProgressText(p Progress) string {
	s := p.Elapsed.Seconds()
	rate := 0.0
	if s > 0 {
		rate = float64(p.CompletionTokens) / s
	}
	text := fmt.Sprintf("%d lines", p.Done)
	if p.Errors > 0 {
		text += fmt.Sprintf(" (%d errors)", p.Errors)
	}
	return text + fmt.Sprintf(" · %d running · %.0f tok/s · %.1f s", p.Running, rate, s)
}
