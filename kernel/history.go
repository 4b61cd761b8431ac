package kernel

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/godwit-ai/godwit/kernel/wire"
	"github.com/godwit-ai/godwit/runtime/session"
)

// history is the input of one shell: its own lines in memory, and those of other
// sessions in the store. Only its shell adds; other shells may read.
type history struct {
	store *historyStore
	file  *os.File // nil before the first entry, and when there is no folder

	mu      sync.Mutex
	number  int // of the session
	entries []historyEntry
	failed  bool // the file cannot be written: said once
}

type historyEntry struct {
	session int
	line    int
	input   string
	output  any // string, or nil when the cell had no value
}

// maxHistory bounds the entries in memory; the oldest go first. A line's text is
// bounded too.
const (
	maxHistory     = 10_000
	maxHistoryText = 1 << 20
)

// newSession returns a history that has a number of its own in the store from its
// first entry on.
func (st *historyStore) newSession() *history { return &history{store: st, number: 1} }

func (h *history) add(line int, input string, result session.Result) {
	if strings.TrimSpace(input) == "" || len(input) > maxHistoryText {
		return
	}
	e := historyEntry{line: line, input: input}
	if text, ok := result.Bundle.Data["text/plain"]; ok && result.HasValue {
		if e.output = fmt.Sprint(text); len(e.output.(string)) > maxHistoryText {
			e.output = nil
		}
	}
	if h.store.dir != "" && !h.failed {
		if err := h.write(e); err != nil {
			h.failed = true
			h.store.log.Warn("history is not kept beyond this kernel", "err", err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e.session = h.number
	h.entries = append(h.entries, e)
	if len(h.entries) > maxHistory {
		h.entries = append(h.entries[:0:0], h.entries[len(h.entries)-maxHistory:]...)
	}
}

// snapshot returns the session's entries, which are not changed afterwards.
func (h *history) snapshot() []historyEntry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[:len(h.entries):len(h.entries)]
}

func (sh *shell) answerHistory(r *wire.HistoryRequest) any {
	found, err := sh.history.find(r)
	if err != nil {
		return wire.Error{Status: "error", Name: "BadRequest", Value: err.Error(), Traceback: []string{}}
	}
	rows := make([][]any, 0, len(found))
	for _, e := range found {
		var item any = e.input
		if r.Output {
			item = []any{e.input, e.output}
		}
		rows = append(rows, []any{e.session, e.line, item})
	}
	return wire.HistoryReply{Status: "ok", History: rows}
}

func (h *history) find(r *wire.HistoryRequest) ([]historyEntry, error) {
	switch r.Access {
	case "tail":
		return h.newest(r.N, func(historyEntry) bool { return true }), nil
	case "range":
		return h.between(r), nil
	case "search":
		return h.search(r)
	}
	return nil, fmt.Errorf("hist_access_type %q is not tail, range or search", r.Access)
}

// sessions yields the entries of all sessions, the newest session first: this one and
// then what is stored.
func (h *history) sessions(yield func([]historyEntry) bool) {
	if !yield(h.snapshot()) {
		return
	}
	numbers, err := h.store.numbers()
	if err != nil {
		h.store.log.Debug("history cannot be read", "err", err)
	}
	for i := len(numbers) - 1; i >= 0; i-- {
		if numbers[i] != h.number || h.file == nil {
			if !yield(h.store.read(numbers[i])) {
				return
			}
		}
	}
}

// newest returns the newest n entries that keep wants, oldest first; nil means all.
func (h *history) newest(n *int, keep func(historyEntry) bool) []historyEntry {
	limit := maxHistory
	if n != nil {
		limit = min(max(*n, 0), maxHistory)
	}
	var found []historyEntry
	for entries := range h.sessions {
		for i := len(entries) - 1; i >= 0 && len(found) < limit; i-- {
			if keep(entries[i]) {
				found = append(found, entries[i])
			}
		}
		if len(found) >= limit {
			break
		}
	}
	slices.Reverse(found)
	return found
}

// between returns lines from start up to but without stop. Session 0 is this one,
// a positive number names one, and -1 is the newest before this one.
func (h *history) between(r *wire.HistoryRequest) []historyEntry {
	var found []historyEntry
	for _, e := range h.session(r.Session) {
		if e.line >= r.Start && (r.Stop == nil || e.line < *r.Stop) {
			found = append(found, e)
		}
	}
	return found
}

func (h *history) session(number int) []historyEntry {
	if number == 0 || number == h.number && (h.file != nil || h.store.dir == "") {
		return h.snapshot()
	}
	numbers, err := h.store.numbers()
	if err != nil {
		h.store.log.Debug("history cannot be read", "err", err)
	}
	if number > 0 {
		if !slices.Contains(numbers, number) {
			return nil
		}
		return h.store.read(number)
	}
	if h.file != nil {
		numbers = slices.DeleteFunc(numbers, func(n int) bool { return n >= h.number })
	}
	if at := len(numbers) + number; at >= 0 {
		return h.store.read(numbers[at])
	}
	return nil
}

// search returns entries whose input matches a glob pattern. Unique keeps only the
// newest of equal inputs.
func (h *history) search(r *wire.HistoryRequest) ([]historyEntry, error) {
	pattern := r.Pattern
	if pattern == "" {
		pattern = "*"
	}
	matches, err := glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	seen := map[string]bool{}
	return h.newest(r.N, func(e historyEntry) bool {
		if !matches.MatchString(e.input) || r.Unique && seen[e.input] {
			return false
		}
		seen[e.input] = true
		return true
	}), nil
}

// glob compiles a pattern of *, ?, [classes] and literal text.
func glob(pattern string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for rest := pattern; rest != ""; {
		if class, n := globClass(rest); n > 0 {
			b.WriteString(class)
			rest = rest[n:]
			continue
		}
		c, n := utf8.DecodeRuneInString(rest)
		rest = rest[n:]
		switch c {
		case '*':
			b.WriteString(`.*`)
		case '?':
			b.WriteString(`.`)
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	b.WriteString(`\z`)
	return regexp.Compile(b.String())
}

// globClass translates a class like [a-z] or [!x] at the beginning of s and returns
// its length there; 0 means that there is none.
func globClass(s string) (class string, n int) {
	if s[0] != '[' {
		return "", 0
	}
	body, not := s[1:], ""
	if body != "" && (body[0] == '!' || body[0] == '^') {
		body, not = body[1:], "^"
	}
	if body == "" {
		return "", 0
	}
	end := strings.IndexByte(body[1:], ']') // the first character may be a bracket itself
	if end < 0 {
		return "", 0
	}
	members := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(body[:end+1])
	return "[" + not + members + "]", len(s) - len(body) + end + 2
}
