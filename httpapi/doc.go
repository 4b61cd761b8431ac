// Package httpapi is the HTTP door: an http.Handler that answers OpenAI clients from an
// engine.Engine. Routes are httprouter's; reading and writing of bodies is
// httpapi/openai's; here are limits, keys, server-sent events, metrics and the server's
// life.
//
// Every request goes through the same layers, outermost first: panics become a 500; the
// Host header is checked (DNS rebinding); the key is checked, on every path except
// /health, /healthz, /ready, /ping and CORS preflights; foreign origins are refused; while
// the model is loaded everything is a 503; the router finds the route, or says why there
// is none. Errors have one shape everywhere. Routes of administrators (pausing, flushing,
// adapters) look at the key once more. SURFACE.md lists what there is.
//
// One request's way: Handler → auth → router → body within its limits →
// openai.DecodeChat → Call.Start (refusals become an HTTP status) → the first event is
// awaited, so that an early failure is a status too → one flushed write per event, each
// with its own deadline → [DONE]. A client that goes away cancels the request's context
// and closes its streams, which frees their cache pages.
package httpapi
