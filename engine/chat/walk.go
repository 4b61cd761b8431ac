package chat

// walk visits every expression of nodes.
func walk(nodes []node, visit func(expr)) {
	for _, n := range nodes {
		switch n := n.(type) {
		case *outputNode:
			walkExpr(n.x, visit)
		case *ifNode:
			walkAll(n.tests, visit)
			for _, b := range n.bodies {
				walk(b, visit)
			}
		case *forNode:
			walkAll([]expr{n.iter, n.filter}, visit)
			walk(n.body, visit)
			walk(n.otherwise, visit)
		case *setNode:
			walkExpr(n.value, visit)
		case *setBlockNode:
			walkExpr(n.filter, visit)
			walk(n.body, visit)
		case *filterNode:
			walkExpr(n.filter, visit)
			walk(n.body, visit)
		case *withNode:
			walkAll(n.values, visit)
			walk(n.body, visit)
		case *callNode:
			walkExpr(n.call, visit)
			walk(n.macro.body, visit)
		case *macroNode:
			walkAll(n.defaults, visit)
			walk(n.body, visit)
		}
	}
}

func walkAll(xs []expr, visit func(expr)) {
	for _, x := range xs {
		walkExpr(x, visit)
	}
}

func walkExpr(x expr, visit func(expr)) {
	if x == nil {
		return
	}
	visit(x)
	switch x := x.(type) {
	case *attrExpr:
		walkExpr(x.x, visit)
	case *itemExpr:
		walkAll([]expr{x.x, x.key}, visit)
	case *sliceExpr:
		walkAll([]expr{x.x, x.start, x.stop, x.step}, visit)
	case *unaryExpr:
		walkExpr(x.x, visit)
	case *binaryExpr:
		walkAll([]expr{x.a, x.b}, visit)
	case *compareExpr:
		walkExpr(x.x, visit)
		walkAll(x.rest, visit)
	case *concatExpr:
		walkAll(x.xs, visit)
	case *condExpr:
		walkAll([]expr{x.test, x.then, x.elze}, visit)
	case *callExpr:
		walkExpr(x.fn, visit)
		walkArgs(x.args, visit)
	case *filterExpr:
		walkExpr(x.x, visit)
		walkArgs(x.args, visit)
	case *testExpr:
		walkExpr(x.x, visit)
		walkArgs(x.args, visit)
	case *listExpr:
		walkAll(x.items, visit)
	case *dictExpr:
		walkAll(x.keys, visit)
		walkAll(x.values, visit)
	}
}

func walkArgs(a callArgs, visit func(expr)) {
	walkAll(a.pos, visit)
	walkAll(a.named, visit)
}
