package session

import "context"

// Call runs a function, one that a cell handed out, as if it were a cell: what it and
// the goroutines that it starts print goes to out, a panic becomes an *Error, and
// cancelling ctx interrupts it. Of the cell only its name, number and Beside count.
func (s *Session) Call(ctx context.Context, cell Cell, out Output, f func()) error {
	if !cell.Beside {
		s.execMu.Lock()
		defer s.execMu.Unlock()
	}
	s.quiet.RLock()
	defer s.quiet.RUnlock()
	if ctx.Err() != nil {
		return &Error{Name: "Interrupted", Message: "interrupted"}
	}
	return s.launch(ctx, s.newRun(&source{name: cell.Name}, out), []func(){f})
}

// atRest calls f while no cell runs and no cell can start; false means that one runs,
// or that a goroutine of one does, which could be changing what f reads: a map that is
// read and written at the same time ends the process.
func (s *Session) atRest(f func()) bool {
	if !s.quiet.TryLock() {
		return false
	}
	defer s.quiet.Unlock()
	s.runsMu.RLock()
	busy := false
	for _, r := range s.runOrder {
		busy = busy || r.alive.Load() > 0
	}
	s.runsMu.RUnlock()
	if busy {
		return false
	}
	f()
	return true
}
