package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/engine/grammar"
	"github.com/godwit-ai/godwit/engine/tokenizer"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure the engine on this machine",
		Long: `Measure the engine on this machine. Each command prints one table and, with --json, writes
the same figures to a file. Every figure stands beside the physical limit, from rates of memory
and products that are measured on the same device in the same run.`, Args: cobra.NoArgs}
	cmd.AddCommand(benchDecodeCommand(), benchPrefillCommand(), benchOfflineCommand(), benchServeCommand(), benchStartCommand(), benchGrammarCommand(), benchStructuredCommand(), benchPaceCommand())
	return cmd
}

func benchGrammarCommand() *cobra.Command {
	var b grammarBench
	cmd := &cobra.Command{
		Use:   "grammar FOLDER",
		Short: "Compile a folder of JSON Schemas and follow their instances token by token",
		Long: `Compile the schemas of a folder and follow their instances token by token.

Each JSON file, below the folder too, holds {"schema": ..., "tests": [{"valid": true, "data": ...}]}
or a list of such. An instance is its compact JSON text, as it stands and, where that is refused,
with members in the order in which the schema declares them, and in any order that the grammar
takes. A mask is made before every token.
One core does all the work.`,
		Example: "  godwit bench grammar --tokenizer tokenizer.json --json out.json schemas/",
		Args:    cli.Args(1, 1, "name one folder of schemas"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if b.tokenizer == "" {
				return fmt.Errorf("--tokenizer: name a tokenizer.json")
			}
			return cli.Failed(b.run(args[0]))
		},
	}
	cmd.Flags().StringVar(&b.tokenizer, "tokenizer", "", "tokenizer.json whose vocabulary is used")
	cmd.Flags().StringVar(&b.out, "json", "", "write the figures to this file")
	cmd.Flags().StringVar(&b.each, "each", "", "write a line of JSON for every schema to this file: its outcome, times and bytes")
	cmd.Flags().DurationVar(&b.limit, "timeout", 10*time.Second, "for one schema with its instances")
	cmd.Flags().BoolVar(&b.compact, "compact", false, "let the grammars allow no white space between JSON tokens")
	cmd.Flags().BoolVar(&b.cpu, "cpu", false, "measure processor time, which other programs do not lengthen, instead of time on the wall")
	cmd.Flags().BoolVarP(&b.verbose, "verbose", "v", false, "print a line for every schema that is not right")
	return cmd
}

// grammarBench is one run. It is used by one goroutine.
type grammarBench struct {
	tokenizer, out   string
	each             string
	limit            time.Duration
	compact, verbose bool
	cpu              bool
	clock            func() time.Duration

	tok    *tokenizer.Tokenizer
	vocab  *grammar.Vocabulary
	byText map[string]int32 // made when needed
	fig    grammarFigures
	masks  []float64     // µs
	times  []float64     // ms to the first mask
	bytes  []float64     // that a compiled schema keeps
	lines  *json.Encoder // of each
}

// schemaLine is what --each writes of one schema.
type schemaLine struct {
	Name      string  `json:"name"`
	Outcome   string  `json:"outcome"`
	CompileMS float64 `json:"compile_ms"`
	Bytes     int     `json:"bytes"`
	Masks     int     `json:"masks"`
	MaskMaxUS float64 `json:"mask_max_us"`
	Note      string  `json:"note,omitempty"`
}

// grammarFigures are what --json writes. Every schema is counted once, as right,
// refused, valid_refused, invalid_accepted or a timeout.
type grammarFigures struct {
	Schemas         int            `json:"schemas"`
	Right           int            `json:"right"`
	Refused         int            `json:"refused"`
	ValidRefused    int            `json:"valid_refused"`
	InvalidAccepted int            `json:"invalid_accepted"`
	Timeouts        int            `json:"timeouts"`
	Instances       int            `json:"instances"`
	Masks           int            `json:"masks"`
	MaskUS          spread         `json:"mask_us"`
	CompileMS       spread         `json:"compile_ms"`
	Bytes           spread         `json:"bytes"` // of a schema with its masks, as far as they were asked for
	ByKeyword       map[string]int `json:"refused_by_keyword"`
	Vocabulary      int            `json:"vocabulary"`
}

type spread struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

func spreadOf(x []float64) (s spread) {
	if len(x) == 0 {
		return s
	}
	x = slices.Sorted(slices.Values(x))
	for _, v := range x {
		s.Mean += v / float64(len(x))
	}
	at := func(q float64) float64 { return x[min(len(x)-1, int(q*float64(len(x))))] }
	s.P50, s.P90, s.P99, s.Max = at(0.5), at(0.9), at(0.99), x[len(x)-1]
	return s
}

// schemaCase is a schema with its instances.
type schemaCase struct {
	Schema json.RawMessage `json:"schema"`
	Tests  []struct {
		Valid bool            `json:"valid"`
		Data  json.RawMessage `json:"data"`
	} `json:"tests"`
}

func (b *grammarBench) run(folder string) error {
	runtime.GOMAXPROCS(1)
	origin := time.Now()
	if b.clock = func() time.Duration { return time.Since(origin) }; b.cpu {
		if processTime() == 0 {
			return fmt.Errorf("--cpu: this system does not tell the processor time")
		}
		b.clock = processTime
	}
	if err := b.load(); err != nil {
		return err
	}
	b.fig.ByKeyword = map[string]int{}
	if b.each != "" {
		f, err := os.Create(b.each)
		if err != nil {
			return err
		}
		defer f.Close()
		b.lines = json.NewEncoder(f)
	}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") {
			return err
		}
		list, err := readCases(path)
		if err != nil {
			return err
		}
		for i, c := range list {
			name := path
			if len(list) > 1 {
				name = fmt.Sprintf("%s[%d]", path, i)
			}
			if err := b.one(name, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.report()
}

// load makes the vocabulary: special and added control tokens are never allowed.
func (b *grammarBench) load() error {
	src, err := os.ReadFile(b.tokenizer)
	if err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(filepath.Dir(b.tokenizer), "tokenizer_config.json"))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if b.tok, err = tokenizer.FromJSON(src, config); err != nil {
		return fmt.Errorf("%s: %w", b.tokenizer, err)
	}
	tokens := make([][]byte, b.tok.VocabSize())
	for id := range tokens {
		if !b.tok.IsSpecial(int32(id)) {
			tokens[id] = b.tok.TokenBytes(int32(id))
		}
	}
	b.vocab = grammar.NewVocabulary(tokens, b.tok.EOS())
	b.fig.Vocabulary = len(tokens)
	return nil
}

func readCases(path string) ([]schemaCase, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []schemaCase
	if trimmed := strings.TrimSpace(string(src)); strings.HasPrefix(trimmed, "[") {
		err = json.Unmarshal(src, &list)
	} else {
		list = make([]schemaCase, 1)
		err = json.Unmarshal(src, &list[0])
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range list {
		if len(list[i].Schema) == 0 {
			return nil, fmt.Errorf("%s: there is no schema in it", path)
		}
	}
	return list, nil
}

// one takes a schema through all its instances.
func (b *grammarBench) one(name string, c schemaCase) error {
	first := len(b.masks)
	line := schemaLine{Name: name}
	b.schema(&line, c)
	if b.verbose && line.Outcome != "right" {
		fmt.Printf("%s: %s: %s\n", name, strings.ReplaceAll(line.Outcome, "_", " "), line.Note)
	}
	if b.lines == nil {
		return nil
	}
	line.CompileMS = b.times[len(b.times)-1]
	if line.Masks = len(b.masks) - first; line.Masks > 0 {
		line.MaskMaxUS = slices.Max(b.masks[first:])
	}
	return b.lines.Encode(line)
}

func (b *grammarBench) schema(line *schemaLine, c schemaCase) {
	b.fig.Schemas++
	start := b.clock()
	options := grammar.Options{Compact: b.compact, DotZero: true, Limits: grammar.Limits{Time: b.limit}}
	gr, err := grammar.CompileSchema(b.vocab, c.Schema, options)
	mask := make([]uint64, b.vocab.Words())
	if err == nil {
		err = gr.NewMatcher().Mask(mask)
	}
	b.times = append(b.times, float64((b.clock()-start).Microseconds())/1000)
	if err != nil {
		b.refusal(line, err)
		return
	}
	line.Outcome = b.instances(line, gr, c, mask, start+b.limit)
	line.Bytes = gr.Size()
	b.bytes = append(b.bytes, float64(line.Bytes))
}

// instances follows all of a schema's and gives the outcome.
func (b *grammarBench) instances(line *schemaLine, gr *grammar.Grammar, c schemaCase, mask []uint64, deadline time.Duration) string {
	for _, t := range c.Tests {
		b.fig.Instances++
		ok, why := b.instance(gr, c.Schema, t.Data, mask)
		switch {
		case b.clock() > deadline:
			b.fig.Timeouts++
			return "timeout"
		case ok && !t.Valid:
			b.fig.InvalidAccepted++
			line.Note = string(t.Data)
			return "invalid_accepted"
		case !ok && t.Valid:
			b.fig.ValidRefused++
			line.Note = why
			return "valid_refused"
		}
	}
	b.fig.Right++
	return "right"
}

func (b *grammarBench) refusal(line *schemaLine, err error) {
	b.fig.Refused++
	keyword := "(other)"
	if e, ok := err.(*grammar.Error); ok && e.Keyword != "" {
		keyword = e.Keyword
	}
	b.fig.ByKeyword[keyword]++
	line.Outcome, line.Note = "refused", err.Error()
}

// instance follows one instance; why says where it left the grammar.
func (b *grammarBench) instance(gr *grammar.Grammar, schema, data []byte, mask []uint64) (ok bool, why string) {
	text, err := grammar.Compact(data)
	if err != nil {
		return false, err.Error()
	}
	if ok, why = b.follow(gr, string(text), mask); ok {
		return true, ""
	}
	ordered, err := grammar.InDeclaredOrder(schema, data)
	if err != nil {
		return false, why
	}
	if string(ordered) != string(text) {
		if ok, _ := b.follow(gr, string(ordered), mask); ok {
			return true, ""
		}
	}
	arranged, ok := gr.Arrange(ordered)
	if !ok {
		return false, why
	}
	return b.follow(gr, string(arranged), mask)
}

func (b *grammarBench) follow(gr *grammar.Grammar, text string, mask []uint64) (ok bool, why string) {
	m := gr.NewMatcher()
	read := 0
	for _, id := range b.tokens(text) {
		start := b.clock()
		err := m.Mask(mask)
		b.masks = append(b.masks, float64((b.clock()-start).Nanoseconds())/1000)
		if err != nil {
			return false, err.Error()
		}
		allowed := mask[id>>6]>>(id&63)&1 != 0
		if err := m.Accept(id); (err == nil) != allowed {
			return false, fmt.Sprintf("mask and matcher differ at byte %d, token %d", read, id)
		}
		if !allowed {
			return false, fmt.Sprintf("at byte %d of %.200s", read, text)
		}
		read += len(b.tok.TokenBytes(id))
	}
	if !m.Done() {
		return false, "the text may not end where it does"
	}
	return true, ""
}

// tokens are the tokens of exactly text: a tokenizer that normalizes may give those of
// another, in which case the longest tokens that fit are taken.
func (b *grammarBench) tokens(text string) []int32 {
	ids := b.tok.EncodePlain(text, false)
	var back []byte
	for _, id := range ids {
		back = append(back, b.tok.TokenBytes(id)...)
	}
	if string(back) == text {
		return ids
	}
	if b.byText == nil {
		b.byText = make(map[string]int32, b.tok.VocabSize())
		for id := range int32(b.tok.VocabSize()) {
			if t := b.tok.TokenBytes(id); len(t) > 0 && !b.tok.IsSpecial(id) {
				b.byText[string(t)] = id
			}
		}
	}
	ids = ids[:0]
	for len(text) > 0 {
		n := min(len(text), 64)
		for ; n > 1; n-- {
			if _, ok := b.byText[text[:n]]; ok {
				break
			}
		}
		id, ok := b.byText[text[:n]]
		if !ok {
			return nil // not even its byte is a token
		}
		ids, text = append(ids, id), text[n:]
	}
	return ids
}

func (b *grammarBench) report() error {
	f := &b.fig
	f.Masks, f.MaskUS, f.CompileMS, f.Bytes = len(b.masks), spreadOf(b.masks), spreadOf(b.times), spreadOf(b.bytes)
	fmt.Printf("%d schemas: %d right, %d refused, %d refuse a valid instance, %d accept an invalid one, %d timeouts\n",
		f.Schemas, f.Right, f.Refused, f.ValidRefused, f.InvalidAccepted, f.Timeouts)
	fmt.Printf("%d masks, vocabulary %d: mean %.1f p50 %.1f p90 %.1f p99 %.1f max %.1f µs\n",
		f.Masks, f.Vocabulary, f.MaskUS.Mean, f.MaskUS.P50, f.MaskUS.P90, f.MaskUS.P99, f.MaskUS.Max)
	fmt.Printf("schema to first mask: mean %.2f p50 %.2f p90 %.2f p99 %.2f max %.2f ms\n",
		f.CompileMS.Mean, f.CompileMS.P50, f.CompileMS.P90, f.CompileMS.P99, f.CompileMS.Max)
	fmt.Printf("bytes kept for a schema: mean %.0f p50 %.0f p90 %.0f p99 %.0f max %.0f\n", f.Bytes.Mean, f.Bytes.P50, f.Bytes.P90, f.Bytes.P99, f.Bytes.Max)
	for _, k := range slices.SortedFunc(maps.Keys(f.ByKeyword), func(a, c string) int { return f.ByKeyword[c] - f.ByKeyword[a] }) {
		fmt.Printf("  refused %4d  %s\n", f.ByKeyword[k], k)
	}
	if b.out == "" {
		return nil
	}
	src, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(b.out, append(src, '\n'), 0o644)
}
