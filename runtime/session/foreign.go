package session

import (
	"fmt"
	"go/constant"
	"go/token"
	"go/types"
	"path"
	"reflect"
	"sort"
	"strings"

	"github.com/godwit-ai/godwit/runtime/symbols"
)

// foreign turns the symbol tables of Options.Exports into packages for the
// checker: their types are read off the reflect values.
type foreign struct {
	tables map[string]*foreignTable // import path
	pkgs   map[string]*types.Package
	named_ map[reflect.Type]types.Type
	back   map[*types.TypeName]reflect.Type
}

type foreignTable struct {
	name    string
	symbols map[string]reflect.Value
	filled  bool
}

func newForeign(exports []map[string]map[string]reflect.Value) *foreign {
	f := &foreign{
		tables: map[string]*foreignTable{}, pkgs: map[string]*types.Package{},
		named_: map[reflect.Type]types.Type{}, back: map[*types.TypeName]reflect.Type{},
	}
	for _, group := range exports {
		for key, syms := range group {
			ipath, name := path.Dir(key), path.Base(key)
			if ipath == "." {
				ipath = key
			}
			t := f.tables[ipath]
			if t == nil {
				t = &foreignTable{name: name, symbols: map[string]reflect.Value{}}
				f.tables[ipath] = t
			}
			for n, v := range syms {
				t.symbols[n] = v
			}
		}
	}
	return f
}

// load returns the package of a path out of the exports, nil if there is none.
func (f *foreign) load(ipath string) *types.Package {
	t := f.tables[ipath]
	if t == nil {
		return nil
	}
	pkg := f.pkg(ipath)
	if t.filled {
		return pkg
	}
	t.filled = true
	names := make([]string, 0, len(t.symbols))
	for n := range t.symbols {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if obj := f.object(pkg, n, t.symbols[n]); obj != nil && pkg.Scope().Lookup(n) == nil {
			pkg.Scope().Insert(obj)
		}
	}
	return pkg
}

func (f *foreign) pkg(ipath string) *types.Package {
	if p := f.pkgs[ipath]; p != nil {
		return p
	}
	name := path.Base(ipath)
	if t := f.tables[ipath]; t != nil {
		name = t.name
	}
	p := types.NewPackage(ipath, name)
	p.MarkComplete()
	f.pkgs[ipath] = p
	return p
}

func (f *foreign) object(pkg *types.Package, name string, v reflect.Value) types.Object {
	if strings.HasPrefix(name, "_") {
		return nil
	}
	if c, ok := constantOf(v); ok {
		return types.NewConst(token.NoPos, pkg, name, constType(c), c)
	}
	switch {
	case isTypeSymbol(v):
		t := f.typ(v.Type().Elem())
		if n, ok := types.Unalias(t).(*types.Named); ok && n.Obj().Pkg() == pkg && n.Obj().Name() == name {
			return n.Obj()
		}
		return types.NewTypeName(token.NoPos, pkg, name, t)
	case v.Kind() == reflect.Func && !v.CanAddr():
		sig, ok := f.typ(v.Type()).(*types.Signature)
		if !ok {
			return types.NewVar(token.NoPos, pkg, name, f.typ(v.Type()))
		}
		return types.NewFunc(token.NoPos, pkg, name, sig)
	case v.CanAddr():
		return types.NewVar(token.NoPos, pkg, name, f.typ(v.Type()))
	}
	if c := plainConstant(v); c != nil {
		return types.NewConst(token.NoPos, pkg, name, f.typ(v.Type()), c)
	}
	return types.NewVar(token.NoPos, pkg, name, f.typ(v.Type()))
}

// isTypeSymbol reports whether a symbol stands for a type: a nil pointer.
func isTypeSymbol(v reflect.Value) bool {
	return v.Kind() == reflect.Pointer && v.IsNil() && !v.CanAddr()
}

func constantOf(v reflect.Value) (constant.Value, bool) {
	if !v.IsValid() || !v.CanInterface() {
		return nil, false
	}
	c, ok := v.Interface().(constant.Value)
	return c, ok
}

func constType(c constant.Value) types.Type {
	switch c.Kind() {
	case constant.Bool:
		return types.Typ[types.UntypedBool]
	case constant.String:
		return types.Typ[types.UntypedString]
	case constant.Int:
		return types.Typ[types.UntypedInt]
	case constant.Float:
		return types.Typ[types.UntypedFloat]
	}
	return types.Typ[types.UntypedComplex]
}

func plainConstant(v reflect.Value) constant.Value {
	switch v.Kind() {
	case reflect.Bool:
		return constant.MakeBool(v.Bool())
	case reflect.String:
		return constant.MakeString(v.String())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return constant.MakeInt64(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return constant.MakeUint64(v.Uint())
	case reflect.Float32, reflect.Float64:
		return constant.MakeFloat64(v.Float())
	}
	return nil
}

var basicKinds = map[reflect.Kind]types.BasicKind{
	reflect.Bool: types.Bool, reflect.String: types.String, reflect.Int: types.Int, reflect.Int8: types.Int8,
	reflect.Int16: types.Int16, reflect.Int32: types.Int32, reflect.Int64: types.Int64, reflect.Uint: types.Uint,
	reflect.Uint8: types.Uint8, reflect.Uint16: types.Uint16, reflect.Uint32: types.Uint32, reflect.Uint64: types.Uint64,
	reflect.Uintptr: types.Uintptr, reflect.Float32: types.Float32, reflect.Float64: types.Float64,
	reflect.Complex64: types.Complex64, reflect.Complex128: types.Complex128, reflect.UnsafePointer: types.UnsafePointer,
}

// typ converts a reflect type. Named types of the standard library are those of
// its export data; other named types get their exported methods and, for structs,
// their exported fields.
func (f *foreign) typ(t reflect.Type) types.Type {
	if t.Name() != "" && t.PkgPath() == "" {
		if k, ok := basicKinds[t.Kind()]; ok {
			return types.Typ[k]
		}
		return types.Universe.Lookup(t.Name()).Type() // error
	}
	if t.Name() != "" {
		return f.namedType(t)
	}
	return f.underlying(t)
}

func (f *foreign) namedType(t reflect.Type) types.Type {
	if n := f.named_[t]; n != nil {
		return n
	}
	if !strings.Contains(t.Name(), "[") && symbols.Has(t.PkgPath()) && f.tables[t.PkgPath()] == nil {
		if pkg, err := importStd(t.PkgPath()); err == nil {
			if tn, ok := pkg.Scope().Lookup(t.Name()).(*types.TypeName); ok {
				f.named_[t] = tn.Type()
				return tn.Type()
			}
		}
	}
	pkg := f.pkg(t.PkgPath())
	name := t.Name()
	if strings.Contains(name, "[") || pkg.Scope().Lookup(name) != nil {
		name = fmt.Sprintf("%s_%d", strings.NewReplacer("[", "_", "]", "", "/", "_", ".", "_", "*", "ptr_", ",", "_", " ", "").Replace(name), len(f.named_))
	}
	tn := types.NewTypeName(token.NoPos, pkg, name, nil)
	n := types.NewNamed(tn, nil, nil)
	pkg.Scope().Insert(tn)
	f.named_[t] = n
	f.back[tn] = t
	n.SetUnderlying(f.underlying(t))
	if t.Kind() != reflect.Interface {
		f.addMethods(n, pkg, t)
	}
	return n
}

func (f *foreign) addMethods(n *types.Named, pkg *types.Package, t reflect.Type) {
	ptr := reflect.PointerTo(t)
	for i := range ptr.NumMethod() {
		m := ptr.Method(i)
		if !m.IsExported() || f.promoted(t, m.Name) {
			continue
		}
		recv := types.NewVar(token.NoPos, pkg, "", types.NewPointer(n))
		if _, ok := t.MethodByName(m.Name); ok {
			recv = types.NewVar(token.NoPos, pkg, "", n)
		}
		sig := f.signature(m.Type, 1)
		n.AddMethod(types.NewFunc(token.NoPos, pkg, m.Name, types.NewSignatureType(recv, nil, nil, sig.Params(), sig.Results(), sig.Variadic())))
	}
}

// promoted reports whether a method comes from an embedded exported field; the
// checker then finds it there. Methods of unexported embedded fields are given to
// the outer type itself.
func (f *foreign) promoted(t reflect.Type, name string) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		fd := t.Field(i)
		if !fd.Anonymous || !fd.IsExported() {
			continue
		}
		ft := fd.Type
		if ft.Kind() != reflect.Pointer && ft.Kind() != reflect.Interface {
			ft = reflect.PointerTo(ft)
		}
		if _, ok := ft.MethodByName(name); ok {
			return false
		}
	}
	return false
}

func (f *foreign) signature(t reflect.Type, skip int) *types.Signature {
	var params, results []*types.Var
	for i := skip; i < t.NumIn(); i++ {
		params = append(params, types.NewParam(token.NoPos, nil, "", f.typ(t.In(i))))
	}
	for i := range t.NumOut() {
		results = append(results, types.NewParam(token.NoPos, nil, "", f.typ(t.Out(i))))
	}
	return types.NewSignatureType(nil, nil, nil, types.NewTuple(params...), types.NewTuple(results...), t.IsVariadic())
}

func (f *foreign) underlying(t reflect.Type) types.Type {
	switch t.Kind() {
	case reflect.Pointer:
		return types.NewPointer(f.typ(t.Elem()))
	case reflect.Slice:
		return types.NewSlice(f.typ(t.Elem()))
	case reflect.Array:
		return types.NewArray(f.typ(t.Elem()), int64(t.Len()))
	case reflect.Map:
		return types.NewMap(f.typ(t.Key()), f.typ(t.Elem()))
	case reflect.Chan:
		dir := map[reflect.ChanDir]types.ChanDir{reflect.BothDir: types.SendRecv, reflect.SendDir: types.SendOnly, reflect.RecvDir: types.RecvOnly}
		return types.NewChan(dir[t.ChanDir()], f.typ(t.Elem()))
	case reflect.Func:
		return f.signature(t, 0)
	case reflect.Interface:
		return f.interfaceType(t)
	case reflect.Struct:
		return f.structType(t)
	}
	return types.Typ[basicKinds[t.Kind()]]
}

func (f *foreign) interfaceType(t reflect.Type) types.Type {
	var methods []*types.Func
	for i := range t.NumMethod() {
		m := t.Method(i)
		if m.PkgPath != "" {
			methods = append(methods, types.NewFunc(token.NoPos, f.pkg(m.PkgPath), m.Name, f.signature(m.Type, 0)))
			continue
		}
		methods = append(methods, types.NewFunc(token.NoPos, nil, m.Name, f.signature(m.Type, 0)))
	}
	return types.NewInterfaceType(methods, nil).Complete()
}

func (f *foreign) structType(t reflect.Type) types.Type {
	var fields []*types.Var
	var tags []string
	for i := range t.NumField() {
		fd := t.Field(i)
		var pkg *types.Package
		if p := t.PkgPath(); p != "" {
			pkg = f.pkg(p)
		}
		if fd.PkgPath != "" {
			// Unexported fields keep their place but not their type, which may be out of reach.
			if fd.Name == "_" || !comparableHost(fd.Type) {
				fields = append(fields, types.NewField(token.NoPos, f.pkg(fd.PkgPath), fmt.Sprintf("hidden_%d", i), types.NewSlice(types.Typ[types.Byte]), false))
			} else {
				fields = append(fields, types.NewField(token.NoPos, f.pkg(fd.PkgPath), fmt.Sprintf("hidden_%d", i), types.Typ[types.UnsafePointer], false))
			}
			tags = append(tags, "")
			continue
		}
		fields = append(fields, types.NewField(token.NoPos, pkg, fd.Name, f.typ(fd.Type), fd.Anonymous))
		tags = append(tags, string(fd.Tag))
	}
	return types.NewStruct(fields, tags)
}

func comparableHost(t reflect.Type) bool { return t.Comparable() }
