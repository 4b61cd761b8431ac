// Package bench measures the engine as its users meet it: decode, prefill and the
// offline workload through engine.Generate, serving through a real HTTP port, starting
// in processes of its own. Every figure stands beside the physical limit of the same
// device, measured in the same run: the bytes that must be read at the bandwidth of a
// large copy, the multiplications at the rate of a large product.
//
// A run: Open loads a model once → Measure the ceilings → rows → a Report, which prints
// as one aligned table and is written as JSON. `godwit bench` holds the flags.
package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Report is what a benchmark found. Rows are maps from a column's key to its value, so
// that the JSON can be read without the table's layout.
type Report struct {
	Name     string           `json:"name"`
	Date     time.Time        `json:"date"`
	Version  string           `json:"version"`
	Host     string           `json:"host"`
	Device   string           `json:"device,omitempty"`
	Model    string           `json:"model,omitempty"`
	Weights  string           `json:"weights,omitempty"`
	Ceilings *Ceilings        `json:"ceilings,omitempty"`
	Summary  []Figure         `json:"summary,omitempty"`
	Columns  []Column         `json:"columns"`
	Rows     []map[string]any `json:"rows"`
	Notes    []string         `json:"notes,omitempty"`
}

// Column is a figure of every row.
type Column struct {
	Key    string `json:"key"`
	Head   string `json:"head"`
	Format string `json:"-"` // of fmt; "" is %v
}

// Figure is a number about the whole run.
type Figure struct {
	Key    string  `json:"key"`
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Format string  `json:"-"`
}

func newReport(name string, columns ...Column) *Report {
	return &Report{Name: name, Date: time.Now().UTC().Truncate(time.Second), Version: version(), Columns: columns,
		Host: fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version())}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}

func (r *Report) add(row map[string]any) { r.Rows = append(r.Rows, row) }

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Print writes the report for people: what was measured on what, then the table.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	head := "bench " + r.Name
	for _, s := range []string{r.Model, r.Weights, r.Device, r.Host} {
		if s != "" {
			head += " · " + s
		}
	}
	b.WriteString(head + "\n")
	if r.Ceilings != nil {
		b.WriteString(r.Ceilings.String() + "\n")
	}
	for i, f := range r.Summary {
		if i > 0 {
			b.WriteString(" · ")
		}
		fmt.Fprintf(&b, f.Format+" %s", f.Value, f.Name)
	}
	if len(r.Summary) > 0 {
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	r.table(&b)
	b.WriteByte('\n')
	for _, n := range r.Notes {
		b.WriteString(n + "\n")
	}
	for _, row := range r.Rows {
		if share, ok := row["share"].(float64); ok && share > 100 {
			b.WriteString("A share above 100 % means that the machine was busier while its limits were measured.\n")
			break
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) table(b *strings.Builder) {
	cells := [][]string{make([]string, len(r.Columns))}
	for i, c := range r.Columns {
		cells[0][i] = c.Head
	}
	for _, row := range r.Rows {
		line := make([]string, len(r.Columns))
		for i, c := range r.Columns {
			line[i] = c.text(row[c.Key])
		}
		cells = append(cells, line)
	}
	width := make([]int, len(r.Columns))
	for _, line := range cells {
		for i, s := range line {
			width[i] = max(width[i], utf8.RuneCountInString(s))
		}
	}
	for _, line := range cells {
		for i, s := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(s))
			switch {
			case i == 0:
				b.WriteString(s + pad)
			default:
				b.WriteString("  " + pad + s)
			}
		}
		b.WriteByte('\n')
	}
}

func (c Column) text(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return v
	}
	if c.Format == "" {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf(c.Format, v)
}

// WriteJSON writes the report to a file; "-" is standard output.
func (r *Report) WriteJSON(path string) error { return WriteJSON(path, r) }

// WriteJSON writes one report or a list of them.
func WriteJSON(path string, v any) error {
	src, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	src = append(src, '\n')
	if path == "-" {
		_, err = os.Stdout.Write(src)
		return err
	}
	return os.WriteFile(path, src, 0o644)
}

// Spread describes repeated measurements.
type Spread struct {
	Mean float64 `json:"mean"`
	Min  float64 `json:"min"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
	N    int     `json:"n"`
}

// spread sorts x. The percentile q is the smallest value that at least the share q of
// the values does not exceed.
func spread(x []float64) Spread {
	s := Spread{N: len(x)}
	if s.N == 0 {
		return s
	}
	slices.Sort(x)
	for _, v := range x {
		s.Mean += v / float64(s.N)
	}
	at := func(q float64) float64 { return x[max(0, min(s.N-1, int(q*float64(s.N)+0.9999999)-1))] }
	s.Min, s.P50, s.P90, s.P99, s.Max = x[0], at(0.5), at(0.9), at(0.99), x[s.N-1]
	return s
}

// Progress is told how a benchmark goes on: what it does, and how many of how many
// things of that are done. Total 0 is unknown.
type Progress func(stage string, done, total int64)

func (p Progress) say(stage string, done, total int) {
	if p != nil {
		p(stage, int64(done), int64(total))
	}
}
