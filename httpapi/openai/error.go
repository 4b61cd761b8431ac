package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/godwit-ai/godwit/engine"
)

// Error is a refusal or failure as an OpenAI client sees it. The batch door puts the
// same fields into an error line.
type Error struct {
	Status     int    // HTTP status
	Type       string // "invalid_request_error", "server_error", …
	Code       string // "model_not_found", "invalid_value", …; "" is sent as null
	Param      string // field path, "" is sent as null
	Message    string
	RetryAfter int   // seconds; 0: no header
	Err        error // the engine's sentinel, for errors.Is
}

func (e *Error) Error() string { return e.Message }

// Unwrap gives the engine's sentinel.
func (e *Error) Unwrap() error { return e.Err }

// Error types and codes of the surface.
const (
	TypeInvalidRequest = "invalid_request_error"
	TypeAuthentication = "authentication_error"
	TypePermission     = "permission_error"
	TypeRateLimit      = "rate_limit_error"
	TypeServer         = "server_error"

	CodeInvalidValue     = "invalid_value"
	CodeInvalidJSON      = "invalid_json"
	CodeMissing          = "missing_required_parameter"
	CodeUnknownParameter = "unknown_parameter"
	CodeUnsupported      = "unsupported_parameter"
	CodeModelNotFound    = "model_not_found"
	CodeContextLength    = "context_length_exceeded"
	CodeQueueFull        = "queue_full"
	CodeShuttingDown     = "shutting_down"
)

// statusClientGone is what a log shows for a request whose client went away. It is
// never sent.
const statusClientGone = 499

func newError(code, param, format string, args ...any) *Error {
	return &Error{
		Status: http.StatusBadRequest, Type: TypeInvalidRequest, Code: code, Param: param,
		Message: fmt.Sprintf(format, args...), Err: engine.ErrInvalidRequest,
	}
}

func invalid(param, format string, args ...any) *Error {
	return newError(CodeInvalidValue, param, format, args...)
}

func modelNotFound(format string, args ...any) *Error {
	e := newError(CodeModelNotFound, "model", format, args...)
	e.Status, e.Err = http.StatusNotFound, engine.ErrUnknownModel
	return e
}

// ErrorFrom turns any error into what a client may see. Details of an unexpected
// error stay out of the message: they could name files or other requests.
func ErrorFrom(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	e := &Error{Status: http.StatusInternalServerError, Type: TypeServer, Code: "internal_error", Message: "Internal server error", Err: err}
	var re *engine.RequestError
	isRequest := errors.As(err, &re)
	if isRequest {
		e.Param = re.Param
	}
	switch {
	case errors.Is(err, engine.ErrUnknownModel):
		e.Status, e.Type, e.Code, e.Param, e.Message = http.StatusNotFound, TypeInvalidRequest, CodeModelNotFound, "model", "The model does not exist"
	case errors.Is(err, engine.ErrContextLength):
		e.Status, e.Type, e.Code, e.Message = http.StatusBadRequest, TypeInvalidRequest, CodeContextLength, "The request is longer than the model's context length"
	case errors.Is(err, engine.ErrUnsupported):
		e.Status, e.Type, e.Code, e.Message = http.StatusBadRequest, TypeInvalidRequest, CodeUnsupported, "Not supported by this model"
	case errors.Is(err, engine.ErrInvalidRequest):
		e.Status, e.Type, e.Code, e.Message = http.StatusBadRequest, TypeInvalidRequest, CodeInvalidValue, "Invalid request"
	case errors.Is(err, engine.ErrOverloaded):
		e.Status, e.Type, e.Code, e.RetryAfter = http.StatusTooManyRequests, TypeRateLimit, CodeQueueFull, 1
		e.Message = "The server's queue is full; try again later"
	case errors.Is(err, engine.ErrClosed):
		return ShuttingDown()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Status, e.Code, e.Message = statusClientGone, "cancelled", "The request was cancelled"
		return e
	default:
		return e
	}
	if isRequest && re.Message != "" {
		e.Message = re.Message
	}
	return e
}

// ShuttingDown is the answer while the server drains or the engine is closed.
func ShuttingDown() *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Type: TypeServer, Code: CodeShuttingDown,
		Message: "The server is shutting down", RetryAfter: 5, Err: engine.ErrClosed,
	}
}

// AppendBody appends the nested error body: an "object" beside "error", and the five
// fields inside.
func (e *Error) AppendBody(dst []byte) []byte {
	dst = append(dst, `{"object":"error","error":{"object":"error","message":`...)
	dst = appendString(dst, e.Message)
	dst = append(dst, `,"type":`...)
	dst = appendString(dst, e.Type)
	dst = append(dst, `,"param":`...)
	dst = appendStringOrNull(dst, e.Param)
	dst = append(dst, `,"code":`...)
	dst = appendStringOrNull(dst, e.Code)
	return append(dst, `}}`...)
}
