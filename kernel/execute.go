package kernel

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/godwit-ai/godwit/kernel/wire"
	"github.com/godwit-ai/godwit/runtime/session"
)

// running is the cell that can be interrupted.
type running struct {
	mu     sync.Mutex
	cancel context.CancelCauseFunc // nil: no cell runs
	out    *output
	nagged bool
}

// set names the running cell; nil functions mean that none runs.
func (r *running) set(cancel context.CancelCauseFunc, out *output) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel, r.out, r.nagged = cancel, out, false
}

// stubborn is how long an interrupted cell may take before the user is told.
const stubborn = 3 * time.Second

func (r *running) interrupt(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel == nil {
		return
	}
	r.cancel(cause)
	if out := r.out; !r.nagged {
		r.nagged = true
		time.AfterFunc(stubborn, func() { r.nag(out) })
	}
}

// nag tells the user of an interrupted cell that has not ended.
func (r *running) nag(out *output) {
	r.mu.Lock()
	still := r.out == out
	r.mu.Unlock()
	if still {
		out.Stderr([]byte("\nThe cell has not stopped yet: it waits inside a Go function that cannot be interrupted. Restart the kernel to end it.\n"))
	}
}

// abortGrace is how long a failed cell's reply is held back, so that cells which its
// front end sent together with it can arrive and be aborted.
const abortGrace = 10 * time.Millisecond

// abortRule tells which requests a failed cell aborts: those that had arrived before
// its reply was sent, and those that its front end had composed before, if they
// arrive within a moment. The front end's clock decides only inside that moment,
// because it may be another machine's.
type abortRule struct {
	number  uint64 // newest request that had arrived
	session string // of the failed request
	at      time.Time
}

const lateArrival = 100 * time.Millisecond

func (a *abortRule) aborts(r request) bool {
	if r.number <= a.number {
		return true
	}
	if r.Header.Session != a.session || r.arrived.Sub(a.at) > lateArrival {
		return false
	}
	composed, err := time.Parse(time.RFC3339Nano, r.Header.Date)
	return err == nil && composed.Before(a.at)
}

// execute answers an execute_request.
func (sh *shell) execute(r request) {
	s := sh.s
	started := time.Now()
	var req wire.ExecuteRequest
	if err := r.Decode(&req); err != nil {
		s.replyExecution(r.Message, sh.count, &session.Error{Name: "BadRequest", Message: err.Error()}, wire.ExecuteReply{}, started)
		return
	}
	if sh.abort.aborts(r) {
		s.reply(s.shell, r.Message, wire.ExecuteReply{Status: "aborted", Count: sh.count})
		return
	}
	if req.Stores() {
		sh.count++
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(context.Canceled)
	out := newOutput(ctx, s, r.Message, &req)
	if !req.Silent {
		s.publish("execute_input", r.RawHeader, wire.ExecuteInput{Code: req.Code, Count: sh.count})
	}
	sh.running.set(cancel, out)
	if sh.ctx.Err() != nil { // whoever ended the shell may have looked for a running cell before
		cancel(context.Cause(sh.ctx))
	}
	var reply wire.ExecuteReply
	var result session.Result
	var failure *session.Error
	name, detail, asks := asked(req.Code)
	if asks {
		failure = s.answer(ctx, &reply, name, detail)
	} else {
		result, failure = s.evaluate(ctx, sh.cell(&req), out)
	}
	var expressions map[string]any
	if failure == nil {
		expressions = sh.userExpressions(ctx, &req, out)
	}
	sh.running.set(nil, nil)
	out.finish()
	sh.conclude(r, &req, result, failure)
	reply.UserExpressions = expressions
	if result.Replace != "" {
		reply.Payload = []any{wire.NextInput{Source: "set_next_input", Text: result.Replace, Replace: true}}
	}
	s.replyExecution(r.Message, sh.count, failure, reply, started)
}

var questionForm = regexp.MustCompile(`\A\s*(\?{0,2})\s*([\pL_][\pL\pN_]*(?:\.[\pL_][\pL\pN_]*)*)(\?{0,2})\s*\z`)

// asked reads NAME?, ?NAME, NAME?? and ??NAME, which are no Go: two marks ask for more.
func asked(code string) (name string, detail int, ok bool) {
	m := questionForm.FindStringSubmatch(code)
	if m == nil || m[1]+m[3] == "" {
		return "", 0, false
	}
	return m[2], max(len(m[1]), len(m[3])) - 1, true
}

// answer puts what is known about a name into the reply; front ends show it in a pager or
// below the cell.
func (s *server) answer(ctx context.Context, reply *wire.ExecuteReply, name string, detail int) *session.Error {
	return s.guard(ctx, func() error {
		b, ok := s.opts.Session.Inspect(name, utf8.RuneCountInString(name), detail)
		if !ok {
			return &session.Error{Name: "NotFound", Message: fmt.Sprintf("nothing is known about %s", name)}
		}
		reply.Payload = []any{wire.Page{Source: "page", Data: bundleData(b.Data)}}
		return nil
	})
}

func (sh *shell) cell(req *wire.ExecuteRequest) session.Cell {
	c := session.Cell{Code: req.Code, Number: sh.count, Beside: sh.id != ""}
	if !req.Stores() {
		c.Name = "uncounted cell"
	}
	if sh.id != "" {
		c.Name = fmt.Sprintf("subshell %s cell %d", sh.id[:4], sh.count)
	}
	return c
}

// conclude publishes the value or the failure and keeps the cell in the history.
func (sh *shell) conclude(r request, req *wire.ExecuteRequest, result session.Result, failure *session.Error) {
	s := sh.s
	if failure != nil {
		if !req.Silent {
			s.publish("error", r.RawHeader, wire.Error{Name: failure.Name, Value: failure.Message, Traceback: traceback(failure)})
		}
		if req.Stops() {
			// What arrives before the reply is sent was composed without knowing it.
			time.Sleep(abortGrace)
			sh.abort = abortRule{number: s.received.Load(), session: r.Header.Session, at: time.Now()}
		}
	} else if result.HasValue && !req.Silent {
		s.publishValue(r.Message, sh.count, result.Bundle)
	}
	if req.Stores() {
		sh.history.add(sh.count, req.Code, result)
	}
}

func (s *server) publishValue(parent wire.Message, count int, b session.Bundle) {
	d := displayContent(b)
	d.Count = &count
	if err := s.publish("execute_result", parent.RawHeader, d); err != nil {
		s.publish("stream", parent.RawHeader, wire.Stream{Name: "stderr", Text: fmt.Sprintf("the cell's value cannot be shown: %v\n", err)})
	}
}

// replyExecution ends an execution; reply holds what only it knows. The time it started goes into the metadata, where
// front ends that record timing look for it.
func (s *server) replyExecution(to wire.Message, count int, failure *session.Error, reply wire.ExecuteReply, started time.Time) {
	reply.Status, reply.Count = "ok", count
	if failure != nil {
		lines := traceback(failure)
		reply.Status, reply.Name, reply.Value, reply.Traceback = "error", failure.Name, &failure.Message, &lines
	}
	s.replyWith(s.shell, to, reply, map[string]any{"started": started.UTC().Format(wire.TimeFormat), "status": reply.Status})
}

// evaluate runs a cell.
func (s *server) evaluate(ctx context.Context, c session.Cell, out session.Output) (result session.Result, failure *session.Error) {
	failure = s.guard(ctx, func() (err error) {
		result, err = s.opts.Session.Exec(ctx, c, out)
		return err
	})
	if failure != nil {
		return session.Result{}, failure
	}
	return result, nil
}

// guard calls f. Whatever goes wrong, also inside the session itself, comes back as an
// error of the cell.
func (s *server) guard(ctx context.Context, f func() error) (failure *session.Error) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("session panicked", "panic", v, "stack", string(debug.Stack()))
			failure = &session.Error{Name: "InternalError", Message: fmt.Sprint(v)}
		}
	}()
	err := f()
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failure):
		return failure
	case isInterrupt(ctx, err):
		return &session.Error{Name: "Interrupted", Message: "the cell was interrupted"}
	}
	return &session.Error{Name: "Error", Message: err.Error()}
}

// traceback returns what front ends show of a failure; they show nothing else, so
// the message must be in it.
func traceback(e *session.Error) []string {
	if strings.Contains(strings.Join(e.Traceback, "\n"), e.Message) && len(e.Traceback) > 0 {
		return e.Traceback
	}
	return append([]string{e.Name + ": " + e.Message}, e.Traceback...)
}

// userExpressions evaluates further expressions behind a successful cell. Each has a
// result or an error of its own.
func (sh *shell) userExpressions(ctx context.Context, req *wire.ExecuteRequest, out *output) map[string]any {
	values := map[string]any{}
	for name, code := range req.UserExpressions {
		c := session.Cell{Code: code, Number: sh.count, Name: "user expression " + name, Beside: sh.id != ""}
		result, failure := sh.s.evaluate(ctx, c, out)
		if failure != nil {
			values[name] = wire.Error{Status: "error", Name: failure.Name, Value: failure.Message, Traceback: traceback(failure)}
			continue
		}
		d := displayContent(result.Bundle)
		values[name] = map[string]any{"status": "ok", "data": d.Data, "metadata": d.Metadata}
	}
	return values
}
