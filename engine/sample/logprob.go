package sample

import "math"

// Ranked is a token with its log-probability (natural logarithm).
type Ranked struct {
	ID      int32
	Logprob float32
}

// LogSumExp is log Σ exp(logits), computed relative to the maximum and summed in
// float64. NaN counts as -Inf. Without a finite entry it is -Inf, with a +Inf it
// is +Inf.
func LogSumExp(logits []float32) float64 {
	m := maximum(logits)
	if math.IsInf(float64(m), 0) {
		return float64(m)
	}
	top, sum := float64(m), 0.0
	for _, l := range logits {
		if d := float64(l) - top; d > -700 {
			sum += expNeg(d)
		}
	}
	return top + math.Log(sum)
}

// LogProb is the log-probability of token id under softmax(logits); -Inf when the
// id is outside the logits.
func LogProb(logits []float32, id int32) float32 {
	return LogProbFrom(logits, id, LogSumExp(logits))
}

// LogProbFrom is LogProb with a LogSumExp computed before.
func LogProbFrom(logits []float32, id int32, lse float64) float32 {
	if uint(id) >= uint(len(logits)) {
		return float32(math.Inf(-1))
	}
	l := float64(logits[id])
	switch {
	case math.IsNaN(l) || math.IsInf(lse, -1):
		return float32(math.Inf(-1))
	case math.IsInf(lse, 1):
		if math.IsInf(l, 1) {
			return 0
		}
		return float32(math.Inf(-1))
	}
	return float32(l - lse)
}

// Top returns the n most likely tokens under softmax(logits), best first, ties by
// the lower id. Entries that are NaN or -Inf are left out, so it may return fewer.
func Top(logits []float32, n int) []Ranked {
	return TopFrom(logits, n, LogSumExp(logits))
}

// TopFrom is Top with a LogSumExp computed before.
func TopFrom(logits []float32, n int, lse float64) []Ranked {
	n = min(n, len(logits))
	if n <= 0 {
		return nil
	}
	top := make([]Ranked, 0, n)
	floor := float32(math.Inf(-1))
	for id, l := range logits {
		if !(l > floor) {
			continue
		}
		top = insertRanked(top, Ranked{int32(id), l}, n)
		if len(top) == n {
			floor = top[n-1].Logprob
		}
	}
	for i := range top {
		top[i].Logprob = LogProbFrom(logits, top[i].ID, lse)
	}
	return top
}

// insertRanked keeps top sorted by falling value and no longer than n; r comes
// after its equals, because ids arrive in rising order.
func insertRanked(top []Ranked, r Ranked, n int) []Ranked {
	if len(top) < n {
		top = append(top, r)
	}
	i := len(top) - 1
	for i > 0 && top[i-1].Logprob < r.Logprob {
		top[i] = top[i-1]
		i--
	}
	top[i] = r
	return top
}

// maximum is the largest entry; NaN is ignored. It is -Inf for no entries.
func maximum(v []float32) float32 {
	m := float32(math.Inf(-1))
	for _, x := range v {
		if x > m {
			m = x
		}
	}
	return m
}
