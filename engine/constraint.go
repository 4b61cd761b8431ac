package engine

// ConstraintKind says what a Constraint is made of.
type ConstraintKind int

// The kinds of constraints.
const (
	ConstrainSchema   ConstraintKind = iota // the JSON texts valid by the JSON Schema Text
	ConstrainRegex                          // what the RE2 pattern Text matches from end to end
	ConstrainGrammar                        // the EBNF grammar Text (xgrammar, GBNF) or Lark
	ConstrainChoice                         // one of Choices
	ConstrainText                           // Text itself; special tokens that it names are tokens
	ConstrainAny                            // any text without one of Choices in it
	ConstrainSequence                       // Parts one after the other
	ConstrainEither                         // one of Parts
	ConstrainRepeat                         // Parts[0], Min to Max times; Max < 0 has no bound
	ConstrainTags                           // free text; behind one of Triggers the Parts that begin with it
)

// Constraint is a language that an answer must be in: every token is drawn from those
// that can still lead to a text of it, and the answer ends where a text of it ends. It
// is not changed after a request was made of it.
type Constraint struct {
	Kind     ConstraintKind
	Text     string
	Choices  []string
	Parts    []*Constraint
	Min, Max int

	// Tags: each of Parts is a sequence that begins with a ConstrainText, and that with
	// one of Triggers.
	Triggers   []string
	AtLeastOne bool // the text begins with a part
	StopAfter  bool // nothing comes after the first part

	Compact bool   // schema: no white space between JSON tokens
	Param   string // the field of the request that it came from, for errors
}
