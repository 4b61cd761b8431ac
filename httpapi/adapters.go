package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// adapterAnswer is SGLang's, and where something went wrong an error's as well.
type adapterAnswer struct {
	Success bool              `json:"success"`
	Message string            `json:"error_message"`
	Loaded  map[string]string `json:"loaded_adapters"`
	Object  string            `json:"object,omitempty"`
	Error   any               `json:"error,omitempty"`
}

func (s *Server) loadAdapter(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Name   string `json:"lora_name"`
		Path   string `json:"lora_path"`
		Pinned bool   `json:"pinned"`
	}
	s.changeAdapters(w, r, &q, func(ctx context.Context, a engine.Adapters) error {
		if q.Path == "" {
			return engine.Invalid("lora_path", "lora_path is missing.")
		}
		if likePath(q.Name) {
			return engine.Invalid("lora_name", "lora_name is a name and no path: it must not begin with a slash or hold `..`.")
		}
		return a.LoadAdapter(ctx, engine.AdapterSpec{Name: q.Name, Path: q.Path, Pinned: q.Pinned})
	})
}

// likePath reports whether a name would lead out of a folder if it were used as a path.
// None is; a name that comes from outside shall not invite it. Slashes inside are usual.
func likePath(name string) bool {
	parts := strings.FieldsFunc(name, func(c rune) bool { return c == '/' || c == '\\' })
	return slices.Contains(parts, "..") || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "\\")
}

func (s *Server) unloadAdapter(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Name string `json:"lora_name"`
	}
	s.changeAdapters(w, r, &q, func(ctx context.Context, a engine.Adapters) error {
		if q.Name == "" {
			return engine.Invalid("lora_name", "lora_name is missing.")
		}
		return a.UnloadAdapter(ctx, q.Name)
	})
}

// changeAdapters reads a body into q, does what it asks for and tells what is loaded then.
func (s *Server) changeAdapters(w http.ResponseWriter, r *http.Request, q any, do func(context.Context, engine.Adapters) error) {
	err := s.options(w, r, q)
	if err == nil {
		a, ok := s.eng.get().(engine.Adapters)
		if !ok {
			err = &engine.RequestError{Err: engine.ErrUnsupported, Message: "LoRA is not enabled: this engine has no adapters"}
		} else {
			err = do(r.Context(), a)
		}
	}
	answer := adapterAnswer{Success: err == nil, Loaded: map[string]string{}}
	for _, m := range s.eng.Models() {
		if m.Parent != "" {
			answer.Loaded[m.ID] = m.Path
		}
	}
	if err == nil {
		s.sendJSON(w, r, answer)
		return
	}
	s.failBoth(w, r, err, func(e *openai.Error, body any) any {
		answer.Message, answer.Object, answer.Error = e.Message, "error", body
		return answer
	})
}

// failBoth answers what a caller did wrong in SGLang's form, with the error in the form of
// all others in it; what is not the caller's fault has that alone.
func (s *Server) failBoth(w http.ResponseWriter, r *http.Request, err error, answer func(e *openai.Error, body any) any) {
	e := openai.ErrorFrom(err)
	if e.Status != http.StatusBadRequest {
		s.fail(w, r, err)
		return
	}
	exchangeOf(r).err = err
	body := map[string]any{"object": "error", "message": e.Message, "type": e.Type, "param": orNil(e.Param), "code": orNil(e.Code)}
	b, err := json.Marshal(answer(e, body), json.Deterministic(true))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.send(w, e.Status, b)
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}
