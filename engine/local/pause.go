package local

import "github.com/godwit-ai/godwit/engine"

var _ engine.Pauser = (*Engine)(nil)

// Pause computes no further step until Resume.
func (e *Engine) Pause() { e.loop.pause(true) }

// Resume goes on where Pause stopped.
func (e *Engine) Resume() { e.loop.pause(false) }

func (l *loop) pause(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inbox.paused = on
	l.signal()
}

// still hands out a step that is under way and starts none.
func (l *loop) still() {
	if before := l.air; before != nil {
		l.air = nil
		l.land(before, nil)
	}
}
