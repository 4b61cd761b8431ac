package op

import (
	"fmt"
	"strings"
)

var kindNames = [...]string{
	Invalid: "Invalid", Embed: "Embed", RMSNorm: "RMSNorm", Linear: "Linear", RopeOp: "Rope",
	Attention: "Attention", Add: "Add", GLU: "GLU", Rows: "Rows",
}

// String returns the name of the operation.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// String returns the name of the activation function.
func (a Act) String() string {
	if a == SiLU {
		return "SiLU"
	}
	return fmt.Sprintf("Act(%d)", uint8(a))
}

// String dumps the program as text: a header, the rope tables, one line per
// instruction. The text is stable, so that it can be a golden file, and works for
// programs that Check refuses too.
func (p *Program) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "program %s: vocab %d, hidden %d, layers %d, KV heads %d × %d, context %d\n",
		p.Arch, p.Vocab, p.Hidden, p.Layers, p.KVHeads, p.HeadDim, p.ContextLen)
	ropes := map[*Rope]int{}
	for i := range p.Instrs {
		r := p.Instrs[i].Rope
		if _, seen := ropes[r]; r == nil || seen {
			continue
		}
		ropes[r] = len(ropes)
		fmt.Fprintf(&s, "rope%d: scale %.6g, interleaved %v, inv_freq", ropes[r], r.Scale, r.Interleaved)
		for _, f := range r.InvFreq {
			fmt.Fprintf(&s, " %.6g", f)
		}
		s.WriteByte('\n')
	}
	for i := range p.Instrs {
		p.dump(&s, &p.Instrs[i], ropes)
	}
	return s.String()
}

// dump writes one instruction: result [width] = Kind(operands; weights; attributes).
func (p *Program) dump(s *strings.Builder, in *Instr, ropes map[*Rope]int) {
	width := 0
	if in.Out >= 0 && int(in.Out) < len(p.Values) {
		width = p.Values[in.Out].Width
	}
	fmt.Fprintf(s, "%s [%d] = %s(", p.valueName(in.Out), width, in.Kind)
	var args []string
	for _, x := range in.In {
		args = append(args, p.valueName(x))
	}
	for _, w := range in.W {
		args = append(args, p.weightName(w))
	}
	s.WriteString(strings.Join(append(args, in.attributes(ropes)...), ", "))
	s.WriteString(")\n")
}

func (in *Instr) attributes(ropes map[*Rope]int) []string {
	var a []string
	add := func(format string, args ...any) { a = append(a, fmt.Sprintf(format, args...)) }
	switch in.Kind {
	case RMSNorm:
		add("eps=%g", in.Eps)
		if in.HeadDim != 0 {
			add("head=%d", in.HeadDim)
		}
	case RopeOp:
		add("heads=%d×%d", in.Heads, in.HeadDim)
		if in.Rope != nil {
			add("rope%d", ropes[in.Rope])
		}
	case Attention:
		add("layer=%d", in.Layer)
		add("heads=%d/%d×%d", in.Heads, in.KVHeads, in.HeadDim)
		add("scale=%g", in.Scale)
		if in.Window != 0 {
			add("window=%d", in.Window)
		}
	case GLU:
		add("%s", in.Act)
	}
	return a
}

func (p *Program) valueName(v Value) string {
	if v < 0 || int(v) >= len(p.Values) {
		return fmt.Sprintf("value(%d)", v)
	}
	return p.Values[v].Name
}

func (p *Program) weightName(w WeightID) string {
	if w < 0 || int(w) >= len(p.Weights) {
		return fmt.Sprintf("weight(%d)", w)
	}
	return fmt.Sprintf("%s %v", p.Weights[w].Name, p.Weights[w].Shape)
}
