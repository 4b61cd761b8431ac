// Package op is the instruction set of models: a model is a flat list of
// instructions over activations, with shapes and weight names, and no arithmetic.
// Devices execute the list; the reference executor is its definition.
//
// Activations are matrices [rows, width] of float32 (or what the device keeps
// instead); rows are the tokens of one step, of any mixture of sequences.
package op

// Kind is an operation.
type Kind uint8

// The primitive instructions. x is In[0], y is In[1], z is In[2].
const (
	Invalid Kind = iota

	// Embed: out[r] = W[0][token(r)].  W[0]: [vocab, width].
	Embed

	// RMSNorm: out = x / sqrt(mean(x²) + Eps) · W[0]. With HeadDim > 0 the mean is
	// taken over each group of HeadDim columns and W[0] has HeadDim elements.
	RMSNorm

	// Linear: out = x · W[0]ᵀ (+ W[1]).  W[0]: [out width, in width]; W[1]: bias.
	// Rows of a sequence with an adapter that has a pair A [rank, in width],
	// B [out width, rank] for W[0] get (x · Aᵀ) · Bᵀ on top; not behind Rows.
	Linear

	// Rope: rotates Heads heads of HeadDim columns by the row's position. See Rope.
	RopeOp

	// Attention: writes y (keys) and z (values), KVHeads × HeadDim columns, to the
	// cache of Layer at each row's position, then
	// out = softmax(q·kᵀ·Scale + causal mask)·v over the row's own sequence.
	// x: queries, Heads × HeadDim; query head h reads KV head h·KVHeads/Heads.
	// Window w > 0 lets position p see p-w+1..p only; 0 means full attention.
	Attention

	// Add: out = x + y.
	Add

	// GLU: out = Act(x) · y, element by element.
	GLU

	// Rows: keeps only the rows that the step wants output of.
	Rows
)

// Act is the activation function of GLU.
type Act uint8

// Activation functions.
const (
	SiLU Act = iota
)

// Value names an activation: an index into Program.Values.
type Value int32

// WeightID is an index into Program.Weights.
type WeightID int32

// ValueInfo describes an activation [rows, Width].
type ValueInfo struct {
	Name  string // "h0", "l3.q": for dumps only
	Width int
}

// WeightInfo describes a weight that the checkpoint must have.
type WeightInfo struct {
	Name  string // as in Hugging Face checkpoints
	Shape []int
}

// Rope are the parameters of rotary embeddings (arXiv:2104.09864).
// InvFreq has HeadDim/2 entries with any scaling already applied; positions are
// multiplied by them. Interleaved pairs are (2i, 2i+1), else (i, i+HeadDim/2).
type Rope struct {
	InvFreq     []float64
	Interleaved bool
	Scale       float64 // multiplies cos and sin; 1 unless a scaling method says otherwise
}

// Instr is one instruction; unused fields are zero.
type Instr struct {
	Kind    Kind
	Out     Value
	In      []Value
	W       []WeightID
	Layer   int // Attention: which cache
	Heads   int
	KVHeads int
	HeadDim int
	Window  int
	Scale   float32
	Eps     float32
	Act     Act
	Rope    *Rope
}

// Program is a model. The last instruction's output are the logits of the kept
// rows, [outputs, Vocab].
type Program struct {
	Arch       string
	Vocab      int // rows of the head
	Hidden     int
	Layers     int // attention layers, each with a cache
	KVHeads    int // of every layer
	HeadDim    int
	ContextLen int

	Values  []ValueInfo
	Weights []WeightInfo
	Instrs  []Instr
}

// KVFloats is the number of cached elements per token over all layers, keys and
// values together.
func (p *Program) KVFloats() int { return 2 * p.Layers * p.KVHeads * p.HeadDim }
