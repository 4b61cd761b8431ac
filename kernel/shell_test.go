package kernel

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/kernel/wire"
)

// requestTo sends a message to a subshell and returns its id.
func (d *dealer) requestTo(subshell, msgType string, content any) string {
	d.h.t.Helper()
	id := d.h.codec.NewID()
	frames, err := d.h.codec.Encode(wire.Message{Header: wire.Header{Type: msgType, ID: id}, Content: content})
	if err != nil {
		d.h.t.Fatal(err)
	}
	// The kernel's own messages have no subshell_id: it is put into the header here.
	header := strings.TrimSuffix(string(frames[2]), "}") + fmt.Sprintf(`,"subshell_id":%s}`, subshell)
	d.send(d.h.sign([]byte(header), frames[3], frames[4], frames[5]))
	return id
}

func (h *harness) createSubshell() string {
	h.t.Helper()
	msgType, reply := h.ask(h.control, "create_subshell_request", nil)
	want(h.t, "reply", msgType+fmt.Sprint(reply["status"]), "create_subshell_replyok")
	id, _ := reply["subshell_id"].(string)
	if id == "" {
		h.t.Fatalf("reply %v", reply)
	}
	return id
}

func quoted(id string) string { return `"` + id + `"` }

func TestSubshellsAreCreatedListedAndDeleted(t *testing.T) {
	h := startKernel(t, nil)
	_, info := h.ask(h.control, "kernel_info_request", nil)
	want(t, "features", info["supported_features"], "[kernel subshells]")
	a, b := h.createSubshell(), h.createSubshell()
	_, list := h.ask(h.control, "list_subshell_request", nil)
	want(t, "list", list, map[string]any{"status": "ok", "subshell_id": []any{a, b}})
	_, reply := h.ask(h.control, "delete_subshell_request", fields{"subshell_id": a})
	want(t, "delete", reply["status"], "ok")
	_, reply = h.ask(h.control, "delete_subshell_request", fields{"subshell_id": a})
	want(t, "delete again", reply["ename"], "UnknownSubshell")
	_, list = h.ask(h.control, "list_subshell_request", nil)
	want(t, "list", list["subshell_id"], []any{b})
}

func TestASubshellRunsBesideTheMainShellAndCountsForItself(t *testing.T) {
	h := startKernel(t, nil)
	sub := h.createSubshell()
	h.run("print first", nil)
	busy := h.shell.request("execute_request", fields{"code": "print on\nwait until\nvalue 5"})
	h.outputUntil("stream")
	id := h.shell.requestTo(quoted(sub), "execute_request", fields{"code": "value 1"})
	m := h.shell.next()
	want(t, "parent", parentID(m), id)
	want(t, "its count", contentOf(m)["execution_count"], 1)
	want(t, "outputs", join(h.outputs(id)), "busy in[1] out[1]:1 idle")
	m = h.iopub.next()
	want(t, "the main cell's status again", parentID(m)+m.Header.Type+fmt.Sprint(contentOf(m)), busy+"statusmap[execution_state:busy]")
	h.fake.open("until")
	m = h.shell.next()
	want(t, "parent", parentID(m), busy)
	want(t, "the main count", contentOf(m)["execution_count"], 2)
	id = h.shell.requestTo("null", "execute_request", fields{"code": "value 1"})
	want(t, "null is the main shell", contentOf(h.shell.next())["execution_count"], 3)
	h.outputs(id)
	h.shell.requestTo(quoted(sub), "history_request", fields{"hist_access_type": "range", "session": 0})
	want(t, "history", contentOf(h.shell.next())["history"], "[[1 1 value 1]]")
}

func TestAnInterruptEndsTheCellsOfAllShells(t *testing.T) {
	h := startKernel(t, nil)
	sub := h.createSubshell()
	ids := map[string]bool{
		h.shell.request("execute_request", fields{"code": "print a\nwait for ever"}):                true,
		h.shell.requestTo(quoted(sub), "execute_request", fields{"code": "print b\nwait for ever"}): true,
	}
	h.outputUntil("stream")
	h.outputUntil("stream")
	h.control.request("interrupt_request", nil)
	for range 2 {
		m := h.shell.next()
		want(t, "ename", contentOf(m)["ename"], "Interrupted")
		delete(ids, parentID(m))
	}
	want(t, "cells left", len(ids), 0)
}

func TestAFailureAbortsOnlyTheQueueOfItsShell(t *testing.T) {
	h := startKernel(t, nil)
	sub := h.createSubshell()
	h.shell.request("execute_request", fields{"code": "wait go\nfail x"})
	h.shell.request("execute_request", fields{"code": "value 2"})
	other := h.shell.requestTo(quoted(sub), "execute_request", fields{"code": "value 3"})
	m := h.shell.next()
	want(t, "the subshell's", parentID(m)+fmt.Sprint(contentOf(m)["status"]), other+"ok")
	h.fake.open("go")
	want(t, "the failure", contentOf(h.shell.next())["status"], "error")
	want(t, "what was queued", contentOf(h.shell.next())["status"], "aborted")
}

func TestDeletingASubshellEndsItsCellAndAbortsItsQueue(t *testing.T) {
	h := startKernel(t, nil)
	sub := h.createSubshell()
	first := h.shell.requestTo(quoted(sub), "execute_request", fields{"code": "print on\nwait for ever", "stop_on_error": false})
	second := h.shell.requestTo(quoted(sub), "execute_request", fields{"code": "value 1"})
	third := h.shell.requestTo(quoted(sub), "history_request", fields{"hist_access_type": "tail"})
	barrier := h.shell.requestTo(quoted(sub), "is_complete_request", fields{"code": "x"})
	want(t, "barrier", parentID(h.shell.next()), barrier)
	h.outputUntil("stream")
	h.control.request("delete_subshell_request", fields{"subshell_id": sub})
	for _, c := range []struct{ id, status string }{{first, "error"}, {second, "aborted"}, {third, "error"}} {
		m := h.shell.next()
		want(t, "parent", parentID(m), c.id)
		want(t, "status", contentOf(m)["status"], c.status)
	}
	gone := h.shell.requestTo(quoted(sub), "execute_request", fields{"code": "value 1"})
	m := h.shell.next()
	want(t, "ename", contentOf(m)["ename"], "UnknownSubshell")
	want(t, "statuses", join(h.outputs(gone)), "busy idle")
	h.shell.requestTo(quoted("never was"), "complete_request", fields{"code": "x"})
	want(t, "ename", contentOf(h.shell.next())["ename"], "UnknownSubshell")
}

func TestSubshellsAreLimited(t *testing.T) {
	h := startKernel(t, nil)
	for range maxSubshells {
		h.createSubshell()
	}
	_, reply := h.ask(h.control, "create_subshell_request", nil)
	want(t, "one more", reply["ename"], "SubshellError")
}

func TestQuestionsOfSubshellsAreAnsweredIndependently(t *testing.T) {
	h := startKernel(t, nil)
	sub := h.createSubshell()
	main := h.shell.request("execute_request", fields{"code": "ask main?"})
	h.stdin.next()
	other := h.shell.requestTo(quoted(sub), "execute_request", fields{"code": "ask sub?"})
	question := h.stdin.next()
	want(t, "question", contentOf(question)["prompt"], "sub?")
	h.stdin.requestTo(quoted(sub), "input_reply", wire.InputReply{Value: "for sub"})
	want(t, "first", parentID(h.shell.next()), other)
	h.stdin.request("input_reply", wire.InputReply{Value: "for main"})
	want(t, "second", parentID(h.shell.next()), main)
	if got := join(h.outputs(main)); !strings.Contains(got, "stdout:got for main$") {
		t.Errorf("outputs %s", got)
	}
}

func TestRequestsThatNeedNoCellAreAnsweredWhileOneRuns(t *testing.T) {
	h := startKernel(t, nil)
	busy := h.shell.request("execute_request", fields{"code": "print on\nwait until"})
	h.outputUntil("stream")
	for _, request := range []string{"complete_request", "inspect_request", "is_complete_request", "kernel_info_request", "comm_info_request", "connect_request"} {
		msgType, reply := h.ask(h.shell, request, fields{"code": "x", "cursor_pos": 1})
		want(t, request, msgType+fmt.Sprint(reply["status"] != "error"), replyType(request)+"true")
	}
	queued := h.shell.request("history_request", fields{"hist_access_type": "tail"})
	h.fake.open("until")
	want(t, "the cell", parentID(h.shell.next()), busy)
	m := h.shell.next()
	want(t, "the history behind it", parentID(m), queued)
	want(t, "with the cell", contentOf(m)["history"], "[[1 1 print on\nwait until]]")
}

func TestUsage(t *testing.T) {
	gpu := GPU{Name: "G", Total: 10, Used: 4, Own: 1}
	h := startKernel(t, func(o *Options) { o.GPUs = func() []GPU { return []GPU{gpu} } })
	for range 2 {
		msgType, reply := h.ask(h.control, "usage_request", nil)
		want(t, "type", msgType, "usage_reply")
		want(t, "GPUs", reply["gpu_memory"], "[map[memory_kernel:1 memory_total:10 memory_used:4 name:G]]")
		if n, _ := reply["kernel_memory"].(float64); n < 1<<20 || n > 1<<40 {
			t.Errorf("kernel_memory %v", reply["kernel_memory"])
		}
		if n, ok := reply["kernel_cpu"].(float64); !ok || n < 0 {
			t.Errorf("kernel_cpu %v", reply["kernel_cpu"])
		}
		if n, _ := reply["cpu_count"].(float64); n < 1 {
			t.Errorf("cpu_count %v", reply["cpu_count"])
		}
	}
}
