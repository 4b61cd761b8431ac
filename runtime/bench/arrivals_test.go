package bench

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTraces(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Arrival
		fails      string
	}{
		{"as published", "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,109\r\n",
			[]Arrival{{0, 374, 44}, {4314579 * time.Microsecond, 396, 109}}, ""},
		{"seconds and no header", "0,10,5\n1.5,20,6\n", []Arrival{{0, 10, 5}, {1500 * time.Millisecond, 20, 6}}, ""},
		{"seconds that start later, further fields", "t,in,out,user\n100,10,5,x\n\n100.25,20,6,y\n", []Arrival{{0, 10, 5}, {250 * time.Millisecond, 20, 6}}, ""},
		{"a date with a T", "2024-05-01T00:00:00Z,1,2\n2024-05-01T00:01:00Z,1,2", []Arrival{{0, 1, 2}, {time.Minute, 1, 2}}, ""},
		{"nothing", "", nil, "no arrival"},
		{"a header only", "TIMESTAMP,ContextTokens,GeneratedTokens\n", nil, "no arrival"},
		{"too few fields", "0,1,2\n1,2\n", nil, "line 2"},
		{"a length below zero", "0,-1,2\n", nil, "line 1"},
		{"a word for a length", "0,1,2\n1,many,2\n", nil, `line 2: "many"`},
		{"a time before the first", "5,1,2\n4,1,2\n", nil, "line 2"},
		{"no time", "0,1,2\nsoon,1,2\n", nil, `"soon"`},
		{"not a number", "NaN,1,2\nNaN,1,2\n", nil, "NaN"},
		{"a line without end", strings.Repeat("9", 5000), nil, "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseTrace(strings.NewReader(c.text), 0)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("%v, %v", got, err)
				}
				return
			}
			if err != nil || len(got) != len(c.want) {
				t.Fatalf("%v, %v", got, err)
			}
			for i := range got {
				if d := got[i].At - c.want[i].At; d > time.Microsecond || d < -time.Microsecond || got[i].In != c.want[i].In || got[i].Out != c.want[i].Out {
					t.Errorf("arrival %d is %v, want %v", i, got[i], c.want[i])
				}
			}
		})
	}
}

func TestThePublishedTrace(t *testing.T) {
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", "traces", "azure-llm-2023-conv-first5000.csv"))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	list, err := ParseTrace(f, 100)
	if err != nil || len(list) != 100 || list[0] != (Arrival{0, 374, 44}) {
		t.Errorf("%d arrivals, %v", len(list), err)
	}
}

func FuzzParseTrace(f *testing.F) {
	f.Add("TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n")
	f.Add("0,1,2\n1e300,1,2\n")
	f.Add("\ufeff0,1,2\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseTrace(strings.NewReader(text), 0)
		if err != nil {
			return
		}
		for i, a := range list {
			if a.At < 0 || a.In < 0 || a.Out < 0 || a.In > maxTokens {
				t.Errorf("arrival %d is %v", i, a)
			}
		}
	})
}

func TestPoissonArrivals(t *testing.T) {
	list := Poisson(4000, 20, 100, 50, true, 3)
	mean := list[len(list)-1].At.Seconds() / float64(len(list)-1)
	if math.Abs(mean*20-1) > 0.1 {
		t.Errorf("the mean gap is %v s", mean)
	}
	same := Poisson(4000, 20, 100, 50, true, 3)
	for i, a := range list {
		if a != same[i] || a.In < 75 || a.In > 125 || a.Out < 38 || a.Out > 62 || i > 0 && a.At < list[i-1].At {
			t.Fatalf("arrival %d is %v", i, a)
		}
	}
	for _, a := range Poisson(5, 0, 7, 8, false, 1) {
		if a != (Arrival{0, 7, 8}) {
			t.Errorf("%v", a)
		}
	}
	fast := stretch([]Arrival{{time.Second, 100, 0}}, 4, 10, 10, 1000)
	if fast[0] != (Arrival{250 * time.Millisecond, 10, 1}) {
		t.Errorf("%v", fast[0])
	}
	if cut := stretch([]Arrival{{0, 500, 400}, {0, 60, 20}}, 0, 0, 0, 200); cut[0] != (Arrival{0, 92, 100}) || cut[1] != (Arrival{0, 60, 20}) {
		t.Errorf("%v", cut)
	}
}
