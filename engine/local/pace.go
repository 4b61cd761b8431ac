package local

import "time"

// pacer keeps steps short. A step with many prompt rows holds up everybody who
// generates, and a row costs more the longer the text before it is, so the number of
// prompt rows follows what steps with prompts took. Answers do not depend on it: a
// row's result is the same in any step.
type pacer struct {
	plain time.Duration // the last step without prompt rows
	rows  int           // most prompt rows of a step; 0: nothing was too slow yet
}

const (
	stepGoal = 300 * time.Millisecond // for a step with prompt rows
	minPaced = 32                     // prompt rows that a step may have however slow it is
)

// measure takes a step's prompt rows and duration and returns the most prompt rows
// for the next one; 0 means any number. Where a step without prompts takes long
// already, one with them may take three times as long: reading the weights for a few
// rows only would waste it.
func (p *pacer) measure(prompt int, d time.Duration) int {
	if prompt == 0 {
		p.plain = d
		return p.rows
	}
	goal := max(stepGoal, 3*p.plain)
	if d <= goal && p.rows == 0 {
		return 0
	}
	n := int(min(float64(prompt)*float64(goal)/float64(max(d, 1)), 1<<20))
	if d <= goal {
		n = max(n, p.rows) // a short prompt is no reason to slow down
	}
	p.rows = max(n, minPaced)
	return p.rows
}
