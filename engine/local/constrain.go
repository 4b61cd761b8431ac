package local

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/grammar"
	"github.com/godwit-ai/godwit/engine/tokenizer"
)

// constraints compiles the constraints of requests, each in a goroutine of its own
// under the grammar package's limits, and keeps the grammars that were used last.
type constraints struct {
	tok   *tokenizer.Tokenizer
	vocab int
	eos   []int32
	once  sync.Once
	words *grammar.Vocabulary
	ids   map[string]int32 // tokens by their bytes

	busy  func() bool   // texts are being made
	turns chan struct{} // holds one token per compilation that may run
	mu    sync.Mutex
	known map[[sha256.Size]byte]*compiled
	clock uint64
}

// compiled is a grammar, or the reason why there is none.
type compiled struct {
	done chan struct{} // closed when the rest is set
	gr   *grammar.Grammar
	err  error
	used uint64 // by clock
	size int    // bytes when last asked for; 0 until it is compiled
}

// Bounds on what is kept. A grammar grows while it is used, up to some 100 MB in bad
// cases; few do.
const (
	keptGrammars = 64
	keptBytes    = 512 << 20
	compileTime  = time.Second
)

// compilations is how many may run at once: a hard grammar should not hold up an easy
// one, and must leave processors to the step.
func compilations() int { return max(1, runtime.GOMAXPROCS(0)/4) }

func newConstraints(tok *tokenizer.Tokenizer, vocab int, eos []int32, busy func() bool) *constraints {
	c := &constraints{tok: tok, vocab: vocab, eos: eos, busy: busy, turns: make(chan struct{}, compilations()),
		known: map[[sha256.Size]byte]*compiled{}}
	return c
}

// vocabulary arranges the tokens, once.
func (c *constraints) vocabulary() *grammar.Vocabulary {
	c.once.Do(func() {
		tokens := make([][]byte, c.vocab)
		c.ids = make(map[string]int32, c.vocab)
		for id := range min(c.vocab, c.tok.VocabSize()) {
			b := c.tok.TokenBytes(int32(id))
			if len(b) > 0 && c.tok.IsSpecial(int32(id)) {
				b = append([]byte{0xFF}, b...)
			}
			tokens[id] = b
			if _, ok := c.ids[string(b)]; !ok && len(b) > 0 {
				c.ids[string(b)] = int32(id)
			}
		}
		c.words = grammar.NewVocabulary(tokens, c.eos)
	})
	return c.words
}

// grammar compiles a constraint, or finds that this was done before. Many callers with
// one constraint share one compilation. When ctx ends the caller goes, the compilation
// comes to its end within its limits.
func (c *constraints) grammar(ctx context.Context, k *engine.Constraint) (*grammar.Grammar, error) {
	key, err := keyOf(k)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.clock++
	g, ok := c.known[key]
	if !ok {
		g = &compiled{done: make(chan struct{})}
		c.forgetOldest()
		c.known[key] = g
		go c.compile(g, key, k) // it ends within the limits; callers wait for done
	}
	g.used = c.clock
	c.mu.Unlock()
	select {
	case <-g.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if g.err != nil {
		return nil, refusal(k, g.err)
	}
	c.weigh(g, g.gr.Size())
	return g.gr, nil
}

// weigh notes the bytes of a grammar, and forgets those that were not used for longest
// while all together hold more than the bound. The one weighed stays, whatever its size;
// texts keep the grammars that they follow.
func (c *constraints) weigh(g *compiled, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g.size = size
	for {
		all := 0
		var oldest [sha256.Size]byte
		var used uint64
		for key, o := range c.known {
			all += o.size
			if o != g && o.size > 0 && (used == 0 || o.used < used) {
				oldest, used = key, o.used
			}
		}
		if all <= keptBytes || used == 0 {
			return
		}
		delete(c.known, oldest)
	}
}

func (c *constraints) compile(g *compiled, key [sha256.Size]byte, k *engine.Constraint) {
	c.turns <- struct{}{}
	defer func() { <-c.turns }()
	err := safely(func() (err error) {
		v := c.vocabulary()
		if g.gr, err = grammar.Compile(v, formOf(k), grammar.Options{Tidy: true, Limits: grammar.Limits{Time: compileTime}, Pause: c.giveWay()}); err != nil {
			return err
		}
		return g.gr.NewMatcher().Mask(make([]uint64, v.Words())) // the first mask is part of the cost
	})
	g.err = err
	if err != nil { // compiled again when asked for again: time limits depend on the machine's load
		c.mu.Lock()
		delete(c.known, key)
		c.mu.Unlock()
	}
	close(g.done)
}

// Shares of a compilation: while texts are being made it sleeps after each piece of work,
// which is about as long as half a millisecond, up to a time in all.
const (
	wayPause = time.Millisecond
	wayMost  = 2 * time.Second
)

// giveWay is what one compilation calls between pieces of its work.
func (c *constraints) giveWay() func() {
	var slept time.Duration
	return func() {
		if slept > wayMost || !c.busy() {
			runtime.Gosched()
			return
		}
		start := time.Now()
		time.Sleep(wayPause)
		slept += time.Since(start)
	}
}

// forgetOldest makes room for one more grammar.
func (c *constraints) forgetOldest() {
	if len(c.known) < keptGrammars {
		return
	}
	var oldest [sha256.Size]byte
	var used uint64
	for key, g := range c.known {
		select {
		case <-g.done:
			if used == 0 || g.used < used {
				oldest, used = key, g.used
			}
		default: // somebody waits for it
		}
	}
	delete(c.known, oldest)
}

func keyOf(k *engine.Constraint) (key [sha256.Size]byte, err error) {
	b, err := json.Marshal(k)
	if err != nil {
		return key, engine.Invalid(k.Param, "The constraint cannot be read: %v", err)
	}
	return sha256.Sum256(b), nil
}

// refusal names the field of the request and the place in it.
func refusal(k *engine.Constraint, err error) error {
	var e *grammar.Error
	if !errors.As(err, &e) {
		return internal(err)
	}
	param := k.Param
	if e.Place != "" {
		param = e.Place
	}
	return engine.Invalid(param, "The grammar is not supported: %s", e.Error())
}

// formOf translates a constraint; the kinds have the same order.
func formOf(k *engine.Constraint) *grammar.Form {
	kinds := [...]grammar.Kind{
		engine.ConstrainSchema: grammar.Schema, engine.ConstrainRegex: grammar.Regex, engine.ConstrainGrammar: grammar.EBNF,
		engine.ConstrainChoice: grammar.Choice, engine.ConstrainText: grammar.Fixed, engine.ConstrainAny: grammar.Any,
		engine.ConstrainSequence: grammar.Sequence, engine.ConstrainEither: grammar.Either, engine.ConstrainRepeat: grammar.Repeat,
		engine.ConstrainTags: grammar.Tags,
	}
	f := &grammar.Form{Kind: kinds[k.Kind], Text: k.Text, Choices: k.Choices, Min: k.Min, Max: k.Max, Triggers: k.Triggers,
		AtLeastOne: k.AtLeastOne, StopAfter: k.StopAfter, Compact: k.Compact, Place: k.Param}
	for _, p := range k.Parts {
		f.Parts = append(f.Parts, formOf(p))
	}
	return f
}

// follower keeps one choice inside its constraint. It is owned by the loop, except that
// a goroutine makes the mask between ask and mask.
type follower struct {
	c       *constraints
	m       matcher
	bits    []uint64
	err     error
	asked   bool
	made    chan struct{} // holds one signal when the mask is made
	force   bool          // append what must come without a step
	keepEnd bool          // no token may end the answer early (ignore_eos)
	allowed []uint64      // only these tokens, where the constraint has a use for one; nil: all
	step    advance       // of a crew
	busy    atomic.Bool   // a crew has it
}

// matcher is what a follower needs of grammar.Matcher.
type matcher interface {
	Accept(token int32) error
	Mask(bits []uint64) error
	Forced() ([]byte, error)
	Final() bool
	EndsAfter(text []byte) bool
}

// follow starts the matcher of a choice.
func (c *constraints) follow(gr *grammar.Grammar, force, keepEnd bool) *follower {
	return &follower{c: c, m: gr.NewMatcher(), bits: make([]uint64, c.words.Words()), made: make(chan struct{}, 1),
		force: force, keepEnd: keepEnd}
}

// ask begins to make the mask of the next token, while the device runs the step. Ids in
// banned are left out, unless nothing else is allowed.
func (f *follower) ask(banned []int32) {
	if f.asked {
		return
	}
	f.asked = true
	go func() { // mask waits for it
		f.err = safely(func() error { return f.make(banned) })
		f.made <- struct{}{}
	}()
}

// make fills bits.
func (f *follower) make(banned []int32) error {
	if err := f.m.Mask(f.bits); err != nil {
		return err
	}
	if err := f.only(f.allowed); err != nil {
		return err
	}
	f.without(banned)
	if f.keepEnd {
		f.without(f.c.eos)
	}
	return nil
}

func (f *follower) without(ids []int32) {
	if len(ids) == 0 {
		return
	}
	var hit []int32
	for _, id := range ids {
		if w := int(id >> 6); w < len(f.bits) && f.bits[w]>>(id&63)&1 != 0 {
			f.bits[w] &^= 1 << (id & 63)
			hit = append(hit, id)
		}
	}
	if len(hit) > 0 && !slices.ContainsFunc(f.bits, func(w uint64) bool { return w != 0 }) {
		for _, id := range hit {
			f.bits[id>>6] |= 1 << (id & 63)
		}
	}
}

// mask is the mask that was asked for last; it is valid until the next ask.
func (f *follower) mask() []uint64 {
	f.wait()
	return f.bits
}

func (f *follower) wait() {
	if f.asked {
		<-f.made
		f.asked = false
	}
}

// take follows a token that was drawn. ended: the answer is complete and nothing more
// can come.
func (f *follower) take(token int32) (ended bool, err error) {
	f.wait()
	if f.err != nil {
		return false, fmt.Errorf("the constraint: %w", f.err)
	}
	if err := f.m.Accept(token); err != nil {
		return false, fmt.Errorf("the constraint: token %d: %w", token, err)
	}
	return f.m.Final(), nil
}

// maxForced bounds the tokens that are appended at once.
const maxForced = 256

// forced are tokens that must come next, already followed, at most n. Their text is
// cut before the first place where a longer token could have covered its end: there
// the model has a choice.
func (f *follower) forced(n int) (tokens []int32, ended bool, err error) {
	if !f.force {
		return nil, false, nil
	}
	text, err := f.m.Forced()
	if err != nil || len(text) == 0 {
		return nil, false, err
	}
	tokens = f.c.split(text, f.m.EndsAfter(text))
	if len(tokens) > min(n, maxForced) {
		tokens = tokens[:min(n, maxForced)]
	}
	for i, t := range tokens {
		if err := f.m.Accept(t); err != nil {
			return tokens[:i], false, nil // not a token of its own here; it is drawn
		}
	}
	return tokens, len(tokens) > 0 && f.m.Final(), nil
}

// split turns a forced text into tokens. Unless it is the end of the answer, what a
// longer token might cover is left.
func (c *constraints) split(text []byte, whole bool) []int32 {
	var out []int32
	at := 0
	for at < len(text) {
		if text[at] == 0xFF {
			id, n := c.special(text[at:])
			if n == 0 {
				return out
			}
			out, at = append(out, id), at+n
			continue
		}
		end := slices.Index(text[at:], 0xFF)
		if end < 0 {
			end = len(text) - at
		}
		part := text[at : at+end]
		ids, n := c.encode(part)
		if at+end == len(text) && !whole {
			ids, n = c.certain(ids, part)
		}
		out = append(out, ids...)
		if at += end; n < end {
			return out
		}
	}
	return out
}

// special is the special token at the beginning of text.
func (c *constraints) special(text []byte) (id int32, n int) {
	for n = min(len(text), 256); n > 1; n-- {
		if id, ok := c.ids[string(text[:n])]; ok {
			return id, n
		}
	}
	return 0, 0
}

// encode gives the tokenizer's tokens of exactly text, or the longest ones that fit
// when the tokenizer changes the text.
func (c *constraints) encode(text []byte) (ids []int32, n int) {
	ids = c.tok.Encode(string(text), false) // a marker such as <tool_call> is a token of its own, as the model writes it
	if slices.ContainsFunc(ids, c.tok.IsSpecial) {
		ids = c.tok.EncodePlain(string(text), false)
	}
	var back []byte
	for _, id := range ids {
		back = append(back, c.tok.TokenBytes(id)...)
	}
	if string(back) == string(text) {
		return ids, len(text)
	}
	ids = ids[:0]
	for n < len(text) {
		k := min(len(text)-n, 64)
		for ; k > 0; k-- {
			if id, ok := c.ids[string(text[n:n+k])]; ok {
				ids = append(ids, id)
				break
			}
		}
		if k == 0 {
			break
		}
		n += k
	}
	return ids, n
}

// certain drops tokens from the first place on whose rest some token begins with.
func (c *constraints) certain(ids []int32, text []byte) ([]int32, int) {
	at := 0
	for i, id := range ids {
		if c.words.Continues(text[at:]) {
			return ids[:i], at
		}
		at += len(c.tok.TokenBytes(id))
	}
	return ids, at
}

// grammar compiles a request's constraint; nil without one.
func (e *Engine) grammar(ctx context.Context, k *engine.Constraint) (*grammar.Grammar, error) {
	if k == nil {
		return nil, nil
	}
	if e.constraints == nil {
		return nil, noTokenizer(k.Param)
	}
	return e.constraints.grammar(ctx, k)
}

// constrain gives every choice of a job its matcher, which begins with the first mask.
// With log-probabilities every token is drawn, since each one's is wanted.
func (e *Engine) constrain(j *job, gr *grammar.Grammar, req *engine.Request) {
	for _, c := range j.choices {
		c.con = e.constraints.follow(gr, !req.Logprobs && req.Sampling.Allowed == nil, req.Sampling.IgnoreEOS)
		if req.Sampling.Allowed != nil {
			c.con.allowed = c.params.Mask
		}
		c.con.ask(c.bannedNow())
	}
}

// bannedNow are the tokens that may not come next, because of min_tokens.
func (c *choice) bannedNow() []int32 {
	if c.generated < c.minTokens {
		return c.banned
	}
	return nil
}

// followed gives a reader the token that a constrained choice has moved on by, and those
// that must follow. An answer that is complete ends by itself, also where the limit of
// tokens is reached.
func (l *loop) followed(c *choice) {
	if c.ended {
		return // its job failed in this very step
	}
	s := &c.con.step
	if c.con.err != nil {
		l.end(c.job, internal(c.con.err))
		return
	}
	if s.ended {
		s.piece.end = byGrammar
		if slices.Contains(c.con.c.eos, s.piece.token) {
			s.piece.end = byToken
		}
	}
	if !l.hand(c, s.piece) {
		return
	}
	if !s.expected {
		l.sched.Append(&c.seq, s.piece.token)
	}
	l.force(c, s.forced, s.complete)
}

// force appends the tokens that must follow the one that was appended last; ended: they
// complete the answer. If a step with the text is under way, the first of them stands for
// what that would draw.
func (l *loop) force(c *choice, tokens []int32, ended bool) {
	for i, t := range tokens {
		p := piece{choice: int32(c.params.Choice), token: t, end: c.accept(t)}
		if ended && i == len(tokens)-1 && p.end != byToken {
			p.end = byGrammar
		}
		if p.end != goesOn {
			l.drewForced(i+1, i+1) // no step computes them
			l.endChoice(c)
			l.publish()
			c.job.push(p)
			return
		}
		c.job.push(p)
	}
	l.drewForced(len(tokens), 0)
	l.sched.Extend(&c.seq, tokens...)
}

// drewForced counts n forced tokens, and those of them that will never have a step.
func (l *loop) drewForced(n, free int) {
	l.mu.Lock()
	l.stats.GeneratedTokens += int64(n)
	l.stats.ForcedTokens += int64(free)
	l.mu.Unlock()
}
