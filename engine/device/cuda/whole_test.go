package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/sample"
)

// TestAWholeStepAgreesWithItsKernels runs decode steps kernel by kernel and as one
// kernel, and compares every logit: contexts from nothing to several parts, one to
// eight rows, also fewer than the graph has.
func TestAWholeStepAgreesWithItsKernels(t *testing.T) {
	dev := gpu(t, Options{whole: true})
	for _, s := range shapes {
		for _, w := range []quant.Type{quant.BF16, quant.F16} {
			t.Run(fmt.Sprintf("%s, %s", s.name, w), func(t *testing.T) { wholeAgrees(t, dev, s.arch, s.size, w) })
		}
	}
}

func wholeAgrees(t *testing.T, dev *Device, arch string, size modeltest.Size, w quant.Type) {
	p, weights, err := modeltest.RandomModel(arch, size, 5)
	if err == nil {
		weights, err = weights.Stored(w, 9)
	}
	if err != nil {
		t.Fatal(err)
	}
	contexts := []int{0, 1, 40, 255, 256, 700, 2000, 511}
	x, err := dev.Compile(t.Context(), p, weights, device.Options{Pages: 300, PageTokens: 16, MaxRows: 2048, MaxSeqs: 8, MaxOutputs: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	e := x.(*exec)
	if e.whole == nil {
		if size.Heads/size.KVHeads > wholeQuery {
			t.Skip("more query heads to a KV head than the kernel takes")
		}
		t.Fatal("the model does not run as one kernel")
	}
	rng := rand.New(rand.NewPCG(3, 4))
	pages, next := make([][]int32, len(contexts)), int32(0)
	for i, n := range contexts {
		for range n/16 + 2 {
			pages[i] = append(pages[i], next*7%299)
			next++
		}
		if n == 0 {
			continue
		}
		b := &device.Batch{Seqs: []device.Seq{{Rows: n, Pages: pages[i]}}}
		for range n {
			b.Tokens = append(b.Tokens, int32(rng.IntN(p.Vocab)))
		}
		pending, err := e.Launch(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pending.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	worst := 0.0
	for n := 1; n <= min(e.whole.rows, len(contexts)); n++ {
		for first := range 3 {
			b := &device.Batch{}
			for i := range n {
				at := (first*3 + i) % len(contexts)
				b.Tokens = append(b.Tokens, int32(rng.IntN(p.Vocab)))
				b.Seqs = append(b.Seqs, device.Seq{Row: i, Rows: 1, Past: contexts[at], Pages: pages[at]})
				b.Outputs = append(b.Outputs, device.OutputRow{Row: i, Params: &sample.Params{}})
			}
			whole := e.whole
			e.whole = nil
			want := stepLogits(t, e, b)
			e.whole = whole
			got := stepLogits(t, e, b)
			for r := range n {
				var diff, all float64
				for i := range p.Vocab {
					d := float64(got[r*p.Vocab+i]) - float64(want[r*p.Vocab+i])
					diff, all = diff+d*d, all+float64(want[r*p.Vocab+i])*float64(want[r*p.Vocab+i])
				}
				if rms := math.Sqrt(diff / all); !(rms < 4e-3) {
					t.Fatalf("%d rows, row %d of context %d: rms error %.3g", n, r, b.Seqs[r].Past, rms)
				} else {
					worst = max(worst, rms)
				}
			}
		}
	}
	t.Logf("up to %d rows, worst rms error %.2g", e.whole.rows, worst)
}

// stepLogits runs the nodes of a decode step and returns the logits.
func stepLogits(t *testing.T, e *exec, b *device.Batch) []float32 {
	t.Helper()
	unlock, err := e.lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	slot := &e.slots[1-e.at]
	f, _ := e.form(b)
	size := len(b.Tokens) * e.output.logits.width
	host, err := e.allocHost(int64(4 * size))
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	bytes, err := e.fill(slot, b, f)
	must(err)
	must(e.stream.UploadAsync(e.meta, slot.staging, bytes))
	must(e.stream.Fill(e.output.logits.p, 0xff, int64(4*size)))
	must(e.runNodes())
	must(e.stream.DownloadAsync(host, 0, e.output.logits.p, 4*size))
	must(e.stream.Wait())
	return append([]float32(nil), unsafe.Slice((*float32)(unsafe.Pointer(&host.Bytes()[0])), size)...)
}
