package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// route is one entry of the table that the router is built from, that the tests walk and
// that SURFACE.md shows.
type route struct {
	method, path string
	what         string // for SURFACE.md: what it does, in a few words
	handler      http.Handler
}

// routes lists everything that is offered. A route's pattern is its label in metrics.
func (s *Server) routes() []route {
	chat, completion := s.generate(openai.DecodeChat), s.generate(openai.DecodeCompletion)
	native := s.generate(openai.DecodeGenerate)
	table := []route{
		{"GET", "/", "one line of text", http.HandlerFunc(s.root)},
		{"GET", "/health", "200 when the model answers requests, else 503; needs no key", http.HandlerFunc(s.health)},
		{"GET", "/healthz", "the same as /health", http.HandlerFunc(s.health)},
		{"GET", "/ready", "the same as /health", http.HandlerFunc(s.health)},
		{"GET", "/ping", "the same as /health", http.HandlerFunc(s.health)},
		{"GET", "/health_generate", "lets the model generate one token, within 20 s", http.HandlerFunc(s.healthGenerate)},
		{"GET", "/metrics", "Prometheus metrics", s.metrics.handler()},
		{"GET", "/version", "godwit's version", http.HandlerFunc(s.version)},
		{"GET", "/v1/loads", "requests and tokens under way", http.HandlerFunc(s.loads)},
		{"GET", "/get_load", "the same in the older form", http.HandlerFunc(s.loads)},
		{"GET", "/v1/models", "the models, and a card per adapter", http.HandlerFunc(s.models)},
		{"GET", "/v1/models/*id", "one of them; the id may contain slashes", http.HandlerFunc(s.model)},
		{"GET", "/model_info", "what the model is", http.HandlerFunc(s.modelInfo)},
		{"GET", "/get_model_info", "the same", http.HandlerFunc(s.modelInfo)},
		{"GET", "/server_info", "flags and state of the server", http.HandlerFunc(s.serverInfo)},
		{"GET", "/get_server_info", "the same", http.HandlerFunc(s.serverInfo)},
		{"POST", "/v1/chat/completions", "an answer in a chat", chat},
		{"POST", "/v1/completions", "a text that goes on", completion},
		{"POST", "/generate", "SGLang's own form of generation", native},
		{"PUT", "/generate", "the same", native},
		{"POST", "/v1/tokenize", "text or messages to tokens", http.HandlerFunc(s.tokenize)},
		{"POST", "/tokenize", "the same", http.HandlerFunc(s.tokenize)},
		{"POST", "/v1/detokenize", "tokens to text", http.HandlerFunc(s.detokenize)},
		{"POST", "/detokenize", "the same", http.HandlerFunc(s.detokenize)},
		{"POST", "/separate_reasoning", "splits a text into thinking and answer", s.textRoute(openai.SeparateReasoning)},
		{"POST", "/parse_function_call", "finds the tool calls in a text", s.textRoute(openai.ParseFunctionCall)},
		{"POST", "/abort_request", "ends requests of the caller's key by rid, or all", http.HandlerFunc(s.abortRequest)},
		{"POST", "/pause_generation", "admin: lets new requests wait, and ends what runs (mode abort) or lets it stand still (in_place)", s.admin(s.pauseGeneration)},
		{"POST", "/continue_generation", "admin: lets them go on", s.admin(s.continueGeneration)},
		{"GET", "/flush_cache", "admin: forgets cached prefixes; 400 while requests run", s.admin(s.flushCache)},
		{"POST", "/flush_cache", "the same", s.admin(s.flushCache)},
		{"POST", "/load_lora_adapter", "admin: loads an adapter from inside --lora-dir: lora_name, lora_path, pinned", s.admin(s.loadAdapter)},
		{"POST", "/v1/load_lora_adapter", "the same", s.admin(s.loadAdapter)},
		{"POST", "/unload_lora_adapter", "admin: unloads one when its requests have ended: lora_name", s.admin(s.unloadAdapter)},
		{"POST", "/v1/unload_lora_adapter", "the same", s.admin(s.unloadAdapter)},
		{"POST", "/update_weights_from_disk", "admin: other weights of the same model: model_path is the served one or lies beside it; waits for what runs, or ends it with abort_all_requests; if it fails the old ones stay, on a GPU read again from their file", s.admin(s.updateWeights)},
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
	"/load_lora_adapter_from_tensors":   "Loading LoRA adapters from serialised tensors is",
	"/generate_from_file":               "The native generate route is",
	"/encode":                           "Encoding is",
	"/classify":                         "Classification is",
	"/open_session":                     "Sessions are",
	"/close_session":                    "Sessions are",
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
	if what, known := missing(r.URL.Path); known {
		s.notOffered(w, r, "not_offered", what+" not offered")
		return
	}
	if s.offered(strings.TrimRight(r.URL.Path, "/")) {
		s.notOffered(w, r, "not_found", "There is no such route; without the slash at its end there is")
		return
	}
	s.notOffered(w, r, "not_found", "There is no such route")
}

// offered reports whether some method of a path is.
func (s *Server) offered(path string) bool {
	return slices.ContainsFunc(s.routes(), func(rt route) bool { return rt.path == path })
}

// missing tells what a path of other servers would do.
func missing(path string) (what string, known bool) {
	what, known = notOffered[path]
	for i := len(path) - 1; i > 0 && !known; i-- {
		if path[i] == '/' {
			what, known = notOffered[path[:i+1]]
		}
	}
	return what, known
}

// notOffered answers 404 with a sentence.
func (s *Server) notOffered(w http.ResponseWriter, r *http.Request, code, sentence string) {
	drainBody(r)
	s.fail(w, r, refuse(http.StatusNotFound, code, fmt.Sprintf("%s: %s %s", sentence, clip(r.Method, 20), clip(r.URL.Path, 200))))
}

func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	drainBody(r)
	if r.Method == http.MethodOptions { // asks what is allowed, and Allow says it
		w.WriteHeader(http.StatusNoContent)
		return
	}
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
