package kernel

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/godwit-ai/godwit/kernel/wire"
	"github.com/godwit-ai/godwit/runtime/session"
)

// history is this start's input, in memory.
type history struct {
	entries []historyEntry
}

type historyEntry struct {
	line   int
	input  string
	output any // string, or nil when the cell had no value
}

// maxHistory bounds the entries; the oldest go first. A line's text is bounded too.
const (
	maxHistory     = 10_000
	maxHistoryText = 1 << 20
)

// thisSession is the number of the current start: earlier ones are not kept.
const thisSession = 1

func (h *history) add(line int, input string, result session.Result) {
	if strings.TrimSpace(input) == "" || len(input) > maxHistoryText {
		return
	}
	e := historyEntry{line: line, input: input}
	if text, ok := result.Bundle.Data["text/plain"]; ok && result.HasValue {
		e.output = fmt.Sprint(text)
	}
	h.entries = append(h.entries, e)
	if len(h.entries) > maxHistory {
		h.entries = append(h.entries[:0], h.entries[len(h.entries)-maxHistory:]...)
	}
}

func (s *server) answerHistory(r *wire.HistoryRequest) any {
	found, err := s.history.find(r)
	if err != nil {
		return wire.Error{Status: "error", Name: "BadRequest", Value: err.Error(), Traceback: []string{}}
	}
	rows := make([][]any, 0, len(found))
	for _, e := range found {
		var item any = e.input
		if r.Output {
			item = []any{e.input, e.output}
		}
		rows = append(rows, []any{thisSession, e.line, item})
	}
	return wire.HistoryReply{Status: "ok", History: rows}
}

func (h *history) find(r *wire.HistoryRequest) ([]historyEntry, error) {
	switch r.Access {
	case "tail":
		return last(h.entries, r.N), nil
	case "range":
		return h.between(r), nil
	case "search":
		return h.search(r)
	}
	return nil, fmt.Errorf("hist_access_type %q is not tail, range or search", r.Access)
}

// last returns the newest n entries; nil means all.
func last(entries []historyEntry, n *int) []historyEntry {
	if n == nil || *n >= len(entries) {
		return entries
	}
	return entries[len(entries)-max(*n, 0):]
}

// between returns lines from start up to but without stop. Session 0 is this one;
// negative numbers and others name sessions that are not kept.
func (h *history) between(r *wire.HistoryRequest) []historyEntry {
	if r.Session != 0 && r.Session != thisSession {
		return nil
	}
	var found []historyEntry
	for _, e := range h.entries {
		if e.line >= r.Start && (r.Stop == nil || e.line < *r.Stop) {
			found = append(found, e)
		}
	}
	return found
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
	var found []historyEntry
	seen := map[string]bool{}
	for i := len(h.entries) - 1; i >= 0; i-- {
		e := h.entries[i]
		if !matches.MatchString(e.input) || r.Unique && seen[e.input] {
			continue
		}
		seen[e.input] = true
		found = append(found, e)
		if r.N != nil && len(found) >= *r.N {
			break
		}
	}
	for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
		found[i], found[j] = found[j], found[i]
	}
	return found, nil
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
