package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/weights"
)

var _ engine.WeightUpdater = (*Engine)(nil)

// exchange is the wish for other weights. It waits in the inbox until nothing runs, and
// new requests wait behind it.
type exchange struct {
	apply  func() error // on the loop's goroutine
	answer chan error   // has room for one
}

// UpdateWeights exchanges the weights for those of another checkpoint of the same model,
// which lies beside the one that is served. It waits for the requests that run; those that
// come wait for it. If it fails the weights stay as they were.
func (e *Engine) UpdateWeights(ctx context.Context, path string) error {
	if e.o.LoadFormat == "dummy" {
		return &engine.RequestError{Param: "model_path", Err: engine.ErrUnsupported, Message: "The served weights are made up: there are none to exchange them for."}
	}
	full, err := e.beside(path)
	if err != nil {
		return err
	}
	ckpt, err := e.openLike(full)
	if err != nil {
		return &engine.RequestError{Param: "model_path", Err: engine.ErrInvalidRequest,
			Message: "The weights of " + path + " cannot be used: " + strings.ReplaceAll(err.Error(), full, path)}
	}
	x := &exchange{apply: func() error { return e.swap(full, ckpt) }, answer: make(chan error, 1)}
	if err := e.loop.exchange(ctx, x); err != nil {
		ckpt.Close()
		return err
	}
	e.log.Info("weights exchanged", "path", full)
	return nil
}

// beside resolves the path of a checkpoint: the served one, or one in the same folder as
// it. Symbolic links must not lead elsewhere. What is absent and what is forbidden look
// the same.
func (e *Engine) beside(path string) (string, error) {
	if path == "" {
		return "", engine.Invalid("model_path", "model_path is missing.")
	}
	served := e.models[0].Path
	if path == e.o.ModelPath || path == served {
		return served, nil
	}
	refuse := engine.Invalid("model_path", "model_path must name the served model or one beside it, in the same folder.")
	if strings.ContainsRune(path, 0) {
		return "", refuse
	}
	own, err := filepath.Abs(served)
	if err != nil {
		return "", fmt.Errorf("the served model's folder: %w", err)
	}
	root, err := filepath.EvalSymlinks(filepath.Dir(own))
	if err != nil {
		return "", fmt.Errorf("the served model's folder: %w", err)
	}
	full := path
	if !filepath.IsAbs(path) {
		full = filepath.Join(root, path)
	}
	if full, err = filepath.EvalSymlinks(full); err != nil {
		return "", refuse
	}
	if rel, err := filepath.Rel(root, full); err != nil || rel == "." || !filepath.IsLocal(rel) {
		return "", refuse
	}
	return full, nil
}

// openLike opens a checkpoint of the model that runs and looks at all its tensors: what can be
// known to fail fails before the old weights go.
func (e *Engine) openLike(path string) (weights.Checkpoint, error) {
	ckpt, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	if err := e.fits(ckpt); err != nil {
		return nil, errors.Join(err, ckpt.Close())
	}
	return ckpt, nil
}

func (e *Engine) fits(ckpt weights.Checkpoint) error {
	p, err := model.Build(ckpt.Config())
	if err != nil {
		return err
	}
	if p.Arch != e.program.Arch || p.String() != e.program.String() {
		return fmt.Errorf("it is another model (%s) than the one that is served (%s): sizes, layers or constants differ", p.Arch, e.program.Arch)
	}
	for _, w := range e.program.Weights {
		t, err := ckpt.Tensor(w.Name)
		if err == nil {
			err = t.Check()
		}
		if err == nil && !slices.Equal(t.Shape, w.Shape) {
			err = fmt.Errorf("the checkpoint has shape %v, the model needs %v", t.Shape, w.Shape)
		}
		if err != nil {
			return fmt.Errorf("weight %s: %w", w.Name, err)
		}
	}
	return e.unused(ckpt)
}

// swap computes with other weights from now on; nothing runs. On a GPU there may be no room
// for both at a time: there the old ones go first, and are read again if the new ones fail.
func (e *Engine) swap(path string, ckpt weights.Checkpoint) error {
	old, oldCkpt, early := e.exec, e.ckpt, e.onGPU()
	if early {
		e.note("closing the old weights", old.Close())
		e.setExec(lost{errors.New("the weights are being exchanged")})
	}
	exec, err := e.build(ckpt)
	if err != nil && early {
		return errors.Join(err, e.restore())
	}
	if err != nil {
		return err
	}
	e.setExec(exec)
	if !early {
		e.note("closing the old weights", old.Close())
	}
	if oldCkpt != nil {
		e.note("closing the old weights", oldCkpt.Close())
	}
	e.path, e.ckpt = path, ckpt
	e.note("closing the new file", e.keepWeights())
	return nil
}

// build loads weights into an Exec of the same sizes.
func (e *Engine) build(ckpt weights.Checkpoint) (device.Exec, error) {
	var exec device.Exec
	err := safely(func() (err error) { // a panic too must leave the old weights
		exec, err = e.dev.Compile(context.Background(), e.program, ckpt, e.sizes)
		return err
	})
	if err != nil {
		return nil, err
	}
	if r, ok := exec.(device.Recorder); ok {
		if err := safely(func() error { return r.Record(context.Background()) }); err != nil {
			return nil, errors.Join(err, exec.Close())
		}
	}
	return exec, nil
}

// restore loads the old weights again.
func (e *Engine) restore() error {
	ckpt, err := e.ckpt, error(nil)
	if ckpt == nil {
		if ckpt, err = weights.Open(e.path); err != nil {
			e.setExec(lost{err})
			return fmt.Errorf("the old weights are lost: %w", err)
		}
	}
	exec, err := e.build(ckpt)
	if err != nil {
		e.setExec(lost{err})
		return errors.Join(fmt.Errorf("the old weights are lost: %w", err), ckpt.Close())
	}
	e.setExec(exec)
	e.ckpt = ckpt
	return e.keepWeights()
}

// setExec computes with exec from now on: nothing that was computed before is of use. It
// runs on the loop's goroutine.
func (e *Engine) setExec(exec device.Exec) {
	e.devMu.Lock()
	e.exec = exec
	e.devMu.Unlock()
	e.loop.setExec(exec)
}

func (e *Engine) note(what string, err error) {
	if err != nil {
		e.log.Warn(what, "error", err)
	}
}

// lost stands in for an Exec that could not be made: every step fails.
type lost struct{ err error }

func (x lost) Launch(*device.Batch) (device.Pending, error) {
	return nil, fmt.Errorf("the model has no weights: %w", x.err)
}
func (lost) Bytes() int64                          { return 0 }
func (lost) Close() error                          { return nil }
func (lost) SetAdapter(int, *device.Adapter) error { return errors.New("the model has no weights") }

// exchange waits until nothing runs and x is applied. ctx ends the wait, not the exchange
// itself.
func (l *loop) exchange(ctx context.Context, x *exchange) error {
	l.mu.Lock()
	switch {
	case l.closing:
		l.mu.Unlock()
		return engine.ErrClosed
	case l.inbox.exchange != nil:
		l.mu.Unlock()
		return engine.Invalid("", "Other weights are being loaded.")
	}
	l.inbox.exchange = x
	l.signal()
	l.mu.Unlock()
	select {
	case err := <-x.answer:
		return err
	case <-l.done:
	case <-ctx.Done():
		if l.withdraw(x) {
			return context.Cause(ctx)
		}
	}
	select {
	case err := <-x.answer:
		return err
	case <-l.done:
	}
	select {
	case err := <-x.answer:
		return err
	default:
		return engine.ErrClosed
	}
}

// withdraw takes an exchange back that has not begun.
func (l *loop) withdraw(x *exchange) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inbox.exchange != x {
		return false
	}
	l.inbox.exchange = nil
	l.signal()
	return true
}

// tryExchange applies the exchange that waits, if nothing runs, and lets those in who
// waited for it. It runs on the loop's goroutine.
func (l *loop) tryExchange(x *exchange) {
	l.parked = slices.DeleteFunc(l.parked, func(j *job) bool { return j.over })
	switch idle := len(l.jobs) == len(l.parked); {
	case x == nil:
	case !idle && !l.paused:
		return
	case !l.withdraw(x):
	case !idle:
		x.answer <- engine.Invalid("", "Texts stand still in the middle: go on with them or abort them before the weights are exchanged.")
	default:
		l.drain() // a step ahead whose requests are gone
		x.answer <- safely(x.apply)
	}
	for _, j := range l.parked {
		l.admit(j)
	}
	l.parked = nil
}

// setExec takes another Exec of the same sizes: cached prefixes and adapters' places are
// those of the old one.
func (l *loop) setExec(exec device.Exec) {
	l.exec = exec
	if s := l.seats; s != nil {
		s.exec = exec.(device.Adapting)
		for i, a := range s.by {
			if a != nil {
				a.seat.slot, s.by[i] = 0, nil
			}
		}
	}
	l.reset()
	l.mu.Lock()
	l.stats.DeviceBytes = exec.Bytes()
	l.mu.Unlock()
}
