package openai

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/godwit-ai/godwit/engine"
)

// sharedDefinitions refuses tools whose parameters define the same name in $defs in two
// ways, as SGLang does.
func sharedDefinitions(tools []engine.Tool) error {
	type definition struct {
		tool   int
		schema jsontext.Value
	}
	known := map[string]definition{}
	for i, t := range tools {
		path := elem("tools", i) + ".function.parameters.$defs"
		err := within(t.JSON, func(name string, v jsontext.Value) error {
			v = v.Clone()
			if err := v.Canonicalize(); err != nil {
				return nil // a number that no float holds: it differs from nothing
			}
			d, ok := known[name]
			if ok && !bytes.Equal(d.schema, v) {
				return invalid(path+"."+clip(name, 80), "tools[%d] and tools[%d] define %s in $defs, each in another way", d.tool, i, clip(name, 80))
			}
			known[name] = definition{i, v}
			return nil
		}, "function", "parameters", "$defs")
		if err != nil {
			return err
		}
	}
	return nil
}

// within calls f for each member of an object that stands inside others.
func within(v jsontext.Value, f func(name string, v jsontext.Value) error, path ...string) error {
	if v.Kind() != '{' {
		return nil
	}
	return object(v, "", func(name string, e jsontext.Value) error {
		switch {
		case len(path) == 0:
			return f(name, e)
		case name == path[0]:
			return within(e, f, path[1:]...)
		}
		return nil
	})
}
