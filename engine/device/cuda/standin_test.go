package cuda

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/sample"
)

// standIn is a driver that computes nothing but what the host's side of a step depends
// on: copies and draws happen in the order of the stream, and only when somebody waits
// for them, as late as a GPU may. A draw is a function of the row's token and position.
type standIn struct {
	e         *exec
	vocab     int32
	next      uintptr
	names     map[uintptr]string // of functions
	globals   map[uintptr]uint32
	hosts     map[uintptr][]byte
	live      map[uintptr]int // device memory
	total     int             // bytes of it
	queue     []func()
	events    map[uintptr]int // place in the queue
	capturing bool
	launches  int // kernels that were not captured
	graphs    int // graph launches
	recorded  int
	meta      []byte // device memory of the step's metadata
	drawn     []int32
	counted   []int32 // tokens that fed rows count, in order of execution
}

func standInDevice(t testing.TB, o Options) (*Device, *standIn) {
	t.Helper()
	s := &standIn{next: 1 << 40, names: map[uintptr]string{}, globals: map[uintptr]uint32{}, hosts: map[uintptr][]byte{}, live: map[uintptr]int{}, total: 80 << 30, events: map[uintptr]int{}}
	lib, err := driver.StandIn(s.answer)
	if err != nil {
		t.Fatal(err)
	}
	d, err := open(lib, o)
	if err != nil {
		t.Fatal(err)
	}
	return d.(*Device), s
}

func (s *standIn) compile(t testing.TB, d *Device, o device.Options) *exec {
	t.Helper()
	e, err := s.tryCompile(t, d, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *standIn) tryCompile(t testing.TB, d *Device, o device.Options) (*exec, error) {
	t.Helper()
	p, w, err := modeltest.RandomModel("qwen2", modeltest.Size{Hidden: 128, Intermediate: 64, Layers: 2, Heads: 2, KVHeads: 1, HeadDim: 64, Vocab: 1000}, 5)
	if err == nil {
		w, err = w.Stored(quant.BF16, 9)
	}
	if err != nil {
		t.Fatal(err)
	}
	x, err := d.Compile(t.Context(), p, w, o)
	if err != nil {
		return nil, err
	}
	s.e, s.vocab = x.(*exec), int32(p.Vocab)
	s.drawn = make([]int32, 2*o.MaxOutputs)
	return s.e, nil
}

// at is memory that a call's argument points to.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

func text(p uintptr) string {
	var b []byte
	for ; *at[byte](p) != 0; p++ {
		b = append(b, *at[byte](p))
	}
	return string(b)
}

// free is the device memory that is left.
func (s *standIn) free() int {
	n := s.total
	for _, bytes := range s.live {
		n -= bytes
	}
	return n
}

func (s *standIn) handle() uintptr { s.next += 1 << 34; return s.next }

func (s *standIn) answer(call string, a []uintptr) int {
	switch call {
	case "cuDriverGetVersion":
		*at[int32](a[0]) = 12090
	case "cuDeviceGetCount":
		*at[int32](a[0]) = 1
	case "cuDeviceGetName":
		copy(unsafe.Slice(at[byte](a[0]), 4), "GPU\x00")
	case "cuDeviceTotalMem_v2":
		*at[uint64](a[0]) = 80 << 30
	case "cuMemGetInfo_v2":
		*at[uint64](a[0]), *at[uint64](a[1]) = uint64(s.free()), uint64(s.total)
	case "cuDeviceGetAttribute":
		*at[int32](a[0]) = map[uintptr]int32{75: 9, 16: 132, 38: 50 << 20, 97: 227 << 10}[a[1]]
	case "cuMemAlloc_v2":
		if int(a[1]) > s.free() {
			return driver.OutOfMemory
		}
		h := s.handle()
		s.live[h], *at[uintptr](a[0]) = int(a[1]), h
	case "cuMemFree_v2":
		if s.live[a[0]] == 0 {
			return 1
		}
		s.run(len(s.queue)) // freeing waits
		delete(s.live, a[0])
	case "cuMemHostAlloc":
		b := make([]byte, a[1])
		h := uintptr(unsafe.Pointer(&b[0]))
		s.hosts[h], *at[uintptr](a[0]) = b, h
	case "cuMemFreeHost":
		if s.hosts[a[0]] == nil {
			return 1
		}
		delete(s.hosts, a[0])
	case "cuModuleLoadData", "cuStreamCreate", "cuEventCreate":
		*at[uintptr](a[0]) = s.handle()
	case "cuModuleGetFunction":
		h := s.handle()
		s.names[h], *at[uintptr](a[0]) = text(a[2]), h
	case "cuModuleGetGlobal_v2":
		h := s.handle()
		for _, list := range structTable {
			for _, g := range list {
				if "sizeof_"+g.name == text(a[3]) {
					s.globals[h] = g.size
				}
			}
		}
		*at[uintptr](a[0]) = h
	case "cuMemcpyDtoH_v2":
		*at[uint32](a[0]) = s.globals[a[1]]
	case "cuStreamBeginCapture_v2":
		s.capturing = true
	case "cuStreamEndCapture":
		s.capturing = false
		*at[uintptr](a[1]) = s.handle()
		s.recorded++
	case "cuGraphInstantiateWithFlags":
		*at[uintptr](a[0]) = s.handle()
	case "cuFuncGetAttribute":
		*at[int32](a[0]) = 64
	default:
		return s.ordered(call, a)
	}
	return 0
}

// ordered are the calls that put something into the stream or wait for it.
func (s *standIn) ordered(call string, a []uintptr) int {
	switch call {
	case "cuMemcpyHtoDAsync_v2":
		if s.e != nil && pointer(a[0]) == s.e.meta {
			from, n := unsafe.Slice(at[byte](a[1]), a[2]), int(a[2])
			s.queue = append(s.queue, func() { s.meta = append(s.meta[:0], from[:n]...) })
		}
	case "cuLaunchKernelEx":
		if s.capturing {
			break
		}
		s.launches++
		if strings.HasPrefix(s.names[a[1]], "sample") {
			s.draw()
		}
	case "cuGraphLaunch":
		s.graphs++
		s.draw()
	case "cuEventRecord":
		s.events[a[0]] = len(s.queue)
	case "cuEventSynchronize":
		s.run(s.events[a[0]])
	case "cuStreamSynchronize":
		s.run(len(s.queue))
	case "cuEventElapsedTime":
		*at[float32](a[0]) = 1.5
	}
	return 0
}

// run executes the first n entries of the queue, of those that are left.
func (s *standIn) run(n int) {
	for i := range n {
		if s.queue[i] != nil {
			s.queue[i]()
			s.queue[i] = nil
		}
	}
}

// draw queues what the last kernel of a step does.
func (s *standIn) draw() {
	e, lay, outs, rows := s.e, s.e.step.lay, s.e.step.outs, s.e.step.rows
	s.queue = append(s.queue, func() {
		ints := func(at, n int) []int32 { return unsafe.Slice((*int32)(unsafe.Pointer(&s.meta[at])), n) }
		header := ints(0, 4)
		tokens, positions, outRows := ints(lay.tokens, rows), ints(lay.positions, rows), ints(lay.outRows, max(1, outs))[:outs]
		samples := unsafe.Slice((*sampleRow)(unsafe.Pointer(&s.meta[lay.samples])), outs)
		for i, r := range outRows {
			token := tokens[r]
			if token < 0 {
				token = s.drawn[header[2]-1-token]
			}
			if f := samples[i].fed; f >= 0 {
				s.counted = append(s.counted, s.drawn[header[2]+f])
			}
			drawn := standInDraw(token, positions[r], samples[i].position, s.vocab)
			if positions[r] < 0 {
				drawn = -1
			}
			s.drawn[int(header[1])+i] = drawn
			e.output.tokens[int(header[1])+i] = drawn
		}
	})
}

func standInDraw(token, position int32, count uint32, vocab int32) int32 {
	return (token*31 + position*7 + int32(count)*3 + 1) % vocab
}

// game is a set of texts that grow under a stand-in, with or without step-ahead.
type game struct {
	t     testing.TB
	e     *exec
	texts [][]int32
	pages [][]int32
	past  []int
	count []uint32
	sizes []sample.Params
	next  int32
}

func (g *game) add(prompt []int32) {
	g.texts, g.past, g.count = append(g.texts, prompt), append(g.past, 0), append(g.count, 0)
	g.pages, g.sizes = append(g.pages, nil), append(g.sizes, sample.Params{Repetition: 1.5})
}

// batch is a step for the texts in order; a text without a new token continues output
// of[i] of the step before.
func (g *game) batch(b *device.Batch, order []int, of map[int]int) {
	*b = device.Batch{Tokens: b.Tokens[:0], Seqs: b.Seqs[:0], Outputs: b.Outputs[:0], From: b.From[:0]}
	for _, i := range order {
		n := max(1, len(g.texts[i])-g.past[i])
		for len(g.pages[i])*16 < g.past[i]+n {
			g.pages[i] = append(g.pages[i], g.next)
			g.next++
		}
		b.Seqs = append(b.Seqs, device.Seq{Row: len(b.Tokens), Rows: n, Past: g.past[i], Pages: g.pages[i]})
		for k := range n {
			token, from := int32(-7), int32(-1)
			if at := g.past[i] + k; at < len(g.texts[i]) {
				token = g.texts[i][at]
			} else {
				from = int32(of[i])
			}
			b.Tokens, b.From = append(b.Tokens, token), append(b.From, from)
		}
		g.sizes[i].Position = g.count[i]
		g.count[i]++
		g.past[i] += n
		b.Outputs = append(b.Outputs, device.OutputRow{Row: len(b.Tokens) - 1, Params: &g.sizes[i]})
	}
	if len(of) == 0 {
		b.From = nil
	}
}

// TestAStepThatContinuesTheOneBeforeDrawsTheSame plays steps of changing company, once
// with each step's tokens fetched before the next one is made, once a step ahead.
func TestAStepThatContinuesTheOneBeforeDrawsTheSame(t *testing.T) {
	var results [2][][]int32
	for ahead := range 2 {
		d, s := standInDevice(t, Options{})
		e := s.compile(t, d, device.Options{Pages: 400, PageTokens: 16, MaxRows: 300, MaxSeqs: 24, MaxOutputs: 24})
		g := &game{t: t, e: e}
		rng := rand.New(rand.NewPCG(1, 2))
		var batches [2]device.Batch
		var flying device.Pending
		var order, before []int
		land := func() {
			if flying == nil {
				return
			}
			outs, err := flying.Wait()
			if err != nil {
				t.Fatal(err)
			}
			for k, i := range before {
				g.texts[i] = append(g.texts[i], outs[k].Token)
			}
			flying = nil
		}
		for n := range 120 {
			if n%9 == 0 && len(g.texts) < 20 {
				prompt := make([]int32, 1+rng.IntN(60))
				for i := range prompt {
					prompt[i] = int32(rng.IntN(1000))
				}
				g.add(prompt)
			}
			order = order[:0]
			for i := range g.texts {
				if rng.IntN(6) > 0 {
					order = append(order, i)
				}
			}
			rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			of := map[int]int{}
			if ahead == 1 && flying != nil {
				for k, i := range before {
					of[i] = k
				}
			} else {
				land()
			}
			if len(order) == 0 {
				land()
				continue
			}
			b := &batches[n%2]
			g.batch(b, order, of)
			p, err := e.Launch(b)
			if err != nil {
				t.Fatal(err)
			}
			land()
			flying, before = p, slices.Clone(order)
		}
		land()
		results[ahead] = g.texts
		if w, ok := flying.(device.Clock); ok && w.Worked() == 0 {
			t.Error("a step took no time")
		}
		if s.graphs == 0 || s.launches == 0 {
			t.Errorf("%d graphs and %d kernels ran: both should", s.graphs, s.launches)
		}
		if ahead == 1 && len(s.counted) == 0 {
			t.Error("no penalty counted a token of the step before")
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if len(s.live)+len(s.hosts) > 0 {
			t.Errorf("%d device and %d host allocations are left", len(s.live), len(s.hosts))
		}
	}
	if !reflect.DeepEqual(results[0], results[1]) {
		t.Errorf("texts differ:\n%v\n%v", results[0], results[1])
	}
}

func TestRecordCapturesTheUsualFormsOnce(t *testing.T) {
	d, s := standInDevice(t, Options{})
	var told []string
	o := device.Options{Pages: 400, PageTokens: 16, MaxRows: 300, MaxSeqs: 24, MaxOutputs: 24}
	o.Recorded = func(rows, done, total int) { told = append(told, fmt.Sprint(rows, done, total)) }
	e := s.compile(t, d, o)
	if err := e.Record(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.recorded != len(told) || s.recorded < 15 || told[len(told)-1] != fmt.Sprint(256, len(told), len(told)) {
		t.Errorf("%d forms recorded, told %q", s.recorded, told)
	}
	g := &game{t: t, e: e}
	g.add(make([]int32, 100))
	var b device.Batch
	for range 3 {
		g.batch(&b, []int{0}, nil)
		p, err := e.Launch(&b)
		if err != nil {
			t.Fatal(err)
		}
		outs, err := p.Wait()
		if err != nil {
			t.Fatal(err)
		}
		g.texts[0] = append(g.texts[0], outs[0].Token)
	}
	if s.recorded != len(told) || s.graphs != 3 {
		t.Errorf("%d graphs ran, %d more were recorded", s.graphs, s.recorded-len(told))
	}
}

func TestTheCacheTakesItsShareOfWhatTheWeightsLeave(t *testing.T) {
	d, s := standInDevice(t, Options{})
	s.total = 1 << 30
	o := device.Options{Pages: 1 << 20, PageTokens: 16, MaxRows: 64, MaxSeqs: 8, MaxOutputs: 8, CacheShare: 0.5}
	first := s.compile(t, d, o)
	if n := first.Pages(); n == 0 || n == o.Pages || s.free() < 400<<20 || s.free() > 600<<20 {
		t.Errorf("%d pages, %d bytes free of %d", n, s.free(), s.total)
	}
	kept := s.free()
	second := s.compile(t, d, o)
	if n := second.Pages(); n == 0 || n > first.Pages()*3/5 {
		t.Errorf("the second model has %d pages beside the %d of the first", n, first.Pages())
	}
	if err := second.Close(); err != nil || s.free() != kept {
		t.Errorf("%v, %d bytes free, before %d", err, s.free(), kept)
	}
	o.CacheShare = 0
	_, err := s.tryCompile(t, d, o)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("and %d are free", kept)) || !strings.Contains(err.Error(), "bytes of GPU memory are needed") {
		t.Errorf("a second model without room: %v", err)
	}
	if s.free() != kept {
		t.Errorf("the model that failed left %d bytes, before there were %d", s.free(), kept)
	}
	s.total = 1 << 20
	if _, err := s.tryCompile(t, d, o); err == nil || !strings.Contains(err.Error(), "are free") {
		t.Errorf("a GPU without room for the work space: %v", err)
	}
}

// BenchmarkHostOf256 is the host's work for a decode step of 256 sequences of 820 tokens.
func BenchmarkHostOf256(b *testing.B) {
	d, s := standInDevice(b, Options{})
	e := s.compile(b, d, device.Options{Pages: 24000, PageTokens: 16, MaxRows: 512, MaxSeqs: 256, MaxOutputs: 256})
	batch := decodeBatch(256, 820, 0.6)
	batch.From = make([]int32, 256)
	for i := range batch.Tokens {
		batch.Tokens[i], batch.From[i] = 1, -1
	}
	first := func() device.Pending {
		p, err := e.Launch(batch)
		if err != nil {
			b.Fatal(err)
		}
		return p
	}
	p := first()
	for i := range batch.From {
		batch.From[i] = int32(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		q := first()
		if _, err := p.Wait(); err != nil {
			b.Fatal(err)
		}
		s.queue, p = s.queue[:0], q
		clear(s.events)
	}
}
