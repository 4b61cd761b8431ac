package enginetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/stop"
)

// answer is one choice, worked out before its first token is sent.
type answer struct {
	ids    []int32
	text   string // what the reader sees in all
	ends   []int  // bytes of text sent after each token
	finish engine.Finish
	sent   int            // tokens
	tokens []engine.Token // ids as the events show them, made with the first
}

// source plays the answers, taking turns between the choices.
type source struct {
	f      *Fake
	ctx    context.Context // the request's; a source is the request on its way
	closed <-chan struct{}
	req    *engine.Request
	prompt []int32

	mu        sync.Mutex // guards what Close and Recv share
	cancel    chan struct{}
	done      bool
	answers   []answer
	turn      int
	left      int       // choices without a finish
	sent      int       // tokens over all choices
	due       time.Time // of the token before; used by Recv's goroutine
	failAfter int
	failWith  error

	// With Fake.Step.
	granted atomic.Int64 // events that may have come
	events  int64        // that came
	over    atomic.Bool
	ready   chan struct{} // holds one signal while there may be something new
	wake    atomic.Pointer[func()]
}

func newSource(f *Fake, ctx context.Context, closed <-chan struct{}, req *engine.Request, prompt string, ids []int32, limit int) *source {
	n := max(1, req.N)
	s := &source{f: f, ctx: ctx, closed: closed, req: req, prompt: ids, answers: make([]answer, n), left: n, cancel: make(chan struct{})}
	for c := range s.answers {
		s.answers[c] = f.answer(req, prompt, c, limit)
	}
	if f.Step > 0 {
		s.ready = make(chan struct{}, 1)
	}
	return s
}

// Recv waits the configured delay, or for the next step, and returns the next event.
func (s *source) Recv() (engine.Event, error) {
	if s.ready != nil {
		return s.await()
	}
	s.mu.Lock()
	first, left := s.sent == 0, s.left
	s.mu.Unlock()
	if left == 0 {
		s.end(false)
		return engine.Event{}, io.EOF
	}
	if err := s.stand(); err != nil {
		s.end(err != engine.ErrClosed)
		return engine.Event{}, err
	}
	delay := s.f.TokenDelay
	if first {
		delay, s.due = s.f.FirstDelay, time.Now()
	}
	s.due = s.due.Add(delay)
	if delay > 0 {
		delay = time.Until(s.due)
	}
	if err := s.wait(delay); err != nil {
		s.end(err != engine.ErrClosed)
		return engine.Event{}, err
	}
	if s.failWith != nil && s.answers[0].sent >= s.failAfter {
		s.end(false)
		return engine.Event{}, s.failWith
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next(), nil
}

func (s *source) wait(d time.Duration) error {
	if d <= 0 {
		select {
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-s.closed:
			return engine.ErrClosed
		case <-s.cancel:
			return context.Canceled
		default:
			return nil
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case <-s.closed:
		return engine.ErrClosed
	case <-s.cancel:
		return context.Canceled
	case <-t.C:
		return nil
	}
}

// Ready reports whether Recv would return at once: tokens come at their times, whether
// somebody reads or not. Without delays there are no times, and each is awaited.
func (s *source) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		return true
	}
	if s.ready != nil {
		return s.events < s.granted.Load()
	}
	return s.f.TokenDelay > 0 && s.sent > 0 && !time.Now().Before(s.due.Add(s.f.TokenDelay))
}

// next is the event of the choice whose turn it is.
func (s *source) next() engine.Event {
	for s.answers[s.turn].sent == len(s.answers[s.turn].ids) {
		s.turn = (s.turn + 1) % len(s.answers)
	}
	a := &s.answers[s.turn]
	ev := engine.Event{Choice: s.turn}
	if s.sent == 0 && s.req.PromptLogprobs {
		ev.Prompt = s.tokens(s.prompt, -1)
	}
	from, to := a.sent, min(a.sent+max(1, s.f.Chunk), len(a.ids))
	if a.tokens == nil {
		a.tokens = s.tokens(a.ids, 0)
	}
	ev.Tokens = a.tokens[from:to:to]
	ev.Text = a.text[a.textAt(from):a.textAt(to)]
	a.sent = to
	s.sent += to - from
	if to == len(a.ids) {
		f := a.finish
		ev.Finish = &f
		s.left--
	}
	s.turn = (s.turn + 1) % len(s.answers)
	return ev
}

func (a *answer) textAt(tokens int) int {
	if tokens == 0 {
		return 0
	}
	return a.ends[tokens-1]
}

// tokens describes ids; at is the first one's index in the answer, -1 for a prompt.
func (s *source) tokens(ids []int32, at int) []engine.Token {
	out := make([]engine.Token, len(ids))
	for i, id := range ids {
		out[i].ID, out[i].Bytes = id, tokenBytes(id)
		if at < 0 && i == 0 || !s.req.Logprobs && at >= 0 {
			continue // the first prompt token has no probability
		}
		out[i].Logprob = logprob(id, at+i)
		for k := range s.req.TopLogprobs {
			alt := (id + int32(k)) % 256
			if k == 0 {
				alt = id
			}
			out[i].Top = append(out[i].Top, engine.TokenProb{ID: alt, Bytes: tokenBytes(alt), Logprob: out[i].Logprob - float32(k)})
		}
		for _, a := range s.req.LogprobIDs {
			out[i].Asked = append(out[i].Asked, engine.TokenProb{ID: a, Bytes: tokenBytes(a), Logprob: logprob(a, at+i)})
		}
	}
	return out
}

// logprob is between -0.001 and -1 and depends on the token and its place.
func logprob(id int32, at int) float32 {
	return -float32((int(id)*31+(at+1)*17)%1000+1) / 1000
}

// Usage counts what was sent.
func (s *source) Usage() engine.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return engine.Usage{Prompt: len(s.prompt), Completion: s.sent}
}

// Close ends the request; before its finish that is a cancellation.
func (s *source) Close() error {
	s.mu.Lock()
	select {
	case <-s.cancel:
	default:
		close(s.cancel)
	}
	cancelled := s.left > 0
	s.mu.Unlock()
	s.end(cancelled)
	return nil
}

// end tells the engine once that the request is over.
func (s *source) end(cancelled bool) {
	s.mu.Lock()
	was, sent := s.done, s.sent
	s.done = true
	s.over.Store(true)
	s.mu.Unlock()
	if !was {
		s.f.release(cancelled, len(s.prompt), sent)
	}
}

// prompt renders a request's input and encodes it.
func (f *Fake) prompt(req *engine.Request) (string, []int32) {
	switch {
	case req.Messages != nil:
		text := render(req)
		return text, encode(text)
	case req.TokenIDs != nil:
		var b strings.Builder
		for _, id := range req.TokenIDs {
			b.Write(tokenBytes(id))
		}
		return b.String(), req.TokenIDs
	}
	return req.Prompt, encode(req.Prompt)
}

// cutPrompt is the prompt as TruncatePrompt leaves it.
func (f *Fake) cutPrompt(req *engine.Request) (string, []int32, error) {
	text, ids := f.prompt(req)
	keep, err := req.KeepOfPrompt(len(ids), f.context())
	switch {
	case err != nil || keep == len(ids):
		return text, ids, err
	case req.TruncateEnd:
		ids = ids[:keep]
	default:
		ids = ids[len(ids)-keep:]
	}
	var b strings.Builder
	for _, id := range ids {
		b.Write(tokenBytes(id))
	}
	return b.String(), ids, nil
}

// render is the Fake's chat template: "role: content" lines.
func render(req *engine.Request) string {
	var b strings.Builder
	for _, t := range req.Tools {
		fmt.Fprintf(&b, "tool: %s\n", t.JSON)
	}
	for i, m := range req.Messages {
		b.WriteString(m.Role + ": " + m.Content)
		for _, c := range m.ToolCalls {
			fmt.Fprintf(&b, " call %s(%s)", c.Name, c.Arguments)
		}
		if i == len(req.Messages)-1 && req.ContinueFinal {
			return b.String()
		}
		b.WriteByte('\n')
	}
	if !req.NoGenerationPrompt {
		b.WriteString("assistant:")
	}
	return b.String()
}

var words = []string{"alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet",
	"kilo", "lima", "mike", "november", "oscar", "papa"}

// reply is the text of a choice before limits and stops.
func (f *Fake) reply(req *engine.Request, prompt string, choice int) string {
	if f.Reply != nil {
		return f.Reply(req, prompt, choice)
	}
	if f.Replies != nil {
		key := prompt
		if n := len(req.Messages); n > 0 {
			key = req.Messages[n-1].Content
		}
		if r, ok := f.Replies[key]; ok {
			return r
		}
	}
	h := fnv.New64a()
	io.WriteString(h, prompt)
	if req.Sampling.Temperature >= 1e-6 {
		fmt.Fprint(h, req.Sampling.Seed, choice)
	}
	var b strings.Builder
	x := h.Sum64()
	for range 3 + x%6 {
		x = x*6364136223846793005 + 1442695040888963407
		b.WriteByte(' ')
		b.WriteString(words[x>>60])
	}
	b.WriteByte('.')
	return b.String()
}

// answer applies bias, limit and stops to a reply.
func (f *Fake) answer(req *engine.Request, prompt string, choice, limit int) answer {
	if id, ok := forced(req.Sampling.LogitBias); ok {
		ids := make([]int32, limit)
		for i := range ids {
			ids[i] = id
		}
		return settle(ids, false, req)
	}
	text := f.reply(req, prompt, choice)
	for _, w := range req.Sampling.BadWords {
		text = strings.ReplaceAll(text, strings.TrimLeft(w, " "), "")
	}
	if req.Sampling.Allowed != nil {
		return f.among(req, text, limit)
	}
	ids := append(encode(text), EOS)
	if req.Sampling.IgnoreEOS {
		ids = repeat(encode(text+" "), limit)
	} else if least := req.Sampling.MinTokens; len(ids) <= least {
		ids = append(repeat(encode(text+" "), least), EOS)
	}
	if len(ids) >= limit {
		return settle(ids[:limit], false, req)
	}
	return settle(ids, true, req)
}

// among is the reply without the tokens that are not allowed; what is left of it, or the
// first allowed token, comes again and again unless the end is allowed.
func (f *Fake) among(req *engine.Request, text string, limit int) answer {
	allowed := req.Sampling.Allowed
	ids := slices.DeleteFunc(encode(text), func(id int32) bool { return !slices.Contains(allowed, id) })
	if slices.Contains(allowed, EOS) && !req.Sampling.IgnoreEOS && len(ids) < limit && len(ids) >= req.Sampling.MinTokens {
		return settle(append(ids, EOS), true, req)
	}
	if len(ids) == 0 {
		ids = allowed[:1]
	}
	return settle(repeat(ids, limit), false, req)
}

func repeat(ids []int32, n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = ids[i%len(ids)]
	}
	return out
}

// forced is the token with the largest bias of at least 20, which then is the only
// one that comes.
func forced(bias map[int32]float32) (id int32, ok bool) {
	best := float32(20)
	for k, v := range bias {
		if v > best || v == best && (!ok || k < id) {
			id, best, ok = k, v, true
		}
	}
	return id, ok
}

// settle finds the first stop in ids and lays out the text.
func settle(ids []int32, eos bool, req *engine.Request) answer {
	sp := &req.Sampling
	a := answer{ids: ids, finish: engine.Finish{Reason: engine.FinishLength, MatchedToken: -1}}
	if eos {
		a.finish = engine.Finish{Reason: engine.FinishStop, MatchedToken: EOS}
	}
	if i := stopToken(ids, sp); i >= 0 && i < len(ids)-1 {
		a.ids = ids[:i+1]
		a.finish = engine.Finish{Reason: engine.FinishStop, MatchedToken: ids[i]}
	}
	text, ends := a.spell(req)
	cut := len(text)
	if at, end, stop := firstStop(string(text), sp); at >= 0 {
		n := 0
		for ends[n] < end {
			n++
		}
		if n == len(a.ids)-1 && a.finish.Reason == engine.FinishLength {
			return a.laid(text, ends, sp) // the limit is checked before the stop strings
		}
		if cut = at; sp.KeepStop {
			cut = end
		}
		a.ids, ends = a.ids[:n+1], ends[:n+1]
		a.finish = engine.Finish{Reason: engine.FinishStop, MatchedToken: -1, MatchedStop: stop}
	}
	return a.laid(text[:cut], ends, sp)
}

func (a answer) laid(text []byte, ends []int, sp *engine.Sampling) answer {
	a.text, a.ends = layOut(text, ends, sp)
	return a
}

// spell returns the text of all tokens, without the one that stopped the answer, and
// its length after each.
func (a *answer) spell(req *engine.Request) (text []byte, ends []int) {
	text, ends = make([]byte, 0, len(a.ids)+8), make([]int, len(a.ids))
	for i, id := range a.ids {
		stopped := i == len(a.ids)-1 && a.finish.Reason == engine.FinishStop
		special := id == EOS || id == BOS
		if !(stopped && !req.Sampling.KeepStop) && !(special && req.SkipSpecialTokens) {
			text = append(text, tokenBytes(id)...)
		}
		ends[i] = len(text)
	}
	return text, ends
}

func stopToken(ids []int32, sp *engine.Sampling) int {
	if sp.IgnoreEOS || len(sp.StopTokenIDs) == 0 {
		return -1
	}
	for i := sp.MinTokens; i < len(ids); i++ {
		for _, s := range sp.StopTokenIDs {
			if ids[i] == s {
				return i
			}
		}
	}
	return -1
}

// matcher looks for the stops of a request, whose patterns Generate has checked.
func matcher(sp *engine.Sampling) *stop.Matcher {
	p, _ := stop.Compile(sp.StopRegex)
	return stop.New(sp.Stop, p)
}

// firstStop is the stop that is complete first and where it begins and ends.
func firstStop(text string, sp *engine.Sampling) (at, end int, matched string) {
	before, matched := matcher(sp).Next(text, false)
	if matched == "" {
		return -1, -1, ""
	}
	through, _ := matcher(sp).Next(text, true)
	return len(before), len(through), matched
}

// layOut moves each token's end of text to where complete code points and no
// beginning of a stop string are sent; the last token sends the rest.
func layOut(text []byte, ends []int, sp *engine.Sampling) (string, []int) {
	whole := validPrefix(text)
	m := matcher(sp)
	fed, sent, stopped := 0, 0, false
	for i := range ends {
		e := min(ends[i], whole)
		for e > 0 && e < len(text) && !utf8.RuneStart(text[e]) {
			e--
		}
		if e > fed && !stopped {
			more, matched := m.Next(string(text[fed:e]), true)
			fed, sent, stopped = e, sent+len(more), matched != ""
		}
		ends[i] = sent
	}
	valid := strings.ToValidUTF8(string(text), "\uFFFD")
	if n := len(ends); n > 0 {
		ends[n-1] = len(valid)
	}
	return valid, ends
}

// validPrefix is the length of the longest prefix of text that is valid UTF-8.
func validPrefix(text []byte) int {
	n := 0
	for n < len(text) {
		r, size := utf8.DecodeRune(text[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}

func encode(text string) []int32 {
	ids := make([]int32, len(text))
	for i := range len(text) {
		ids[i] = int32(text[i])
	}
	return ids
}

var byteTable = func() (t [256][1]byte) {
	for i := range t {
		t[i][0] = byte(i)
	}
	return t
}()

func tokenBytes(id int32) []byte {
	switch {
	case id < 256:
		return byteTable[id][:]
	case id == EOS:
		return []byte("<|end|>")
	case id == BOS:
		return []byte("<|begin|>")
	}
	return fmt.Appendf(nil, "<%d>", id)
}

func requestID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
