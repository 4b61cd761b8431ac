package local

import (
	"errors"
	"fmt"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/stop"
)

// stopPatterns compiles a request's stop_regex.
func stopPatterns(sources []string) (*stop.Patterns, error) {
	p, err := stop.Compile(sources)
	var e *stop.Error
	if errors.As(err, &e) {
		return nil, engine.Invalid(fmt.Sprintf("stop_regex[%d]", e.Index), "stop_regex[%d] cannot be used: %s.", e.Index, e.Reason)
	}
	return p, err
}
