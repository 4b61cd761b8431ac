package grammar

import "slices"

// plainClash looks at sites for the same value of which one names the values: when some
// other excludes each of them, nothing fits. It is what tells most lists of conditions on
// one member apart. known is false where other keywords decide.
func plainClash(sites []*site) (no, known bool) {
	among, plain := plainValues(sites)
	if among == nil || len(among) > maxPlain {
		return false, false
	}
	for _, v := range among {
		if !slices.ContainsFunc(sites, func(s *site) bool { return s.excludes(v) }) {
			return false, plain
		}
	}
	return true, true
}

// maxPlain bounds the values that are looked at one by one.
const maxPlain = 64

// plainValues are the values that some site names, as few as may be; nil: none does. plain
// says that the sites do nothing but name values and types.
func plainValues(sites []*site) (among []*value, plain bool) {
	plain = true
	for _, s := range sites {
		switch s.v.kind {
		case kFalse:
			return []*value{}, true
		case kTrue:
			continue
		case kObject:
		default:
			return nil, false
		}
		for i, k := range s.v.keys {
			v := s.v.elem[i]
			switch k {
			case "const":
				among = []*value{v}
			case "enum":
				if v.kind == kArray && (among == nil || len(v.elem) < len(among)) {
					among = v.elem
				}
			case "not":
				plain = plain && plainNot(v) != nil
			case notEnum, "type", "title", "description", "default", "examples":
			default:
				plain = false
			}
		}
	}
	return among, plain
}

// excludes reports whether a schema plainly does not fit a value.
func (s *site) excludes(v *value) bool {
	if s.v.kind == kFalse {
		return true
	}
	for i, k := range s.v.keys {
		x := s.v.elem[i]
		equals := func(e *value) bool { return e.kind == v.kind && e.key() == v.key() }
		switch k {
		case "const":
			if !equals(x) {
				return true
			}
		case "enum":
			if x.kind == kArray && !slices.ContainsFunc(x.elem, equals) {
				return true
			}
		case notEnum:
			if slices.ContainsFunc(x.elem, equals) {
				return true
			}
		case "not":
			if slices.ContainsFunc(plainNot(x), equals) {
				return true
			}
		case "type":
			if t, ok := typeNames[x.text]; ok && x.kind == kString && t&kindType(v.kind) == 0 {
				return true
			}
		}
	}
	return false
}

// plainNot are the values that a schema fits which does nothing but name them.
func plainNot(v *value) []*value {
	switch {
	case v.kind != kObject || len(v.keys) != 1:
	case v.keys[0] == "const":
		return v.elem[:1]
	case v.keys[0] == "enum" && v.elem[0].kind == kArray:
		return v.elem[0].elem
	}
	return nil
}
