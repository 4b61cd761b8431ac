package httpapi

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// route is one entry of the table that the router is built from and that the tests walk.
type route struct {
	method, path string
	handler      http.Handler
}

// routes lists everything that is offered. A route's pattern is its label in metrics.
func (s *Server) routes() []route {
	chat, completion := s.generate(openai.DecodeChat), s.generate(openai.DecodeCompletion)
	table := []route{
		{"GET", "/", http.HandlerFunc(s.root)},
		{"GET", "/health", http.HandlerFunc(s.health)},
		{"GET", "/healthz", http.HandlerFunc(s.health)},
		{"GET", "/ready", http.HandlerFunc(s.health)},
		{"GET", "/ping", http.HandlerFunc(s.health)},
		{"GET", "/health_generate", http.HandlerFunc(s.healthGenerate)},
		{"GET", "/metrics", s.metrics.handler()},
		{"GET", "/v1/models", http.HandlerFunc(s.models)},
		{"GET", "/v1/models/*id", http.HandlerFunc(s.model)},
		{"GET", "/model_info", http.HandlerFunc(s.modelInfo)},
		{"GET", "/get_model_info", http.HandlerFunc(s.modelInfo)},
		{"GET", "/server_info", http.HandlerFunc(s.serverInfo)},
		{"GET", "/get_server_info", http.HandlerFunc(s.serverInfo)},
		{"POST", "/v1/chat/completions", chat},
		{"POST", "/v1/completions", completion},
		{"POST", "/v1/tokenize", http.HandlerFunc(s.tokenize)},
		{"POST", "/tokenize", http.HandlerFunc(s.tokenize)},
		{"POST", "/v1/detokenize", http.HandlerFunc(s.detokenize)},
		{"POST", "/detokenize", http.HandlerFunc(s.detokenize)},
		{"POST", "/separate_reasoning", s.textRoute(openai.SeparateReasoning)},
		{"POST", "/parse_function_call", s.textRoute(openai.ParseFunctionCall)},
	}
	for i := range table {
		table[i].handler = named(table[i].path, table[i].handler)
	}
	return table
}

func named(path string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exchangeOf(r).route = path
		h.ServeHTTP(w, r)
	})
}

// notOffered names routes of the servers that godwit stands in for. An entry that ends
// in a slash covers everything below it.
var notOffered = map[string]string{
	"/v1/embeddings":                    "Embeddings are",
	"/v1/classify":                      "Classification is",
	"/v1/score":                         "Scoring is",
	"/v1/rerank":                        "Reranking is",
	"/rerank":                           "Reranking is",
	"/score":                            "Scoring is",
	"/v1/responses":                     "The Responses API is",
	"/v1/responses/":                    "The Responses API is",
	"/v1/audio/":                        "Audio is",
	"/v1/images/":                       "Image generation is",
	"/v1/realtime":                      "The Realtime API is",
	"/v1/moderations":                   "Moderation is",
	"/v1/files":                         "The Files API is",
	"/v1/files/":                        "The Files API is",
	"/v1/batches":                       "The Batches API is",
	"/v1/batches/":                      "The Batches API is",
	"/v1/messages":                      "The Anthropic Messages API is",
	"/v1/messages/":                     "The Anthropic Messages API is",
	"/v1/loads":                         "The load report is",
	"/get_load":                         "The load report is",
	"/v1/load_lora_adapter":             "Loading LoRA adapters is",
	"/v1/unload_lora_adapter":           "Unloading LoRA adapters is",
	"/load_lora_adapter":                "Loading LoRA adapters is",
	"/load_lora_adapter_from_tensors":   "Loading LoRA adapters is",
	"/unload_lora_adapter":              "Unloading LoRA adapters is",
	"/generate":                         "The native generate route is",
	"/generate_from_file":               "The native generate route is",
	"/encode":                           "Encoding is",
	"/classify":                         "Classification is",
	"/open_session":                     "Sessions are",
	"/close_session":                    "Sessions are",
	"/abort_request":                    "Aborting by id is",
	"/pause_generation":                 "Pausing is",
	"/continue_generation":              "Pausing is",
	"/flush_cache":                      "Flushing the cache is",
	"/set_internal_state":               "Setting internal state is",
	"/get_internal_state":               "Reading internal state is",
	"/start_profile":                    "Profiling is",
	"/stop_profile":                     "Profiling is",
	"/set_trace_level":                  "Tracing is",
	"/freeze_gc":                        "Freezing the collector is",
	"/configure_logging":                "Changing logs at run time is",
	"/slow_down":                        "Slowing down is",
	"/start_expert_distribution_record": "Recording expert use is",
	"/stop_expert_distribution_record":  "Recording expert use is",
	"/dump_expert_distribution_record":  "Recording expert use is",
	"/update_weights_from_disk":         "Updating weights is",
	"/update_weights_from_tensor":       "Updating weights is",
	"/update_weights_from_distributed":  "Updating weights is",
	"/update_weights_from_ipc":          "Updating weights is",
	"/init_weights_update_group":        "Updating weights is",
	"/destroy_weights_update_group":     "Updating weights is",
	"/update_weight_version":            "Updating weights is",
	"/get_weights_by_name":              "Reading weights is",
	"/weights_checker":                  "Checking weights is",
	"/init_weights_send_group_for_remote_instance": "Sending weights is",
	"/send_weights_to_remote_instance":             "Sending weights is",
	"/release_memory_occupation":                   "Releasing memory is",
	"/resume_memory_occupation":                    "Releasing memory is",
	"/clear_hicache_storage_backend":               "The storage cache is",
	"/hicache/storage-backend":                     "The storage cache is",
	"/api/":                                        "The Ollama API is",
	"/invocations":                                 "The SageMaker route is",
	"/vertex_generate":                             "The Vertex route is",
	"/openapi.json":                                "The OpenAPI description is",
	"/docs":                                        "The OpenAPI description is",
	"/version":                                     "The version route is",
	"/load":                                        "The load report is",
	"/pooling":                                     "Pooling is",
	"/props":                                       "The llama.cpp route is",
	"/slots":                                       "The llama.cpp route is",
	"/infill":                                      "Infilling is",
	"/apply-template":                              "Rendering templates is",
	"/lora-adapters":                               "LoRA adapters are",
}

// textRoute answers a body with a body; no engine is asked.
func (s *Server) textRoute(answer func([]byte, openai.Options) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := s.body(w, r)
		if err == nil {
			body, err = answer(body, s.decodeOptions(exchangeOf(r)))
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.send(w, http.StatusOK, body)
	})
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	drainBody(r)
	e := &openai.Error{Status: http.StatusNotFound, Type: openai.TypeInvalidRequest, Code: "not_found"}
	path := r.URL.Path
	what, known := notOffered[path]
	for i := len(path) - 1; i > 0 && !known; i-- {
		if path[i] == '/' {
			what, known = notOffered[path[:i+1]]
		}
	}
	if known {
		e.Code = "not_offered"
		e.Message = fmt.Sprintf("%s not offered yet: %s %s", what, clip(r.Method, 20), clip(path, 200))
	} else {
		e.Message = fmt.Sprintf("There is no route %s %s", clip(r.Method, 20), clip(path, 200))
	}
	s.fail(w, r, e)
}

func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	drainBody(r)
	s.fail(w, r, refuse(http.StatusMethodNotAllowed, "method_not_allowed",
		fmt.Sprintf("%s %s is not allowed; use %s", clip(r.Method, 20), clip(r.URL.Path, 200), w.Header().Get("Allow"))))
}

func (s *Server) models(w http.ResponseWriter, r *http.Request) {
	s.send(w, http.StatusOK, openai.AppendModels(nil, s.eng.Models()))
}

// model answers for one id, which may contain slashes.
func (s *Server) model(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/v1/models/")
	if id == "" {
		s.models(w, r)
		return
	}
	m, err := openai.ResolveModel(s.eng.Models(), id, false)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.send(w, http.StatusOK, openai.AppendModel(nil, m))
}

func (s *Server) defaultModel() (engine.ModelInfo, error) {
	return openai.ResolveModel(s.eng.Models(), "", false)
}
