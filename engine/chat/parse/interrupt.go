package parse

import "strings"

// opening is what stands behind a marker that ends thinking.
type opening int

const (
	ends      opening = iota // the marker is no beginning of calls: it ends the thinking by itself
	opens                    // a call
	notOpen                  // something else: the thinking only speaks of the marker
	undecided                // more text is needed
)

// opensCall reads what follows a marker of calls, as far as a call's first letters go. At
// the end of the text, or behind a lot of white space, what could begin a call does.
func opensCall(marker, text string, tools toolSet, eof bool) opening {
	s := strings.TrimLeft(text, blanks)
	eof = eof || len(text) > maxHead
	switch marker {
	case "<tool_call>":
		return first(eof, beginsObject(s), begins(s, "<function="), beginsElement(text, tools))
	case "<tool_calls>":
		return first(eof, beginsObject(s))
	case "<|tool_calls_section_begin|>":
		return first(eof, begins(s, "<|tool_call_begin|>"))
	}
	return ends
}

// first is the verdict of several readings of the same text.
func first(eof bool, readings ...opening) opening {
	verdict := notOpen
	for _, r := range readings {
		switch r {
		case opens:
			return opens
		case undecided:
			verdict = undecided
		}
	}
	if verdict == undecided && eof {
		return opens
	}
	return verdict
}

// begins says whether s begins with want.
func begins(s, want string) opening {
	switch {
	case strings.HasPrefix(s, want):
		return opens
	case strings.HasPrefix(want, s):
		return undecided
	}
	return notOpen
}

// beginsObject says whether s begins with a JSON object that has a key, or a list of such.
func beginsObject(s string) opening {
	s, listed := strings.CutPrefix(s, "[")
	if listed {
		s = strings.TrimLeft(s, blanks)
	}
	if r := begins(s, "{"); r != opens {
		return r
	}
	return begins(strings.TrimLeft(s[1:], blanks), `"`)
}

// beginsElement says whether s begins with the name of a tool and a further marker, which
// may stand on the next line.
func beginsElement(s string, tools toolSet) opening {
	verdict := notOpen
	trimmed := strings.TrimLeft(s, "\r\n")
	for name := range tools {
		rest, found := strings.CutPrefix(trimmed, name)
		switch {
		case !found && strings.HasPrefix(name, trimmed):
			verdict = undecided
		case !found:
		default:
			switch begins(strings.TrimLeft(rest, blanks), "<") {
			case opens:
				return opens
			case undecided:
				verdict = undecided
			}
		}
	}
	return verdict
}
