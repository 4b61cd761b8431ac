package session

import (
	"fmt"
	"go/types"
	"sort"
	"strings"
)

// typeString writes a type as the reflect package and %T do.
func typeString(t types.Type) string {
	var b strings.Builder
	writeType(&b, t, shortQualifier)
	return b.String()
}

func writeType(b *strings.Builder, t types.Type, qualify types.Qualifier) {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		if t.Kind() == types.UnsafePointer {
			b.WriteString("unsafe.Pointer")
			return
		}
		b.WriteString(basicName(t))
	case *types.Named:
		writeNamed(b, t, qualify)
	case *types.Pointer:
		b.WriteByte('*')
		writeType(b, t.Elem(), qualify)
	case *types.Slice:
		b.WriteString("[]")
		writeType(b, t.Elem(), qualify)
	case *types.Array:
		fmt.Fprintf(b, "[%d]", t.Len())
		writeType(b, t.Elem(), qualify)
	case *types.Map:
		b.WriteString("map[")
		writeType(b, t.Key(), qualify)
		b.WriteByte(']')
		writeType(b, t.Elem(), qualify)
	case *types.Chan:
		writeChan(b, t, qualify)
	case *types.Signature:
		b.WriteString("func")
		writeSignature(b, t, qualify)
	case *types.Struct:
		writeStruct(b, t, qualify)
	case *types.Interface:
		writeInterface(b, t, qualify)
	default:
		b.WriteString(types.TypeString(t, qualify))
	}
}

// writeNamed writes type arguments with the whole import paths of their packages.
func writeNamed(b *strings.Builder, t *types.Named, qualify types.Qualifier) {
	if pkg := t.Obj().Pkg(); pkg != nil {
		b.WriteString(qualify(pkg) + ".")
	}
	b.WriteString(t.Obj().Name())
	for i := range t.TypeArgs().Len() {
		b.WriteByte("[,"[min(i, 1)])
		writeType(b, t.TypeArgs().At(i), (*types.Package).Path)
	}
	if t.TypeArgs().Len() > 0 {
		b.WriteByte(']')
	}
}

func writeChan(b *strings.Builder, t *types.Chan, qualify types.Qualifier) {
	b.WriteString(map[types.ChanDir]string{types.SendRecv: "chan ", types.SendOnly: "chan<- ", types.RecvOnly: "<-chan "}[t.Dir()])
	if c, ok := types.Unalias(t.Elem()).(*types.Chan); ok && c.Dir() == types.RecvOnly {
		b.WriteByte('(')
		defer b.WriteByte(')')
	}
	writeType(b, t.Elem(), qualify)
}

func writeSignature(b *strings.Builder, t *types.Signature, qualify types.Qualifier) {
	b.WriteByte('(')
	for i := range t.Params().Len() {
		if i > 0 {
			b.WriteString(", ")
		}
		p := t.Params().At(i).Type()
		if s, ok := p.(*types.Slice); ok && t.Variadic() && i == t.Params().Len()-1 {
			b.WriteString("...")
			p = s.Elem()
		}
		writeType(b, p, qualify)
	}
	b.WriteByte(')')
	n := t.Results().Len()
	if n == 0 {
		return
	}
	b.WriteByte(' ')
	if n > 1 {
		b.WriteByte('(')
		defer b.WriteByte(')')
	}
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		writeType(b, t.Results().At(i).Type(), qualify)
	}
}

func writeStruct(b *strings.Builder, t *types.Struct, qualify types.Qualifier) {
	b.WriteString("struct {")
	for i := range t.NumFields() {
		b.WriteString("; "[min(i, 1)^1:])
		f := t.Field(i)
		if !f.Embedded() {
			b.WriteString(f.Name() + " ")
		}
		writeType(b, f.Type(), qualify)
		if tag := t.Tag(i); tag != "" {
			fmt.Fprintf(b, " %q", tag)
		}
	}
	if t.NumFields() > 0 {
		b.WriteByte(' ')
	}
	b.WriteByte('}')
}

func writeInterface(b *strings.Builder, t *types.Interface, qualify types.Qualifier) {
	var methods []string
	for i := range t.NumMethods() {
		m := t.Method(i)
		var text strings.Builder
		if !m.Exported() && m.Pkg() != nil {
			text.WriteString(qualify(m.Pkg()) + ".")
		}
		text.WriteString(m.Name())
		writeSignature(&text, m.Signature(), qualify)
		methods = append(methods, text.String())
	}
	if len(methods) == 0 {
		b.WriteString("interface {}")
		return
	}
	sort.Strings(methods)
	b.WriteString("interface { " + strings.Join(methods, "; ") + " }")
}
