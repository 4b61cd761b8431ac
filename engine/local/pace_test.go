package local

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/op"
)

func TestPace(t *testing.T) {
	const ms = time.Millisecond
	type step struct {
		prompt int
		took   time.Duration
		want   int
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"fast steps are not limited", []step{{256, 100 * ms, 0}, {0, 10 * ms, 0}, {3, 20 * ms, 0}}},
		{"a slow step halves the next", []step{{256, 600 * ms, 128}, {128, 300 * ms, 128}}},
		{"rows that grow dearer become fewer", []step{{200, 400 * ms, 150}, {150, 450 * ms, 100}, {100, 3000 * ms, minPaced}}},
		{"a quick step lets the number grow again", []step{{256, 1200 * ms, 64}, {64, 100 * ms, 192}, {192, 0, 1 << 20}}},
		{"a short prompt does not lower it", []step{{256, 600 * ms, 128}, {2, 100 * ms, 128}}},
		{"a device that is slow without prompts may take its time", []step{{0, 500 * ms, 0}, {256, 1500 * ms, 0}, {256, 3000 * ms, 128}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p pacer
			for i, s := range c.steps {
				if got := p.measure(s.prompt, s.took); got != s.want {
					t.Errorf("step %d: %d prompt rows in %v gave %d, want %d", i, s.prompt, s.took, got, s.want)
				}
			}
		})
	}
}

// slowDevice takes a time for every row and notes the most rows of a step.
type slowDevice struct {
	device.Device
	perRow time.Duration
	mu     sync.Mutex
	rows   []int
}

type slowExec struct {
	device.Exec
	dev *slowDevice
}

func (d *slowDevice) Compile(ctx context.Context, p *op.Program, w device.Weights, o device.Options) (device.Exec, error) {
	x, err := d.Device.Compile(ctx, p, w, o)
	return &slowExec{x, d}, err
}

func (x *slowExec) Launch(b *device.Batch) (device.Pending, error) {
	x.dev.mu.Lock()
	x.dev.rows = append(x.dev.rows, len(b.Tokens))
	x.dev.mu.Unlock()
	time.Sleep(time.Duration(len(b.Tokens)) * x.dev.perRow)
	return x.Exec.Launch(b)
}

func TestALongPromptIsCutSmallerOnASlowDevice(t *testing.T) {
	dev := &slowDevice{Device: reference.New(), perRow: 4 * time.Millisecond}
	slow := open(t, func(o *Options) { o.device = dev })
	fast := open(t, nil)
	req := func() *engine.Request {
		r := &engine.Request{TokenIDs: make([]int32, 500), Logprobs: true, Sampling: engine.Sampling{MaxTokens: 4, IgnoreEOS: true}}
		for i := range r.TokenIDs {
			r.TokenIDs[i] = int32(i % 97)
		}
		return r
	}
	a, b := one(t, slow, req()), one(t, fast, req())
	if fmt.Sprint(a.Tokens) != fmt.Sprint(b.Tokens) {
		t.Errorf("other steps gave another answer:\n%v\n%v", a.Tokens, b.Tokens)
	}
	dev.mu.Lock()
	defer dev.mu.Unlock()
	if dev.rows[0] != defaultChunk || dev.rows[1] > 100 {
		t.Errorf("rows of the steps: %v, want a first of %d and then fewer", dev.rows, defaultChunk)
	}
}
