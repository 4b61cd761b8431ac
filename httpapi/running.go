package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// errAborted is the cause of a request's end when somebody asked for it by name.
var errAborted = errors.New("aborted by request")

// running is the table of generating requests, and the gate before them. All methods may
// be called concurrently.
type running struct {
	mu     sync.Mutex
	calls  map[*entry]struct{}
	tenant map[string]int // requests per key
	paused chan struct{}  // not nil while paused; closed by resume
}

// entry is one request from before its prompt is looked at to its end.
type entry struct {
	tenant string
	ids    []string // its own id, then those of its prompts
	named  bool     // the client chose them
	gone   <-chan struct{}
	abort  context.CancelCauseFunc

	answered bool // guarded by running.mu
}

func newRunning() *running {
	return &running{calls: map[*entry]struct{}{}, tenant: map[string]int{}}
}

// enter notes a request. It notes nothing when the key has most, if that is above 0, of
// them already, or one under way with an id that the client chose again: nobody could tell
// the two apart, nor abort one of them.
func (t *running) enter(e *entry, most int) *openai.Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if most > 0 && t.tenant[e.tenant] >= most {
		return overQuota()
	}
	if e.named {
		for other := range t.calls {
			if other.tenant != e.tenant || other.over() {
				continue
			}
			for _, id := range e.ids {
				if other.has(id) {
					return idInUse(id)
				}
			}
		}
	}
	t.tenant[e.tenant]++
	t.calls[e] = struct{}{}
	return nil
}

// over reports a request that was answered or aborted, or whose client has gone: it only
// has to be cleared away.
func (e *entry) over() bool {
	select {
	case <-e.gone:
		return true
	default:
		return e.answered
	}
}

// answer notes that the last of an answer is about to be sent: who has it may use the ids
// again.
func (t *running) answer(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.answered = true
}

// idInUse is the answer to an id that a request under way has.
func idInUse(id string) *openai.Error {
	return &openai.Error{Status: http.StatusBadRequest, Type: openai.TypeInvalidRequest, Code: openai.CodeInvalidValue, Param: "rid",
		Message: "rid " + id + " is the id of a request under way; choose another, or wait for its end", Err: engine.ErrInvalidRequest}
}

func (t *running) leave(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.calls, e)
	if t.tenant[e.tenant]--; t.tenant[e.tenant] == 0 {
		delete(t.tenant, e.tenant)
	}
}

// abort ends the requests with an id, or all with id "", of one key or of every key. It
// returns how many there were.
func (t *running) abort(id, tenant string, everyKey bool) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for e := range t.calls {
		if (everyKey || e.tenant == tenant) && (id == "" || e.has(id)) {
			e.abort(errAborted)
			n++
		}
	}
	return n
}

func (e *entry) has(id string) bool {
	for _, own := range e.ids {
		if own == id {
			return true
		}
	}
	return false
}

// pause keeps new requests waiting.
func (t *running) pause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paused == nil {
		t.paused = make(chan struct{})
	}
}

// resume lets them go on.
func (t *running) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paused != nil {
		close(t.paused)
		t.paused = nil
	}
}

// wait passes while nothing is paused.
func (t *running) wait(ctx context.Context) error {
	for {
		t.mu.Lock()
		gate := t.paused
		t.mu.Unlock()
		if gate == nil {
			return nil
		}
		select {
		case <-gate:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// abortable ends a stream that was aborted as one that has finished: every choice that is
// still open gets the reason "abort".
type abortable struct {
	st      *engine.Stream
	ctx     context.Context // of the call; its cause tells an abort from other ends
	open    map[int]bool
	aborted bool
}

// newAbortable wraps a call's stream; without one the call has been aborted already.
func newAbortable(ctx context.Context, st *engine.Stream, choices int) *engine.Stream {
	a := &abortable{st: st, ctx: ctx, open: make(map[int]bool, choices)}
	if st == nil {
		a.aborted, a.st = true, engine.NewStream("", nothing{})
	}
	for i := range choices {
		a.open[i] = true
	}
	return engine.NewStream(a.st.ID(), a)
}

// nothing is the source of a call that was aborted before it began.
type nothing struct{}

func (nothing) Recv() (engine.Event, error) { return engine.Event{}, io.EOF }
func (nothing) Usage() engine.Usage         { return engine.Usage{} }
func (nothing) Close() error                { return nil }

// Recv passes events on.
func (a *abortable) Recv() (engine.Event, error) { return a.result(!a.aborted && a.st.Next()) }

// Notify passes on.
func (a *abortable) Notify(wake func()) bool { return a.st.Notify(wake) }

// Poll is Recv that does not wait.
func (a *abortable) Poll() (ev engine.Event, ok bool, err error) {
	next := false
	if !a.aborted {
		if next, ok = a.st.Poll(); !ok {
			return ev, false, nil
		}
	}
	ev, err = a.result(next)
	return ev, true, err
}

// result is what comes after the stream's event, or after its end.
func (a *abortable) result(next bool) (engine.Event, error) {
	if next {
		ev := a.st.Event()
		if ev.Finish != nil {
			delete(a.open, ev.Choice)
		}
		return ev, nil
	}
	err := a.st.Err()
	switch {
	case !a.aborted && err == nil:
		return engine.Event{}, io.EOF
	case !a.aborted && !errors.Is(context.Cause(a.ctx), errAborted):
		return engine.Event{}, err
	}
	a.aborted = true
	for choice := range a.open {
		delete(a.open, choice)
		return engine.Event{Choice: choice, Finish: &engine.Finish{Reason: engine.FinishAbort, MatchedToken: -1}}, nil
	}
	return engine.Event{}, io.EOF
}

// Ready passes on.
func (a *abortable) Ready() bool { return a.st.Ready() }

// Usage passes on.
func (a *abortable) Usage() engine.Usage { return a.st.Usage() }

// Close passes on.
func (a *abortable) Close() error { return a.st.Close() }

// overQuota is the answer to a key that has as many requests as it may have.
func overQuota() *openai.Error {
	return &openai.Error{Status: http.StatusTooManyRequests, Type: openai.TypeRateLimit, Code: openai.CodeQueueFull, RetryAfter: 1,
		Message: "This key has as many requests under way as it may have; try again when one has ended", Err: engine.ErrOverloaded}
}
