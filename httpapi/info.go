package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

func (s *Server) root(w http.ResponseWriter, r *http.Request) {
	s.sendText(w, http.StatusOK, "godwit is running\n")
}

// health reveals nothing but up or down.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() || len(s.eng.Models()) == 0 {
		s.fail(w, r, openai.ShuttingDown())
		return
	}
	s.sendText(w, http.StatusOK, "ok\n")
}

// healthProbe bounds the generating probe.
const healthProbe = 20 * time.Second

// healthGenerate makes the model generate one token.
func (s *Server) healthGenerate(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthProbe)
	defer cancel()
	q := &engine.Request{Prompt: "a", Sampling: engine.Sampling{MaxTokens: 1}, SkipSpecialTokens: true}
	if _, err := engine.GenerateText(ctx, s.eng, q); err != nil || s.draining.Load() {
		e := openai.ShuttingDown()
		e.Code, e.Message = "unhealthy", "The model does not answer"
		s.fail(w, r, e)
		return
	}
	s.sendText(w, http.StatusOK, "ok\n")
}

// modelInfo has the keys of SGLang's route.
func (s *Server) modelInfo(w http.ResponseWriter, r *http.Request) {
	m, err := s.defaultModel()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.sendJSON(w, r, struct {
		ModelPath               string         `json:"model_path"`
		TokenizerPath           string         `json:"tokenizer_path"`
		IsGeneration            bool           `json:"is_generation"`
		PreferredSamplingParams map[string]any `json:"preferred_sampling_params"`
		WeightVersion           string         `json:"weight_version"`
		HasImageUnderstanding   bool           `json:"has_image_understanding"`
		HasAudioUnderstanding   bool           `json:"has_audio_understanding"`
		ModelType               string         `json:"model_type"`
		Architectures           []string       `json:"architectures"`
		MaxModelLen             int            `json:"max_model_len"`
		VocabSize               int            `json:"vocab_size"`
		HasChatTemplate         bool           `json:"has_chat_template"`
	}{
		ModelPath: m.ID, TokenizerPath: m.ID, IsGeneration: true, WeightVersion: s.versionOfWeights(),
		ModelType: m.Arch, Architectures: []string{m.Arch}, MaxModelLen: m.ContextLen, VocabSize: m.VocabSize, HasChatTemplate: m.HasTemplate,
	})
}

func (s *Server) serverInfo(w http.ResponseWriter, r *http.Request) {
	st := s.eng.Stats()
	names := []string{}
	for _, m := range s.eng.Models() {
		names = append(names, m.ID)
	}
	s.sendJSON(w, r, struct {
		Version       string         `json:"version"`
		UptimeSeconds float64        `json:"uptime_seconds"`
		Models        []string       `json:"models"`
		ServerArgs    map[string]any `json:"server_args"`
		State         map[string]any `json:"internal_state"`
	}{
		s.opt.Version, time.Since(s.started).Seconds(), names, s.opt.ServerArgs,
		map[string]any{
			"running_requests": st.Running, "waiting_requests": st.Waiting, "kv_pages": st.PagesTotal, "kv_pages_free": st.PagesFree,
			"kv_page_tokens": st.PageTokens, "device_bytes": st.DeviceBytes, "generated_tokens": st.GeneratedTokens, "steps": st.Steps,
		},
	})
}

func (s *Server) sendJSON(w http.ResponseWriter, r *http.Request, v any) {
	b, err := json.Marshal(v, json.Deterministic(true), json.FormatNilMapAsNull(true))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.send(w, http.StatusOK, b)
}

func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) {
	body, err := s.body(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	q, err := openai.DecodeTokenize(body, s.decodeOptions(exchangeOf(r)))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if q.Chat != nil {
		s.tokenizeChat(w, r, q)
		return
	}
	lists := make([][]int32, len(q.Prompts))
	for i, p := range q.Prompts {
		if lists[i], err = s.eng.Tokenize(r.Context(), q.Model.ID, p, q.AddSpecial); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	s.send(w, http.StatusOK, q.AppendResponse(nil, lists))
}

// tokenizeChat answers with the tokens of messages in the model's chat template.
func (s *Server) tokenizeChat(w http.ResponseWriter, r *http.Request, q *openai.Tokenize) {
	enc, ok := s.eng.get().(engine.PromptEncoder)
	if !ok {
		s.fail(w, r, refuse(http.StatusNotImplemented, "not_supported", "This engine does not show the tokens of messages"))
		return
	}
	ids, err := enc.EncodePrompt(r.Context(), q.Chat)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.send(w, http.StatusOK, q.AppendResponse(nil, [][]int32{ids}))
}

func (s *Server) detokenize(w http.ResponseWriter, r *http.Request) {
	body, err := s.body(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	q, err := openai.DecodeDetokenize(body, s.decodeOptions(exchangeOf(r)))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	texts := make([]string, len(q.Tokens))
	for i, ids := range q.Tokens {
		if texts[i], err = s.eng.Detokenize(r.Context(), q.Model.ID, ids, q.SkipSpecial); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	s.send(w, http.StatusOK, q.AppendResponse(nil, texts))
}
