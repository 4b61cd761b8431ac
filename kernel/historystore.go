package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// historyStore keeps the input of all sessions in a folder: one file of JSON lines
// per session, named by the session's number. A session makes its file with its first
// cell and is the only one that writes it, so that any number of kernels can share
// the folder. What cannot be read, a torn last line for example, is passed over.
//
// A nil store, and one whose folder cannot be used, keeps nothing beyond the kernel.
type historyStore struct {
	dir      string
	log      *slog.Logger
	sessions int // how many are kept

	mu    sync.Mutex
	files []*os.File            // of this kernel's sessions
	known map[int]storedSession // what was read of others
	own   map[int]*history      // sessions of this kernel by number
}

// storedSession is a session as its file was when it was read.
type storedSession struct {
	size, modified int64
	entries        []historyEntry
}

// storedLine is a line of a session's file.
type storedLine struct {
	Line   int     `json:"line"`
	Input  string  `json:"in"`
	Output *string `json:"out,omitzero"`
}

// The folder's bounds; the oldest sessions go first.
const (
	maxStoredSessions = 1000
	maxStoredBytes    = 128 << 20
	storedSuffix      = ".jsonl"
)

// openHistory uses a folder; "" and a folder that cannot be made mean none.
func openHistory(dir string, log *slog.Logger) *historyStore {
	st := &historyStore{dir: dir, log: log, sessions: maxStoredSessions, known: map[int]storedSession{}, own: map[int]*history{}}
	if dir == "" {
		return st
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		log.Warn("history is not kept beyond this kernel", "err", err)
		st.dir = ""
	}
	return st
}

func (st *historyStore) close() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	var errs []error
	for _, f := range st.files {
		errs = append(errs, f.Close())
	}
	st.files = nil
	return errors.Join(errs...)
}

// DefaultHistoryDir is where the kernels of a user keep their history; "" if the
// system names no folder for a user's data.
func DefaultHistoryDir() string {
	dir, err := userDataRoot()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "godwit", "history")
}

// create makes the file of a new session, whose number is above all that exist.
func (st *historyStore) create() (number int, f *os.File, err error) {
	numbers, err := st.numbers()
	if err != nil {
		return 0, nil, err
	}
	st.prune(numbers)
	number = 1
	if n := len(numbers); n > 0 {
		number = numbers[n-1] + 1
	}
	for {
		f, err = os.OpenFile(st.path(number), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return number, f, err
		}
		number++ // another kernel was faster
	}
}

func (st *historyStore) path(number int) string {
	return filepath.Join(st.dir, fmt.Sprintf("%08d%s", number, storedSuffix))
}

// numbers lists the stored sessions in ascending order.
func (st *historyStore) numbers() ([]int, error) {
	if st.dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(st.dir)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), storedSuffix)
		if n, err := strconv.Atoi(name); ok && err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

// prune removes the oldest sessions beyond the folder's bounds.
func (st *historyStore) prune(numbers []int) {
	var bytes int64
	for i := len(numbers) - 1; i >= 0; i-- {
		path := st.path(numbers[i])
		if info, err := os.Stat(path); err == nil {
			bytes += info.Size()
		}
		if len(numbers)-i < st.sessions && bytes <= maxStoredBytes {
			continue
		}
		if err := os.Remove(path); err != nil {
			st.log.Debug("an old session's history stays", "err", err)
		}
	}
}

// read returns a stored session's entries; a session of this kernel answers itself.
func (st *historyStore) read(number int) []historyEntry {
	st.mu.Lock()
	defer st.mu.Unlock()
	if h := st.own[number]; h != nil {
		return h.snapshot()
	}
	f, err := os.Open(st.path(number))
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	seen := st.known[number]
	if seen.size != info.Size() || seen.modified != info.ModTime().UnixNano() {
		seen = storedSession{info.Size(), info.ModTime().UnixNano(), readSession(f, number)}
		st.known[number] = seen
	}
	return seen.entries
}

// readSession reads the lines of a session's file that are whole.
func readSession(r io.Reader, number int) (entries []historyEntry) {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		text, err := readLine(lines)
		var l storedLine
		if len(text) > 0 && json.Unmarshal(text, &l) == nil && l.Line > 0 {
			e := historyEntry{session: number, line: l.Line, input: l.Input}
			if l.Output != nil {
				e.output = *l.Output
			}
			entries = append(entries, e)
		}
		if err != nil {
			return entries
		}
	}
}

// maxStoredLine is above what add writes, escapes included.
const maxStoredLine = 8 * maxHistoryText

// readLine returns a line of at most maxStoredLine bytes; a longer one comes out
// empty. The error is the reader's.
func readLine(r *bufio.Reader) (line []byte, err error) {
	tooLong := false
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxStoredLine {
			tooLong, line = true, nil
		}
		if !tooLong {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// write appends an entry to the session's file with one system call.
func (h *history) write(e historyEntry) error {
	if h.file == nil {
		if err := h.create(); err != nil {
			return err
		}
	}
	l := storedLine{Line: e.line, Input: e.input}
	if text, ok := e.output.(string); ok {
		l.Output = &text
	}
	b, err := json.Marshal(l, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return err
	}
	_, err = h.file.Write(append(b, '\n'))
	return err
}

func (h *history) create() error {
	st := h.store
	st.mu.Lock()
	defer st.mu.Unlock()
	number, f, err := st.create()
	if err != nil {
		return err
	}
	st.files = append(st.files, f)
	st.own[number] = h
	h.number, h.file = number, f
	return nil
}
