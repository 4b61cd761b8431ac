package grammar

import (
	"fmt"
	"strconv"
	"strings"
)

// Patterns are parsed by regexp/syntax, which knows neither lookarounds nor large
// counts. They are hidden from it in the names of groups: a counted repeat X{2,5000}
// becomes a group named after the counts, a lookaround one named after its kind.

const (
	groupRepeat = "R" // R<id>_<min>_<max>, max -1: no bound
	groupAhead  = "A" // A<id>
	groupNot    = "N" // N<id>
	// lookbehinds
	groupBehind    = "B" // B<id>
	groupNotBehind = "C" // C<id>
)

// maxPatternGroups bounds the groups and brackets of a pattern.
const maxPatternGroups = 2000

// hider rewrites a pattern from left to right.
type hider struct {
	src   string
	at    int
	out   []byte
	count int
	depth int
	wide  bool // \s is white space of all scripts, as in ECMA-262
}

// scriptSpace is \s of ECMA-262 less the byte order mark, which other languages leave out.
const scriptSpace = `\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}`

// hide rewrites the counted repeats and lookarounds of a pattern.
func hide(pattern string, wide bool) (string, error) {
	h := &hider{src: pattern, wide: wide}
	if err := h.alternatives(); err != nil {
		return "", err
	}
	if h.at < len(h.src) {
		h.out = append(h.out, h.src[h.at:]...) // a parenthesis too many: the parser says so
	}
	return string(h.out), nil
}

// alternatives reads up to the parenthesis that closes this level.
func (h *hider) alternatives() error {
	if h.depth++; h.depth > 200 {
		return &Error{Msg: "the pattern is nested too deeply"}
	}
	defer func() { h.depth-- }()
	for h.at < len(h.src) && h.src[h.at] != ')' {
		start := len(h.out)
		if err := h.atom(); err != nil {
			return err
		}
		if err := h.repeats(start); err != nil {
			return err
		}
	}
	return nil
}

// atom copies one character, class, escape or group.
func (h *hider) atom() error {
	switch c := h.src[h.at]; c {
	case '\\':
		switch rest := h.src[h.at:]; {
		case h.wide && strings.HasPrefix(rest, `\s`):
			h.out = append(h.out, "["+scriptSpace+"]"...)
			h.at += 2
		case h.wide && strings.HasPrefix(rest, `\S`):
			h.out = append(h.out, "[^"+scriptSpace+"]"...)
			h.at += 2
		case strings.HasPrefix(rest, `\Z`): // as \z: some languages let a line break follow
			h.out = append(h.out, `\z`...)
			h.at += 2
		case len(rest) > 1 && rest[1] >= '1' && rest[1] <= '9', strings.HasPrefix(rest, `\k<`):
			return &Error{Msg: "the pattern refers back to a group, which is not supported"}
		default:
			h.copy(h.escape())
		}
	case '[':
		h.class()
	case '(':
		return h.group()
	default:
		n := 1
		for h.at+n < len(h.src) && h.src[h.at+n]&0xC0 == 0x80 {
			n++
		}
		h.copy(n)
	}
	return nil
}

func (h *hider) copy(n int) {
	n = min(n, len(h.src)-h.at)
	h.out = append(h.out, h.src[h.at:h.at+n]...)
	h.at += n
}

// escape is the length of the escape that begins here.
func (h *hider) escape() int {
	rest := h.src[h.at:]
	if len(rest) < 2 {
		return len(rest)
	}
	n := 2
	for n < len(rest) && rest[n]&0xC0 == 0x80 {
		n++
	}
	switch {
	case strings.IndexByte("xpP", rest[1]) >= 0 && len(rest) > 2 && rest[2] == '{':
		if end := strings.IndexByte(rest, '}'); end > 0 {
			return end + 1
		}
	case rest[1] == 'x' && len(rest) >= 4:
		return 4
	case rest[1] == 'p' || rest[1] == 'P':
		return 3
	case rest[1] == 'Q': // literal up to \E
		if end := strings.Index(rest, `\E`); end > 0 {
			return end + 2
		}
		return len(rest)
	}
	return n
}

// class copies a bracket expression.
func (h *hider) class() {
	i := h.at + 1
	if i < len(h.src) && h.src[i] == '^' {
		i++
	}
	if i < len(h.src) && h.src[i] == ']' {
		i++
	}
	for i < len(h.src) && h.src[i] != ']' {
		switch {
		case h.wide && strings.HasPrefix(h.src[i:], `\s`) && !strings.HasPrefix(h.src[i+2:], "-"):
			h.copy(i - h.at)
			h.out = append(h.out, scriptSpace...)
			h.at += 2
			i++
		case strings.HasPrefix(h.src[i:], `\b`): // backspace
			h.copy(i - h.at)
			h.out = append(h.out, `\x08`...)
			h.at += 2
			i++
		case h.src[i] == '\\':
			i++
		case strings.HasPrefix(h.src[i:], "[:"):
			if end := strings.Index(h.src[i:], ":]"); end > 0 {
				i += end + 1
			}
		}
		i++
	}
	h.copy(i + 1 - h.at)
}

// group copies a group, and writes lookarounds as named ones.
func (h *hider) group() error {
	if h.count++; h.count > maxPatternGroups {
		return &Error{Msg: "the pattern has too many groups"}
	}
	rest := h.src[h.at:]
	kind := ""
	switch {
	case strings.HasPrefix(rest, "(?="):
		kind = groupAhead
	case strings.HasPrefix(rest, "(?!"):
		kind = groupNot
	case strings.HasPrefix(rest, "(?<="):
		kind = groupBehind
	case strings.HasPrefix(rest, "(?<!"):
		kind = groupNotBehind
	case strings.HasPrefix(rest, "(?P<") || strings.HasPrefix(rest, "(?<"):
		end := strings.IndexByte(rest, '>')
		if end < 0 {
			return &Error{Msg: "the pattern has a group whose name does not end"}
		}
		h.out = append(h.out, '(')
		h.at += end + 1
		return h.inside()
	case strings.HasPrefix(rest, "(?"):
		h.copy(2)
		for h.at < len(h.src) && strings.IndexByte("imsU-", h.src[h.at]) >= 0 {
			h.copy(1)
		}
		if h.at < len(h.src) && h.src[h.at] == ')' { // flags for what follows
			h.copy(1)
			return nil
		}
		h.copy(1)
		return h.inside()
	default:
		h.copy(1)
		return h.inside()
	}
	h.out = append(h.out, fmt.Sprintf("(?P<%s%d>", kind, h.count)...)
	h.at += 3
	if kind == groupBehind || kind == groupNotBehind {
		h.at++
	}
	return h.inside()
}

func (h *hider) inside() error {
	if err := h.alternatives(); err != nil {
		return err
	}
	h.copy(1)
	return nil
}

// repeats puts counted repeats behind the atom that begins at start of out round it.
func (h *hider) repeats(start int) error {
	for h.at < len(h.src) && h.src[h.at] == '{' {
		lo, hi, n := counts(h.src[h.at:])
		if n == 0 {
			return nil // a brace by itself
		}
		if h.count++; h.count > maxPatternGroups {
			return &Error{Msg: "the pattern has too many repeats"}
		}
		if hi >= 0 && lo > hi {
			return &Error{Msg: "the pattern repeats " + h.src[h.at:h.at+n] + ", more at least than at most"}
		}
		h.at += n
		if h.at < len(h.src) && (h.src[h.at] == '?' || h.src[h.at] == '+') { // lazy: the same texts
			if h.src[h.at] == '+' {
				return &Error{Msg: "the pattern repeats a repeat"}
			}
			h.at++
		}
		atom := string(h.out[start:])
		if atom == "" || atom == "^" || atom == "|" {
			return &Error{Msg: "the pattern repeats nothing"}
		}
		h.out = fmt.Appendf(h.out[:start], "(?P<%s%d_%d_%s>%s)", groupRepeat, h.count, lo, strings.Replace(strconv.Itoa(hi), "-", "n", 1), atom)
	}
	return nil
}

// counts reads {2}, {2,} or {2,5}; n is its length, 0 if it is none.
func counts(s string) (lo, hi, n int) {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return 0, 0, 0
	}
	a, b, two := strings.Cut(s[1:end], ",")
	number := func(t string) int {
		v, err := strconv.Atoi(t)
		if err != nil || v < 0 || t[0] == '+' {
			return -1
		}
		return min(v, maxCount)
	}
	if a == "" {
		return 0, 0, 0
	}
	if lo = number(a); lo < 0 {
		return 0, 0, 0
	}
	switch {
	case !two:
		hi = lo
	case b == "":
		hi = -1
	default:
		if hi = number(b); hi < 0 {
			return 0, 0, 0
		}
	}
	return lo, hi, end + 1
}

// maxCount is what larger counts are taken for; no text is that long.
const maxCount = 1 << 30

// repeatOf reads the name of a group that stands for a repeat.
func repeatOf(name string) (lo, hi int, ok bool) {
	if !strings.HasPrefix(name, groupRepeat) {
		return 0, 0, false
	}
	parts := strings.Split(name, "_")
	if len(parts) != 3 {
		return 0, 0, false
	}
	lo, _ = strconv.Atoi(parts[1])
	hi, _ = strconv.Atoi(strings.Replace(parts[2], "n", "-", 1))
	return lo, hi, true
}
