package httpapi

import (
	"net/http"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// weightsAnswer is SGLang's, and where something went wrong an error's as well.
type weightsAnswer struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
	Paused  int    `json:"num_paused_requests"`
	Object  string `json:"object,omitempty"`
	Error   any    `json:"error,omitempty"`
}

// updateWeights exchanges the model's weights for those of another checkpoint. It waits for
// the requests under way, or ends them.
func (s *Server) updateWeights(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Path    string  `json:"model_path"`
		Format  string  `json:"load_format"`
		Abort   bool    `json:"abort_all_requests"`
		Version *string `json:"weight_version"`
		Flush   *bool   `json:"flush_cache"`
	}
	u, ok := s.eng.get().(engine.WeightUpdater)
	err := s.options(w, r, &q)
	switch {
	case err != nil:
	case !ok:
		err = refuse(http.StatusNotImplemented, "not_supported", "This engine can not exchange its weights")
	case q.Path == "":
		err = engine.Invalid("model_path", "model_path is missing.")
	case q.Format != "" && q.Format != "auto":
		err = engine.Invalid("load_format", "load_format can only be auto: the files say what they are.")
	case q.Flush != nil && !*q.Flush:
		err = engine.Invalid("flush_cache", "flush_cache can not be false: what is cached was computed with the old weights.")
	case q.Version != nil && (*q.Version == "" || len(*q.Version) > 256):
		err = engine.Invalid("weight_version", "weight_version must have 1 to 256 bytes.")
	default:
		if q.Abort {
			s.running.abort("", "", true)
		}
		err = u.UpdateWeights(r.Context(), q.Path)
	}
	if err == nil {
		if q.Version != nil {
			s.weightVersion.Store(q.Version)
		}
		s.sendJSON(w, r, weightsAnswer{Success: true, Message: "Succeeded to update model weights."})
		return
	}
	s.failBoth(w, r, err, func(e *openai.Error, body any) any {
		return weightsAnswer{Message: e.Message, Object: "error", Error: body}
	})
}

// versionOfWeights is what answers say of the weights.
func (s *Server) versionOfWeights() string { return *s.weightVersion.Load() }
