package kernel

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ai/godwit/kernel/wire"
	"github.com/godwit-ai/godwit/runtime/session"
)

func openTestHistory(t *testing.T, dir string) *historyStore {
	t.Helper()
	st := openHistory(dir, slog.New(slog.NewTextHandler(testLog{t}, nil)))
	t.Cleanup(func() { st.close() })
	return st
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(string(bytes.TrimSpace(p)))
	return len(p), nil
}

func valueOf(text string) session.Result {
	return session.Result{HasValue: true, Bundle: session.Bundle{Data: map[string]any{"text/plain": text}}}
}

func rows(t *testing.T, h *history, r wire.HistoryRequest) string {
	t.Helper()
	found, err := h.find(&r)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range found {
		fmt.Fprintf(&b, "%d:%d %s", e.session, e.line, e.input)
		if r.Output {
			fmt.Fprintf(&b, " = %v", e.output)
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func TestHistoryOfEarlierSessions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	for i := range 3 {
		h := openTestHistory(t, dir).newSession()
		h.add(1, fmt.Sprintf("x := %d", i), session.Result{})
		h.add(2, "x + 1", valueOf(fmt.Sprint(i+1)))
	}
	openTestHistory(t, dir).newSession() // without a cell: leaves nothing
	h := openTestHistory(t, dir).newSession()
	n := func(v int) *int { return &v }
	before := map[string]struct {
		r    wire.HistoryRequest
		want string
	}{
		"the tail":               {wire.HistoryRequest{Access: "tail", N: n(3)}, "2:2 x + 1; 3:1 x := 2; 3:2 x + 1"},
		"this session, empty":    {wire.HistoryRequest{Access: "range", Session: 0}, ""},
		"the one before":         {wire.HistoryRequest{Access: "range", Session: -1, Output: true}, "3:1 x := 2 = <nil>; 3:2 x + 1 = 3"},
		"the one before that":    {wire.HistoryRequest{Access: "range", Session: -2, Start: 2}, "2:2 x + 1"},
		"by number":              {wire.HistoryRequest{Access: "range", Session: 1, Start: 1, Stop: n(2)}, "1:1 x := 0"},
		"a number that is not":   {wire.HistoryRequest{Access: "range", Session: 77}, ""},
		"before the first":       {wire.HistoryRequest{Access: "range", Session: -9}, ""},
		"search":                 {wire.HistoryRequest{Access: "search", Pattern: "x :=*"}, "1:1 x := 0; 2:1 x := 1; 3:1 x := 2"},
		"search, unique":         {wire.HistoryRequest{Access: "search", Pattern: "x*", Unique: true}, "1:1 x := 0; 2:1 x := 1; 3:1 x := 2; 3:2 x + 1"},
		"search, unique, newest": {wire.HistoryRequest{Access: "search", Pattern: "x*", Unique: true, N: n(2)}, "3:1 x := 2; 3:2 x + 1"},
	}
	for name, c := range before {
		want(t, name, rows(t, h, c.r), c.want)
	}
	h.add(1, "now", session.Result{})
	want(t, "this session", rows(t, h, wire.HistoryRequest{Access: "range", Session: 0}), "4:1 now")
	want(t, "by its number", rows(t, h, wire.HistoryRequest{Access: "range", Session: 4}), "4:1 now")
	want(t, "the one before", rows(t, h, wire.HistoryRequest{Access: "range", Session: -1, Start: 2}), "3:2 x + 1")
	want(t, "the tail", rows(t, h, wire.HistoryRequest{Access: "tail", N: n(2)}), "3:2 x + 1; 4:1 now")
}

func TestKernelsShareTheFolder(t *testing.T) {
	dir := t.TempDir()
	const kernels, cells = 4, 20
	var wg sync.WaitGroup
	for k := range kernels {
		st := openTestHistory(t, dir) // a store of its own, as in another process
		wg.Add(1)
		go func() {
			defer wg.Done()
			h := st.newSession()
			for i := range cells {
				h.add(i+1, fmt.Sprintf("kernel %d", k), session.Result{})
				h.find(&wire.HistoryRequest{Access: "search", Pattern: "kernel*"})
			}
		}()
	}
	wg.Wait()
	h := openTestHistory(t, dir).newSession()
	found, _ := h.find(&wire.HistoryRequest{Access: "tail"})
	want(t, "entries", len(found), kernels*cells)
	for k := range kernels {
		found, _ := h.find(&wire.HistoryRequest{Access: "range", Session: k + 1})
		want(t, "cells of a session", len(found), cells)
		for _, e := range found {
			if e.input != found[0].input {
				t.Fatalf("session %d has %q and %q", k+1, e.input, found[0].input)
			}
		}
	}
}

func TestDamagedHistoryIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"00000001.jsonl": "{\"line\":1,\"in\":\"good\"}\nrubbish\n\x00\xff\n{\"line\":\"2\"}\n{\"line\":3,\"in\":\"better\",\"out\":null}\n{\"line\":4,\"in\":\"torn",
		"00000002.jsonl": strings.Repeat("x", maxStoredLine+2) + "\n{\"line\":1,\"in\":\"after a long line\"}\n",
		"00000003.jsonl": "",
		"notes.txt":      "not a session",
		"abc.jsonl":      "{\"line\":1,\"in\":\"no number\"}\n",
		"-0000004.jsonl": "{\"line\":1,\"in\":\"no number\"}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "00000005.jsonl"), 0o700); err != nil {
		t.Fatal(err)
	}
	h := openTestHistory(t, dir).newSession()
	want(t, "tail", rows(t, h, wire.HistoryRequest{Access: "tail"}), "1:1 good; 1:3 better; 2:1 after a long line")
	h.add(1, "goes on", session.Result{})
	want(t, "this session", rows(t, h, wire.HistoryRequest{Access: "range"}), "6:1 goes on")
}

func TestAFolderThatCannotBeUsedLeavesMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(t.TempDir(), "gone")
	st := openTestHistory(t, gone)
	os.RemoveAll(gone)
	for name, h := range map[string]*history{
		"a file instead":       openTestHistory(t, filepath.Join(file, "history")).newSession(),
		"removed meanwhile":    st.newSession(),
		"no folder was wanted": openTestHistory(t, "").newSession(),
	} {
		h.add(1, "a", session.Result{})
		h.add(2, "b", session.Result{})
		want(t, name, rows(t, h, wire.HistoryRequest{Access: "tail"}), "1:1 a; 1:2 b")
		want(t, name, rows(t, h, wire.HistoryRequest{Access: "range", Session: -1}), "")
	}
}

func TestOldSessionsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	const kept = 10
	for i := range kept + 20 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%08d.jsonl", i+1)), []byte("{\"line\":1,\"in\":\"x\"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	st := openTestHistory(t, dir)
	st.sessions = kept
	st.newSession().add(1, "newest", session.Result{})
	numbers, err := st.numbers()
	if err != nil {
		t.Fatal(err)
	}
	want(t, "sessions", fmt.Sprint(len(numbers), numbers[0], numbers[len(numbers)-1]), fmt.Sprint(kept, 22, kept+21))
}

func TestHistoryIsKeptAcrossKernels(t *testing.T) {
	dir := t.TempDir()
	change := func(o *Options) { o.HistoryDir = dir }
	h := startKernel(t, change)
	h.run("value \xf0\x9d\x84\x9e", nil)
	h.end()
	h = startKernel(t, change)
	_, reply := h.ask(h.shell, "history_request", fields{"hist_access_type": "tail", "n": 5, "output": true, "raw": true})
	want(t, "tail", reply["history"], "[[1 1 [value \xf0\x9d\x84\x9e \xf0\x9d\x84\x9e]]]")
	h.run("value 2", nil)
	_, reply = h.ask(h.shell, "history_request", fields{"hist_access_type": "search", "pattern": "value*"})
	want(t, "search", reply["history"], "[[1 1 value \xf0\x9d\x84\x9e] [2 1 value 2]]")
	info, err := os.Stat(filepath.Join(dir, "00000001.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

// FuzzReadSession wants no panic and no entry without a line number.
func FuzzReadSession(f *testing.F) {
	f.Add([]byte("{\"line\":1,\"in\":\"a\",\"out\":\"b\"}\n{\"line\":2"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, e := range readSession(bytes.NewReader(data), 7) {
			if e.line < 1 || e.session != 7 {
				t.Fatalf("%+v", e)
			}
		}
	})
}
