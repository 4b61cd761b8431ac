package cuda

import (
	"errors"
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
	live      map[uintptr]int      // device memory
	total     int                  // bytes of it
	queues    map[uintptr][]func() // by stream
	events    map[uintptr]place
	capturing bool
	draws     bool             // what is captured draws
	drawing   map[uintptr]bool // graphs that draw
	launches  int              // kernels that were not captured
	started   map[string]int   // kernels that were captured or not, by name; nil: nobody asks
	graphs    int              // graph launches
	recorded  int
	meta      []byte // device memory of the step's metadata
	lists     []byte // and of what rows list
	drawn     []int32
	masked    int     // draws with a mask
	eager     bool    // the second stream works as soon, not as late, as it may
	counted   []int32 // tokens that fed rows count, in order of execution
}

// place is a point in a stream: behind its first n entries.
type place struct {
	stream uintptr
	n      int
}

func standInDevice(t testing.TB, o Options) (*Device, *standIn) {
	t.Helper()
	s := &standIn{next: 1 << 40, names: map[uintptr]string{}, globals: map[uintptr]uint32{}, hosts: map[uintptr][]byte{}, live: map[uintptr]int{}, total: 80 << 30,
		queues: map[uintptr][]func(){}, events: map[uintptr]place{}, drawing: map[uintptr]bool{}}
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
		for stream := range s.queues { // freeing waits
			s.run(place{stream, len(s.queues[stream])})
		}
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
		s.capturing, s.draws = true, false
	case "cuStreamEndCapture":
		s.capturing = false
		*at[uintptr](a[1]) = s.handle()
		s.recorded++
	case "cuGraphInstantiateWithFlags":
		*at[uintptr](a[0]) = s.handle()
		s.drawing[*at[uintptr](a[0])] = s.draws
	case "cuFuncGetAttribute":
		*at[int32](a[0]) = 64
	default:
		return s.ordered(call, a)
	}
	return 0
}

// ordered are the calls that put something into a stream or wait for it.
func (s *standIn) ordered(call string, a []uintptr) int {
	switch call {
	case "cuMemcpyHtoDAsync_v2":
		s.copy(pointer(a[0]), unsafe.Slice(at[byte](a[1]), a[2]), a[3])
	case "cuLaunchKernelEx":
		draws := strings.HasPrefix(s.names[a[1]], "sample")
		s.draws = s.draws || draws
		if s.started != nil {
			s.started[s.names[a[1]]]++
		}
		if s.capturing {
			break
		}
		s.launches++
		if draws {
			s.draw()
		}
	case "cuGraphLaunch":
		s.graphs++
		if s.drawing[a[0]] {
			s.draw()
		}
	case "cuEventRecord":
		s.events[a[0]] = place{a[1], len(s.queues[a[1]])}
	case "cuStreamWaitEvent":
		until := s.events[a[1]]
		s.put(a[0], func() { s.run(until) })
	case "cuEventSynchronize":
		s.run(s.events[a[0]])
	case "cuStreamSynchronize":
		s.run(place{a[0], len(s.queues[a[0]])})
	case "cuEventElapsedTime":
		*at[float32](a[0]) = 1.5
	}
	return 0
}

func (s *standIn) put(stream uintptr, f func()) {
	s.queues[stream] = append(s.queues[stream], f)
	if s.eager && stream == streamHandle(s.e.beside) {
		s.run(place{stream, len(s.queues[stream])})
	}
}

// copy queues a copy to the device of what a draw looks at.
func (s *standIn) copy(to pointer, from []byte, stream uintptr) {
	if s.e == nil {
		return
	}
	for _, block := range []struct {
		at pointer
		to *[]byte
	}{{s.e.meta, &s.meta}, {s.e.output.listDev, &s.lists}} {
		if size := s.live[uintptr(block.at)]; to >= block.at && to < block.at+pointer(size) {
			s.put(stream, func() {
				if len(*block.to) < size {
					*block.to = make([]byte, size)
				}
				copy((*block.to)[to-block.at:], from)
			})
		}
	}
}

// run executes a stream up to a point, of what is left of it.
func (s *standIn) run(until place) {
	for i := range until.n {
		if f := s.queues[until.stream][i]; f != nil {
			s.queues[until.stream][i] = nil
			f()
		}
	}
}

// draw queues what the last kernel of a step does.
func (s *standIn) draw() {
	e, lay, outs, rows := s.e, s.e.step.lay, s.e.step.outs, s.e.step.rows
	s.put(streamHandle(e.stream), func() {
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
			if positions[r] < 0 || samples[i].draw == 0 {
				drawn = -1
			}
			if drawn >= 0 && samples[i].nMask >= 0 {
				drawn = s.allowed(drawn, &samples[i])
			}
			s.drawn[int(header[1])+i] = drawn
			e.output.tokens[int(header[1])+i] = drawn
		}
	})
}

// streamHandle is the driver's number of a stream.
func streamHandle(s driver.Stream) uintptr {
	return uintptr(reflect.ValueOf(s).FieldByName("handle").Uint())
}

// allowed is the first token from one on that a row's mask allows.
func (s *standIn) allowed(token int32, r *sampleRow) int32 {
	s.masked++
	for k := range s.vocab {
		id := (token + k) % s.vocab
		word := r.mask + id/32
		if id/32 < r.nMask && *(*uint32)(unsafe.Pointer(&s.lists[4*word]))>>(id%32)&1 != 0 {
			return id
		}
	}
	return -1
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

// draw plays a step of the first text and returns the token drawn, which it appends.
func (g *game) draw(b *device.Batch) int32 {
	g.t.Helper()
	g.batch(b, []int{0}, nil)
	p, err := g.e.Launch(b)
	if err != nil {
		g.t.Fatal(err)
	}
	outs, err := p.Wait()
	if err != nil {
		g.t.Fatal(err)
	}
	g.texts[0] = append(g.texts[0], outs[0].Token)
	return outs[0].Token
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

// A way to play.
const (
	waiting = iota // each step's tokens are fetched before the next one is made
	ahead          // the next step is launched before
	inParts        // and draws when they are there
)

// TestAStepThatContinuesTheOneBeforeDrawsTheSame plays steps of changing company.
func TestAStepThatContinuesTheOneBeforeDrawsTheSame(t *testing.T) {
	want, _ := play(t, waiting, false, false)
	for _, way := range []int{ahead, inParts} {
		texts, s := play(t, way, false, way == inParts)
		if !reflect.DeepEqual(texts, want) {
			t.Errorf("way %d: texts differ:\n%v\n%v", way, texts, want)
		}
		if way == ahead && len(s.counted) == 0 {
			t.Error("no penalty counted a token of the step before")
		}
	}
}

// TestMasksThatFollowFromTheTokenBeforeReachDrawsThatBeginLater lets half of the texts
// draw under masks that depend on their last token.
func TestMasksThatFollowFromTheTokenBeforeReachDrawsThatBeginLater(t *testing.T) {
	want, _ := play(t, waiting, true, false)
	for _, eager := range []bool{false, true} {
		texts, s := play(t, inParts, true, eager)
		if !reflect.DeepEqual(texts, want) {
			t.Errorf("eager %v: texts differ:\n%v\n%v", eager, texts, want)
		}
		if s.masked < 200 {
			t.Errorf("%d draws had a mask", s.masked)
		}
	}
}

// follows is the mask behind a token: three of a hundred ids.
func follows(token int32) []uint64 {
	m := make([]uint64, 16)
	for id := token % 33; id < 1000; id += 33 {
		m[id/64] |= 1 << (id % 64)
	}
	return m
}

// play makes steps of changing company in some way and returns what the texts became.
func play(t *testing.T, way int, masks, eager bool) ([][]int32, *standIn) {
	d, s := standInDevice(t, Options{})
	e := s.compile(t, d, device.Options{Pages: 400, PageTokens: 16, MaxRows: 300, MaxSeqs: 24, MaxOutputs: 24})
	s.eager = eager
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
		if w, ok := flying.(device.Clock); !ok || w.Worked() == 0 && way != inParts {
			t.Error("a step took no time")
		}
		for k, i := range before {
			g.texts[i] = append(g.texts[i], outs[k].Token)
		}
		flying = nil
	}
	mask := func(b *device.Batch) {
		for k, i := range order {
			if masks && i%2 == 0 {
				b.Outputs[k].Params.Mask = follows(g.texts[i][len(g.texts[i])-1])
			}
		}
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
		if way != waiting && flying != nil {
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
		if b.Late = way == inParts && (masks || n%5 > 0); !b.Late {
			mask(b)
		}
		p, err := e.Launch(b)
		if err != nil {
			t.Fatal(err)
		}
		land()
		if b.Late {
			if _, err := e.Launch(b); !errors.Is(err, errNotDrawn) {
				t.Fatalf("a launch before the draws of the step before: %v", err)
			}
			mask(b)
			if err := p.(device.Drawer).Draw(); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.(device.Drawer).Draw(); !errors.Is(err, errNoDraws) {
			t.Fatalf("draws without a second part: %v", err)
		}
		flying, before = p, slices.Clone(order)
	}
	land()
	if s.graphs == 0 || s.launches == 0 {
		t.Errorf("%d graphs and %d kernels ran: both should", s.graphs, s.launches)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if len(s.live)+len(s.hosts) > 0 {
		t.Errorf("%d device and %d host allocations are left", len(s.live), len(s.hosts))
	}
	return g.texts, s
}

// TestAStepWhoseDrawsNeverBeginIsAnError waits for one and goes on.
func TestAStepWhoseDrawsNeverBeginIsAnError(t *testing.T) {
	d, s := standInDevice(t, Options{})
	e := s.compile(t, d, device.Options{Pages: 400, PageTokens: 16, MaxRows: 300, MaxSeqs: 24, MaxOutputs: 24})
	g := &game{t: t, e: e}
	g.add([]int32{1, 2, 3})
	var b device.Batch
	g.batch(&b, []int{0}, nil)
	b.Late = true
	p, err := e.Launch(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); !errors.Is(err, errNotDrawn) {
		t.Errorf("waiting: %v", err)
	}
	if err := p.(device.Drawer).Draw(); !errors.Is(err, errNoDraws) {
		t.Errorf("drawing then: %v", err)
	}
	b.Late = false
	if p, err = e.Launch(&b); err != nil {
		t.Fatal(err)
	}
	if outs, err := p.Wait(); err != nil || len(outs) != 1 || outs[0].Token < 0 {
		t.Errorf("afterwards %v, %v", outs, err)
	}
	b.Late = true
	if p, err = e.Launch(&b); err != nil {
		t.Fatal(err)
	}
	b.Outputs[0].Params, b.Outputs[0].Target = nil, 5000
	if err := p.(device.Drawer).Draw(); err == nil {
		t.Error("a target beyond the vocabulary is taken")
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
		g.draw(&b)
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
		for stream := range s.queues {
			s.queues[stream] = s.queues[stream][:0]
		}
		p = q
		clear(s.events)
	}
}
