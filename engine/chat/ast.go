package chat

// Statements and expressions of a template. The tree is immutable after parsing
// and shared by concurrent renders.

type node interface{}

type (
	textNode   struct{ text string }
	outputNode struct{ x expr }
	ifNode     struct {
		tests  []expr // one per body; a body more is the else branch
		bodies [][]node
	}
	forNode struct {
		line      int
		target    target
		iter      expr
		filter    expr // may be nil
		body      []node
		otherwise []node
		recursive bool
	}
	setNode struct {
		line   int
		target target
		value  expr
	}
	setBlockNode struct {
		line   int
		target target
		filter expr // of the captured text, may be nil
		body   []node
	}
	macroNode struct {
		line     int
		name     string
		params   []string
		defaults []expr // of the last parameters
		body     []node
	}
	callNode struct {
		line  int
		call  *callExpr
		macro *macroNode // the body as caller()
	}
	filterNode struct {
		line   int
		filter expr // of the captured text
		body   []node
	}
	withNode struct {
		targets []target
		values  []expr
		body    []node
	}
	breakNode    struct{}
	continueNode struct{}
)

// target is what an assignment writes: a name, ns.attr, or several targets.
type target struct {
	line  int
	name  string
	attr  string // namespace attribute
	parts []target
}

type expr interface{}

type (
	constExpr struct{ v value }
	nameExpr  struct {
		line int
		name string
	}
	attrExpr struct {
		line int
		x    expr
		name string
	}
	itemExpr struct {
		line int
		x    expr
		key  expr
	}
	sliceExpr struct {
		line              int
		x                 expr
		start, stop, step expr // may be nil
	}
	unaryExpr struct {
		line int
		op   string
		x    expr
	}
	binaryExpr struct {
		line int
		op   string
		a, b expr
	}
	compareExpr struct {
		line int
		x    expr
		ops  []string
		rest []expr
	}
	concatExpr struct {
		line int
		xs   []expr
	}
	condExpr struct {
		line             int
		test, then, elze expr // elze may be nil
	}
	callExpr struct {
		line int
		fn   expr
		args callArgs
	}
	filterExpr struct {
		line int
		x    expr
		name string
		args callArgs
	}
	testExpr struct {
		line   int
		x      expr
		name   string
		args   callArgs
		negate bool
	}
	listExpr struct {
		line  int
		items []expr
		tuple bool
	}
	dictExpr struct {
		line         int
		keys, values []expr
	}
	// blockText stands for the rendered body inside a filter or set block.
	blockText struct{}
)

type callArgs struct {
	pos   []expr
	names []string
	named []expr
}
