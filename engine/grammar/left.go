package grammar

import "slices"

// maxCycle bounds the rules that begin with each other.
const maxCycle = 256

// straighten rewrites rules so that none begins with itself and none is empty: a
// machine that follows calls before it reads a byte then always comes to an end. An
// empty answer stays possible through rule 0.
//
// A rule with the empty text loses it, and its calls become optional. Rules that begin
// with each other are a system of left-linear equations A = A·α | β, whose least
// solution is β·α* (D. N. Arden, Delayed-logic and finite-state machines, 1961); the
// α and β may call any rule.
func (g *builder) straighten() error {
	nullable := g.nullableRules()
	root := nullable[0]
	if slices.Contains(nullable, true) {
		memo := map[expr]expr{}
		for i, e := range g.rules {
			g.rules[i] = g.optionalCalls(e, nullable, memo)
		}
	}
	for i := range g.rules {
		if nullable[i] {
			g.rules[i] = g.nonEmpty(g.rules[i], nil)
		}
	}
	for _, cycle := range g.cycles() {
		if len(cycle) > maxCycle {
			return &Error{Msg: "too many rules begin with each other"}
		}
		g.solve(cycle)
	}
	if len(g.cycles()) > 0 {
		return &Error{Msg: "the grammar refers to itself without reading anything"}
	}
	if g.rules[0] == never && !root {
		return g.nothing()
	}
	if root {
		g.root = g.or(empty, g.rules[0])
	} else {
		g.root = g.rules[0]
	}
	return nil
}

// nullableRules finds the rules that have the empty text.
func (g *builder) nullableRules() []bool {
	ok := make([]bool, len(g.rules))
	for changed := true; changed; {
		changed = false
		memo := map[expr]bool{}
		for i, e := range g.rules {
			if !ok[i] && g.mayBeEmpty(e, ok, memo) {
				ok[i], changed = true, true
			}
		}
	}
	return ok
}

func (g *builder) mayBeEmpty(e expr, rules []bool, memo map[expr]bool) bool {
	n := g.nodes[e]
	if n.nullable || !n.calls {
		return n.nullable
	}
	switch n.op {
	case opCall:
		return rules[n.min]
	case opConcat:
		return g.mayBeEmpty(n.a, rules, memo) && g.mayBeEmpty(n.b, rules, memo)
	}
	if v, ok := memo[e]; ok {
		return v
	}
	v := false
	switch n.op {
	case opOr:
		for _, x := range g.parts(&n) {
			if v = g.mayBeEmpty(x, rules, memo); v {
				break
			}
		}
	case opRepeat:
		v = g.mayBeEmpty(n.a, rules, memo)
	}
	memo[e] = v
	return v
}

// optionalCalls writes B? for the calls of rules B that have the empty text.
func (g *builder) optionalCalls(e expr, nullable []bool, memo map[expr]expr) expr {
	n := g.nodes[e]
	if !n.calls {
		return e
	}
	if v, ok := memo[e]; ok {
		return v
	}
	v := e
	switch n.op {
	case opCall:
		if nullable[n.min] {
			v = g.optional(e)
		}
	case opConcat:
		v = g.concat(g.optionalCalls(n.a, nullable, memo), g.optionalCalls(n.b, nullable, memo))
	case opOr:
		list := make([]expr, 0, n.b)
		for _, x := range g.parts(&n) {
			list = append(list, g.optionalCalls(x, nullable, memo))
		}
		v = g.or(list...)
	case opRepeat:
		v = g.repeat(g.optionalCalls(n.a, nullable, memo), int(n.min), int(n.max))
	}
	memo[e] = v
	return v
}

// nonEmpty is e without the empty text and without the texts that begin with a call of
// one of the given rules.
func (g *builder) nonEmpty(e expr, rules map[int]int) expr {
	n := g.nodes[e]
	switch n.op {
	case opNever, opEmpty:
		return never
	case opCall:
		if _, ok := rules[int(n.min)]; ok {
			return never
		}
		return e
	case opConcat:
		v := g.concat(g.nonEmpty(n.a, rules), n.b)
		if g.nodes[n.a].nullable {
			v = g.or(v, g.nonEmpty(n.b, rules))
		}
		return v
	case opOr:
		list := make([]expr, 0, n.b)
		for _, x := range g.parts(&n) {
			list = append(list, g.nonEmpty(x, rules))
		}
		return g.or(list...)
	case opRepeat:
		return g.concat(g.nonEmpty(n.a, rules), g.fewer(n))
	case opAnd, opNot, opMod:
		if n.nullable {
			return g.and(e, g.not(empty))
		}
	}
	return e
}

// cycles lists the sets of rules that begin with each other (R. Tarjan, 1972).
func (g *builder) cycles() [][]int {
	index := make([]int, len(g.rules))
	low := make([]int, len(g.rules))
	onStack := make([]bool, len(g.rules))
	var stack []int
	var out [][]int
	next := 1
	var visit func(r int)
	visit = func(r int) {
		index[r], low[r] = next, next
		next++
		stack = append(stack, r)
		onStack[r] = true
		loop := false
		for _, e := range g.edges(g.rules[r], empty, nil) {
			loop = loop || e.rule == r
			if index[e.rule] == 0 {
				visit(e.rule)
				low[r] = min(low[r], low[e.rule])
			} else if onStack[e.rule] {
				low[r] = min(low[r], index[e.rule])
			}
		}
		if low[r] != index[r] {
			return
		}
		var members []int
		for {
			x := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			onStack[x] = false
			members = append(members, x)
			if x == r {
				break
			}
		}
		if len(members) > 1 || loop {
			out = append(out, members)
		}
	}
	for r := range g.rules {
		if index[r] == 0 {
			visit(r)
		}
	}
	return out
}

// solve replaces the rules of a cycle by the solution of their equations.
func (g *builder) solve(cycle []int) {
	place := map[int]int{}
	for i, r := range cycle {
		place[r] = i
	}
	n := len(cycle)
	alpha, beta := make([][]expr, n), make([]expr, n) // rule i = ⋃ rule j · alpha[i][j] | beta[i]
	for i, r := range cycle {
		alpha[i] = make([]expr, n)
		for j := range alpha[i] {
			alpha[i][j] = never
		}
		for _, e := range g.edges(g.rules[r], empty, nil) {
			if j, ok := place[e.rule]; ok {
				alpha[i][j] = g.or(alpha[i][j], e.cont)
			}
		}
		beta[i] = g.nonEmpty(g.rules[r], place)
	}
	for k := range n {
		again := g.star(alpha[k][k])
		for i := range n {
			if i == k || alpha[i][k] == never {
				continue
			}
			tail := g.concat(again, alpha[i][k])
			for j := range n {
				if j != k {
					alpha[i][j] = g.or(alpha[i][j], g.concat(alpha[k][j], tail))
				}
			}
			beta[i] = g.or(beta[i], g.concat(beta[k], tail))
			alpha[i][k] = never
		}
		for j := range n {
			if j != k {
				alpha[k][j] = g.concat(alpha[k][j], again)
			}
		}
		beta[k] = g.concat(beta[k], again)
		alpha[k][k] = never
	}
	for i, r := range cycle {
		g.rules[r] = beta[i]
	}
}
