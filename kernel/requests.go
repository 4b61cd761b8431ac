package kernel

import (
	"context"
	"errors"
	"runtime"
	"strings"

	"github.com/godwit-ai/godwit/kernel/wire"
	"github.com/godwit-ai/godwit/kernel/zmtp"
)

func replyType(request string) string {
	return strings.TrimSuffix(request, "_request") + "_reply"
}

// request answers one message of the shell channel. Those of answeredAside do not
// touch what serve owns.
func (sh *shell) request(r request) {
	s := sh.s
	switch r.Header.Type {
	case "execute_request":
		sh.execute(r)
	case "complete_request":
		answer(s, r.Message, s.complete)
	case "inspect_request":
		answer(s, r.Message, s.inspect)
	case "is_complete_request":
		answer(s, r.Message, s.isComplete)
	case "history_request":
		answer(s, r.Message, sh.answerHistory)
	case "comm_info_request":
		answer(s, r.Message, s.commInfo)
	case "comm_open", "comm_msg", "comm_close":
		sh.comm(r.Message)
	default:
		s.anywhere(s.shell, r.Message)
	}
}

// controlRequest answers one message of the control channel, while a cell may run.
func (s *server) controlRequest(m wire.Message) {
	switch m.Header.Type {
	case "interrupt_request":
		s.interrupt()
		s.reply(s.control, m, map[string]string{"status": "ok"})
	case "debug_request":
		s.refuseDebug(m)
	case "usage_request":
		s.reply(s.control, m, s.usage.read(s.opts.GPUs))
	default:
		if !s.subshellRequest(m) {
			s.anywhere(s.control, m)
		}
	}
}

// anywhere answers what both channels take. An unknown request gets an error reply,
// so that no front end waits; other unknown messages are dropped.
func (s *server) anywhere(socket *zmtp.Router, m wire.Message) {
	switch m.Header.Type {
	case "kernel_info_request":
		s.reply(socket, m, s.kernelInfo())
	case "connect_request":
		s.reply(socket, m, map[string]any{"status": "ok", "shell_port": s.conn.Shell, "iopub_port": s.conn.IOPub,
			"stdin_port": s.conn.Stdin, "control_port": s.conn.Control, "hb_port": s.conn.Heartbeat})
	case "shutdown_request":
		s.shutdown(socket, m)
	default:
		if strings.HasSuffix(m.Header.Type, "_request") {
			s.replyError(socket, m, "UnknownRequest", "this kernel does not know "+m.Header.Type)
			return
		}
		s.dropped.Add(1)
		s.log.Warn("message of an unknown type dropped", "type", m.Header.Type)
	}
}

// answer decodes a request's content and replies with what f makes of it.
func answer[Request any](s *server, m wire.Message, f func(*Request) any) {
	var r Request
	if err := m.Decode(&r); err != nil {
		s.replyError(s.shell, m, "BadRequest", err.Error())
		return
	}
	s.reply(s.shell, m, f(&r))
}

func (s *server) complete(r *wire.CodeRequest) any {
	c := s.opts.Session.Complete(r.Code, r.Cursor())
	matches := make([]string, 0, len(c.Matches))
	types := make([]wire.CompletionType, 0, len(c.Matches))
	for _, m := range c.Matches {
		matches = append(matches, m.Text)
		types = append(types, wire.CompletionType{Text: m.Text, Type: m.Type, Signature: m.Signature, Start: c.Start, End: c.End})
	}
	if len(matches) == 0 {
		c.Start, c.End = r.Cursor(), r.Cursor()
	}
	return wire.CompleteReply{Status: "ok", Matches: matches, Start: c.Start, End: c.End,
		Metadata: map[string]any{"_jupyter_types_experimental": types}}
}

func (s *server) inspect(r *wire.CodeRequest) any {
	b, found := s.opts.Session.Inspect(r.Code, r.Cursor(), r.DetailLevel)
	reply := wire.InspectReply{Status: "ok", Found: found, Data: map[string]any{}, Metadata: map[string]any{}}
	if found {
		reply.Data, reply.Metadata = bundleData(b.Data), orEmpty(b.Metadata)
	}
	return reply
}

func (s *server) isComplete(r *wire.CodeRequest) any {
	status, indent := s.opts.Session.IsComplete(r.Code)
	reply := wire.IsCompleteReply{Status: status}
	if status == "incomplete" {
		reply.Indent = &indent
	}
	return reply
}

func (s *server) refuseDebug(m wire.Message) {
	var r struct {
		Seq     int    `json:"seq"`
		Command string `json:"command"`
	}
	if err := m.Decode(&r); err != nil {
		s.replyError(s.control, m, "BadRequest", err.Error())
		return
	}
	s.reply(s.control, m, wire.DebugReply{Type: "response", RequestSeq: r.Seq, Command: r.Command,
		Message: "this kernel has no debugger"})
}

func (s *server) kernelInfo() wire.KernelInfoReply {
	version := strings.TrimPrefix(runtime.Version(), "go")
	return wire.KernelInfoReply{
		Status:                "ok",
		ProtocolVersion:       wire.Version,
		Implementation:        "godwit",
		ImplementationVersion: s.opts.Version,
		LanguageInfo: wire.LanguageInfo{
			Name: "go", Version: version, MIMEType: "text/x-go", FileExtension: ".go",
			PygmentsLexer: "go", CodeMirrorMode: "go", NBConvertExporter: "script",
		},
		Banner: "godwit " + s.opts.Version + ": a Go kernel (Go " + version + ") with an LLM engine inside",
		HelpLinks: []wire.HelpLink{
			{Text: "Go documentation", URL: "https://go.dev/doc/"},
			{Text: "Go standard library", URL: "https://pkg.go.dev/std"},
		},
		SupportedFeatures: []string{"kernel subshells"},
	}
}

// shutdown replies, tells all front ends, and ends the kernel.
func (s *server) shutdown(socket *zmtp.Router, m wire.Message) {
	var r wire.ShutdownRequest
	if err := m.Decode(&r); err != nil {
		s.replyError(socket, m, "BadRequest", err.Error())
		return
	}
	r.Status = "ok"
	s.reply(socket, m, r)
	s.publish("shutdown_reply", m.RawHeader, r)
	s.stop(ending{restart: r.Restart})
}

var errInterrupted = errors.New("interrupted")

// interrupt cancels the running cells of all shells, if there are any (JEP 91: an
// interrupt is for the whole kernel).
func (s *server) interrupt() {
	for _, sh := range append(s.subshells.all(), s.main) {
		sh.running.interrupt(errInterrupted)
	}
}

// isInterrupt reports whether err is no failure of the cell's own.
func isInterrupt(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx)))
}
