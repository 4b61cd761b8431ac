package local

import "strings"

// stopper finds stop strings in a text that arrives in pieces. It gives back what
// can no longer become part of a stop string and holds the rest. The result does
// not depend on where the pieces are cut: the stop string that is complete first
// wins, the longest of those that end at the same byte.
type stopper struct {
	stops []string
	held  string
}

// next takes a piece and returns the text that is safe to show and, once a stop
// string is complete, that string; then nothing more may be fed. The text then ends
// before the stop string, or behind it with keep.
func (s *stopper) next(piece string, keep bool) (text, stop string) {
	if len(s.stops) == 0 {
		return piece, ""
	}
	if piece == "" {
		return "", ""
	}
	all := s.held + piece
	at := -1
	for _, c := range s.stops {
		i := strings.Index(all, c)
		if i < 0 {
			continue
		}
		end, best := i+len(c), at+len(stop)
		if at < 0 || end < best || end == best && len(c) > len(stop) {
			at, stop = i, c
		}
	}
	if at >= 0 {
		s.held = ""
		if keep {
			at += len(stop)
		}
		return all[:at], stop
	}
	n := s.overlap(all)
	s.held = all[len(all)-n:]
	return all[:len(all)-n], ""
}

// overlap is the length of the longest end of text that begins a stop string.
func (s *stopper) overlap(text string) int {
	most := 0
	for _, c := range s.stops {
		for n := min(len(c)-1, len(text)); n > most; n-- {
			if strings.HasPrefix(c, text[len(text)-n:]) {
				most = n
				break
			}
		}
	}
	return most
}

// flush gives back what is held.
func (s *stopper) flush() string {
	text := s.held
	s.held = ""
	return text
}
