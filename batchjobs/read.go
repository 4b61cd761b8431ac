package batchjobs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// CheckFiles finds what Run would refuse about the job's files, before a model is
// loaded.
func CheckFiles(o Options) error {
	o.fill()
	inputs, err := expand(o.Inputs)
	if err != nil {
		return err
	}
	out := o.Output
	if out == "" {
		out = OutputName(inputs[0])
	}
	if out == "-" {
		return nil
	}
	if err := notAnInput(out, inputs); err != nil {
		return err
	}
	if _, err := os.Lstat(out); err == nil && !o.Overwrite {
		return &ExistsError{out}
	}
	return (&sink{path: out}).checkName()
}

// Each calls f with every line of files of any compression until f returns false.
func Each(names []string, stdin io.Reader, f func(line []byte) bool) error {
	o := Options{Stdin: stdin}
	o.fill()
	inputs, err := expand(names)
	if err != nil {
		return err
	}
	for _, name := range inputs {
		more, err := eachOf(name, &o, f)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func eachOf(name string, o *Options, f func([]byte) bool) (more bool, err error) {
	s, err := openSource(name, o.Stdin, o.MaxWindow)
	if err != nil {
		return false, err
	}
	defer s.closer() //nolint:errcheck // only read
	for {
		ln, err := s.next(1 << 30)
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if !f(ln.raw) {
			return false, nil
		}
	}
}

// Check parses every line as Run would, without an engine, and reports bad ones.
func Check(o Options, report func(where string, e *LineError)) (lines, bad int64, err error) {
	o.fill()
	inputs, err := expand(o.Inputs)
	if err != nil {
		return 0, 0, err
	}
	api := openai.Options{Models: []engine.ModelInfo{{ID: "default"}}, AnyModel: true}
	for _, name := range inputs {
		n, b, err := checkOne(name, &o, api, report)
		lines, bad = lines+n, bad+b
		if err != nil {
			return lines, bad, err
		}
	}
	return lines, bad, nil
}

func checkOne(name string, o *Options, api openai.Options, report func(string, *LineError)) (lines, bad int64, err error) {
	s, err := openSource(name, o.Stdin, o.MaxWindow)
	if err != nil {
		return 0, 0, err
	}
	defer s.closer() //nolint:errcheck // only read
	for {
		ln, err := s.next(o.MaxLineBytes)
		if err == io.EOF {
			return lines, bad, nil
		}
		if err != nil {
			return lines, bad, err
		}
		lines++
		req, e := parse(ln, o)
		if e == nil {
			if _, derr := decode(req, api); derr != nil {
				e = lineError(derr)
			}
		}
		if e != nil {
			bad++
			report(fmt.Sprintf("%s:%d (byte %d)", name, ln.number, ln.offset), e)
		}
	}
}

// Answer is one output line for people.
type Answer struct {
	Title string // custom_id and, where it is not 200, what happened
	Text  string
}

// ReadAnswer takes an output line apart; a line of another shape is shown as it is.
func ReadAnswer(line []byte) Answer {
	var l struct {
		CustomID *string `json:"custom_id"`
		Response *struct {
			Body struct {
				Choices []struct {
					Text    string `json:"text"`
					Message struct {
						Content string `json:"content"`
					} `json:"message"`
				} `json:"choices"`
			} `json:"body"`
		} `json:"response"`
		Error *LineError `json:"error"`
	}
	if err := json.Unmarshal(line, &l, json.MatchCaseInsensitiveNames(true)); err != nil || l.Response == nil && l.Error == nil {
		return Answer{Title: "(not an answer line)", Text: string(line)}
	}
	a := Answer{Title: "(no custom_id)"}
	if l.CustomID != nil {
		a.Title = *l.CustomID
	}
	if l.Error != nil {
		a.Title += " — error"
		a.Text = l.Error.Error()
		return a
	}
	var texts []string
	for _, c := range l.Response.Body.Choices {
		texts = append(texts, strings.TrimSpace(c.Text+c.Message.Content))
	}
	a.Text = strings.Join(texts, "\n--\n")
	return a
}

var errBzip2 = errors.New("bzip2 can be read but not written: use .zst, .gz, .xz, .lz4 or no compression")
