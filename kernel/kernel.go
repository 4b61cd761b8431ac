// Package kernel is a Jupyter kernel for Go: it binds the five ZeroMQ sockets that a
// connection file names, checks every message, and runs cells in a Session.
//
// Goroutines: one receives shell requests into a queue, so that a failed cell can
// abort what waits behind it; one takes them out of it, one at a time; each subshell
// (JEP 91) has one of its own, whose cells run beside the others'; one answers
// completion, inspection and the like while cells run; one serves control, so that
// interrupt, shutdown and kernel_info are answered meanwhile; one receives input
// replies. Output may come from any goroutine: it is published under the header of the cell that
// made it, also after that cell has ended.
//
// One cell's way: shell socket → wire.Codec.Decode (HMAC, replay) → queue → busy,
// execute_input → Session.Exec, whose output is gathered for at most some
// milliseconds and published → execute_result → execute_reply → idle, which comes
// after everything that the cell printed.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"

	"github.com/godwit-ai/godwit/kernel/comm"
	"github.com/godwit-ai/godwit/runtime/session"
)

// Session evaluates cells. Cells of one shell come one at a time; a cell with Beside
// set runs beside those of other shells. Complete, Inspect and IsComplete are called
// while cells run.
type Session interface {
	// Exec runs a cell until it ends or ctx is done. A failure inside the cell is a
	// *session.Error.
	Exec(ctx context.Context, c session.Cell, out session.Output) (session.Result, error)
	// Complete and Inspect count positions in code points.
	Complete(code string, cursor int) session.Completion
	Inspect(code string, cursor, detail int) (session.Bundle, bool)
	// IsComplete says complete, incomplete, invalid or unknown, and for incomplete
	// code how the next line is indented.
	IsComplete(code string) (status, indent string)
	Close() error
}

// Options describe a kernel to run.
type Options struct {
	ConnectionFile string  // path of Jupyter's connection file
	Session        Session // closed by Run

	// OnShutdown is called once, after the last cell and before Session.Close, when
	// the kernel ends in whatever way but a crash; nil is allowed. Run waits for it.
	OnShutdown func(restart bool)

	// AllowRemote permits an address that is not loopback although the connection is
	// not encrypted.
	AllowRemote bool

	// ParentPID is the process whose end ends the kernel. 0 takes JPY_PARENT_PID from
	// the environment, as Jupyter sets it, if it is there.
	ParentPID int

	// MaxCellOutput bounds the bytes of text that one cell may print; what is beyond
	// is replaced by one notice. 0 means 256 MiB.
	MaxCellOutput int64

	// HistoryDir is the folder that keeps the input of all sessions, shared by all
	// kernels of a user; "" keeps history in memory only.
	HistoryDir string

	// Comms are the comms that cells open and handle; nil: every comm that the front
	// end opens is closed at once.
	Comms *comm.Hub

	// GPUs says what GPUs there are and how much of their memory is in use, for
	// usage_request; nil asks the NVIDIA management library if there is one.
	GPUs func() []GPU

	Version string       // of the implementation, shown in kernel_info; "" means "0"
	Logger  *slog.Logger // nil: nothing is logged
}

// Run serves until a shutdown request, SIGTERM, the end of the parent process or of
// ctx, all of which return nil after an orderly end. SIGINT interrupts the running
// cell. Errors are refusals to start.
func Run(ctx context.Context, opts Options) error {
	if opts.Session == nil {
		return errors.New("kernel: Options.Session is nil")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.MaxCellOutput == 0 {
		opts.MaxCellOutput = 256 << 20
	}
	if opts.Version == "" {
		opts.Version = "0"
	}
	if err := opts.parentFromEnvironment(); err != nil {
		return err
	}
	s, err := start(opts)
	if err != nil {
		return errors.Join(fmt.Errorf("start kernel: %w", err), opts.Session.Close())
	}
	return s.run(ctx)
}

func (o *Options) parentFromEnvironment() error {
	text := os.Getenv("JPY_PARENT_PID")
	if o.ParentPID != 0 || text == "" {
		return nil
	}
	pid, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("kernel: JPY_PARENT_PID is %q, not a process id", text)
	}
	o.ParentPID = pid
	return nil
}
