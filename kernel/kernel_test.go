package kernel

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/kernel/wire"
)

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func message(session, date string) wire.Message {
	return wire.Message{Header: wire.Header{Session: session, Date: date}}
}

func join(lines []string) string { return strings.ReplaceAll(strings.Join(lines, " "), "\n", "$") }

func TestACellFromBusyToIdle(t *testing.T) {
	h := startKernel(t, nil)
	for _, c := range []struct {
		name, code string
		extra      fields
		status     string
		outputs    string
	}{
		{"prints and has a value", "print a\nprint b\nvalue 3", nil, "ok", "busy in[1] stdout:a$b$ out[1]:3 idle"},
		{"streams keep their order", "print a\nwarn b\nprint c", nil, "ok", "busy in[2] stdout:a$ stderr:b$ stdout:c$ idle"},
		{"fails", "print a\nfail boom", fields{"stop_on_error": false}, "error", "busy in[3] stdout:a$ error:Failure:boom idle"},
		{"panics inside the session", "panic oops", fields{"stop_on_error": false}, "error", "busy in[4] error:InternalError:oops idle"},
		{"is silent", "print a\nshow x\nvalue 1", fields{"silent": true}, "ok", "busy idle"},
		{"is silent and fails", "fail x", fields{"silent": true, "stop_on_error": false}, "error", "busy idle"},
		{"is not stored", "value 5", fields{"store_history": false}, "ok", "busy in[4] out[4]:5 idle"},
		{"displays, updates and clears", "print p\nshow x\nupdate y\nclear", nil, "ok", "busy in[5] stdout:p$ display_data:x update_display_data:y clear_output idle"},
		{"prints a character byte by byte", "bytes e2 82 ac", nil, "ok", "busy in[6] stdout:€ idle"},
		{"prints bytes that are no text", "bytes ff 41 e2", nil, "ok", "busy in[7] stdout:\ufffdA\ufffd idle"},
		{"has a value that JSON cannot hold", "unshowable", nil, "ok", "busy in[8]"},
		{"asks although it may not", "ask name?", fields{"allow_stdin": false, "stop_on_error": false}, "error", "busy in[9] error:InputError:input: this front end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			reply, lines := h.run(c.code, c.extra)
			want(t, "status", reply["status"], c.status)
			if got := join(lines); got != c.outputs && !(strings.HasPrefix(got, c.outputs) && !strings.HasSuffix(c.outputs, "idle")) {
				t.Errorf("outputs %s", got)
			}
			if c.status == "error" && len(reply["traceback"].([]any)) == 0 {
				t.Error("no traceback")
			}
		})
	}
}

func TestATracebackHoldsTheMessage(t *testing.T) {
	h := startKernel(t, nil)
	reply, _ := h.run("fail boom", nil)
	want(t, "traceback", reply["traceback"], "[Failure: boom cell 1:1]")
	want(t, "ename", reply["ename"], "Failure")
	want(t, "evalue", reply["evalue"], "boom")
	want(t, "count", reply["execution_count"], 1)
}

func TestDisplayDataHasTheProtocolsForm(t *testing.T) {
	h := startKernel(t, nil)
	h.shell.request("execute_request", fields{"code": "show x"})
	for {
		m := h.iopub.next()
		if m.Header.Type != "display_data" {
			continue
		}
		c, _ := json.Marshal(contentOf(m))
		want(t, "content", string(c), `{"data":{"application/json":{"a":1},"image/png":"AQI=","text/html":"\u003cb\u003e","text/plain":"x"},"metadata":{},"transient":{"display_id":"d"}}`)
		return
	}
}

func TestUserExpressionsHaveValuesAndErrorsOfTheirOwn(t *testing.T) {
	h := startKernel(t, nil)
	reply, _ := h.run("value 1", fields{"user_expressions": map[string]string{"a": "value 7", "b": "fail no"}})
	e := reply["user_expressions"].(map[string]any)
	want(t, "a", e["a"], "map[data:map[text/plain:7] metadata:map[] status:ok]")
	want(t, "b", e["b"].(map[string]any)["evalue"], "no")
}

func TestAFailureAbortsWhatIsQueuedInOrder(t *testing.T) {
	h := startKernel(t, nil)
	var ids []string
	for _, code := range []string{"wait queued\nfail x", "print 2", "print 3"} {
		ids = append(ids, h.shell.request("execute_request", fields{"code": code}))
	}
	// Answered although the cell runs, and in the order of arrival: all are queued.
	info := h.shell.request("kernel_info_request", nil)
	want(t, "kernel_info", parentID(h.shell.next()), info)
	h.fake.open("queued")
	for i, status := range []string{"error", "aborted", "aborted"} {
		m := h.shell.next()
		want(t, "parent", parentID(m), ids[i])
		want(t, "status", contentOf(m)["status"], status)
	}
	reply, _ := h.run("print 4", nil)
	want(t, "the next cell", reply["status"], "ok")
	want(t, "its number", reply["execution_count"], 2)
}

func TestAbortRule(t *testing.T) {
	at := time.Now()
	a := abortRule{number: 7, session: "s", at: at}
	date := func(d time.Duration) string { return at.Add(d).UTC().Format(time.RFC3339Nano) }
	for name, c := range map[string]struct {
		r    request
		want bool
	}{
		"was queued":                     {request{number: 7}, true},
		"composed before, arrives after": {request{number: 8, arrived: at.Add(time.Millisecond), Message: message("s", date(-time.Millisecond))}, true},
		"composed after":                 {request{number: 8, arrived: at.Add(2 * time.Millisecond), Message: message("s", date(time.Millisecond))}, false},
		"of another front end":           {request{number: 8, arrived: at.Add(time.Millisecond), Message: message("t", date(-time.Millisecond))}, false},
		"by a clock that is slow":        {request{number: 8, arrived: at.Add(time.Second), Message: message("s", date(-time.Hour))}, false},
		"without a date":                 {request{number: 8, arrived: at.Add(time.Millisecond), Message: message("s", "")}, false},
	} {
		if got := a.aborts(c.r); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLateOutputKeepsItsCell(t *testing.T) {
	h := startKernel(t, nil)
	first := h.shell.request("execute_request", fields{"code": "late gate"})
	h.shell.next()
	h.run("print second", nil)
	h.fake.open("gate")
	m := h.outputUntil("stream")
	want(t, "text", contentOf(m)["text"], "late\n")
	want(t, "parent", parentID(m), first)
}

func TestControlAnswersWhileACellRuns(t *testing.T) {
	h := startKernel(t, nil)
	id := h.shell.request("execute_request", fields{"code": "print on\nwait for ever", "stop_on_error": false})
	h.outputUntil("stream")
	msgType, info := h.ask(h.control, "kernel_info_request", nil)
	want(t, "type", msgType, "kernel_info_reply")
	want(t, "implementation", info["implementation"], "godwit")
	msgType, reply := h.ask(h.control, "interrupt_request", fields{})
	want(t, "interrupt", msgType+fmt.Sprint(reply["status"]), "interrupt_replyok")
	m := h.shell.next()
	want(t, "parent", parentID(m), id)
	want(t, "ename", contentOf(m)["ename"], "Interrupted")
	_, reply = h.ask(h.control, "interrupt_request", fields{})
	want(t, "interrupt without a cell", reply["status"], "ok")
	ok, _ := h.run("print after", nil)
	want(t, "the next cell", ok["status"], "ok")
}

func TestSIGINTInterruptsTheCell(t *testing.T) {
	h := startKernel(t, nil)
	h.shell.request("execute_request", fields{"code": "print on\nwait for ever"})
	h.outputUntil("stream")
	syscall.Kill(os.Getpid(), syscall.SIGINT)
	want(t, "ename", contentOf(h.shell.next())["ename"], "Interrupted")
}

func TestEndlessOutputIsInterruptible(t *testing.T) {
	h := startKernel(t, nil)
	h.shell.request("execute_request", fields{"code": "endless"})
	h.outputUntil("stream")
	go func() { // ends with the harness: keeps reading, as a front end does
		for {
			if _, err := h.iopub.Read(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}()
	h.control.request("interrupt_request", nil)
	want(t, "status", contentOf(h.shell.next())["status"], "error")
}

func TestOutputIsCappedWithANotice(t *testing.T) {
	h := startKernel(t, func(o *Options) { o.MaxCellOutput = 1000 })
	_, lines := h.run("flood 900\nflood 900\nflood 900\nvalue 1", nil)
	if len(lines) < 5 || !strings.Contains(lines[len(lines)-3], "more than 1000 bytes") || lines[len(lines)-2] != "out[1]:1" {
		t.Errorf("%q", lines)
	}
	if got := strings.Count(strings.Join(lines, ""), "\x00"); got != 1000 {
		t.Errorf("%d bytes were shown", got)
	}
	_, lines = h.run("print fresh", nil)
	want(t, "the next cell", join(lines), "busy in[2] stdout:fresh$ idle")
}

func TestInputIsAskedOfTheRightFrontEnd(t *testing.T) {
	h := startKernel(t, nil)
	id := h.shell.request("execute_request", fields{"code": "print hello\nask name?"})
	m := h.stdin.next()
	want(t, "request", m.Header.Type+parentID(m), "input_request"+id)
	want(t, "prompt", contentOf(m)["prompt"], "name?")
	want(t, "what was printed before", contentOf(h.outputUntil("stream"))["text"], "hello\n")
	answer := func(parent, value string) {
		frames, err := h.codec.Encode(wire.Message{Header: wire.Header{Type: "input_reply"},
			Parent: []byte(fmt.Sprintf(`{"msg_id":%q}`, parent)), Content: wire.InputReply{Value: value}})
		if err != nil {
			t.Fatal(err)
		}
		h.stdin.send(frames)
	}
	answer("another question", "wrong")
	answer(m.Header.ID, "Gö")
	want(t, "status", contentOf(h.shell.next())["status"], "ok")
	want(t, "outputs", join(h.outputs(id)), "stdout:got Gö$ idle")
}

func TestWaitingForInputIsInterruptible(t *testing.T) {
	h := startKernel(t, nil)
	h.shell.request("execute_request", fields{"code": "ask name?"})
	h.stdin.next()
	h.control.request("interrupt_request", nil)
	want(t, "status", contentOf(h.shell.next())["status"], "error")
}

func TestSimpleRequests(t *testing.T) {
	h := startKernel(t, nil)
	for _, c := range []struct {
		name, request string
		content       any
		reply, want   string
	}{
		{"completion with types", "complete_request", fields{"code": "ä", "cursor_pos": 1}, "complete_reply",
			`{"cursor_end":1,"cursor_start":0,"matches":["ä!"],"metadata":{"_jupyter_types_experimental":[{"end":1,"signature":"func()","start":0,"text":"ä!","type":"function"}]},"status":"ok"}`},
		{"no completion", "complete_request", fields{"code": ""}, "complete_reply",
			`{"cursor_end":0,"cursor_start":0,"matches":[],"metadata":{"_jupyter_types_experimental":[]},"status":"ok"}`},
		{"inspection", "inspect_request", fields{"code": "x", "cursor_pos": 1, "detail_level": 1}, "inspect_reply",
			`{"data":{"text/plain":"x"},"found":true,"metadata":{},"status":"ok"}`},
		{"nothing to inspect", "inspect_request", fields{"code": ""}, "inspect_reply", `{"data":{},"found":false,"metadata":{},"status":"ok"}`},
		{"complete code", "is_complete_request", fields{"code": "x"}, "is_complete_reply", `{"status":"complete"}`},
		{"incomplete code", "is_complete_request", fields{"code": "x{"}, "is_complete_reply", `{"indent":"\t","status":"incomplete"}`},
		{"comms", "comm_info_request", fields{"target_name": "x"}, "comm_info_reply", `{"comms":{},"status":"ok"}`},
		{"an unknown request", "make_coffee_request", fields{}, "make_coffee_reply",
			`{"ename":"UnknownRequest","evalue":"this kernel does not know make_coffee_request","status":"error","traceback":["UnknownRequest: this kernel does not know make_coffee_request"]}`},
		{"history of an unknown kind", "history_request", fields{"hist_access_type": "odd"}, "history_reply",
			`{"ename":"BadRequest","evalue":"hist_access_type \"odd\" is not tail, range or search","status":"error","traceback":[]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			msgType, content := h.ask(h.shell, c.request, c.content)
			text, _ := json.Marshal(content)
			want(t, "reply", msgType, c.reply)
			want(t, "content", string(text), c.want)
		})
	}
}

func TestContentOfTheWrongTypeIsAnError(t *testing.T) {
	h := startKernel(t, nil)
	for _, request := range []string{"execute_request", "complete_request", "inspect_request", "is_complete_request", "history_request", "shutdown_request"} {
		_, reply := h.ask(h.shell, request, map[string]any{"code": 3, "pattern": 4, "restart": "x"})
		want(t, request, reply["status"], "error")
		want(t, request, reply["ename"], "BadRequest")
	}
	reply, _ := h.run("print alive", nil)
	want(t, "afterwards", reply["status"], "ok")
}

func TestCommsAreClosedAtOnce(t *testing.T) {
	h := startKernel(t, nil)
	id := h.shell.request("comm_open", fields{"comm_id": "c1", "target_name": "jupyter.widget", "data": fields{}})
	want(t, "iopub", join(h.outputs(id)), "busy comm_close idle")
	for _, msgType := range []string{"comm_msg", "comm_close", "unknown_thing"} {
		id = h.shell.request(msgType, fields{"comm_id": "c1"})
		want(t, msgType, join(h.outputs(id)), "busy idle")
	}
}

func TestDebugRequestIsRefusedCleanly(t *testing.T) {
	h := startKernel(t, nil)
	msgType, reply := h.ask(h.control, "debug_request", fields{"type": "request", "seq": 4, "command": "initialize"})
	want(t, "type", msgType, "debug_reply")
	want(t, "content", reply, "map[command:initialize message:this kernel has no debugger request_seq:4 success:false type:response]")
}

func TestForgedAndRepeatedMessagesGetNoAnswer(t *testing.T) {
	h := startKernel(t, nil)
	frames, err := h.codec.Encode(wire.Message{Header: wire.Header{Type: "execute_request"}, Content: fields{"code": "print once"}})
	if err != nil {
		t.Fatal(err)
	}
	forged := append([][]byte{}, frames...)
	forged[5] = []byte(`{"code":"print evil"}`)
	h.shell.send(forged)
	h.shell.send(frames)
	want(t, "first", contentOf(h.shell.next())["execution_count"], 1)
	h.shell.send(frames)
	h.control.send(frames)
	h.shell.send([][]byte{[]byte("no message")})
	reply, _ := h.run("print two", nil)
	want(t, "the next number", reply["execution_count"], 2)
}

func TestHistory(t *testing.T) {
	h := startKernel(t, nil)
	for _, code := range []string{"value 1", "print x", "value 1", "fail y", "value 22"} {
		h.run(code, nil)
	}
	h.run("value not stored", fields{"store_history": false})
	for name, c := range map[string]struct {
		request fields
		want    string
	}{
		"tail":             {fields{"hist_access_type": "tail", "n": 2}, "[[1 4 fail y] [1 5 value 22]]"},
		"tail with output": {fields{"hist_access_type": "tail", "n": 2, "output": true}, "[[1 4 [fail y <nil>]] [1 5 [value 22 22]]]"},
		"range":            {fields{"hist_access_type": "range", "session": 0, "start": 2, "stop": 4}, "[[1 2 print x] [1 3 value 1]]"},
		"another session":  {fields{"hist_access_type": "range", "session": -1, "start": 1}, "[]"},
		"search":           {fields{"hist_access_type": "search", "pattern": "*alue*"}, "[[1 1 value 1] [1 3 value 1] [1 5 value 22]]"},
		"search unique":    {fields{"hist_access_type": "search", "pattern": "value ?", "unique": true}, "[[1 3 value 1]]"},
		"search newest":    {fields{"hist_access_type": "search", "pattern": "v*", "n": 2}, "[[1 3 value 1] [1 5 value 22]]"},
		"odd pattern":      {fields{"hist_access_type": "search", "pattern": "[("}, "[]"},
		"negative n":       {fields{"hist_access_type": "tail", "n": -2}, "[]"},
	} {
		_, reply := h.ask(h.shell, "history_request", c.request)
		want(t, name, reply["history"], c.want)
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a*c", "abbc", true}, {"a*c", "abbd", false}, {"a?c", "aäc", true}, {"a?c", "ac", false},
		{"*", "two\nlines", true}, {"[a-c]x", "bx", true}, {"[a-c]x", "dx", false}, {"[!a-c]x", "dx", true},
		{"[^a]x", "ax", false}, {"[]]x", "]x", true}, {"f[[]1]", "f[1]", true}, {"f[1", "f[1", true},
		{"a.c", "abc", false}, {"[\\]", "\\", true}, {"[", "[", true}, {"[!", "[!", true},
	} {
		re, err := glob(c.pattern)
		if err != nil || re.MatchString(c.text) != c.want {
			t.Errorf("%q on %q: not %v (%v)", c.pattern, c.text, c.want, err)
		}
	}
	if _, err := glob("[z-a]"); err == nil {
		t.Error("a class with its ends exchanged was accepted")
	}
}

func TestShutdownEndsEverythingInOrder(t *testing.T) {
	startKernel(t, nil).end() // the first one leaves the goroutine that waits for signals
	before := runtime.NumGoroutine()
	var order []string
	h := startKernel(t, func(o *Options) {
		session := o.Session.(*fake)
		o.OnShutdown = func(restart bool) {
			session.mu.Lock()
			order = append(order, fmt.Sprint("hook ", restart, " session closed ", session.closed))
			session.mu.Unlock()
		}
	})
	id := h.shell.request("execute_request", fields{"code": "print on\nwait for ever"})
	h.outputUntil("stream")
	msgType, reply := h.ask(h.control, "shutdown_request", fields{"restart": true})
	want(t, "reply", msgType+fmt.Sprint(reply), "shutdown_replymap[restart:true status:ok]")
	m := h.shell.next()
	want(t, "the running cell", parentID(m)+fmt.Sprint(contentOf(m)["status"]), id+"error")
	if err := <-h.done; err != nil {
		t.Error(err)
	}
	h.done <- nil
	want(t, "order", order, "[hook true session closed false]")
	want(t, "closed", h.fake.closed, true)
	for _, d := range []*dealer{h.shell, h.control, h.stdin, h.iopub} {
		d.Close()
	}
	for range 6000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 1<<16)
	t.Errorf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}

func TestTheKernelEndsWithItsParent(t *testing.T) {
	h := startKernel(t, func(o *Options) { o.ParentPID = 1 << 22 }) // above any process id
	select {
	case err := <-h.done:
		h.done <- err
	case <-time.After(time.Minute):
		t.Error("kernel lives on")
	}
}
