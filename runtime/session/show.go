package session

import (
	"fmt"
	"reflect"
	"strings"
)

// result renders what the cell's last expression gave: its value, or the only one that
// is not nil, as the front end shows it; everything else as text.
func (s *Session) result(r *run) Result {
	r.mu.Lock()
	values := r.values
	r.mu.Unlock()
	var some []any
	for _, v := range values {
		if v != nil && !nilValue(v) {
			some = append(some, v)
		}
	}
	if len(some) == 0 {
		return Result{}
	}
	if len(some) == 1 && s.opts.Render != nil {
		if b, ok := s.opts.Render(unwrap(some[0])); ok {
			return Result{HasValue: true, Bundle: b}
		}
	}
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = safeText(func() string { return fmt.Sprint(v) })
	}
	return Result{HasValue: true, Bundle: Bundle{Data: map[string]any{"text/plain": strings.Join(parts, " ")}}}
}

func nilValue(v any) bool {
	if b, ok := asBox(v); ok {
		v = b.v
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return r.IsNil()
	}
	return false
}

// CallMethod calls a method of a value that has no parameters and one result, also one
// that cells declared. ok is false if the value has no such method. A panic of the
// method is the caller's.
func CallMethod(v any, name string) (result any, ok bool) {
	if v == nil {
		return nil, false
	}
	if b, isBox := asBox(v); isBox {
		m := b.t.method(name)
		if m == nil || m.sig.Params().Len() != 0 || m.sig.Results().Len() != 1 {
			return nil, false
		}
		return m.invoke(reflect.ValueOf(b.v), nil)[0].Interface(), true
	}
	m := reflect.ValueOf(unwrap(v)).MethodByName(name)
	if !m.IsValid() || m.Type().NumIn() != 0 || m.Type().NumOut() != 1 {
		return nil, false
	}
	return m.Call(nil)[0].Interface(), true
}

// As gives a value as the compiled interface type that T is, also one whose methods cells
// declared. ok is false if the methods do not fit.
func As[T any](s *Session, v any) (as T, ok bool) {
	target := reflect.TypeFor[T]()
	if v == nil || target.Kind() != reflect.Interface {
		return as, false
	}
	if b, isBox := asBox(v); isBox {
		for i := range target.NumMethod() {
			m, want := b.t.method(target.Method(i).Name), target.Method(i).Type
			if m == nil || s.signatureOf(m.sig) != want {
				return as, false
			}
		}
	}
	host, err := s.toHost(v, target)
	if err != nil {
		return as, false
	}
	as, ok = host.Interface().(T)
	return as, ok
}
