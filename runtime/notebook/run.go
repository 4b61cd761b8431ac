package notebook

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godwit-ai/godwit/runtime/session"
)

// Evaluator runs cells; a *session.Session is one.
type Evaluator interface {
	Exec(ctx context.Context, c session.Cell, out session.Output) (session.Result, error)
}

// Options say how a notebook is run.
type Options struct {
	// AllowErrors goes on behind a failed cell. A cell tagged "raises-exception" may
	// fail without it.
	AllowErrors bool
	// Timeout bounds each cell; 0 means none.
	Timeout time.Duration
	// Progress is called before and after each cell; nil is allowed.
	Progress func(Event)
	// Echo, if not nil, gets a copy of what cells produce.
	Echo session.Output
}

// Event tells of one cell. Of the code cells that run, Index counts from 1 to Total.
type Event struct {
	Cell    *Cell
	Index   int
	Total   int
	Done    bool // the cell has ended
	Err     error
	Elapsed time.Duration
}

// CellError is the failure of a cell.
type CellError struct {
	Index int    // of all cells, from 1
	Count int    // the cell's execution count, as in "cell 3"
	ID    string // the cell's id
	Err   *session.Error
}

func (e *CellError) Error() string {
	return fmt.Sprintf("In[%d], the notebook's cell no. %d: %s", e.Count, e.Index, describe(e.Err))
}

func (e *CellError) Unwrap() error { return e.Err }

// describe is what happened, and where.
func describe(e *session.Error) string {
	text := e.Name + ": " + e.Message
	if e.Name == "CompileError" {
		return e.Message
	}
	for _, line := range e.Traceback {
		if !strings.Contains(text, line) {
			text += "\n" + line
		}
	}
	return text
}

// Run evaluates the code cells in order and stores what they produce. It ends at the
// first cell that fails with a *CellError, or, if errors are allowed, at the end with
// that of the first; when ctx ends, with its error too. Outputs of earlier runs are
// removed before the first cell.
func (nb *Notebook) Run(ctx context.Context, ev Evaluator, o Options) error {
	r := &runner{nb: nb, ev: ev, opt: o, displays: map[string][]Output{}}
	var code []int
	for i, c := range nb.Cells {
		if c.Kind != "code" {
			continue
		}
		c.Outputs, c.Count = nil, 0
		delete(c.Metadata, "execution")
		if strings.TrimSpace(c.Source) != "" && !c.Tagged("skip-execution") {
			code = append(code, i)
		}
	}
	nb.describe()
	var first error
	for n, i := range code {
		err := r.cell(ctx, i, n+1, len(code))
		if err == nil {
			continue
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil || !o.AllowErrors {
			return first
		}
	}
	return first
}

// describe fills in the metadata that front ends look for.
func (nb *Notebook) describe() {
	if _, ok := nb.Metadata["kernelspec"]; !ok {
		nb.Metadata["kernelspec"] = map[string]any{"name": "godwit", "display_name": "Go (godwit)", "language": "go"}
	}
	info, _ := nb.Metadata["language_info"].(map[string]any)
	if info == nil {
		info = map[string]any{}
		nb.Metadata["language_info"] = info
	}
	for k, v := range map[string]any{"name": "go", "file_extension": ".go", "mimetype": "text/x-go", "pygments_lexer": "go", "codemirror_mode": "go"} {
		info[k] = v
	}
}

// Language is what the notebook says that its cells are written in, "" if nothing.
func (nb *Notebook) Language() string {
	if info, ok := nb.Metadata["language_info"].(map[string]any); ok {
		if name, _ := info["name"].(string); name != "" {
			return name
		}
	}
	if spec, ok := nb.Metadata["kernelspec"].(map[string]any); ok {
		name, _ := spec["language"].(string)
		return name
	}
	return ""
}

type runner struct {
	nb  *Notebook
	ev  Evaluator
	opt Options

	displays map[string][]Output
}

const timeFormat = "2006-01-02T15:04:05.000000Z"

func (r *runner) cell(ctx context.Context, at, index, total int) error {
	c := r.nb.Cells[at]
	r.tell(Event{Cell: c, Index: index, Total: total})
	start := time.Now()
	out := &recorder{r: r, cell: c}
	result, failure := r.evaluate(ctx, c, index, out)
	r.nb.mu.Lock()
	c.Count = index
	if failure == nil && result.HasValue {
		out.add("execute_result", result.Bundle, index)
	}
	allowed := failure == nil || c.Tagged("raises-exception") && failure.Name != "Interrupted"
	if failure != nil {
		out.fail(failure)
	}
	stamp := func(t time.Time) string { return t.UTC().Format(timeFormat) }
	c.Metadata["execution"] = map[string]any{"iopub.execute_input": stamp(start), "iopub.status.busy": stamp(start),
		"iopub.status.idle": stamp(time.Now()), "shell.execute_reply": stamp(time.Now())}
	r.nb.mu.Unlock()
	if r.opt.Echo != nil && failure == nil && result.HasValue {
		r.opt.Echo.Display(result.Bundle)
	}
	var err error
	if !allowed {
		err = &CellError{Index: at + 1, Count: index, ID: c.ID, Err: failure}
	}
	r.tell(Event{Cell: c, Index: index, Total: total, Done: true, Err: err, Elapsed: time.Since(start)})
	return err
}

func (r *runner) tell(e Event) {
	if r.opt.Progress != nil {
		r.opt.Progress(e)
	}
}

func (r *runner) evaluate(ctx context.Context, c *Cell, number int, out *recorder) (session.Result, *session.Error) {
	limited := ctx
	if r.opt.Timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, r.opt.Timeout)
		defer cancel()
	}
	result, err := r.ev.Exec(limited, session.Cell{Code: c.Source, Number: number}, out)
	if err == nil {
		return result, nil
	}
	var failure *session.Error
	switch {
	case limited.Err() != nil && ctx.Err() == nil:
		failure = &session.Error{Name: "Timeout", Message: fmt.Sprintf("the cell ran longer than %v and was interrupted", r.opt.Timeout)}
	case !errors.As(err, &failure):
		failure = &session.Error{Name: "Error", Message: err.Error()}
	}
	return session.Result{}, failure
}

// recorder stores what one cell produces.
type recorder struct {
	r     *runner
	cell  *Cell
	clear bool // the next output replaces all before it
}

func (o *recorder) Stdout(p []byte) {
	o.stream("stdout", p)
	if o.r.opt.Echo != nil {
		o.r.opt.Echo.Stdout(p)
	}
}

func (o *recorder) Stderr(p []byte) {
	o.stream("stderr", p)
	if o.r.opt.Echo != nil {
		o.r.opt.Echo.Stderr(p)
	}
}

func (o *recorder) stream(name string, p []byte) {
	o.r.nb.mu.Lock()
	defer o.r.nb.mu.Unlock()
	o.cleared()
	text := strings.ToValidUTF8(string(p), "\uFFFD")
	if n := len(o.cell.Outputs); n > 0 {
		last := o.cell.Outputs[n-1]
		if last["output_type"] == "stream" && last["name"] == name {
			last["text"] = last["text"].(string) + text
			return
		}
	}
	o.cell.Outputs = append(o.cell.Outputs, Output{"output_type": "stream", "name": name, "text": text})
}

// cleared carries out a clear that waited. The caller holds the lock.
func (o *recorder) cleared() {
	if o.clear {
		o.cell.Outputs, o.clear = nil, false
	}
}

func (o *recorder) Display(b session.Bundle) {
	o.r.nb.mu.Lock()
	if b.Update && b.ID != "" {
		o.update(b)
	} else {
		o.add("display_data", b, 0)
	}
	o.r.nb.mu.Unlock()
	if o.r.opt.Echo != nil {
		o.r.opt.Echo.Display(b)
	}
}

// add stores a bundle as an output. The caller holds the lock.
func (o *recorder) add(kind string, b session.Bundle, count int) {
	o.cleared()
	out := Output{"output_type": kind}
	if kind == "execute_result" {
		out["execution_count"] = count
	}
	if !out.fill(b) {
		out = Output{"output_type": "stream", "name": "stderr", "text": out["text"]}
	}
	o.cell.Outputs = append(o.cell.Outputs, out)
	if b.ID != "" {
		o.r.displays[b.ID] = append(o.r.displays[b.ID], out)
	}
}

// update replaces what was shown under the bundle's name, wherever it is. The caller
// holds the lock.
func (o *recorder) update(b session.Bundle) {
	for _, out := range o.r.displays[b.ID] {
		out.fill(b)
	}
}

// fill puts a bundle's contents into an output; false leaves only the reason as text.
func (o Output) fill(b session.Bundle) bool {
	data, err := contents(b.Data)
	if err != nil {
		o["text"] = "display: " + err.Error() + "\n"
		return false
	}
	o["data"], o["metadata"] = data, b.Metadata
	if b.Metadata == nil {
		o["metadata"] = map[string]any{}
	}
	return true
}

// fail stores an error. The caller holds the lock.
func (o *recorder) fail(e *session.Error) {
	o.cleared()
	trace := e.Traceback
	if !strings.Contains(strings.Join(trace, "\n"), e.Message) || len(trace) == 0 {
		trace = append([]string{e.Name + ": " + e.Message}, trace...)
	}
	o.cell.Outputs = append(o.cell.Outputs, Output{"output_type": "error", "ename": e.Name, "evalue": e.Message, "traceback": trace})
}

func (o *recorder) ClearOutput(wait bool) {
	o.r.nb.mu.Lock()
	defer o.r.nb.mu.Unlock()
	if wait {
		o.clear = true
		return
	}
	o.cell.Outputs = nil
}

// Input fails: nobody sits before a notebook that runs by itself.
func (o *recorder) Input(string, bool) (string, error) {
	return "", errors.New("the cell asks for input, which nobody can give while a notebook runs from the command line; use a parameter")
}
