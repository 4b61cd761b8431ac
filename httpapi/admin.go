package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// scope is what the key of a request allows.
type scope int

const (
	noKey scope = iota
	inferKey
	adminKey
)

// admin lets only administrators pass. With an admin key that key is needed. Without one
// every API key will do, as with SGLang. Without any key the address decides: on loopback
// and on a Unix socket whoever can connect may do it, elsewhere there are no such routes.
func (s *Server) admin(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r)
		switch {
		case foreignPage(r):
			drainBody(r)
			s.fail(w, r, crossOrigin())
		case x.scope == adminKey, !s.hasAdmin && x.scope == inferKey:
			h(w, r)
		case s.hasAdmin && x.scope == inferKey:
			drainBody(r)
			s.fail(w, r, &openai.Error{Status: http.StatusForbidden, Type: openai.TypePermission, Code: "admin_key_needed",
				Message: "This route needs the server's admin key"})
		case s.hasAdmin:
			drainBody(r)
			s.fail(w, r, unauthorized())
		case nearby(r):
			h(w, r)
		default:
			s.notOffered(w, r, "admin_off", "This route is off: the server has an address that others can reach, and no --admin-api-key")
		}
	}
}

// foreignPage reports a browser that acts for another site: there are admin routes that
// take GET, which the check of origins lets pass.
func foreignPage(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site != "" && site != "same-origin" && site != "none"
}

// nearby reports a connection that came over loopback or a Unix socket.
func nearby(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && isLoopback(local)
}

// options reads the small JSON body of an admin route into v; no body is an empty object.
func (s *Server) options(w http.ResponseWriter, r *http.Request, v any) error {
	if r.ContentLength == 0 {
		return nil
	}
	body, err := s.body(w, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v, json.RejectUnknownMembers(true)); err != nil {
		return wrongBody(err)
	}
	return nil
}

// wrongBody says what is wrong with a body in the words of JSON, and where.
func wrongBody(err error) *openai.Error {
	e := refuse(http.StatusBadRequest, openai.CodeInvalidJSON, "The request body is not valid JSON")
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		e.Message += ": " + clip(strings.TrimPrefix(syntax.Err.Error(), "jsontext: "), 200) + " (byte offset " + strconv.FormatInt(syntax.ByteOffset, 10) + ")"
		return e
	}
	wrong, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return e
	}
	e.Code, e.Param = openai.CodeInvalidValue, clip(strings.ReplaceAll(strings.TrimPrefix(string(wrong.JSONPointer), "/"), "/", "."), 200)
	switch {
	case errors.Is(err, json.ErrUnknownName):
		e.Code, e.Message = openai.CodeUnknownParameter, "Unrecognized request argument: "+e.Param
	case e.Param == "":
		e.Message = "The request body must be an object"
	case wrong.GoType != nil && wrong.GoType.Kind() == reflect.String:
		e.Message = e.Param + " must be a string"
	case wrong.GoType != nil && wrong.GoType.Kind() == reflect.Bool:
		e.Message = e.Param + " must be true or false"
	default:
		e.Message = e.Param + " is of the wrong kind"
	}
	return e
}

type done struct {
	Success bool `json:"success"`
	Aborted int  `json:"aborted"`
}

// abortRequest ends requests of the caller's own key; the admin key, and a caller without
// any key, reach those of every key.
func (s *Server) abortRequest(w http.ResponseWriter, r *http.Request) {
	var q struct {
		RID      string `json:"rid"`
		AbortAll bool   `json:"abort_all"`
		Reason   string `json:"abort_message"`
	}
	if err := s.options(w, r, &q); err != nil {
		s.fail(w, r, err)
		return
	}
	if (q.RID == "") == !q.AbortAll {
		e := refuse(http.StatusBadRequest, openai.CodeMissing, "Either rid or abort_all must be given")
		e.Param = "rid"
		s.fail(w, r, e)
		return
	}
	x := exchangeOf(r)
	n := s.running.abort(q.RID, x.tenant, x.scope == adminKey || len(s.keys) == 0 && !s.hasAdmin)
	s.sendJSON(w, r, done{true, n})
}

// pauseGeneration lets new requests wait, and ends what runs (mode abort) or lets it stand
// still (mode in_place).
func (s *Server) pauseGeneration(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Mode string `json:"mode"`
	}
	err := s.options(w, r, &q)
	pauser, ok := s.eng.get().(engine.Pauser)
	if err == nil && q.Mode != "" && q.Mode != "abort" && !(ok && q.Mode == "in_place") {
		e := refuse(http.StatusBadRequest, openai.CodeUnsupported, "mode "+strconv.Quote(clip(q.Mode, 40))+" is not supported: use abort, which ends what runs, or in_place, which lets it stand still")
		e.Param, err = "mode", e
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.running.pause()
	if q.Mode == "in_place" {
		pauser.Pause()
		s.sendJSON(w, r, done{true, 0})
		return
	}
	s.sendJSON(w, r, done{true, s.running.abort("", "", true)})
}

// resume opens the gate and lets the engine go on.
func (s *Server) resume() {
	if p, ok := s.eng.get().(engine.Pauser); ok {
		p.Resume()
	}
	s.running.resume()
}

func (s *Server) continueGeneration(w http.ResponseWriter, r *http.Request) {
	if err := s.options(w, r, &struct{}{}); err != nil {
		s.fail(w, r, err)
		return
	}
	s.resume()
	s.sendJSON(w, r, done{true, 0})
}

// flushCache forgets all prefixes. While requests run it refuses; ?timeout=SECONDS waits
// that long for their end.
func (s *Server) flushCache(w http.ResponseWriter, r *http.Request) {
	drainBody(r)
	wait := 0.0
	if v := r.URL.Query().Get("timeout"); v != "" {
		var err error
		if wait, err = strconv.ParseFloat(v, 64); err != nil || !(wait >= 0 && wait <= 3600) {
			e := refuse(http.StatusBadRequest, openai.CodeInvalidValue, "timeout must be a number of seconds from 0 to 3600")
			e.Param = "timeout"
			s.fail(w, r, e)
			return
		}
	}
	flusher, ok := s.eng.get().(engine.CacheFlusher)
	if !ok {
		s.fail(w, r, refuse(http.StatusNotImplemented, "not_supported", "This engine has no cache that can be flushed"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(wait*float64(time.Second)))
	defer cancel()
	for {
		err := flusher.FlushCache(r.Context())
		if err == nil {
			s.sendText(w, http.StatusOK, "Cache flushed.\n")
			return
		}
		select {
		case <-ctx.Done():
			s.fail(w, r, err)
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// loads has the keys of SGLang's route.
func (s *Server) loads(w http.ResponseWriter, r *http.Request) {
	st := s.eng.Stats()
	used := (st.PagesTotal - st.PagesFree) * st.PageTokens
	load := map[string]int{"dp_rank": 0, "num_reqs": st.Running + st.Waiting, "num_running_reqs": st.Running, "num_waiting_reqs": st.Waiting,
		"num_tokens": used, "max_total_num_tokens": st.PagesTotal * st.PageTokens}
	if r.URL.Path == "/get_load" {
		s.sendJSON(w, r, []map[string]int{load})
		return
	}
	s.sendJSON(w, r, map[string]any{"version": s.opt.Version, "loads": []map[string]int{load}})
}

func (s *Server) version(w http.ResponseWriter, r *http.Request) {
	s.sendJSON(w, r, map[string]string{"version": s.opt.Version})
}
