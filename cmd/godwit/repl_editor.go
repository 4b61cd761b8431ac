package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/peterh/liner"

	"github.com/godwit-ai/godwit/runtime/session"
)

// editor is a person at a terminal.
type editor struct {
	state   *liner.State
	session *session.Session
	history string // file, "" for none
	before  string // the lines of the cell above the one that is edited
}

func newEditor(s *session.Session, history string) *editor {
	e := &editor{state: liner.NewLiner(), session: s, history: history}
	e.state.SetCtrlCAborts(true)
	e.state.SetMultiLineMode(true)
	e.state.SetBeep(false)
	e.state.SetTabCompletionStyle(liner.TabPrints)
	e.state.SetWordCompleter(e.complete)
	if f, err := os.Open(history); history != "" && err == nil {
		_, _ = e.state.ReadHistory(f) // a history that cannot be read is an empty one
		f.Close()
	}
	return e
}

func (e *editor) line(number int, before, indent string) (string, error) {
	prompt := fmt.Sprintf("[%d]> ", number)
	if before != "" {
		prompt = strings.Repeat(".", len(prompt)-1) + " "
	}
	e.before = before
	line, err := e.state.PromptWithSuggestion(prompt, strings.ReplaceAll(indent, "\t", "    "), -1)
	switch {
	case errors.Is(err, liner.ErrPromptAborted):
		return "", errAborted
	case err != nil:
		fmt.Println()
		return "", err
	}
	if strings.TrimSpace(line) != "" {
		e.state.AppendHistory(line)
	}
	return line, nil
}

// complete offers what may stand at the cursor; pos counts code points.
func (e *editor) complete(line string, pos int) (head string, completions []string, tail string) {
	r := []rune(line)
	head, tail = string(r[:pos]), string(r[pos:])
	if strings.TrimSpace(head) == "" {
		return head, []string{"    "}, tail // Tab at the beginning of a line indents
	}
	above := utf8.RuneCountInString(e.before)
	c := e.session.Complete(e.before+line, above+pos)
	start := c.Start - above
	if start < 0 || start > pos {
		return head, nil, tail
	}
	for _, m := range c.Matches {
		completions = append(completions, m.Text)
	}
	return string(r[:start]), completions, tail
}

func (e *editor) ask(prompt string, password bool) (string, error) {
	// The editor draws only the last line of a prompt.
	if i := strings.LastIndexByte(prompt, '\n'); i >= 0 {
		fmt.Print(prompt[:i+1])
		prompt = prompt[i+1:]
	}
	read := e.state.Prompt
	if password {
		read = e.state.PasswordPrompt
	}
	line, err := read(prompt)
	if errors.Is(err, liner.ErrPromptAborted) {
		return "", errors.New("interrupted")
	}
	return line, err
}

// Close keeps the history and gives the terminal back.
func (e *editor) Close() error {
	if e.history != "" {
		e.save()
	}
	return e.state.Close()
}

func (e *editor) save() {
	if err := os.MkdirAll(filepath.Dir(e.history), 0o700); err != nil {
		fmt.Fprintln(os.Stderr, "history:", err)
		return
	}
	f, err := os.OpenFile(e.history, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = e.state.WriteHistory(f)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "history:", err)
	}
}
