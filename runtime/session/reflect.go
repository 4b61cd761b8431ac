package session

import (
	"fmt"
	htmltemplate "html/template"
	"io"
	"reflect"
	"sort"
	"strings"
	"text/template"

	"go/types"
)

// cellType is a type of a cell as the reflect package shows it to cells: kind and size
// are those of the layout, names, fields and methods those of the source.
type cellType struct {
	reflect.Type
	s *Session
	t types.Type
}

// reflectType is what reflect.TypeOf gives for a type.
func (s *Session) reflectType(t types.Type) reflect.Type {
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	key := fmt.Sprint(s.epoch.Load(), s.types.key(t))
	if c, ok := s.cellTypes.Load(key); ok {
		return c.(reflect.Type)
	}
	c := s.types.repr(t)
	if s.types.contains(t, nil) {
		if d := s.types.describedType(t); d != nil && !isInterface(pointedTo(t)) {
			c = d
		} else {
			c = &cellType{c, s, types.Unalias(t)}
		}
	}
	s.cellTypes.Store(key, c)
	return c
}

// pointedTo is what stands behind all pointers of a type.
func pointedTo(t types.Type) types.Type {
	for {
		p, ok := t.Underlying().(*types.Pointer)
		if !ok {
			return t
		}
		t = p.Elem()
	}
}

// layoutType finds the type that a layout belongs to, if the layout alone tells it.
func (s *Session) layoutType(r reflect.Type) (types.Type, bool) {
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	return s.types.byLayout(r)
}

func (tt *typeTable) byLayout(r reflect.Type) (types.Type, bool) {
	if n := tt.structs[r]; n != nil {
		return n, true
	}
	if r == nil || r.Name() != "" {
		return nil, false
	}
	switch r.Kind() {
	case reflect.Pointer:
		if t, ok := tt.byLayout(r.Elem()); ok {
			return types.NewPointer(t), true
		}
	case reflect.Slice:
		if t, ok := tt.byLayout(r.Elem()); ok {
			return types.NewSlice(t), true
		}
	case reflect.Array:
		if t, ok := tt.byLayout(r.Elem()); ok {
			return types.NewArray(t, int64(r.Len())), true
		}
	}
	return nil, false
}

// String implements reflect.Type.
func (c *cellType) String() string { return typeString(c.t) }

// Name implements reflect.Type.
func (c *cellType) Name() string {
	n, ok := c.t.(*types.Named)
	if !ok {
		return ""
	}
	return strings.TrimPrefix(typeString(n), n.Obj().Pkg().Name()+".")
}

// PkgPath implements reflect.Type.
func (c *cellType) PkgPath() string {
	if n, ok := c.t.(*types.Named); ok {
		return n.Obj().Pkg().Path()
	}
	return ""
}

// Elem implements reflect.Type.
func (c *cellType) Elem() reflect.Type {
	if e, ok := c.t.Underlying().(interface{ Elem() types.Type }); ok {
		return c.s.reflectType(e.Elem())
	}
	return c.Type.Elem()
}

// Key implements reflect.Type.
func (c *cellType) Key() reflect.Type {
	if m, ok := c.t.Underlying().(*types.Map); ok {
		return c.s.reflectType(m.Key())
	}
	return c.Type.Key()
}

// In implements reflect.Type.
func (c *cellType) In(i int) reflect.Type {
	if sig, ok := c.t.Underlying().(*types.Signature); ok {
		return c.s.reflectType(sig.Params().At(i).Type())
	}
	return c.Type.In(i)
}

// Out implements reflect.Type.
func (c *cellType) Out(i int) reflect.Type {
	if sig, ok := c.t.Underlying().(*types.Signature); ok {
		return c.s.reflectType(sig.Results().At(i).Type())
	}
	return c.Type.Out(i)
}

// NumField implements reflect.Type.
func (c *cellType) NumField() int {
	if st, ok := c.t.Underlying().(*types.Struct); ok {
		return st.NumFields()
	}
	return c.Type.NumField()
}

// Field implements reflect.Type.
func (c *cellType) Field(i int) reflect.StructField {
	st, ok := c.t.Underlying().(*types.Struct)
	if !ok || i < 0 || i >= st.NumFields() {
		return c.Type.Field(i)
	}
	f, sf := st.Field(i), c.Type.Field(i)
	sf.Name, sf.Type, sf.Tag, sf.Anonymous = f.Name(), c.s.reflectType(f.Type()), reflect.StructTag(st.Tag(i)), f.Embedded()
	if !f.Exported() {
		sf.PkgPath = f.Pkg().Path()
	}
	return sf
}

// FieldByName implements reflect.Type.
func (c *cellType) FieldByName(name string) (reflect.StructField, bool) {
	obj, path, _ := types.LookupFieldOrMethod(c.t, true, c.s.mainPkg, name)
	if v, ok := obj.(*types.Var); !ok || !v.IsField() {
		return reflect.StructField{}, false
	}
	var t reflect.Type = c
	var sf reflect.StructField
	for _, i := range path {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		sf = t.Field(i)
		t = sf.Type
	}
	sf.Index = path
	return sf, true
}

// methodNames are the exported methods in order.
func (c *cellType) methodNames() []string {
	var names []string
	set := types.NewMethodSet(c.t)
	for i := range set.Len() {
		if obj := set.At(i).Obj(); obj.Exported() {
			names = append(names, obj.Name())
		}
	}
	sort.Strings(names)
	return names
}

// NumMethod implements reflect.Type.
func (c *cellType) NumMethod() int { return len(c.methodNames()) }

// Method implements reflect.Type.
func (c *cellType) Method(i int) reflect.Method {
	names := c.methodNames()
	if i < 0 || i >= len(names) {
		panic("reflect: Method index out of range")
	}
	m, _ := c.MethodByName(names[i])
	return m
}

// MethodByName implements reflect.Type.
func (c *cellType) MethodByName(name string) (reflect.Method, bool) {
	i, found := sort.Find(c.NumMethod(), func(i int) int { return strings.Compare(name, c.methodNames()[i]) })
	if !found {
		return reflect.Method{}, false
	}
	out := reflect.Method{Name: name, Index: i}
	if isInterface(c.t) {
		obj, _, _ := types.LookupFieldOrMethod(c.t, false, c.s.mainPkg, name)
		out.Type = c.s.reflectType(obj.Type())
		return out, true
	}
	b := c.s.typeOf(c.t).method(name)
	out.Type = c.s.reflectType(withReceiver(c.t, b.sig))
	sig := c.s.signatureOf(b.sig)
	in := []reflect.Type{c.Type}
	for i := range sig.NumIn() {
		in = append(in, sig.In(i))
	}
	var results []reflect.Type
	for i := range sig.NumOut() {
		results = append(results, sig.Out(i))
	}
	out.Func = reflect.MakeFunc(reflect.FuncOf(in, results, sig.IsVariadic()), func(args []reflect.Value) []reflect.Value {
		return fitAll(b.invoke(args[0], args[1:]), sig)
	})
	return out, true
}

func withReceiver(recv types.Type, sig *types.Signature) *types.Signature {
	params := []*types.Var{types.NewParam(0, nil, "", recv)}
	for i := range sig.Params().Len() {
		params = append(params, sig.Params().At(i))
	}
	return types.NewSignatureType(nil, nil, nil, types.NewTuple(params...), sig.Results(), sig.Variadic())
}

// Implements implements reflect.Type.
func (c *cellType) Implements(u reflect.Type) bool {
	if u, ok := u.(*cellType); ok {
		iface, ok := u.t.Underlying().(*types.Interface)
		if !ok {
			panic("reflect: non-interface type passed to Type.Implements")
		}
		return types.Implements(c.t, iface)
	}
	if u.Kind() != reflect.Interface {
		panic("reflect: non-interface type passed to Type.Implements")
	}
	for i := range u.NumMethod() {
		m := u.Method(i)
		obj, _, _ := types.LookupFieldOrMethod(c.t, false, c.s.mainPkg, m.Name)
		fn, ok := obj.(*types.Func)
		if !ok || c.s.signatureOf(fn.Signature()) != m.Type {
			return false
		}
	}
	return true
}

// AssignableTo implements reflect.Type.
func (c *cellType) AssignableTo(u reflect.Type) bool {
	if o, ok := u.(*cellType); ok {
		return types.AssignableTo(c.t, o.t)
	}
	if u.Kind() == reflect.Interface {
		return c.Implements(u)
	}
	_, named := c.t.(*types.Named)
	return !named && c.Type == u
}

// ConvertibleTo implements reflect.Type.
func (c *cellType) ConvertibleTo(u reflect.Type) bool {
	if o, ok := u.(*cellType); ok {
		return types.ConvertibleTo(c.t, o.t)
	}
	return u.Kind() == reflect.Interface && c.Implements(u) || u.Kind() != reflect.Interface && c.Type.ConvertibleTo(u)
}

// Comparable implements reflect.Type.
func (c *cellType) Comparable() bool { return types.Comparable(c.t) }

// layoutOf is the compiled type behind a type that reflection showed.
func layoutOf(t reflect.Type) reflect.Type {
	if c, ok := t.(*cellType); ok {
		return c.Type
	}
	return t
}

func (s *Session) dynamicReflectType(x any) reflect.Type {
	if b, ok := asBox(x); ok {
		return s.reflectType(b.t.typ)
	}
	switch x := unwrap(x).(type) {
	case nil:
		return nil
	case stream, keyboard:
		return osFileType
	default:
		if t, ok := s.layoutType(reflect.TypeOf(x)); ok {
			return s.reflectType(t)
		}
		return reflect.TypeOf(x)
	}
}

func (s *Session) deepEqual(x, y any) bool {
	a, isBox := asBox(x)
	b, isBox2 := asBox(y)
	if isBox || isBox2 {
		return isBox && isBox2 && a.t == b.t && reflect.DeepEqual(a.v, b.v)
	}
	return reflect.DeepEqual(x, y)
}

// reflection replaces what reflect would tell about layouts.
func (s *Session) reflection() {
	f := reflect.ValueOf
	for name, fn := range map[string]any{
		"TypeOf":          s.dynamicReflectType,
		"DeepEqual":       s.deepEqual,
		"New":             func(t reflect.Type) reflect.Value { return reflect.New(layoutOf(t)) },
		"Zero":            func(t reflect.Type) reflect.Value { return reflect.Zero(layoutOf(t)) },
		"MakeSlice":       func(t reflect.Type, n, c int) reflect.Value { return reflect.MakeSlice(layoutOf(t), n, c) },
		"MakeMap":         func(t reflect.Type) reflect.Value { return reflect.MakeMap(layoutOf(t)) },
		"MakeMapWithSize": func(t reflect.Type, n int) reflect.Value { return reflect.MakeMapWithSize(layoutOf(t), n) },
		"MakeChan":        func(t reflect.Type, n int) reflect.Value { return reflect.MakeChan(layoutOf(t), n) },
		"MakeFunc": func(t reflect.Type, fn func([]reflect.Value) []reflect.Value) reflect.Value {
			return reflect.MakeFunc(layoutOf(t), fn)
		},
		"PointerTo": func(t reflect.Type) reflect.Type {
			if c, ok := t.(*cellType); ok {
				return s.reflectType(types.NewPointer(c.t))
			}
			return reflect.PointerTo(t)
		},
		"SliceOf": func(t reflect.Type) reflect.Type {
			if c, ok := t.(*cellType); ok {
				return s.reflectType(types.NewSlice(c.t))
			}
			return reflect.SliceOf(t)
		},
	} {
		s.overrides["reflect."+name] = f(fn)
	}
	for name, fn := range map[string]any{
		"Type":         s.valueType,
		"Interface":    s.valueInterface,
		"Field":        s.valueField,
		"NumField":     func(v reflect.Value) int { return s.valueType(v).NumField() },
		"FieldByName":  s.valueFieldByName,
		"NumMethod":    func(v reflect.Value) int { return s.valueType(v).NumMethod() },
		"MethodByName": s.valueMethod,
		"Method": func(v reflect.Value, i int) reflect.Value {
			if c, ok := s.valueType(v).(*cellType); ok {
				return s.valueMethod(v, c.Method(i).Name)
			}
			return v.Method(i)
		},
	} {
		s.blocking["(reflect.Value)."+name] = f(fn)
	}
	s.blocking["(reflect.Type).Implements"] = f(func(t, u reflect.Type) bool {
		if iface := cellInterface(u); iface != nil {
			return s.implements(t, iface)
		}
		return t.Implements(u)
	})
	s.blocking["(reflect.Type).AssignableTo"] = f(func(t, u reflect.Type) bool {
		if iface := cellInterface(u); iface != nil {
			return s.implements(t, iface)
		}
		return t.AssignableTo(u)
	})
	s.blocking["(reflect.Type).ConvertibleTo"] = f(func(t, u reflect.Type) bool {
		if iface := cellInterface(u); iface != nil {
			return s.implements(t, iface)
		}
		return t.ConvertibleTo(u)
	})
}

// cellInterface is the interface of a cell that a type of reflection is; nil if it is none.
func cellInterface(u reflect.Type) *types.Interface {
	c, ok := u.(*cellType)
	if !ok {
		return nil
	}
	iface, _ := c.t.Underlying().(*types.Interface)
	return iface
}

// implements reports whether a type has the methods of a cell's interface.
func (s *Session) implements(t reflect.Type, iface *types.Interface) bool {
	if c, ok := t.(*cellType); ok {
		return types.Implements(c.t, iface)
	}
	if own := s.cellTypeOf(t); own != nil {
		return types.Implements(own, iface)
	}
	for i := range iface.NumMethods() {
		m := iface.Method(i)
		hm, ok := t.MethodByName(m.Name())
		if !ok || !m.Exported() {
			return false
		}
		want, skip := s.signatureOf(m.Signature()), 1
		if t.Kind() == reflect.Interface {
			skip = 0
		}
		if !sameSignature(hm.Type, want, skip) {
			return false
		}
	}
	return true
}

// sameSignature compares a method's type, whose first parameters are left out.
func sameSignature(m, want reflect.Type, skip int) bool {
	if m.NumIn()-skip != want.NumIn() || m.NumOut() != want.NumOut() || m.IsVariadic() != want.IsVariadic() {
		return false
	}
	for i := range want.NumIn() {
		if m.In(i+skip) != want.In(i) {
			return false
		}
	}
	for i := range want.NumOut() {
		if m.Out(i) != want.Out(i) {
			return false
		}
	}
	return true
}

// cellTypeOf is the type of a cell, or one made of such, that compiled code sees as r;
// nil if r is none. Those that cells make by reflection are described from then on.
func (s *Session) cellTypeOf(r reflect.Type) types.Type {
	if t := describedCell(r); t != nil {
		return t
	}
	if r.Name() != "" {
		return nil
	}
	t := s.adopted(r)
	if t == nil {
		return nil
	}
	s.typeOf(t).description()
	return t
}

// adopted makes a type of the checker from one that reflection made of described types.
func (s *Session) adopted(r reflect.Type) types.Type {
	own := false
	part := func(r reflect.Type) types.Type {
		if t := s.cellTypeOf(r); t != nil {
			own = true
			return t
		}
		return s.foreign.typ(r)
	}
	var t types.Type
	switch r.Kind() {
	case reflect.Pointer:
		t = types.NewPointer(part(r.Elem()))
	case reflect.Slice:
		t = types.NewSlice(part(r.Elem()))
	case reflect.Array:
		t = types.NewArray(part(r.Elem()), int64(r.Len()))
	case reflect.Map:
		t = types.NewMap(part(r.Key()), part(r.Elem()))
	case reflect.Chan:
		dir := map[reflect.ChanDir]types.ChanDir{reflect.BothDir: types.SendRecv, reflect.SendDir: types.SendOnly, reflect.RecvDir: types.RecvOnly}
		t = types.NewChan(dir[r.ChanDir()], part(r.Elem()))
	case reflect.Func:
		var params, results []*types.Var
		for i := range r.NumIn() {
			params = append(params, types.NewParam(0, nil, "", part(r.In(i))))
		}
		for i := range r.NumOut() {
			results = append(results, types.NewParam(0, nil, "", part(r.Out(i))))
		}
		t = types.NewSignatureType(nil, nil, nil, types.NewTuple(params...), types.NewTuple(results...), r.IsVariadic())
	}
	if !own {
		return nil
	}
	return t
}

func (s *Session) valueType(v reflect.Value) reflect.Type {
	r := v.Type()
	if t := describedCell(r); t != nil {
		return s.reflectType(t)
	}
	if t, ok := s.layoutType(r); ok {
		return s.reflectType(t)
	}
	return r
}

func (s *Session) valueInterface(v reflect.Value) any {
	if v.CanInterface() {
		if t, ok := s.layoutType(v.Type()); ok {
			if rt := s.typeOf(t); rt.boxes {
				return box(rt, v)
			}
		}
		s.cellTypeOf(v.Type())
	}
	return v.Interface()
}

// valueField closes unexported fields, which a layout spells with a capital letter.
func (s *Session) valueField(v reflect.Value, i int) reflect.Value {
	t, ok := s.layoutType(v.Type())
	if !ok {
		return v.Field(i)
	}
	st, ok := t.Underlying().(*types.Struct)
	if !ok || i < 0 || i >= st.NumFields() {
		return v.Field(i)
	}
	field := v.Field(i)
	if st.Field(i).Exported() {
		return field
	}
	around := reflect.StructOf([]reflect.StructField{{Name: "x", PkgPath: "main", Type: field.Type()}})
	if field.CanAddr() {
		return reflect.NewAt(around, field.Addr().UnsafePointer()).Elem().Field(0)
	}
	p := reflect.New(around)
	reflect.NewAt(field.Type(), p.UnsafePointer()).Elem().Set(field)
	return p.Elem().Field(0)
}

func (s *Session) valueFieldByName(v reflect.Value, name string) reflect.Value {
	c, ok := s.valueType(v).(*cellType)
	if !ok {
		return v.FieldByName(name)
	}
	sf, ok := c.FieldByName(name)
	if !ok {
		return reflect.Value{}
	}
	for _, i := range sf.Index {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		v = s.valueField(v, i)
	}
	return v
}

func (s *Session) valueMethod(v reflect.Value, name string) reflect.Value {
	c, ok := s.valueType(v).(*cellType)
	if !ok || isInterface(c.t) {
		return v.MethodByName(name)
	}
	m := s.typeOf(c.t).method(name)
	if m == nil || !m.fn.Exported() {
		return reflect.Value{}
	}
	sig := s.signatureOf(m.sig)
	return reflect.MakeFunc(sig, func(args []reflect.Value) []reflect.Value { return fitAll(m.invoke(v, args), sig) })
}

// templates passes data of cells to templates by its layout. A template does not see
// the methods there: where it would print by one, that is an error.
func (s *Session) templates() {
	f := reflect.ValueOf
	text := func(t *template.Template) string {
		var b strings.Builder
		for _, t := range append(t.Templates(), t) {
			if t.Tree != nil && t.Root != nil {
				b.WriteString(t.Root.String())
			}
		}
		return b.String()
	}
	html := func(t *htmltemplate.Template) string {
		var b strings.Builder
		for _, t := range append(t.Templates(), t) {
			if t.Tree != nil && t.Tree.Root != nil {
				b.WriteString(t.Tree.Root.String())
			}
		}
		return b.String()
	}
	s.blocking["(*text/template.Template).Execute"] = f(func(t *template.Template, w io.Writer, x any) error {
		return s.fill(text(t), x, func(x any) error { return t.Execute(w, x) })
	})
	s.blocking["(*text/template.Template).ExecuteTemplate"] = f(func(t *template.Template, w io.Writer, name string, x any) error {
		return s.fill(text(t), x, func(x any) error { return t.ExecuteTemplate(w, name, x) })
	})
	s.blocking["(*html/template.Template).Execute"] = f(func(t *htmltemplate.Template, w io.Writer, x any) error {
		return s.fill(html(t), x, func(x any) error { return t.Execute(w, x) })
	})
	s.blocking["(*html/template.Template).ExecuteTemplate"] = f(func(t *htmltemplate.Template, w io.Writer, name string, x any) error {
		return s.fill(html(t), x, func(x any) error { return t.ExecuteTemplate(w, name, x) })
	})
}

func (s *Session) fill(text string, x any, execute func(any) error) error {
	if _, ok := undescribed(x); ok {
		return execute(x)
	}
	plain, err := s.templateData(text, x)
	if err != nil {
		return err
	}
	err = execute(plain)
	if err == nil || !strings.Contains(err.Error(), "godwit_type") {
		return err
	}
	return fmt.Errorf("%s (a template does not see methods of types declared in cells: put what they return into fields)", s.nameLayouts(err.Error()))
}

// templateData takes the values of cells out of their boxes.
func (s *Session) templateData(text string, x any) (any, error) {
	if _, ok := undescribed(x); ok {
		return x, nil
	}
	if b, ok := asBox(x); ok {
		return b.v, s.printsByMethod(text, b.t.typ, "", map[types.Type]bool{})
	}
	switch x := x.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, v := range x {
			plain, err := s.templateData(text, v)
			if err != nil {
				return nil, err
			}
			out[k] = plain
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i, v := range x {
			plain, err := s.templateData(text, v)
			if err != nil {
				return nil, err
			}
			out[i] = plain
		}
		return out, nil
	}
	return x, nil
}

// printsByMethod refuses a template that mentions a field whose type prints by a
// method of a cell. The data itself counts when the template names it: {{.}}.
func (s *Session) printsByMethod(text string, t types.Type, field string, seen map[types.Type]bool) error {
	t = types.Unalias(t)
	if seen[t] || !s.mentionsCell(t) || isInterface(t) {
		return nil
	}
	seen[t] = true
	named := field != "" && strings.Contains(text, "."+field) || field == "" && strings.Contains(text, "{{.}}")
	if n, ok := t.(*types.Named); ok && named && !s.types.hostNamed(n) {
		for _, m := range []string{"String", "Error", "Format"} {
			if s.typeOf(types.NewPointer(n)).method(m) != nil {
				return fmt.Errorf("template: the method %s of %s is out of a template's reach: pass its text instead", m, typeString(n))
			}
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		return s.printsByMethod(text, u.Elem(), field, seen)
	case *types.Slice:
		return s.printsByMethod(text, u.Elem(), field, seen)
	case *types.Array:
		return s.printsByMethod(text, u.Elem(), field, seen)
	case *types.Map:
		return s.printsByMethod(text, u.Elem(), field, seen)
	case *types.Struct:
		for i := range u.NumFields() {
			if err := s.printsByMethod(text, u.Field(i).Type(), u.Field(i).Name(), seen); err != nil {
				return err
			}
		}
	}
	return nil
}
