package kernel

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/kernel/wire"
	"github.com/godwit-ai/godwit/runtime/session"
)

// shell handles requests one by one, in the order of their arrival. The main shell
// lives as long as the kernel; subshells (JEP 91) come and go, and their cells run
// beside those of the others. Each has its own execution count and history.
type shell struct {
	s  *server
	id string // "" is the main shell

	requests chan request
	asking   chan struct{} // holds a token while one of its cells asks for input
	cells    atomic.Int64  // execute requests that wait or run
	running  running
	ctx      context.Context // done when the kernel ends or the subshell is deleted
	cancel   context.CancelCauseFunc
	done     chan struct{} // closed when serve has ended

	// owned by serve
	count   int
	history *history
	abort   abortRule
}

// request is a shell message and its place in the order of arrival.
type request struct {
	wire.Message
	number  uint64
	arrived time.Time
}

// queuedRequests bounds the requests that wait for a shell's running cell; beyond it
// the shell socket is not read.
const queuedRequests = 4096

func (s *server) newShell(id string) *shell {
	sh := &shell{s: s, id: id, requests: make(chan request, queuedRequests),
		asking: make(chan struct{}, 1), done: make(chan struct{}), history: s.history.newSession()}
	sh.ctx, sh.cancel = context.WithCancelCause(s.ctx)
	return sh
}

// route gives a shell message to the shell that it names, or to serveAside if that
// can answer it while the shell's cell runs.
func (s *server) route(m wire.Message) {
	r := request{m, s.received.Add(1), time.Now()}
	sh := s.main
	if id := m.Header.Subshell; id != "" {
		if sh = s.subshells.get(id); sh == nil {
			s.handle(s.shell, m, func() { s.refuseSubshell(m, id) })
			return
		}
	}
	if m.Header.Type == "comm_msg" && s.deliverComm(m) {
		return
	}
	if sh.cells.Load() > 0 && answeredAside[m.Header.Type] {
		s.queueAside(func() { s.handle(s.shell, m, func() { sh.request(r) }) })
		return
	}
	if m.Header.Type == "execute_request" {
		sh.cells.Add(1)
	}
	select {
	case sh.requests <- r:
	case <-sh.ctx.Done():
	}
}

// serve handles the shell's requests until the shell ends.
func (sh *shell) serve() {
	defer close(sh.done)
	for sh.ctx.Err() == nil {
		select {
		case <-sh.ctx.Done():
		case r := <-sh.requests:
			sh.handle(r)
		}
	}
	if sh.s.ctx.Err() == nil {
		sh.refuseRest()
	}
}

func (sh *shell) handle(r request) {
	if r.Header.Type == "execute_request" {
		defer sh.cells.Add(-1)
	}
	sh.s.handle(sh.s.shell, r.Message, func() { sh.request(r) })
}

// refuseRest answers what a deleted subshell has not come to.
func (sh *shell) refuseRest() {
	for {
		select {
		case r := <-sh.requests:
			sh.s.handle(sh.s.shell, r.Message, func() {
				if r.Header.Type == "execute_request" {
					sh.s.reply(sh.s.shell, r.Message, wire.ExecuteReply{Status: "aborted", Count: sh.count})
					return
				}
				sh.s.refuseSubshell(r.Message, sh.id)
			})
		default:
			return
		}
	}
}

// answeredAside are the requests that read nothing a running cell could be changing.
var answeredAside = map[string]bool{
	"complete_request": true, "inspect_request": true, "is_complete_request": true,
	"kernel_info_request": true, "connect_request": true, "comm_info_request": true,
}

// queueAside has serveAside answer a request.
func (s *server) queueAside(answer func()) {
	select {
	case s.aside <- answer:
	case <-s.ctx.Done():
	}
}

// serveAside answers requests that came while a cell of their shell ran, and those of
// control that take a while.
func (s *server) serveAside() {
	defer s.wg.Done()
	for s.ctx.Err() == nil {
		select {
		case <-s.ctx.Done():
		case answer := <-s.aside:
			answer()
		}
	}
}

// statuses are the cells that run, for begin and end. A front end shows one status for
// the whole kernel, the newest that it got: when something ends beside a running cell,
// the cell's own busy follows its idle.
type statuses struct {
	mu    sync.Mutex
	cells []jsontext.Value // headers of their requests
}

func (s *server) begin(m wire.Message) {
	s.status.mu.Lock()
	defer s.status.mu.Unlock()
	if m.Header.Type == "execute_request" {
		s.status.cells = append(s.status.cells, m.RawHeader)
	}
	s.publish("status", m.RawHeader, wire.Status{State: "busy"})
}

func (s *server) end(m wire.Message) {
	st := &s.status
	st.mu.Lock()
	defer st.mu.Unlock()
	if m.Header.Type == "execute_request" {
		st.cells = slices.DeleteFunc(st.cells, func(h jsontext.Value) bool { return &h[0] == &m.RawHeader[0] })
	}
	s.publish("status", m.RawHeader, wire.Status{State: "idle"})
	if n := len(st.cells); n > 0 {
		s.publish("status", st.cells[n-1], wire.Status{State: "busy"})
	}
}

// subshells are the shells that front ends created.
type subshells struct {
	mu   sync.Mutex
	byID map[string]*shell
	list []*shell // in the order of their creation
}

// maxSubshells bounds what a front end that forgets to delete can cost.
const maxSubshells = 256

func (x *subshells) get(id string) *shell {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.byID[id]
}

func (x *subshells) all() []*shell {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.list)
}

func (x *subshells) add(sh *shell) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.list) >= maxSubshells {
		return fmt.Errorf("there are %d subshells already; delete some", len(x.list))
	}
	if x.byID == nil {
		x.byID = map[string]*shell{}
	}
	x.byID[sh.id] = sh
	x.list = append(x.list, sh)
	return nil
}

func (x *subshells) remove(id string) *shell {
	x.mu.Lock()
	defer x.mu.Unlock()
	sh := x.byID[id]
	delete(x.byID, id)
	x.list = slices.DeleteFunc(x.list, func(o *shell) bool { return o == sh })
	return sh
}

// subshellRequest answers create, delete and list on the control channel; false
// means that the message is none of them.
func (s *server) subshellRequest(m wire.Message) bool {
	switch m.Header.Type {
	case "create_subshell_request":
		s.createSubshell(m)
	case "delete_subshell_request":
		s.deleteSubshell(m)
	case "list_subshell_request":
		ids := []string{}
		for _, sh := range s.subshells.all() {
			ids = append(ids, sh.id)
		}
		s.reply(s.control, m, map[string]any{"status": "ok", "subshell_id": ids})
	default:
		return false
	}
	return true
}

func (s *server) createSubshell(m wire.Message) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		s.replyError(s.control, m, "SubshellError", err.Error())
		return
	}
	sh := s.newShell(hex.EncodeToString(b))
	if err := s.subshells.add(sh); err != nil {
		sh.cancel(err)
		s.replyError(s.control, m, "SubshellError", err.Error())
		return
	}
	go sh.serve() // ends with its context; finish waits for those not deleted
	s.reply(s.control, m, map[string]string{"status": "ok", "subshell_id": sh.id})
}

// deleteSubshell interrupts the subshell's cell and aborts those behind it; it does
// not wait for them.
func (s *server) deleteSubshell(m wire.Message) {
	var r struct {
		ID string `json:"subshell_id"`
	}
	if err := m.Decode(&r); err != nil {
		s.replyError(s.control, m, "BadRequest", err.Error())
		return
	}
	sh := s.subshells.remove(r.ID)
	if sh == nil {
		s.replyError(s.control, m, "UnknownSubshell", unknownSubshell(r.ID))
		return
	}
	sh.cancel(errDeleted)
	sh.running.interrupt(errDeleted)
	s.reply(s.control, m, map[string]string{"status": "ok"})
}

var errDeleted = errors.New("the subshell was deleted")

func unknownSubshell(id string) string { return fmt.Sprintf("there is no subshell %q", id) }

// refuseSubshell answers a request to a subshell that is not there.
func (s *server) refuseSubshell(m wire.Message, id string) {
	switch m.Header.Type {
	case "comm_open", "comm_msg", "comm_close":
		s.dropped.Add(1)
		s.log.Warn("comm message to an unknown subshell dropped", "subshell", id)
	case "execute_request":
		failure := &session.Error{Name: "UnknownSubshell", Message: unknownSubshell(id)}
		s.replyExecution(m, 0, failure, wire.ExecuteReply{}, time.Now())
	default:
		s.replyError(s.shell, m, "UnknownSubshell", unknownSubshell(id))
	}
}
