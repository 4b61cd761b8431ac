package batchjobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// LineError is why a line has no answer. Code is one of the batch codes
// (invalid_json, line_too_long, invalid_custom_id, unsupported_url,
// stream_unsupported) or that of an API error.
type LineError struct {
	Code    string
	Message string
	Param   string
}

func (e *LineError) Error() string { return e.Code + ": " + e.Message }

// request is one line, understood.
type request struct {
	customID *string // nil: none
	url      string
	body     []byte
}

// URLs of batch lines.
const (
	ChatURL       = "/v1/chat/completions"
	CompletionURL = "/v1/completions"
)

const maxCustomID = 512 // bytes

// envelope is an OpenAI batch line.
type envelope struct {
	CustomID jsontext.Value `json:"custom_id"`
	Method   jsontext.Value `json:"method"`
	URL      jsontext.Value `json:"url"`
	Body     jsontext.Value `json:"body"`
	Unknown  jsontext.Value `json:",unknown"`
}

// parse understands a line: an OpenAI batch line, a plain prompt as a JSON object
// ({"prompt": …} or {"messages": …} with any request fields beside it), a JSON
// string, or, for text input, the line itself.
func parse(ln line, o *Options) (request, *LineError) {
	switch {
	case ln.tooLong > 0:
		return request{}, &LineError{Code: "line_too_long", Message: fmt.Sprintf("the line has %d bytes, more than the limit of %d (--max-line-bytes)", ln.tooLong, o.MaxLineBytes)}
	case ln.asText || o.Text:
		return o.prompt(string(ln.raw))
	}
	raw := bytes.TrimSpace(ln.raw)
	switch raw[0] {
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return request{}, invalidJSON(err)
		}
		return o.prompt(s)
	case '{':
		return parseObject(raw, o)
	}
	if err := jsontext.Value(raw).IsValid(); !err {
		return request{}, invalidJSON(json.Unmarshal(raw, new(any)))
	}
	return request{}, &LineError{Code: "invalid_json", Message: "a line is a JSON object or a JSON string; for lines of plain text use --text"}
}

func parseObject(raw []byte, o *Options) (request, *LineError) {
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return request{}, invalidJSON(err)
	}
	id, idErr := customID(e.CustomID)
	if e.URL == nil && e.Body == nil {
		return o.plain(raw, id, idErr)
	}
	req := request{customID: id}
	if idErr == nil && id == nil {
		idErr = &LineError{Code: "invalid_custom_id", Param: "custom_id", Message: "custom_id is missing: give every batch line a string that names it"}
	}
	if idErr != nil {
		return request{}, idErr
	}
	var method string
	if e.Method != nil && (json.Unmarshal(e.Method, &method) != nil || !strings.EqualFold(method, "POST")) {
		return req, &LineError{Code: "unsupported_url", Param: "method", Message: fmt.Sprintf("method is %s: only \"POST\" exists", clip(e.Method))}
	}
	if err := json.Unmarshal(e.URL, &req.url); err != nil || req.url != ChatURL && req.url != CompletionURL {
		return req, &LineError{Code: "unsupported_url", Param: "url", Message: fmt.Sprintf("url is %s: use %q or %q", clip(e.URL), ChatURL, CompletionURL)}
	}
	if e.Body == nil || e.Body.Kind() != '{' {
		return req, &LineError{Code: "invalid_json", Param: "body", Message: "body must be an object with the request"}
	}
	req.body = e.Body
	return req, o.check(&req)
}

func customID(v jsontext.Value) (*string, *LineError) {
	bad := func(why string) (*string, *LineError) {
		return nil, &LineError{Code: "invalid_custom_id", Param: "custom_id", Message: "custom_id " + why}
	}
	if v == nil {
		return nil, nil
	}
	var id string
	switch err := json.Unmarshal(v, &id); {
	case err != nil || v.Kind() != '"':
		return bad("must be a string, not " + clip(v))
	case id == "":
		return bad("is empty")
	case len(id) > maxCustomID:
		return bad(fmt.Sprintf("has %d bytes, more than %d", len(id), maxCustomID))
	}
	return &id, nil
}

// plain makes a request of an object without envelope.
func (o *Options) plain(raw []byte, id *string, idErr *LineError) (request, *LineError) {
	if idErr != nil {
		return request{}, idErr
	}
	var fields map[string]jsontext.Value
	if err := json.Unmarshal(raw, &fields); err != nil {
		return request{}, invalidJSON(err)
	}
	req := request{customID: id}
	_, chat := fields["messages"]
	prompt, completion := fields["prompt"]
	switch {
	case chat == completion:
		return req, &LineError{Code: "invalid_json", Message: "the line is neither a batch line (custom_id, url, body) nor a plain prompt: give exactly one of prompt and messages"}
	case chat:
		req.url = ChatURL
	case o.Chat && prompt.Kind() == '"':
		req.url = ChatURL
		fields["messages"] = userMessage(prompt)
		delete(fields, "prompt")
	default:
		req.url = CompletionURL
	}
	delete(fields, "custom_id")
	req.body = o.withDefaults(fields)
	return req, o.check(&req)
}

func (o *Options) prompt(text string) (request, *LineError) {
	quoted, err := json.Marshal(text)
	if err != nil {
		return request{}, invalidJSON(err)
	}
	if o.Chat {
		return request{url: ChatURL, body: o.withDefaults(map[string]jsontext.Value{"messages": userMessage(quoted)})}, nil
	}
	return request{url: CompletionURL, body: o.withDefaults(map[string]jsontext.Value{"prompt": quoted})}, nil
}

func userMessage(quoted []byte) jsontext.Value {
	return jsontext.Value(`[{"role":"user","content":` + string(quoted) + `}]`)
}

// withDefaults adds the run's defaults for plain prompts and encodes the fields.
func (o *Options) withDefaults(fields map[string]jsontext.Value) []byte {
	for k, v := range o.Defaults {
		if _, ok := fields[k]; !ok {
			fields[k] = v
		}
	}
	b, err := json.Marshal(fields, json.Deterministic(true))
	if err != nil {
		panic(fmt.Sprintf("batchjobs: fields that were decoded do not encode: %v", err))
	}
	return b
}

// check refuses what a batch cannot do although the API can.
func (o *Options) check(req *request) *LineError {
	var b struct {
		Stream jsontext.Value `json:"stream"`
	}
	if err := json.Unmarshal(req.body, &b); err != nil {
		return invalidJSON(err)
	}
	if b.Stream.Kind() == 't' {
		return &LineError{Code: "stream_unsupported", Param: "stream", Message: "stream is true: a batch line has one answer, leave stream out"}
	}
	return nil
}

func invalidJSON(err error) *LineError {
	e := &LineError{Code: "invalid_json", Message: "the line is not valid JSON"}
	if err != nil {
		e.Message += ": " + err.Error()
	}
	var syn *jsontext.SyntacticError
	if errors.As(err, &syn) {
		e.Message = fmt.Sprintf("the line is not valid JSON at byte %d of the line: %v", syn.ByteOffset, syn.Err)
	}
	return e
}

func clip(v []byte) string {
	if len(v) == 0 {
		return "missing"
	}
	if len(v) > 80 {
		return string(bytes.ToValidUTF8(v[:80], nil)) + "…"
	}
	return string(v)
}

// decode turns a request into an API call.
func decode(req request, oo openai.Options) (*openai.Call, error) {
	if req.url == ChatURL {
		return openai.DecodeChat(req.body, oo)
	}
	return openai.DecodeCompletion(req.body, oo)
}

// answer is the output line of one input line.
type answer struct {
	text  []byte
	usage engine.Usage
	err   *LineError
}

// answerLine runs one line to its end. It fails only when ctx ends.
func (r *run) answerLine(ctx context.Context, ln line) (answer, error) {
	req, bad := parse(ln, r.opt)
	if bad != nil {
		return r.errorLine(ln, req.customID, bad), nil
	}
	call, err := decode(req, r.api)
	if err != nil {
		return r.errorLine(ln, req.customID, lineError(err)), nil
	}
	body, usage, err := r.do(ctx, call)
	if ctx.Err() != nil {
		return answer{}, ctx.Err()
	}
	if err != nil {
		return r.errorLine(ln, req.customID, lineError(err)), nil
	}
	b := make([]byte, 0, len(body)+200)
	b = append(b, `{"id":"`...)
	b = r.appendID(b, ln.ordinal)
	b = append(b, `","custom_id":`...)
	b = appendString(b, req.customID)
	b = append(b, `,"response":{"status_code":200,"request_id":"`...)
	b = append(b, call.ID...)
	b = append(b, `","body":`...)
	b = append(b, body...)
	b = append(b, "},\"error\":null}\n"...)
	return answer{text: b, usage: usage}, nil
}

func lineError(err error) *LineError {
	e := openai.ErrorFrom(err)
	code := e.Code
	if code == "" {
		code = e.Type
	}
	return &LineError{Code: code, Message: e.Message, Param: e.Param}
}

func (r *run) errorLine(ln line, id *string, e *LineError) answer {
	b := append(make([]byte, 0, 256), `{"id":"`...)
	b = r.appendID(b, ln.ordinal)
	b = append(b, `","custom_id":`...)
	b = appendString(b, id)
	b = fmt.Appendf(b, `,"line":%d,"byte_offset":%d`, ln.number, ln.offset)
	if len(r.inputs) > 1 {
		b = append(b, `,"file":`...)
		b = appendString(b, &ln.source.name)
	}
	b = append(b, `,"response":null,"error":{"code":`...)
	b = appendString(b, &e.Code)
	b = append(b, `,"message":`...)
	b = appendString(b, &e.Message)
	b = append(b, `,"param":`...)
	if e.Param == "" {
		b = appendString(b, nil)
	} else {
		b = appendString(b, &e.Param)
	}
	return answer{text: append(b, "}}\n"...), err: e}
}

// appendID appends the line's id: a hash of job and ordinal, so that the same job
// always names a line the same way.
func (r *run) appendID(b []byte, ordinal int64) []byte {
	var key [40]byte
	copy(key[:], r.job[:])
	binary.LittleEndian.PutUint64(key[32:], uint64(ordinal))
	sum := sha256.Sum256(key[:])
	return append(append(b, "batch_req_"...), hex.EncodeToString(sum[:12])...)
}

func appendString(b []byte, s *string) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	out, err := jsontext.AppendQuote(b, strings.ToValidUTF8(*s, "\uFFFD"))
	if err != nil {
		panic(fmt.Sprintf("batchjobs: quoting a valid string: %v", err))
	}
	return out
}
