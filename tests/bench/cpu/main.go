// Command cpu measures godwit's CPU device beside llama.cpp on one model file:
// decode of one stream, eight streams together, prefill of 512 tokens, and a context
// of 4,000 tokens, with the same token ids, greedy, in turns, and prints one table
// with medians.
//
//	go run ./tests/bench/cpu -model FILE.gguf -peer DIR
//
// DIR holds node_modules with node-llama-cpp; without it only godwit is measured.
// First-token times are those of a new process each: open the file, load, prefill
// 30 tokens.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cpu"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/sample"
	"github.com/godwit-ai/godwit/engine/weights"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// workload is what both sides do: prefill each prompt, then decode all together.
type workload struct {
	streams int
	prompt  int
	steps   int
	warm    int // rounds that do not count
	figures []figure
}

// figure is a line of the table.
type figure struct {
	name    string
	goal    float64 // times the peer; 0: none
	prefill bool    // the figure is that of the prompts
}

var workloads = []workload{
	{1, 32, 64, 3, []figure{{"decode, 1 stream (32 in, 64 out)", 2, false}}},
	{1, 512, 0, 3, []figure{{"prefill, 512 tokens", 2, true}}},
	{8, 32, 32, 3, []figure{{"decode, 8 streams (32 in, 32 out each)", 3, false}}},
	{1, 4000, 32, 1, []figure{{"prefill, 4,000 tokens", 0, true}, {"decode, 1 stream (4,000 in, 32 out)", 0, false}}},
}

// request and result travel to and from the peer.
type request struct {
	Prompts [][]int32 `json:"prompts"`
	Steps   int       `json:"steps"`
	Flash   bool      `json:"flash"`
}

type result struct {
	Prefill    float64   `json:"prefill"` // seconds
	Decode     float64   `json:"decode"`
	PrefillCPU float64   `json:"prefillCPU"` // seconds of processor time, all threads
	DecodeCPU  float64   `json:"decodeCPU"`
	Tokens     [][]int32 `json:"tokens"`
}

// rate is tokens per second, and per second of processor time.
func (w *workload) rate(r result, prefill bool) (wall, cpu float64) {
	if prefill {
		n := float64(w.streams * w.prompt)
		return n / r.Prefill, n / r.PrefillCPU
	}
	n := float64(w.streams * w.steps)
	return n / r.Decode, n / r.DecodeCPU
}

func run() error {
	path := flag.String("model", defaultModel(), "GGUF file")
	peerDir := flag.String("peer", "", "folder with node_modules/node-llama-cpp")
	threads := flag.Int("threads", 2, "threads of each side")
	rounds := flag.Int("rounds", 7, "measured rounds")
	level := flag.String("level", "", "instruction set of the CPU device")
	only := flag.String("only", "", "only workloads with this in the name of a line; no first-token times")
	first := flag.Bool("first-token", false, "print the first token of a 30-token prompt and leave")
	flag.Parse()
	e, vocab, info, err := open(*path, *threads, *level)
	if err != nil {
		return err
	}
	defer e.Close()
	if *first {
		out, err := measure(e, request{Prompts: prompts(vocab, 1, 30)})
		if err == nil {
			fmt.Println(out.Tokens[0][0])
		}
		return err
	}
	var p *peer
	if *peerDir != "" {
		if p, err = startPeer(*peerDir, *path, *threads); err != nil {
			return err
		}
		defer p.close()
	}
	fmt.Printf("godwit: %s; peer: %s; %s; %d rounds in turns, medians (minimum to maximum), tokens/s\n\n", info, p.about(), filepath.Base(*path), *rounds)
	if err := table(e, vocab, p, *rounds, *only); err != nil || *only != "" {
		return err
	}
	return firstTokens(*rounds)
}

func defaultModel() string {
	if m := os.Getenv("GODWIT_TEST_MODEL"); m != "" {
		return m
	}
	dir, _ := os.UserCacheDir()
	return filepath.Join(dir, "godwit", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
}

const (
	pageTokens = 16
	pages      = 8192 / pageTokens // of all streams
	maxRows    = 512
)

func open(path string, threads int, level string) (device.Exec, int, string, error) {
	c, err := weights.Open(path)
	if err != nil {
		return nil, 0, "", err
	}
	defer c.Close()
	p, err := model.Build(c.Config())
	if err != nil {
		return nil, 0, "", err
	}
	dev, err := cpu.New(cpu.Options{Threads: threads, Level: level})
	if err != nil {
		return nil, 0, "", err
	}
	e, err := dev.Compile(context.Background(), p, c, device.Options{
		Pages: pages, PageTokens: pageTokens, MaxRows: maxRows, MaxSeqs: 8, MaxOutputs: 8,
	})
	return e, p.Vocab, dev.Info(), err
}

// prompts are random ids, the same in every run.
func prompts(vocab, n, tokens int) [][]int32 {
	r := rand.New(rand.NewPCG(11, 13))
	out := make([][]int32, n)
	for i := range out {
		for range tokens {
			out[i] = append(out[i], int32(100+r.IntN(vocab-100)))
		}
	}
	return out
}

// measure runs a request on the device, step by step as an engine would.
func measure(e device.Exec, q request) (result, error) {
	r := result{Tokens: make([][]int32, len(q.Prompts))}
	decode := &device.Batch{}
	greedy := &sample.Params{}
	start, busy := time.Now(), cpuSeconds()
	for i, prompt := range q.Prompts {
		own := make([]int32, pages/len(q.Prompts))
		for j := range own {
			own[j] = int32(i*len(own) + j)
		}
		token, err := prefill(e, prompt, own)
		if err != nil {
			return r, err
		}
		r.Tokens[i] = append(r.Tokens[i], token)
		decode.Tokens = append(decode.Tokens, token)
		decode.Seqs = append(decode.Seqs, device.Seq{Row: i, Rows: 1, Past: len(prompt), Pages: own})
		decode.Outputs = append(decode.Outputs, device.OutputRow{Row: i, Params: greedy})
	}
	r.Prefill, r.PrefillCPU = time.Since(start).Seconds(), cpuSeconds()-busy
	start, busy = time.Now(), cpuSeconds()
	for range q.Steps {
		out, err := step(e, decode)
		if err != nil {
			return r, err
		}
		for i := range out {
			r.Tokens[i] = append(r.Tokens[i], out[i].Token)
			decode.Tokens[i] = out[i].Token
			decode.Seqs[i].Past++
		}
	}
	r.Decode, r.DecodeCPU = time.Since(start).Seconds(), cpuSeconds()-busy
	return r, nil
}

// prefill feeds a prompt in steps of maxRows and returns the token after it.
func prefill(e device.Exec, prompt, pages []int32) (int32, error) {
	for past := 0; ; past += maxRows {
		rows := min(maxRows, len(prompt)-past)
		b := &device.Batch{Tokens: prompt[past : past+rows], Seqs: []device.Seq{{Rows: rows, Past: past, Pages: pages}}}
		last := past+rows == len(prompt)
		if last {
			b.Outputs = []device.OutputRow{{Row: rows - 1, Params: &sample.Params{}}}
		}
		out, err := step(e, b)
		if err != nil {
			return 0, err
		}
		if last {
			return out[0].Token, nil
		}
	}
}

func step(e device.Exec, b *device.Batch) ([]device.Output, error) {
	p, err := e.Launch(b)
	if err != nil {
		return nil, err
	}
	return p.Wait()
}

// table measures the workloads in turns and prints their lines.
func table(e device.Exec, vocab int, p *peer, rounds int, only string) error {
	fmt.Printf("%-40s %26s %26s %26s %7s %6s\n", "", "godwit", "llama.cpp", "llama.cpp, flash attn.", "ratio", "goal")
	for _, w := range workloads {
		if !slices.ContainsFunc(w.figures, func(f figure) bool { return strings.Contains(f.name, only) }) {
			continue
		}
		results, err := w.measure(e, vocab, p, rounds)
		if err != nil {
			return err
		}
		for _, f := range w.figures {
			var rates, busy [3][]float64
			for side := range results {
				for _, r := range results[side] {
					wall, cpu := w.rate(r, f.prefill)
					rates[side], busy[side] = append(rates[side], wall), append(busy[side], cpu)
				}
			}
			goal := ""
			if f.goal > 0 {
				goal = fmt.Sprintf(">= %g", f.goal)
			}
			row(f.name, rates, goal)
			row("    the same per second of CPU time", busy, "")
		}
	}
	return nil
}

// measure runs the workload on godwit and twice on the peer, in turns.
func (w *workload) measure(e device.Exec, vocab int, p *peer, rounds int) (results [3][]result, err error) {
	q := request{Prompts: prompts(vocab, w.streams, w.prompt), Steps: w.steps}
	for i := -w.warm; i < rounds; i++ {
		for side := range results {
			var r result
			switch {
			case side == 0:
				r, err = measure(e, q)
			case p == nil:
				continue
			default:
				q.Flash = side == 2
				r, err = p.measure(q)
			}
			if err != nil {
				return results, err
			}
			if i >= 0 {
				results[side] = append(results[side], r)
			}
		}
	}
	return results, nil
}

// row prints one line: godwit, the peer twice, and godwit against the better peer.
func row(name string, rates [3][]float64, goal string) {
	ratio := "-"
	if best := max(median(rates[1]), median(rates[2])); best > 0 {
		ratio = fmt.Sprintf("%.2f", median(rates[0])/best)
	}
	fmt.Printf("%-40s %26s %26s %26s %7s %6s\n", name, spread(rates[0]), spread(rates[1]), spread(rates[2]), ratio, goal)
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

func spread(x []float64) string {
	if len(x) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f (%.0f to %.0f)", median(x), slices.Min(x), slices.Max(x))
}

// firstTokens times new processes of this program.
func firstTokens(rounds int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var seconds []float64
	for range rounds {
		c := exec.Command(self, append([]string{"-first-token"}, os.Args[1:]...)...)
		start := time.Now()
		if out, err := c.Output(); err != nil {
			return fmt.Errorf("first token: %w: %s", err, out)
		}
		seconds = append(seconds, time.Since(start).Seconds())
	}
	fmt.Printf("\nfirst token of a 30-token prompt from process start, file in the page cache: %.0f ms (%.0f to %.0f), goal < 1000\n",
		1e3*median(seconds), 1e3*slices.Min(seconds), 1e3*slices.Max(seconds))
	return nil
}

// peer is the llama.cpp process.
type peer struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	hello string
}

// startPeer runs peer.mjs, which lies beside this file, in dir.
func startPeer(dir, model string, threads int) (*peer, error) {
	model, err := filepath.Abs(model)
	if err != nil {
		return nil, err
	}
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return nil, errors.New("no source path: build without -trimpath")
	}
	p := &peer{cmd: exec.Command("node", filepath.Join(filepath.Dir(here), "peer.mjs"), model, strconv.Itoa(threads))}
	p.cmd.Dir, p.cmd.Stderr = dir, os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	var hello struct{ System, Release string }
	if err := p.read(&hello); err != nil {
		return nil, err
	}
	p.hello = strings.TrimSpace("llama.cpp " + hello.Release)
	return p, nil
}

func (p *peer) about() string {
	if p == nil {
		return "none"
	}
	return p.hello
}

func (p *peer) read(v any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("peer: %w", err)
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("peer: %w in %.200q", err, line)
	}
	return nil
}

func (p *peer) measure(q request) (r result, err error) {
	line, err := json.Marshal(q)
	if err != nil {
		return r, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return r, fmt.Errorf("peer: %w", err)
	}
	return r, p.read(&r)
}

func (p *peer) close() {
	p.in.Close()
	_ = p.cmd.Wait() // it has answered all it was asked
}
