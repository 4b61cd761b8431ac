package openai

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/godwit-ai/godwit/engine"
)

// DefaultModel is the name that always means the first model.
const DefaultModel = "default"

// ResolveModel finds the model that a client's spelling names: a served name or a path
// in any letter case, "default", nothing at all, "base:adapter", or a bare adapter
// name. With anyModel every unknown name means the default model.
func ResolveModel(models []engine.ModelInfo, name string, anyModel bool) (engine.ModelInfo, error) {
	if len(models) == 0 {
		return engine.ModelInfo{}, modelNotFound("No model is loaded")
	}
	if name == "" || strings.EqualFold(name, DefaultModel) {
		return models[0], nil
	}
	if m, ok := findModel(models, name); ok {
		return m, nil
	}
	if base, adapter, ok := cutAdapter(models, name); ok {
		return resolveAdapter(models, name, strings.TrimSpace(base), strings.TrimSpace(adapter), anyModel)
	}
	if anyModel {
		return models[0], nil
	}
	return engine.ModelInfo{}, modelNotFound("The model `%s` does not exist", clip(name, 200))
}

func findModel(models []engine.ModelInfo, name string) (engine.ModelInfo, bool) {
	for _, m := range models {
		if strings.EqualFold(m.ID, name) || m.Path != "" && strings.EqualFold(m.Path, name) || m.Asked != "" && strings.EqualFold(m.Asked, name) {
			return m, true
		}
	}
	return engine.ModelInfo{}, false
}

// cutAdapter cuts "base:adapter" behind a model's name, which may have colons of its own,
// else at the first colon.
func cutAdapter(models []engine.ModelInfo, name string) (base, adapter string, ok bool) {
	for i := range len(name) {
		if name[i] != ':' {
			continue
		}
		if _, known := findModel(models, strings.TrimSpace(name[:i])); known {
			return name[:i], name[i+1:], true
		}
	}
	return strings.Cut(name, ":")
}

// resolveAdapter resolves "base:adapter" after the whole name was not found.
func resolveAdapter(models []engine.ModelInfo, name, base, adapter string, anyModel bool) (engine.ModelInfo, error) {
	b, err := models[0], error(nil)
	if base != "" && !strings.EqualFold(base, DefaultModel) {
		var ok bool
		if b, ok = findModel(models, base); !ok {
			if anyModel {
				return models[0], nil
			}
			return b, modelNotFound("The model `%s` does not exist", clip(name, 200))
		}
	}
	if adapter == "" {
		return b, err
	}
	m, why := findAdapter(models, adapter)
	if why != "" {
		return b, modelNotFound("%s", why)
	}
	return m, nil
}

// findAdapter finds a loaded adapter of any served base name, or says why there is none.
func findAdapter(models []engine.ModelInfo, name string) (m engine.ModelInfo, why string) {
	loaded := []string{}
	enabled := false
	for _, m := range models {
		enabled = enabled || m.LoRA
		if m.Parent == "" {
			continue
		}
		if strings.EqualFold(m.ID, name) {
			return m, ""
		}
		loaded = append(loaded, m.ID)
	}
	switch {
	case !enabled && len(loaded) == 0:
		return m, fmt.Sprintf("The adapter `%s` does not exist: LoRA is not enabled", clip(name, 200))
	case len(loaded) == 0:
		return m, fmt.Sprintf("The adapter `%s` does not exist; none is loaded", clip(name, 200))
	}
	return m, fmt.Sprintf("The adapter `%s` does not exist; loaded: %s", clip(name, 200), strings.Join(loaded, ", "))
}

// readLoraPath reads the name of an adapter, or one per prompt; null in a list is the base.
func readLoraPath(r *request, name string, v jsontext.Value) error {
	r.adapters = nil
	one := func(e jsontext.Value, path string) (string, error) {
		if e.Kind() == 'n' {
			return "", nil
		}
		s, err := stringOf(e, path)
		if err == nil && len(s) > r.lim.NameBytes {
			err = invalid(path, "%s is longer than %d bytes", path, r.lim.NameBytes)
		}
		return s, err
	}
	if v.Kind() != '[' {
		s, err := one(v, name)
		r.adapters = []string{s}
		return err
	}
	r.adaptersAreList = true
	return array(v, name, func(i int, e jsontext.Value) error {
		if i == r.lim.Prompts {
			return invalid(name, "%s holds more than %d names", name, r.lim.Prompts)
		}
		s, err := one(e, elem(name, i))
		r.adapters = append(r.adapters, s)
		return err
	})
}

// resolveAdapters gives the model of each prompt as lora_path names it. An adapter in the
// model's name wins over lora_path.
func (r *request) resolveAdapters(model engine.ModelInfo) ([]string, error) {
	if len(r.adapters) == 0 || model.Parent != "" {
		return nil, nil
	}
	n := max(1, len(r.prompts))
	if r.adaptersAreList && len(r.adapters) != n {
		return nil, invalid("lora_path", "lora_path holds %d names for %d prompts", len(r.adapters), n)
	}
	list := make([]string, n)
	for i := range list {
		name := at(r.adapters, i, "")
		if list[i] = model.ID; name == "" {
			continue
		}
		m, why := findAdapter(r.opt.Models, name)
		if why != "" {
			return nil, invalid("lora_path", "%s", why)
		}
		list[i] = m.ID
	}
	return list, nil
}

// AppendModel appends one model card.
func AppendModel(dst []byte, m engine.ModelInfo) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, m.ID)
	dst = append(dst, `,"object":"model","created":`...)
	dst = appendInt(dst, int(m.Created))
	dst = append(dst, `,"owned_by":"godwit","root":`...)
	if m.Parent != "" {
		dst = appendString(dst, m.Path)
	} else {
		dst = appendString(dst, m.ID)
	}
	dst = append(dst, `,"parent":`...)
	dst = appendStringOrNull(dst, m.Parent)
	dst = append(dst, `,"max_model_len":`...)
	if m.Parent != "" || m.ContextLen == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = appendInt(dst, m.ContextLen)
	}
	return append(dst, '}')
}

// AppendModels appends the list of all cards.
func AppendModels(dst []byte, models []engine.ModelInfo) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for i, m := range models {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendModel(dst, m)
	}
	return append(dst, `]}`...)
}
