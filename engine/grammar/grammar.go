// Package grammar says which tokens keep a text inside a language: a JSON Schema, a
// regular expression, an EBNF grammar, a list of choices, or a Form put together from
// them.
//
// A language is a set of rules. A rule is a regular expression over bytes and calls of
// rules; its automaton is made lazily by Brzozowski derivatives. A matcher holds the
// ways in which the text so far can be read, each a state and a stack of what follows
// a finished call, so nothing depends on where tokens begin and end, nor on a longest
// match. The tokens that may come next are found by walking a trie of the vocabulary.
// What a state reaches by itself does not depend on the stack and is remembered; the
// few tokens that leave the state are continued in the states below it. In the middle
// of a string, most of the vocabulary is one precomputed set; a part of the trie that
// holds nothing but characters which a state may take in any number is taken whole.
//
// One request: Compile makes a Grammar (or an *Error that names the place in the
// schema), NewMatcher starts a text, Mask fills the bits of a step, Accept takes the
// sampled token, Done says whether the text may end.
package grammar

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Error says what of a grammar is refused, and where.
type Error struct {
	Pointer string // JSON pointer into the schema; "" is its root, or no schema
	Keyword string // the schema keyword at fault, if one is
	Msg     string
	Place   string // Form.Place of the part at fault
	located bool   // Pointer is known, the root if it is ""
}

func (e *Error) Error() string {
	if e.Keyword == "" && e.Pointer == "" && !e.located {
		return e.Msg
	}
	return fmt.Sprintf("schema at #%s: %s", e.Pointer, e.Msg)
}

// Limits bound the cost of a grammar. Zero values take the defaults.
type Limits struct {
	Bytes  int           // of the source; 1 MiB
	Depth  int           // of nesting in a schema; 256
	States int           // of automata, while compiling and while matching; 250,000
	Time   time.Duration // to compile; 2 s
}

// Options say how a language is read.
type Options struct {
	Compact bool // JSON without white space between its tokens
	// Tidy allows white space only as people lay JSON out: a blank, or one or two line
	// breaks and what indents the next line. A model can then not lose itself in it.
	Tidy bool
	// DotZero lets an integer be written with a fraction of zeros (1.0), which is the
	// same number to JSON Schema but not to every reader.
	DotZero bool
	Limits  Limits
	// Pause is called about every half millisecond of work while compiling, so that a
	// caller can leave the processor to others. The time in it does not count.
	Pause func()
}

// defaultTime is Limits.Time where it is 0. Tests have more: their machines are shared.
var defaultTime = 2 * time.Second

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 1 << 20
	}
	if l.Depth == 0 {
		l.Depth = 256
	}
	if l.States == 0 {
		l.States = 250_000
	}
	if l.Time == 0 {
		l.Time = defaultTime
	}
	return l
}

// Grammar is a compiled language over a vocabulary. It may be used by many goroutines;
// they share what it learns.
type Grammar struct {
	mu    sync.Mutex
	m     *machine
	start []thread
	base  int                      // expressions after compiling
	again func() (*Grammar, error) // compiles once more
}

// grown bounds the expressions that a grammar adds while it is used: beyond, texts that
// begin get a fresh machine, and the old one goes with the texts that use it.
const grown = 50_000

// machine is where a new text starts.
func (gr *Grammar) machine() (*machine, []thread) {
	gr.mu.Lock()
	defer gr.mu.Unlock()
	gr.m.mu.Lock()
	full := len(gr.m.g.nodes) > gr.base+grown || len(gr.m.stacks) > grown
	gr.m.mu.Unlock()
	if full && gr.again != nil {
		if fresh, err := gr.again(); err == nil {
			gr.m, gr.start, gr.base = fresh.m, fresh.start, fresh.base
		}
	}
	return gr.m, gr.start
}

// Size is about how many bytes the grammar holds by itself, what it learned of masks
// included. It grows, within bounds, while the grammar is used.
func (gr *Grammar) Size() int {
	gr.mu.Lock()
	defer gr.mu.Unlock()
	gr.m.mu.Lock()
	defer gr.m.mu.Unlock()
	return gr.m.bytes()
}

// protect turns the limits that a builder panics with into an error.
func protect(err *error) {
	switch e := recover().(type) {
	case nil:
	case *Error:
		*err = e
	default:
		panic(e)
	}
}

func begin(v *Vocabulary, src int, o Options) *builder {
	l := o.Limits.withDefaults()
	if src > l.Bytes {
		panic(&Error{Msg: fmt.Sprintf("the grammar has %d bytes; %d are allowed", src, l.Bytes)})
	}
	g := newBuilder(l.States, time.Now().Add(l.Time))
	g.special, g.pause = v.special, o.Pause
	g.startWith(withText())
	return g
}

// withText is a builder with the contents of JSON strings, which every grammar starts
// with. It is not changed.
var withText = sync.OnceValue(func() *builder {
	g := newBuilder(1<<20, time.Now().Add(time.Hour))
	g.textStar = g.star(g.jsonChar(everyRune))
	g.nodes[g.textStar].inText = true
	return g
})

// finish makes the grammar of root, after taking out calls of rules without a text and
// rules that begin with themselves.
func finish(g *builder, v *Vocabulary, root expr) (*Grammar, error) {
	g.rules[0] = root
	if g.productive(g.rules) == never {
		return nil, g.nothing()
	}
	if err := g.straighten(); err != nil {
		return nil, err
	}
	g.deadline = time.Time{}
	return &Grammar{m: newMachine(g, v), start: []thread{{g.root, 0}}, base: len(g.nodes)}, nil
}

// nothing is the error of a language without a text.
func (g *builder) nothing() *Error {
	if !g.fromSchema {
		return &Error{Msg: "nothing can satisfy the grammar"}
	}
	return &Error{Pointer: g.culprit, Msg: "nothing can satisfy the schema", located: true}
}

// CompileRegex makes the grammar of the texts that an RE2 pattern matches from end to
// end.
func CompileRegex(v *Vocabulary, pattern string, o Options) (*Grammar, error) {
	return Compile(v, &Form{Kind: Regex, Text: pattern}, o)
}

// CompileChoice makes the grammar of exactly the given texts.
func CompileChoice(v *Vocabulary, choices []string, o Options) (*Grammar, error) {
	return Compile(v, &Form{Kind: Choice, Choices: choices}, o)
}

// productive rewrites rules without the calls from which no text comes, and returns
// the first of them.
func (g *builder) productive(rules []expr) expr {
	p := producer{g: g, rules: rules, ok: make([]bool, len(rules))}
	for changed := true; changed; {
		changed = false
		p.dead = map[expr]bool{}
		p.tried = make([]bool, len(rules))
		for i := range rules {
			changed = !p.ok[i] && p.rule(i) || changed
		}
		if !slices.Contains(p.ok, false) {
			return rules[0]
		}
	}
	memo := map[expr]expr{}
	for i, e := range rules {
		rules[i] = g.without(e, p.ok, memo)
	}
	return rules[0]
}

// producer finds the rules from which a text comes, in passes until nothing changes.
type producer struct {
	g     *builder
	rules []expr
	ok    []bool
	tried []bool        // in this pass
	dead  map[expr]bool // expressions without a text, as far as this pass knows
}

func (p *producer) rule(i int) bool {
	if !p.ok[i] && !p.tried[i] {
		p.tried[i] = true
		p.ok[i] = p.produces(p.rules[i])
	}
	return p.ok[i]
}

func (p *producer) produces(e expr) bool {
	n := &p.g.nodes[e]
	if e == never || !n.calls {
		return e != never
	}
	v := false
	switch n.op {
	case opCall:
		return p.rule(int(n.min))
	case opConcat:
		if p.dead[e] {
			return false
		}
		v = p.produces(n.a) && p.produces(n.b)
	case opOr:
		if p.dead[e] {
			return false
		}
		v = slices.ContainsFunc(p.g.parts(n), p.produces)
	case opRepeat:
		return n.min == 0 || p.produces(n.a)
	case opMembers:
		if p.dead[e] {
			return false
		}
		v = p.g.rosters[n.a].produces(p.produces)
	}
	if !v {
		p.dead[e] = true
	}
	return v
}

func (g *builder) without(e expr, ok []bool, memo map[expr]expr) expr {
	n := g.nodes[e]
	if !n.calls {
		return e
	}
	if v, seen := memo[e]; seen {
		return v
	}
	v := e
	switch n.op {
	case opCall:
		if !ok[n.min] {
			v = never
		}
	case opConcat:
		v = g.concat(g.without(n.a, ok, memo), g.without(n.b, ok, memo))
	case opOr:
		list := make([]expr, 0, n.b)
		for _, x := range g.parts(&n) {
			list = append(list, g.without(x, ok, memo))
		}
		v = g.or(list...)
	case opRepeat:
		v = g.repeat(g.without(n.a, ok, memo), int(n.min), int(n.max))
	case opMembers:
		v = never
		if r := g.rosters[n.a].with(func(e expr) expr { return g.without(e, ok, memo) }); r != nil {
			v = g.roster(r)
		}
	}
	memo[e] = v
	return v
}
