// Package nb is what a notebook cell or a script may call: launch and terminate a
// model server inside this process, generate text, run batches, talk to a port as
// an OpenAI client does, and show rich output. The tutorial's snake_case spellings
// name the same functions.
//
// Functions do not return errors: a failure ends the cell with a message (a panic
// with a *Failure), as exceptions do in the tutorial this follows. An Env belongs to
// one session; Close ends every server that it launched.
//
// One cell's way: LaunchServer → runtime/serve loads the model and opens the port →
// WaitForServer → Generate asks the in-process engine (no HTTP) or OpenAI(url) the
// port → TerminateProcess returns the memory.
package nb

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/runtime/display"
	"github.com/godwit-ai/godwit/viz"
)

// Output is where a cell's output goes.
type Output interface {
	Stdout(p []byte)
	Display(data, metadata map[string]any, id string, update bool)
	ClearOutput(wait bool)
	Input(prompt string, password bool) (string, error)
}

// Options connect an Env to its front end.
type Options struct {
	// Current is the output of the running cell; it must not return nil.
	Current func() Output
	// Context ends when the running cell is interrupted; nil means never.
	Context func() context.Context
	// Log is where servers log and report the loading of weights; nil means the
	// running cell's output.
	Log io.Writer
	// Methods finds display methods of values that cells declared; nil finds those of
	// compiled types only.
	Methods display.Methods
	// Image gives a value as an image, also one of a cell's type; nil as Methods.
	Image func(v any) (image.Image, bool)
	// Comments are what stands at the declaration of a cell's type and, by name, at its
	// fields; nil when nobody knows.
	Comments func(t reflect.Type) (doc string, fields map[string]string)
}

// Env holds the servers and settings of one session. Its methods may be called
// from any goroutine.
type Env struct {
	opt    Options
	charts *viz.Renderer
	maker  display.Maker

	mu      sync.Mutex
	servers []*Process
	nextID  int
}

// New makes an Env.
func New(o Options) *Env {
	if o.Context == nil {
		o.Context = context.Background
	}
	r, err := viz.NewRenderer(viz.Once)
	if err != nil {
		panic(err)
	}
	if o.Methods == nil {
		o.Methods = method
	}
	e := &Env{opt: o, charts: r, maker: display.Maker{Methods: o.Methods, Image: o.Image}}
	if e.opt.Log == nil {
		e.opt.Log = stdout{e}
	}
	return e
}

// method calls a method of a compiled type.
func method(v any, name string) (any, bool) {
	m := reflect.ValueOf(v).MethodByName(name)
	if !m.IsValid() || m.Type().NumIn() != 0 || m.Type().NumOut() != 1 {
		return nil, false
	}
	return m.Call(nil)[0].Interface(), true
}

// Failure ends a cell with a message that says what went wrong and what to do.
type Failure struct{ Err error }

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// ErrorName is the kind of failure that front ends show before the message.
func (f *Failure) ErrorName() string {
	var api *APIError
	switch {
	case errors.Is(f.Err, context.Canceled):
		return "Interrupted"
	case errors.As(f.Err, &api):
		return "APIError"
	}
	return "Failure"
}

func fail(err error) {
	panic(&Failure{err})
}

func failf(format string, args ...any) {
	fail(fmt.Errorf(format, args...))
}

// Close terminates every server of this session.
func (e *Env) Close() error {
	e.mu.Lock()
	ps := slices.Clone(e.servers)
	e.mu.Unlock()
	var first error
	for _, p := range ps {
		if err := p.stop(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Servers lists the servers that run or load, the oldest first.
func (e *Env) Servers() []*Process {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.servers), (*Process).ended)
}

// id makes a display id that no other display of this session has.
func (e *Env) id() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.nextID++
	return fmt.Sprintf("godwit-%d-%d", time.Now().UnixNano(), e.nextID)
}

// stdout is a writer to whichever cell runs when it is written to.
type stdout struct{ e *Env }

func (w stdout) Write(p []byte) (int, error) {
	w.e.opt.Current().Stdout(p)
	return len(p), nil
}
