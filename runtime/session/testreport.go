package session

import (
	"bytes"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
)

// testReport is the Output of a cell whose tests run. What package testing writes into the
// pipe w goes to the cell's Output in the order in which it was written, and before all
// that the cell gives out afterwards: a write to a pipe is in the pipe when it returns, and
// whoever gives something out first takes what is there. A goroutine takes what nobody
// else does, so that writers never wait and long tests are seen while they run.
//
// Lines of package testing stay whole. Where pipes cannot be read without waiting (not
// Unix), the order holds for its lines alone.
type testReport struct {
	Output   // the cell's
	r, w     *os.File
	mu       sync.Mutex    // held from taking something out until the cell has it
	buf      []byte        // as large as a pipe: one read takes all that is there
	rest     []byte        // the line that has begun
	attended chan struct{} // closed when the goroutine has ended
	place    *regexp.Regexp
}

// Places in the interpreter that package testing names as a log's. As it goes, its logs
// are indented by four spaces, and their further lines by eight; afterwards, as deep as
// tests are nested.
var (
	hostPlace   = regexp.MustCompile(`(?m)^(    )(?:value|run|makefunc|gotesting)\.go:\d+: `)
	nestedPlace = regexp.MustCompile(`(?m)^((?:    )+)(?:value|run|makefunc|gotesting)\.go:\d+: `)
)

// lastReport is the file that was os.Stdout when tests ran last.
var lastReport atomic.Pointer[os.File]

// processStdout is what os.Stdout was when the process began.
var processStdout = os.Stdout

// isStdout reports whether a file that a cell has read from os.Stdout at some time means
// standard output.
func isStdout(f *os.File) bool {
	return f != nil && (f == os.Stdout || f == processStdout || f == lastReport.Load())
}

func newTestReport(out Output, verbose bool) (*testReport, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t := &testReport{Output: out, r: r, w: w, buf: make([]byte, 64<<10), attended: make(chan struct{}), place: nestedPlace}
	if verbose {
		t.place = hostPlace
	}
	go func() { // ends with Close, which waits for it
		defer close(t.attended)
		whenReadable(r, func() (closed bool) {
			for {
				if n, err := t.take(); err != nil || n < len(t.buf) {
					return err != nil
				}
			}
		})
	}()
	return t, nil
}

// take hands over what is in the pipe, up to the end of a line.
func (t *testReport) take() (n int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err = readNow(t.r, t.buf)
	t.rest = append(t.rest, t.buf[:n]...)
	if end := bytes.LastIndexByte(t.rest, '\n') + 1; end > 0 {
		t.hand(t.rest[:end])
		t.rest = t.rest[:copy(t.rest, t.rest[end:])]
	}
	return n, err
}

// hand gives a copy of lines to the cell.
func (t *testReport) hand(lines []byte) {
	if len(lines) > 0 {
		t.Output.Stdout(t.place.ReplaceAll(lines, []byte("$1")))
	}
}

// flush hands over all lines that were written before it was called.
func (t *testReport) flush() {
	if !pipesPoll {
		return
	}
	for n, err := t.take(); err == nil && n == len(t.buf); {
		n, err = t.take()
	}
}

// Close hands over the rest. Afterwards the report is the cell's Output without more.
func (t *testReport) Close() {
	t.flush()
	t.w.Close()
	if pipesPoll { // the reader may have no end: a child process can hold the other side
		t.r.Close()
	}
	<-t.attended
	t.r.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hand(t.rest)
	t.rest = nil
}

// Stdout implements Output.
func (t *testReport) Stdout(p []byte) {
	t.flush()
	t.Output.Stdout(p)
}

// Stderr implements Output.
func (t *testReport) Stderr(p []byte) {
	t.flush()
	t.Output.Stderr(p)
}

// Display implements Output.
func (t *testReport) Display(b Bundle) {
	t.flush()
	t.Output.Display(b)
}

// ClearOutput implements Output.
func (t *testReport) ClearOutput(wait bool) {
	t.flush()
	t.Output.ClearOutput(wait)
}

// Input implements Output.
func (t *testReport) Input(prompt string, password bool) (string, error) {
	t.flush()
	return t.Output.Input(prompt, password)
}
