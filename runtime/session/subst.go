package session

import "go/types"

// environment gives type parameters their arguments inside one instance.
type environment map[*types.TypeParam]types.Type

// apply replaces type parameters. Types without any come back unchanged.
func (env environment) apply(t types.Type) types.Type {
	if len(env) == 0 || t == nil {
		return t
	}
	switch t := t.(type) {
	case *types.TypeParam:
		if a, ok := env[t]; ok {
			return a
		}
		return t
	case *types.Alias:
		return env.apply(types.Unalias(t))
	case *types.Named:
		return env.named(t)
	case *types.Pointer:
		return types.NewPointer(env.apply(t.Elem()))
	case *types.Slice:
		return types.NewSlice(env.apply(t.Elem()))
	case *types.Array:
		return types.NewArray(env.apply(t.Elem()), t.Len())
	case *types.Chan:
		return types.NewChan(t.Dir(), env.apply(t.Elem()))
	case *types.Map:
		return types.NewMap(env.apply(t.Key()), env.apply(t.Elem()))
	case *types.Tuple:
		return env.tuple(t)
	case *types.Signature:
		return types.NewSignatureType(nil, nil, nil, env.tuple(t.Params()), env.tuple(t.Results()), t.Variadic())
	case *types.Struct:
		return env.structType(t)
	case *types.Interface:
		return env.interfaceType(t)
	}
	return t
}

func (env environment) named(t *types.Named) types.Type {
	n := t.TypeArgs().Len()
	if n == 0 {
		return t
	}
	args := make([]types.Type, n)
	for i := range n {
		args[i] = env.apply(t.TypeArgs().At(i))
	}
	inst, err := types.Instantiate(instanceContext, t.Origin(), args, false)
	if err != nil {
		return t
	}
	return inst
}

// instanceContext makes identical instances the same type.
var instanceContext = types.NewContext()

func (env environment) tuple(t *types.Tuple) *types.Tuple {
	vars := make([]*types.Var, t.Len())
	for i := range t.Len() {
		v := t.At(i)
		vars[i] = types.NewParam(v.Pos(), v.Pkg(), v.Name(), env.apply(v.Type()))
	}
	return types.NewTuple(vars...)
}

func (env environment) structType(t *types.Struct) types.Type {
	fields := make([]*types.Var, t.NumFields())
	tags := make([]string, t.NumFields())
	for i := range t.NumFields() {
		f := t.Field(i)
		fields[i] = types.NewField(f.Pos(), f.Pkg(), f.Name(), env.apply(f.Type()), f.Embedded())
		tags[i] = t.Tag(i)
	}
	return types.NewStruct(fields, tags)
}

func (env environment) interfaceType(t *types.Interface) types.Type {
	methods := make([]*types.Func, t.NumExplicitMethods())
	for i := range methods {
		m := t.ExplicitMethod(i)
		methods[i] = types.NewFunc(m.Pos(), m.Pkg(), m.Name(), env.apply(m.Type()).(*types.Signature))
	}
	embedded := make([]types.Type, t.NumEmbeddeds())
	for i := range embedded {
		embedded[i] = env.apply(t.EmbeddedType(i))
	}
	return types.NewInterfaceType(methods, embedded).Complete()
}

// key distinguishes instances: the keys of the arguments in order.
func (tt *typeTable) argsKey(args []types.Type) string {
	key := ""
	for _, a := range args {
		key += tt.key(a) + ";"
	}
	return key
}
