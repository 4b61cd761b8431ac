package engine

import (
	"testing"
	"time"
)

func TestStepsAreCountedUnderTheirBound(t *testing.T) {
	for _, c := range []struct {
		took   time.Duration
		bucket int
	}{
		{0, 0}, {100 * time.Microsecond, 0}, {100*time.Microsecond + 1, 1}, {3 * time.Millisecond, 5}, {StepBound(15), 15}, {StepBound(15) + 1, 16}, {time.Hour, 16},
	} {
		var s StepTimes
		s.Add(c.took)
		if s.Counts[c.bucket] != 1 || s.Seconds != c.took.Seconds() {
			t.Errorf("%v: counted as %v, %v s", c.took, s.Counts, s.Seconds)
		}
	}
}
