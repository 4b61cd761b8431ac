package session

import (
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/godwit-ai/godwit/runtime/symbols"
)

// Places where something else than a name in scope is completed: command lines, import
// paths and the fields of composite literals.

// special is a completion of such a place before the cursor; false means that there is
// none.
func (s *Session) special(before string) (Completion, bool) {
	if c, ok := s.completeCommand(before); ok {
		return c, true
	}
	return importPaths(before)
}

// offers makes a completion out of the texts that begin with what stands from start on.
func offers(before string, start int, kind string, texts []string) Completion {
	c := Completion{Start: utf8.RuneCountInString(before[:start]), End: utf8.RuneCountInString(before)}
	for _, t := range texts {
		if strings.HasPrefix(t, before[start:]) {
			c.Matches = append(c.Matches, Match{Text: t, Type: kind})
		}
	}
	slices.SortFunc(c.Matches, func(a, b Match) int { return strings.Compare(a.Text, b.Text) })
	return c
}

// commandAtCursor is the command line that the cursor stands in, or one above whose text
// the cursor stands in (the line is then "").
func (s *Session) commandAtCursor(before string) (line string, inText, ok bool) {
	start := strings.LastIndexByte(before, '\n') + 1
	list, rest := s.commands(before[:start])
	if len(list) > 0 && takesBody(list[len(list)-1].text) {
		return "", true, true
	}
	for _, above := range strings.Split(rest, "\n") {
		if above = strings.TrimSpace(above); above != "" && !strings.HasPrefix(above, "//") {
			return "", false, false
		}
	}
	line = strings.TrimLeft(strings.TrimPrefix(before[start:], "\ufeff"), " \t")
	command := strings.HasPrefix(line, "%") || strings.HasPrefix(line, "$ ") || strings.HasPrefix(line, "!") && !s.isExpression(line)
	return line, false, command
}

func (s *Session) completeCommand(before string) (Completion, bool) {
	line, inText, ok := s.commandAtCursor(before)
	if !ok {
		return Completion{}, false
	}
	if inText {
		return offers(before, len(before), "", nil), true
	}
	word, _, more := strings.Cut(line, " ")
	last := before[strings.LastIndexAny(before, " \t\n!")+1:]
	start := len(before) - len(last)
	switch {
	case line[0] == '!', word == "$":
		return offers(before, start, "path", paths(last, false)), true
	case !more:
		return offers(before, len(before)-len(line), "command", commandWords), true
	}
	switch word {
	case "%time", "%%time", "%timeit", "%%timeit":
		return Completion{}, false // Go
	case "%cd":
		return offers(before, start, "path", paths(last, true)), true
	case "%load", "%run", "%capture", "%%writefile", "%%script":
		return offers(before, start, "path", paths(last, false)), true
	case "%rm":
		s.compileMu.Lock()
		defer s.compileMu.Unlock()
		return offers(before, start, "variable", s.own()), true
	case "%go111module":
		return offers(before, start, "keyword", []string{"on", "off"}), true
	case "%env":
		var names []string
		for _, e := range os.Environ() {
			name, _, _ := strings.Cut(e, "=")
			names = append(names, name)
		}
		return offers(before, start, "variable", names), true
	}
	return offers(before, len(before), "", nil), true
}

// paths are the files and folders whose names begin as text does; folders end with a
// slash. Hidden ones come when asked for.
func paths(text string, folders bool) []string {
	dir, base := filepath.Split(text)
	place := dir
	if place == "" {
		place = "."
	}
	if home, err := os.UserHomeDir(); err == nil && strings.HasPrefix(place, "~/") {
		place = filepath.Join(home, place[2:])
	}
	entries, err := os.ReadDir(place)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || name[0] == '.' && base == "" {
			continue
		}
		isDir := e.IsDir()
		if info, err := os.Stat(filepath.Join(place, name)); err == nil {
			isDir = info.IsDir() // what a link leads to
		}
		switch {
		case isDir:
			out = append(out, dir+name+"/")
		case !folders:
			out = append(out, dir+name)
		}
	}
	return out
}

// importPaths completes inside the quotes of an import declaration.
func importPaths(before string) (Completion, bool) {
	row := before[strings.LastIndexByte(before, '\n')+1:]
	quote := strings.LastIndexAny(row, "\"`")
	if quote < 0 || strings.Count(row, row[quote:quote+1])%2 == 0 {
		return Completion{}, false
	}
	items := split(before[:len(before)-len(row)+quote])
	if len(items) == 0 || items[len(items)-1].kind != itemImport {
		return Completion{}, false
	}
	var all []string
	for _, l := range symbols.Libraries() {
		all = append(all, l.Packages()...)
	}
	slices.Sort(all)
	return offers(before, len(before)-len(row)+quote+1, "package", slices.Compact(all)), true
}

// literalFields are the fields of the struct literal that the end of before is inside of,
// where a field's name may stand; with a colon, and without those that are given already.
func (s *Session) literalFields(before string, local map[string]types.Object) []Match {
	at := strings.TrimRight(before, " \t\n")
	if !strings.HasSuffix(at, "{") && !strings.HasSuffix(at, ",") {
		return nil
	}
	open := openBracket(before + "}")
	if open < 0 || before[open] != '{' {
		return nil
	}
	operand := operandBefore(strings.TrimRight(before[:open], " \t"))
	t, isType := s.operandType(operand, local)
	if !isType {
		return nil
	}
	st, ok := t.Underlying().(*types.Struct)
	if !ok {
		return nil
	}
	var fields []Match
	given := before[open:]
	for i := range st.NumFields() {
		f := st.Field(i)
		if !s.inReach(f) || strings.Contains(given, f.Name()+":") {
			continue
		}
		m := matchOf(f)
		m.Text += ": "
		fields = append(fields, m)
	}
	return fields
}

// inspectCommand is the help of the command line that the cursor stands in.
func (s *Session) inspectCommand(code string, at int) (text string, ok bool) {
	if _, inText, ok := s.commandAtCursor(code[:at]); inText || !ok {
		return "", false
	}
	row := code[strings.LastIndexByte(code[:at], '\n')+1:]
	row, _, _ = strings.Cut(row, "\n")
	word, _, _ := strings.Cut(strings.TrimSpace(row), " ")
	if strings.HasPrefix(word, "!") {
		word = "!CMD"
	}
	lines := strings.SplitAfter(commandHelp, "\n")
	for i, line := range lines {
		names, _, _ := strings.Cut(strings.TrimPrefix(line, "  "), "   ")
		for _, name := range strings.Split(names, ", ") {
			if name, _, _ = strings.Cut(name, " "); !strings.HasPrefix(line, "  ") || name != word {
				continue
			}
			text := strings.TrimSpace(line)
			if i+1 < len(lines) && strings.HasPrefix(lines[i+1], "      ") {
				text += " " + strings.TrimSpace(lines[i+1])
			}
			return text, true
		}
	}
	return "", false
}
