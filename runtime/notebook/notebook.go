// Package notebook reads, runs and writes Jupyter notebooks without Jupyter: their cells
// go through the same session as the kernel's, their outputs come back into the file.
//
// One run's way: Read → SetParameters puts a cell behind the one tagged "parameters" →
// Run evaluates the code cells in order, each with an Output that records → Write.
// Everything in a file that this package does not know is kept as it was.
package notebook

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// The format that is written: 4.5, in which every cell has an id.
const (
	major = 4
	minor = 5
)

// Notebook is a notebook file.
type Notebook struct {
	Cells    []*Cell
	Metadata map[string]any

	rest map[string]any // other members of the file
	mu   sync.Mutex     // while it runs: outputs of all cells, as goroutines outlive theirs
}

// Cell is one cell. Kind is "code", "markdown" or "raw"; only code has Outputs and Count.
type Cell struct {
	Kind     string
	ID       string
	Source   string
	Metadata map[string]any
	Outputs  []Output
	Count    int // execution count, 0 if it did not run

	rest map[string]any
}

// Output is one output of a code cell, with the members that the format gives it.
type Output map[string]any

// Tags are the cell's tags.
func (c *Cell) Tags() []string {
	list, _ := c.Metadata["tags"].([]any)
	var tags []string
	for _, t := range list {
		if s, ok := t.(string); ok {
			tags = append(tags, s)
		}
	}
	return tags
}

// Tagged reports whether the cell has a tag.
func (c *Cell) Tagged(tag string) bool { return slices.Contains(c.Tags(), tag) }

// Title is the first line of the source that says something, cut to width characters.
func (c *Cell) Title(width int) string {
	for line := range strings.Lines(c.Source) {
		if line = strings.TrimSpace(line); line != "" {
			if r := []rune(line); len(r) > width {
				return string(r[:max(width-1, 0)]) + "…"
			}
			return line
		}
	}
	return ""
}

// Read reads a notebook of format 4.
func Read(r io.Reader) (*Notebook, error) {
	in := bufio.NewReader(r)
	if mark, _ := in.Peek(3); string(mark) == "\ufeff" { // editors on Windows put a byte order mark there
		_, _ = in.Discard(3)
	}
	dec := json.NewDecoder(in)
	dec.UseNumber()
	var file map[string]any
	var kind *json.UnmarshalTypeError
	switch err := dec.Decode(&file); {
	case err == io.EOF:
		return nil, errors.New("no notebook: the file is empty")
	case errors.As(err, &kind):
		return nil, fmt.Errorf("no notebook: it is a JSON %s, not an object", kind.Value)
	case err != nil:
		return nil, fmt.Errorf("no notebook: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("no notebook: there is more behind its end")
	}
	format, ok := file["nbformat"].(json.Number)
	if !ok {
		return nil, errors.New("no notebook: nbformat is missing")
	}
	if format != "4" {
		return nil, fmt.Errorf("notebook format %s: only format 4 is understood; `jupyter nbconvert --to notebook` converts older ones", format)
	}
	list, ok := file["cells"].([]any)
	if !ok {
		return nil, errors.New("no notebook: it has no list of cells")
	}
	nb := &Notebook{Metadata: map[string]any{}, rest: file}
	if m, ok := file["metadata"].(map[string]any); ok {
		nb.Metadata = m
	}
	for i, x := range list {
		c, err := readCell(x)
		if err != nil {
			return nil, fmt.Errorf("cell %d: %w", i+1, err)
		}
		nb.Cells = append(nb.Cells, c)
	}
	for _, known := range []string{"cells", "metadata", "nbformat", "nbformat_minor"} {
		delete(file, known)
	}
	return nb, nil
}

func readCell(x any) (*Cell, error) {
	m, ok := x.(map[string]any)
	if !ok {
		return nil, errors.New("is no object")
	}
	c := &Cell{Metadata: map[string]any{}, rest: m}
	if c.Kind, _ = m["cell_type"].(string); c.Kind == "" {
		return nil, errors.New("has no cell_type")
	}
	source, err := text(m["source"])
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	c.Source = source
	c.ID, _ = m["id"].(string)
	if meta, ok := m["metadata"].(map[string]any); ok {
		c.Metadata = meta
	}
	if c.Kind == "code" {
		if err := c.readOutputs(m); err != nil {
			return nil, err
		}
	}
	for _, known := range []string{"cell_type", "source", "id", "metadata", "outputs", "execution_count"} {
		delete(m, known)
	}
	return c, nil
}

func (c *Cell) readOutputs(m map[string]any) error {
	outputs, _ := m["outputs"].([]any)
	for i, o := range outputs {
		out, ok := o.(map[string]any)
		if !ok {
			return fmt.Errorf("output %d is no object", i+1)
		}
		c.Outputs = append(c.Outputs, out)
	}
	if n, ok := m["execution_count"].(json.Number); ok {
		count, err := n.Int64()
		if err != nil {
			return fmt.Errorf("execution_count: %w", err)
		}
		c.Count = int(count)
	}
	return nil
}

// text reads what the format allows as text: a string or a list of lines.
func text(x any) (string, error) {
	switch x := x.(type) {
	case string:
		return x, nil
	case []any:
		var b strings.Builder
		for _, line := range x {
			s, ok := line.(string)
			if !ok {
				return "", errors.New("a line is no string")
			}
			b.WriteString(s)
		}
		return b.String(), nil
	}
	return "", errors.New("is neither a string nor a list of lines")
}

// lines is text as the format stores it: cut behind line ends, so that files compare well.
func lines(s string) []string {
	list := strings.SplitAfter(s, "\n")
	if list[len(list)-1] == "" {
		list = list[:len(list)-1]
	}
	if list == nil {
		list = []string{}
	}
	return list
}

// Write writes the notebook in format 4.5, the way Jupyter lays files out. It may be
// called while the notebook runs.
func (nb *Notebook) Write(w io.Writer) error {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	file := map[string]any{}
	for k, v := range nb.rest {
		file[k] = v
	}
	nb.giveIDs()
	cells := make([]any, len(nb.Cells))
	for i, c := range nb.Cells {
		cells[i] = c.object()
	}
	file["cells"], file["metadata"], file["nbformat"], file["nbformat_minor"] = cells, nb.Metadata, major, minor
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(file); err != nil {
		return fmt.Errorf("write notebook: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// giveIDs gives cells without an id, or with one that another has, one made from
// their place and source.
func (nb *Notebook) giveIDs() {
	seen := map[string]bool{}
	for i, c := range nb.Cells {
		for n := 0; c.ID == "" || seen[c.ID]; n++ {
			sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", i, n, c.Source))
			c.ID = hex.EncodeToString(sum[:4])
		}
		seen[c.ID] = true
	}
}

func (c *Cell) object() map[string]any {
	m := map[string]any{}
	for k, v := range c.rest {
		m[k] = v
	}
	m["cell_type"], m["id"], m["metadata"], m["source"] = c.Kind, c.ID, c.Metadata, lines(c.Source)
	if c.Kind != "code" {
		return m
	}
	outputs := make([]any, len(c.Outputs))
	for i, o := range c.Outputs {
		outputs[i] = o.stored()
	}
	m["outputs"], m["execution_count"] = outputs, nil
	if c.Count > 0 {
		m["execution_count"] = c.Count
	}
	return m
}

// stored is the output with its texts cut into lines.
func (o Output) stored() Output {
	s := Output{}
	for k, v := range o {
		switch v := v.(type) {
		case string:
			if k == "text" {
				s[k] = lines(v)
				continue
			}
		case map[string]any:
			if k == "data" {
				s[k] = storedData(v)
				continue
			}
		}
		s[k] = v
	}
	return s
}

func storedData(data map[string]any) map[string]any {
	s := make(map[string]any, len(data))
	for mime, v := range data {
		if text, ok := v.(string); ok && isText(mime) {
			s[mime] = lines(text)
			continue
		}
		s[mime] = v
	}
	return s
}

// isText reports whether contents of a MIME type are text in a notebook file.
func isText(mime string) bool {
	base, _, _ := strings.Cut(mime, ";")
	return strings.HasPrefix(base, "text/") || strings.HasSuffix(base, "+xml") || base == "application/javascript" || base == "application/xml"
}

func isJSON(mime string) bool {
	base, _, _ := strings.Cut(mime, ";")
	return base == "application/json" || strings.HasSuffix(base, "+json")
}

// contents gives each MIME type the form that the format asks for: bytes become text,
// JSON or base64. What cannot be stored becomes an error that names it.
func contents(data map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(data))
	for mime, v := range data {
		if b, ok := v.([]byte); ok {
			switch {
			case isJSON(mime) && json.Valid(b):
				v = json.RawMessage(b)
			case isText(mime) || isJSON(mime):
				v = string(b)
			default:
				v = base64.StdEncoding.EncodeToString(b)
			}
		}
		if _, err := json.Marshal(v); err != nil {
			return nil, fmt.Errorf("%s cannot be stored: %w", mime, err)
		}
		if !isJSON(mime) {
			if _, ok := v.(string); !ok {
				v = fmt.Sprint(v) // the format allows only text here
			}
		}
		out[mime] = v
	}
	return out, nil
}
