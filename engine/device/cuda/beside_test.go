package cuda

import (
	"bytes"
	"fmt"
	"os"
	process "os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/sample"
)

// texts is greedy decoding of a few sequences for some steps, all tokens in one list.
func texts(t *testing.T, d *Device, steps int) []int32 {
	t.Helper()
	p, w, err := modeltest.RandomModel("qwen2", shapes[0].size, 5)
	if err == nil {
		w, err = w.Stored(quant.BF16, 9)
	}
	if err != nil {
		t.Fatal(err)
	}
	x, err := d.Compile(t.Context(), p, w, device.Options{Pages: 64, PageTokens: 16, MaxRows: 64, MaxSeqs: 4, MaxOutputs: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}()
	tokens := []int32{1, 2, 3, 4}
	var all []int32
	for n := range steps {
		b := &device.Batch{Tokens: tokens}
		for s := range tokens {
			var pages []int32
			for i := range n/16 + 1 {
				pages = append(pages, int32(16*s+i))
			}
			b.Seqs = append(b.Seqs, device.Seq{Row: s, Rows: 1, Past: n, Pages: pages})
			b.Outputs = append(b.Outputs, device.OutputRow{Row: s, Params: &sample.Params{}})
		}
		pending, err := x.Launch(b)
		if err != nil {
			t.Fatal(err)
		}
		outs, err := pending.Wait()
		if err != nil {
			t.Fatal(err)
		}
		tokens = nil
		for _, o := range outs {
			tokens = append(tokens, o.Token)
		}
		all = append(all, tokens...)
	}
	return all
}

// childMark in the environment makes the test binary the child of the test below.
const childMark = "GODWIT_TEST_CUDA_CHILD"

// TestChildrenLeaveTheParentsStepsAlone starts processes while steps run: some that do
// nothing, and some that use the GPU themselves.
func TestChildrenLeaveTheParentsStepsAlone(t *testing.T) {
	if os.Getenv(childMark) != "" {
		fmt.Println("child", texts(t, gpu(t, Options{}), 20))
		return
	}
	d := gpu(t, Options{})
	want := texts(t, d, 200)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			args := []string{"-test.run", "^$"}
			if n%3 == 0 {
				args = []string{"-test.run", "^TestChildrenLeaveTheParentsStepsAlone$", "-test.v"}
			}
			c := process.Command(self, args...)
			c.Env = append(os.Environ(), childMark+"=1")
			out, err := c.CombinedOutput()
			if err != nil {
				t.Errorf("child: %v: %s", err, out)
			}
			if line := fmt.Sprint("child ", want[:80]); n%3 == 0 && !strings.Contains(string(out), line) {
				t.Errorf("the child does not say %q:\n%s", line, out)
			}
		})
	}
	for range 3 {
		if got := texts(t, d, 200); !slices.Equal(got, want) {
			t.Error("the texts changed while children ran")
		}
	}
	wg.Wait()
	if got := texts(t, d, 200); !slices.Equal(got, want) {
		t.Error("the texts changed after children had run")
	}
}

// TestStepsRunBesideAnotherUserOfTheGPU shares the process with code that binds the
// driver by itself, retains the same context, works on streams of its own and frees all.
func TestStepsRunBesideAnotherUserOfTheGPU(t *testing.T) {
	d := gpu(t, Options{})
	want := texts(t, d, 100)
	stop := make(chan struct{})
	rounds := make(chan error, 1)
	go func() { rounds <- otherUser(stop) }() // received below
	for range 4 {
		if got := texts(t, d, 100); !slices.Equal(got, want) {
			t.Error("the texts changed beside another user")
		}
	}
	close(stop)
	if err := <-rounds; err != nil {
		t.Errorf("the other user: %v", err)
	}
	if got := texts(t, d, 100); !slices.Equal(got, want) {
		t.Error("the texts changed after the other user had left")
	}
}

// otherUser copies memory to and fro until stop is closed.
func otherUser(stop <-chan struct{}) error {
	o, err := New(Options{})
	if err != nil {
		return err
	}
	defer o.Close()
	const n = 1 << 20
	data, back := make([]byte, n), make([]byte, n)
	for round := byte(1); ; round++ {
		select {
		case <-stop:
			return nil
		default:
		}
		for i := range data {
			data[i] = round + byte(i)
		}
		err := o.(*Device).enter(func() error { return roundTrip(o.(*Device).ctx, data, back) })
		if err != nil {
			return err
		}
		if !bytes.Equal(data, back) {
			return fmt.Errorf("round %d: other bytes came back", round)
		}
	}
}

func roundTrip(c *driver.Context, data, back []byte) error {
	p, err := c.Alloc(int64(len(data)))
	if err != nil {
		return err
	}
	defer c.Free(p)
	s, err := c.NewStream()
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.UploadBytes(p, data); err != nil {
		return err
	}
	if err := s.Wait(); err != nil {
		return err
	}
	return c.Download(back, p)
}
