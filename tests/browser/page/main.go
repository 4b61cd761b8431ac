// Command page writes a page with the charts that the browser tests look at:
// go run ./tests/browser/page >page.html
package main

import (
	"fmt"
	"math"
	"os"
	"time"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"github.com/godwit-ai/godwit/viz"
)

func main() {
	html, err := viz.Page("Charts", throughput(), latency(), logprobs(), own())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(html)
}

func throughput() viz.Chart {
	var done []viz.Finished
	for i := range 120 {
		done = append(done, viz.Finished{At: time.Duration(100*i+int(400*math.Sin(float64(i)/9))+500) * time.Millisecond, Tokens: 20 + i%13})
	}
	return viz.Throughput(done)
}

func latency() viz.Chart {
	var ds []time.Duration
	for i := range 400 {
		ds = append(ds, time.Duration(200+i%37*10+i*i/200)*time.Millisecond)
	}
	return viz.Latency("Time per request", ds)
}

func logprobs() viz.Chart {
	words := []string{" Paris", ",", " the", " city", " of", " light", "\n", "It", " is", " known", " for", " its", " <b>art</b>", " and", " 食", "."}
	var ps []viz.Logprob
	for i, w := range words {
		ps = append(ps, viz.Logprob{Token: w, Logprob: -math.Abs(math.Sin(float64(i)))*2 - 0.01})
	}
	return viz.Logprobs(ps)
}

func own() viz.Chart {
	bar := charts.NewBar()
	bar.SetGlobalOptions(charts.WithTitleOpts(opts.Title{Title: "A figure of one's own"}))
	bar.SetXAxis([]string{"red", "green", "blue"}).AddSeries("votes", []opts.BarData{{Value: 3}, {Value: 5}, {Value: 2}})
	return bar
}
