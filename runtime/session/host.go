package session

import (
	"bytes"
	"context"
	"fmt"
	"go/types"
	"io"
	"log"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// hostValue is a function or variable of a compiled package as cells see it.
func (s *Session) hostValue(path, name string) (reflect.Value, bool) {
	if v, ok := s.overrides[path+"."+name]; ok {
		return v, true
	}
	if t := s.foreign.tables[path]; t != nil {
		v, ok := t.symbols[name]
		return v, ok
	}
	v, ok := stdTables.get(path)[name]
	return v, ok
}

func (s *Session) cancellable(fn *types.Func) reflect.Value { return s.blocking[fn.FullName()] }

// stream is standard output or error of the cell that the writing goroutine belongs to.
type stream struct {
	s      *Session
	stderr bool
}

// Write implements io.Writer.
func (w stream) Write(p []byte) (int, error) {
	r := w.s.current()
	if r == nil {
		return len(p), nil
	}
	if r.reason.Load() != nil {
		if w.s.ownRun() == r {
			halt()
		}
		return len(p), nil
	}
	if w.stderr {
		r.out.Stderr(bytes.Clone(p))
	} else {
		r.out.Stdout(bytes.Clone(p))
	}
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (w stream) WriteString(p string) (int, error) { return w.Write([]byte(p)) }

// keyboard is standard input: lines asked from the front end.
type keyboard struct{ s *Session }

// Read implements io.Reader.
func (k keyboard) Read(p []byte) (int, error) {
	r := k.s.current()
	if r == nil {
		return 0, io.EOF
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.input) == 0 {
		line, err := r.out.Input("", false)
		if err != nil {
			return 0, err
		}
		r.input = []byte(line + "\n")
	}
	n := copy(p, r.input)
	r.input = r.input[n:]
	return n, nil
}

// standIn replaces the process's standard files by the cell's streams where they
// become interface values.
func (s *Session) standIn(v reflect.Value) any {
	if v.Type() == osFileType {
		switch f := v.Interface().(*os.File); {
		case isStdout(f):
			return stream{s, false}
		case f == os.Stderr:
			return stream{s, true}
		case f == os.Stdin:
			return keyboard{s}
		}
	}
	return v.Interface()
}

func (s *Session) fileWrite(f *os.File, p []byte) (int, error) {
	if w, ok := s.standIn(reflect.ValueOf(f)).(stream); ok {
		return w.Write(p)
	}
	return f.Write(p)
}

func (s *Session) makeOverrides() {
	out := stream{s, false}
	logger := log.New(stream{s, true}, "", log.LstdFlags)
	fatal := func() { panic(exitSignal{1}) }
	f := reflect.ValueOf
	s.overrides = map[string]reflect.Value{
		"fmt.Print":    f(func(a ...any) (int, error) { printable(a); return fmt.Fprint(out, a...) }),
		"fmt.Println":  f(func(a ...any) (int, error) { printable(a); return fmt.Fprintln(out, a...) }),
		"fmt.Sprint":   f(func(a ...any) string { printable(a); return fmt.Sprint(a...) }),
		"fmt.Sprintln": f(func(a ...any) string { printable(a); return fmt.Sprintln(a...) }),
		"fmt.Fprint":   f(func(w io.Writer, a ...any) (int, error) { printable(a); return fmt.Fprint(w, a...) }),
		"fmt.Fprintln": f(func(w io.Writer, a ...any) (int, error) { printable(a); return fmt.Fprintln(w, a...) }),
		"fmt.Append":   f(func(b []byte, a ...any) []byte { printable(a); return fmt.Append(b, a...) }),
		"fmt.Appendln": f(func(b []byte, a ...any) []byte { printable(a); return fmt.Appendln(b, a...) }),
		"fmt.Printf":   f(func(format string, a ...any) (int, error) { return printf(out, format, a) }),
		"fmt.Fprintf":  f(func(w io.Writer, format string, a ...any) (int, error) { return printf(w, format, a) }),
		"fmt.Sprintf":  f(func(format string, a ...any) string { return typeVerbs(format, a) }),
		"fmt.Errorf": f(func(format string, a ...any) error {
			format, a = typeVerbs2(format, a)
			return fmt.Errorf(format, a...)
		}),
		"fmt.Appendf": f(func(b []byte, format string, a ...any) []byte {
			format, a = typeVerbs2(format, a)
			return fmt.Appendf(b, format, a...)
		}),
		"fmt.Scan":             f(func(a ...any) (int, error) { return fmt.Fscan(keyboard{s}, a...) }),
		"fmt.Scanln":           f(func(a ...any) (int, error) { return fmt.Fscanln(keyboard{s}, a...) }),
		"fmt.Scanf":            f(func(format string, a ...any) (int, error) { return fmt.Fscanf(keyboard{s}, format, a...) }),
		"os.Exit":              f(func(code int) { panic(exitSignal{code}) }),
		"time.Sleep":           f(s.sleep),
		"runtime.SetFinalizer": f(func(any, any) {}), // calls of it: see finalizer
		// A small limit would end the process.
		"runtime/debug.SetMaxStack": f(func(n int) int { return n }),
		"context.AfterFunc":         f(s.afterFunc),
		// Without a debugger a breakpoint ends the process.
		"runtime.Breakpoint": f(func() {}),
		"log.Print":          f(func(a ...any) { _ = logger.Output(2, fmt.Sprint(a...)) }),
		"log.Println":        f(func(a ...any) { _ = logger.Output(2, fmt.Sprintln(a...)) }),
		"log.Printf":         f(func(format string, a ...any) { format, a = typeVerbs2(format, a); logger.Printf(format, a...) }),
		"log.Fatal":          f(func(a ...any) { logger.Print(a...); fatal() }),
		"log.Fatalln":        f(func(a ...any) { logger.Println(a...); fatal() }),
		"log.Fatalf":         f(func(format string, a ...any) { format, a = typeVerbs2(format, a); logger.Printf(format, a...); fatal() }),
		"log.Panic":          f(func(a ...any) { logger.Panic(a...) }),
		"log.Panicln":        f(func(a ...any) { logger.Panicln(a...) }),
		"log.Panicf":         f(func(format string, a ...any) { logger.Panicf(format, a...) }),
		"log.SetFlags":       f(logger.SetFlags), "log.Flags": f(logger.Flags),
		"log.SetPrefix": f(logger.SetPrefix), "log.Prefix": f(logger.Prefix),
		"log.SetOutput": f(logger.SetOutput), "log.Writer": f(logger.Writer),
		"log.Default": f(func() *log.Logger { return logger }),
		"time.AfterFunc": f(func(d time.Duration, g func()) *time.Timer {
			r := s.current()
			return time.AfterFunc(d, func() { s.callback(r, g) })
		}),
	}
	s.structuredLog()
	s.blocking = s.cancellableMethods()
	for name, fn := range unlockers() {
		s.blocking[name] = fn
	}
	s.overrides["encoding/json.Unmarshal"] = f(s.unmarshal)
	s.blocking["(*encoding/json.Decoder).Decode"] = f(s.decode)
	s.reflection()
	s.templates()
	s.blocking["(*os.File).Write"] = f(s.fileWrite)
	s.blocking["(*os.File).WriteString"] = f(func(file *os.File, p string) (int, error) { return s.fileWrite(file, []byte(p)) })
	s.exits()
}

// structuredLog gives log/slog a default logger that writes to the cell's stderr.
func (s *Session) structuredLog() {
	var current atomic.Pointer[slog.Logger]
	current.Store(slog.New(slog.NewTextHandler(stream{s, true}, nil)))
	f := reflect.ValueOf
	at := func(level slog.Level) reflect.Value {
		return f(func(msg string, args ...any) { current.Load().Log(context.Background(), level, msg, args...) })
	}
	atContext := func(level slog.Level) reflect.Value {
		return f(func(ctx context.Context, msg string, args ...any) { current.Load().Log(ctx, level, msg, args...) })
	}
	for name, level := range map[string]slog.Level{"Debug": slog.LevelDebug, "Info": slog.LevelInfo, "Warn": slog.LevelWarn, "Error": slog.LevelError} {
		s.overrides["log/slog."+name] = at(level)
		s.overrides["log/slog."+name+"Context"] = atContext(level)
	}
	s.overrides["log/slog.Log"] = f(func(ctx context.Context, level slog.Level, msg string, args ...any) {
		current.Load().Log(ctx, level, msg, args...)
	})
	s.overrides["log/slog.With"] = f(func(args ...any) *slog.Logger { return current.Load().With(args...) })
	s.overrides["log/slog.Default"] = f(func() *slog.Logger { return current.Load() })
	s.overrides["log/slog.SetDefault"] = f(func(l *slog.Logger) { current.Store(l) })
}

// callback runs a function on a goroutine that the runtime started for a cell.
func (s *Session) callback(r *run, f func()) {
	if r == nil {
		f()
		return
	}
	r.begin()
	defer r.end()
	r.arrive()
	defer r.report()
	r.adopt()
	if r.reason.Load() == nil {
		f()
	}
}

// printer is the built-in print or println.
func (s *Session) printer(name string) func(args ...any) {
	w := stream{s, true}
	if name == "print" {
		return func(args ...any) { fmt.Fprint(w, builtinText(args, "")) }
	}
	return func(args ...any) { fmt.Fprint(w, builtinText(args, " ")+"\n") }
}

// builtinText formats as print and println do.
func builtinText(args []any, sep string) string {
	parts := make([]string, len(args))
	for i, a := range args {
		if b, ok := asBox(a); ok {
			a = b.v
		}
		v := reflect.ValueOf(a)
		switch {
		case !v.IsValid():
			parts[i] = "nil"
		case v.CanFloat():
			parts[i] = strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits())
		case v.Kind() == reflect.Slice:
			parts[i] = fmt.Sprintf("[%d/%d]%#x", v.Len(), v.Cap(), v.Pointer())
		case hasAddress(a):
			parts[i] = fmt.Sprintf("%#x", v.Pointer())
		default:
			parts[i] = fmt.Sprint(a)
		}
	}
	return strings.Join(parts, sep)
}

func printf(w io.Writer, format string, a []any) (int, error) {
	format, a = typeVerbs2(format, a)
	return fmt.Fprintf(w, format, a...)
}

func typeVerbs(format string, a []any) string {
	format, a = typeVerbs2(format, a)
	return fmt.Sprintf(format, a...)
}
