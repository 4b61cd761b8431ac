// Package session is a Go scripting session: it splits a cell, checks and lowers
// it and evaluates it with yaegi, keeps variables between cells, and answers
// completion and inspection. It knows no front end: the Jupyter kernel, `godwit
// run` and tests drive it through the same calls.
package session

import (
	"io/fs"
	"reflect"
)

// Bundle is one value for display in several formats: MIME type → content
// (string, []byte or JSON-encodable).
type Bundle struct {
	Data     map[string]any
	Metadata map[string]any
	ID       string // display id, may be empty
	Update   bool   // replace the display with this ID instead of adding one
}

// Output receives what a cell produces while it runs. Implementations must accept
// concurrent calls, also from goroutines that outlive their cell.
type Output interface {
	Stdout(p []byte)
	Stderr(p []byte)
	Display(b Bundle)
	ClearOutput(wait bool)
	Input(prompt string, password bool) (string, error)
}

// Options configure a session.
type Options struct {
	// Exports are yaegi symbol tables: "import/path/name" → symbol → value. They are
	// added to the standard library's.
	Exports []map[string]map[string]reflect.Value
	// DotImports are import paths out of Exports whose names cells use unqualified.
	DotImports []string
	// Sources are the Go source files of packages in Exports, by import path: inspection
	// takes comments and the names of parameters from them.
	Sources map[string]fs.FS
	// Render turns a cell's last value into a bundle; nil uses fmt only. It is asked
	// first; false means "not mine".
	Render func(v any) (Bundle, bool)

	// MemoryLimit is how many bytes the process may hold while cells run; one that goes
	// beyond is stopped. 0 means nine tenths of the machine's or the control group's.
	MemoryLimit uint64

	trace func(lowered string) // shows the lowered code, for tests
}

// Cell is one piece of code to evaluate.
type Cell struct {
	Code   string
	Number int    // execution count, shown as "cell N" in errors
	Name   string // "cell 3" or a file name; made from Number when empty
	Beside bool   // run beside a cell that runs already, instead of behind it
}

// Result is what a cell evaluated to.
type Result struct {
	HasValue bool
	Bundle   Bundle // of the last expression, when HasValue
	Replace  string // text that the front end puts in the place of the cell's; "" for none
}

// Error is a failure inside a cell, located in the user's source.
type Error struct {
	Name      string // "CompileError", "Panic", "Interrupted", "ExitRequest", …
	Message   string
	Line, Col int // 1-based position in the cell; 0 if unknown
	Traceback []string
	Status    int // what an ExitRequest gave to os.Exit
}

func (e *Error) Error() string { return e.Message }

// Completion answers a completion request. Positions count code points.
type Completion struct {
	Matches    []Match
	Start, End int // the part of the code that a match replaces
}

// Match is one completion.
type Match struct {
	Text      string
	Type      string // "function", "type", "variable", "constant", "package", "keyword"
	Signature string
}
