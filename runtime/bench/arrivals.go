package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Arrival is a request of an open-loop load: it is sent at its time, whatever has
// become of those before.
type Arrival struct {
	At      time.Duration
	In, Out int // tokens
}

const (
	maxArrivals  = 1 << 20
	maxTraceLine = 4096
	maxTokens    = 1 << 24
)

// ParseTrace reads a trace of arrivals: comma-separated lines of time, prompt tokens and
// generated tokens behind a header line, as in the traces that Azure has published
// (TIMESTAMP,ContextTokens,GeneratedTokens). Times are "2006-01-02 15:04:05.0000000" or
// seconds; the first one counts as 0 and none may lie before it. At most limit arrivals
// are read, 0 means all. Errors name the line.
func ParseTrace(r io.Reader, limit int) ([]Arrival, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxTraceLine), maxTraceLine)
	var list []Arrival
	var first time.Time
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || n == 1 && strings.ContainsAny(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") && !strings.HasPrefix(line, "2") {
			continue
		}
		a, at, err := parseArrival(line)
		if err != nil {
			return nil, fmt.Errorf("trace: line %d: %w", n, err)
		}
		if len(list) == 0 {
			first = at
		}
		if a.At = at.Sub(first); a.At < 0 {
			return nil, fmt.Errorf("trace: line %d: its time is before the first one's", n)
		}
		if list = append(list, a); len(list) == limit {
			return list, nil
		}
		if len(list) > maxArrivals {
			return nil, fmt.Errorf("trace: more than %d arrivals", maxArrivals)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if len(list) == 0 {
		return nil, errors.New("trace: there is no arrival in it")
	}
	return list, nil
}

func parseArrival(line string) (a Arrival, at time.Time, err error) {
	f := strings.Split(line, ",")
	if len(f) < 3 {
		return a, at, fmt.Errorf("%d fields, want time,prompt tokens,generated tokens", len(f))
	}
	if at, err = parseTime(strings.TrimSpace(f[0])); err != nil {
		return a, at, err
	}
	for i, to := range []*int{&a.In, &a.Out} {
		if *to, err = strconv.Atoi(strings.TrimSpace(f[i+1])); err != nil || *to < 0 || *to > maxTokens {
			return a, at, fmt.Errorf("%q is no number of tokens", f[i+1])
		}
	}
	return a, at, nil
}

func parseTime(s string) (time.Time, error) {
	if sec, err := strconv.ParseFloat(s, 64); err == nil {
		if math.IsNaN(sec) || sec < 0 || sec > 1e10 {
			return time.Time{}, fmt.Errorf("%q is no time in seconds", s)
		}
		whole := math.Floor(sec)
		return time.Unix(int64(whole), int64((sec-whole)*1e9)), nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05.999999999", time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: use seconds or 2006-01-02 15:04:05.0000000", s)
}

// Poisson makes n arrivals whose gaps are exponentially distributed, rate of them per
// second on average; rate 0 sends all at once. Lengths are drawn from a quarter below
// to a quarter above in and out when vary is set.
func Poisson(n int, rate float64, in, out int, vary bool, seed uint32) []Arrival {
	m := newTwister(seed)
	list := make([]Arrival, n)
	at := 0.0
	length := func(mean int) int {
		if !vary {
			return mean
		}
		return m.between(max(1, mean-mean/4), mean+mean/4)
	}
	for i := range list {
		list[i] = Arrival{At: time.Duration(at * float64(time.Second)), In: length(in), Out: length(out)}
		if rate > 0 {
			u := (float64(m.next()) + 0.5) / (1 << 32)
			at -= math.Log(u) / rate
		}
	}
	return list
}

// stretch changes the speed of arrivals and bounds their lengths: a request has at least
// one token on each side, at most maxIn and maxOut (0: no bound), and no more than fit a
// context, of which answers get at most half.
func stretch(list []Arrival, speed float64, maxIn, maxOut, context int) []Arrival {
	out := make([]Arrival, len(list))
	for i, a := range list {
		if speed > 0 && speed != 1 {
			a.At = time.Duration(float64(a.At) / speed)
		}
		a.Out = max(1, min(a.Out, or(maxOut, a.Out), context/2))
		a.In = max(1, min(a.In, or(maxIn, a.In), context-a.Out-8))
		out[i] = a
	}
	return out
}
