package serve

import (
	"fmt"
	"path/filepath"
	"strings"
)

// ParseCommand reads a launch command as tutorials write it, for example
//
//	python3 -m sglang.launch_server --model-path smollm2 --host 0.0.0.0
//	godwit serve --model smollm2
//
// Backslash-newline joins lines, leading KEY=VALUE words are set aside, quotes work
// as in a shell. Any program whose arguments name a server's launch is accepted;
// other commands are an error that says what is expected.
func ParseCommand(command string) (c Config, notes []string, err error) {
	words, err := Split(command)
	if err != nil {
		return c, nil, err
	}
	for len(words) > 0 && isAssignment(words[0]) {
		notes = append(notes, words[0]+" is not an environment of this process; it has no effect")
		words = words[1:]
	}
	args, ok := launchArgs(words)
	if !ok {
		return c, notes, fmt.Errorf("launch %q: expected a server command such as \"python3 -m sglang.launch_server --model-path MODEL\" or \"godwit serve --model MODEL\"", command)
	}
	c, more, err := ParseArgs(args)
	return c, append(notes, more...), err
}

// launchArgs finds the flags behind the program.
func launchArgs(words []string) ([]string, bool) {
	if len(words) == 0 {
		return nil, false
	}
	prog := filepath.Base(words[0])
	switch {
	case strings.HasPrefix(words[0], "-"):
		return words, true
	case strings.HasPrefix(prog, "python") && len(words) > 2 && words[1] == "-m" && isLauncher(words[2]):
		return words[3:], true
	case (prog == "sglang" || prog == "godwit") && len(words) > 1 && words[1] == "serve":
		return words[2:], true
	case prog == "sglang.launch_server":
		return words[1:], true
	}
	return nil, false
}

func isLauncher(module string) bool {
	return module == "sglang.launch_server" || module == "sglang" || module == "vllm.entrypoints.openai.api_server"
}

func isAssignment(w string) bool {
	k, _, ok := strings.Cut(w, "=")
	if !ok || k == "" || k[0] >= '0' && k[0] <= '9' {
		return false
	}
	return strings.Trim(k, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// Split cuts a command into words as a POSIX shell does, without expansions.
func Split(s string) ([]string, error) {
	var (
		words []string
		word  strings.Builder
		in    bool // inside a word
		quote rune
	)
	s = strings.NewReplacer("\\\r\n", " ", "\\\n", " ").Replace(s)
	esc := false
	for _, r := range s {
		switch {
		case esc:
			if quote == '"' && !strings.ContainsRune("\"\\$`", r) {
				word.WriteByte('\\')
			}
			word.WriteRune(r)
			esc = false
		case r == '\\' && quote != '\'':
			esc, in = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, in = r, true
		case strings.ContainsRune(" \t\r\n", r):
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("command: the quote %c is not closed", quote)
	}
	if esc {
		word.WriteByte('\\')
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
