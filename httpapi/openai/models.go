package openai

import (
	"strings"

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
	if base, adapter, ok := strings.Cut(name, ":"); ok {
		return resolveAdapter(models, name, strings.TrimSpace(base), strings.TrimSpace(adapter), anyModel)
	}
	if anyModel {
		return models[0], nil
	}
	return engine.ModelInfo{}, modelNotFound("The model `%s` does not exist", clip(name, 200))
}

func findModel(models []engine.ModelInfo, name string) (engine.ModelInfo, bool) {
	for _, m := range models {
		if strings.EqualFold(m.ID, name) || m.Path != "" && strings.EqualFold(m.Path, name) {
			return m, true
		}
	}
	return engine.ModelInfo{}, false
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
	loaded := []string{}
	for _, m := range models {
		if m.Parent == "" {
			continue
		}
		if strings.EqualFold(m.Parent, b.ID) && strings.EqualFold(m.ID, adapter) {
			return m, nil
		}
		loaded = append(loaded, m.ID)
	}
	if len(loaded) == 0 {
		return b, modelNotFound("The adapter `%s` does not exist: LoRA is not enabled", clip(adapter, 200))
	}
	return b, modelNotFound("The adapter `%s` does not exist; loaded: %s", clip(adapter, 200), strings.Join(loaded, ", "))
}

// AppendModel appends one model card.
func AppendModel(dst []byte, m engine.ModelInfo) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, m.ID)
	dst = append(dst, `,"object":"model","created":`...)
	dst = appendInt(dst, int(m.Created))
	dst = append(dst, `,"owned_by":"godwit","root":`...)
	dst = appendString(dst, m.ID)
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
