package driver

import (
	"fmt"
	"unsafe"
)

type launchError struct {
	kernel      string
	grid, block [3]uint32
	shared      int
	err         error
}

func (e *launchError) Error() string {
	return fmt.Sprintf("kernel %s, grid %v, block %v, %d bytes shared: %v", e.kernel, e.grid, e.block, e.shared, e.err)
}

func (e *launchError) Unwrap() error { return e.err }

// Graph is recorded work that one call starts again.
type Graph struct {
	c      *Context
	handle uintptr
}

// Capture records what f puts into the stream instead of running it. Only the calling
// thread is bound by the rules of capturing.
func (s Stream) Capture(f func() error) (Graph, error) {
	const threadLocal = 1
	if err := s.c.l.call(cuStreamBeginCapture, s.handle, threadLocal); err != nil {
		return Graph{}, err
	}
	var graph uintptr
	failed := f()
	err := s.c.l.call(cuStreamEndCapture, s.handle, uintptr(unsafe.Pointer(&graph)))
	if failed != nil {
		err = failed
	}
	if graph != 0 {
		defer s.c.l.call(cuGraphDestroy, graph)
	}
	if err != nil {
		return Graph{}, err
	}
	g := Graph{c: s.c}
	if err := s.c.l.call(cuGraphInstantiateWithFlags, uintptr(unsafe.Pointer(&g.handle)), graph, 0); err != nil {
		return Graph{}, err
	}
	return g, s.c.l.call(cuGraphUpload, g.handle, s.handle)
}

// Launch starts the recorded work in the stream.
func (g Graph) Launch(s Stream) error { return g.c.l.hot(cuGraphLaunch, g.handle, s.handle, 0, 0) }

// Close frees the graph.
func (g Graph) Close() error { return g.c.l.call(cuGraphExecDestroy, g.handle) }
