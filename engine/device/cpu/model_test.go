package cpu

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/sample"
	"github.com/godwit-ai/godwit/engine/weights"
)

// realModel is SmolLM2-135M-Instruct.Q4_1.gguf, or the test is skipped.
func realModel(tb testing.TB) weights.Checkpoint {
	path := os.Getenv("GODWIT_TEST_MODEL")
	if path == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			tb.Skip("no user cache directory:", err)
		}
		path = filepath.Join(dir, "godwit", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	}
	if _, err := os.Stat(path); err != nil {
		tb.Skip("the real model is not there; set GODWIT_TEST_MODEL:", err)
	}
	c, err := weights.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

func compile(tb testing.TB, c weights.Checkpoint, o Options, rows, seqs, context_ int) device.Exec {
	p, err := model.Build(c.Config())
	if err != nil {
		tb.Fatal(err)
	}
	dev, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	e, err := dev.Compile(context.Background(), p, c, device.Options{
		Pages: seqs * (context_/16 + 1), PageTokens: 16, MaxRows: rows, MaxSeqs: seqs, MaxOutputs: seqs,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { e.Close() })
	return e
}

// streams prefills n sequences of prompt tokens and returns a batch that decodes
// all of them.
func streams(tb testing.TB, e device.Exec, n, prompt, context_ int) *device.Batch {
	pages := context_/16 + 1
	decode := &device.Batch{}
	for s := range n {
		b := &device.Batch{}
		own := make([]int32, pages)
		for i := range own {
			own[i] = int32(s*pages + i)
		}
		for i := range prompt {
			b.Tokens = append(b.Tokens, int32((i*7919+s*104729)%49152))
		}
		b.Seqs = []device.Seq{{Rows: prompt, Pages: own}}
		b.Outputs = []device.OutputRow{{Row: prompt - 1, Params: &sample.Params{}}}
		out := launch(tb, e, b)
		decode.Tokens = append(decode.Tokens, out[0].Token)
		decode.Seqs = append(decode.Seqs, device.Seq{Row: s, Rows: 1, Past: prompt, Pages: own})
		decode.Outputs = append(decode.Outputs, device.OutputRow{Row: s, Params: &sample.Params{}})
	}
	return decode
}

func launch(tb testing.TB, e device.Exec, b *device.Batch) []device.Output {
	p, err := e.Launch(b)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := p.Wait()
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// decodeSteps runs steps greedy steps of all streams.
func decodeSteps(tb testing.TB, e device.Exec, b *device.Batch, steps int) {
	for range steps {
		for i, o := range launch(tb, e, b) {
			b.Tokens[i] = o.Token
			b.Seqs[i].Past++
		}
	}
}

// BenchmarkSmolLM2 reports tokens per second of the real model: one stream, eight
// streams, and a prompt of 512.
func BenchmarkSmolLM2(b *testing.B) {
	c := realModel(b)
	for _, level := range Levels() {
		for _, n := range []int{1, 8} {
			b.Run(level+"/decode/streams="+string(rune('0'+n)), func(b *testing.B) {
				e := compile(b, c, Options{Level: level}, 512, 8, 2048)
				batch := streams(b, e, n, 32, 2048)
				decodeSteps(b, e, batch, 2)
				b.ResetTimer()
				for range b.N {
					decodeSteps(b, e, batch, 1)
					if batch.Seqs[0].Past > 160 {
						for i := range batch.Seqs {
							batch.Seqs[i].Past = 33
						}
					}
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "tok/s")
			})
		}
		b.Run(level+"/prefill/tokens=512", func(b *testing.B) {
			e := compile(b, c, Options{Level: level}, 512, 8, 2048)
			streams(b, e, 1, 512, 2048)
			best := time.Hour
			b.ResetTimer()
			for range b.N {
				start := time.Now()
				streams(b, e, 1, 512, 2048)
				best = min(best, time.Since(start))
			}
			b.ReportMetric(512*float64(b.N)/b.Elapsed().Seconds(), "tok/s")
			b.ReportMetric(512/best.Seconds(), "best-tok/s")
		})
	}
	b.Run("load", func(b *testing.B) {
		for range b.N {
			e := compile(b, c, Options{}, 512, 8, 2048)
			e.Close()
		}
	})
}
