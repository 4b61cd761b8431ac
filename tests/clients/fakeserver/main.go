// Command fakeserver serves enginetest.Fake over httpapi on loopback, for the client
// suites beside it. It prints one line, "GODWIT_BASE_URL=… GODWIT_MODEL=…", when it
// listens and ends on SIGINT, SIGTERM or when its standard input closes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
	"github.com/godwit-ai/godwit/httpapi"
)

func main() {
	port := flag.Int("port", 0, "port on loopback; 0 picks a free one")
	model := flag.String("model", "fake/fake-135m", "served name")
	key := flag.String("api-key", "", "API key; empty: none")
	delay := flag.Duration("token-delay", time.Millisecond, "time per token")
	running := flag.Int("max-running", 0, "requests at once before 429; 0: no limit")
	reply := flag.String("reply", "", "what every answer is; after a tool's result: \"The tool says RESULT.\"")
	reasoning := flag.String("reasoning-parser", "", "as of godwit serve")
	calls := flag.String("tool-call-parser", "", "as of godwit serve")
	watch := flag.Bool("stdin", false, "end when standard input closes")
	flag.Parse()
	fake := &enginetest.Fake{Names: []string{*model}, TokenDelay: *delay, MaxRunning: *running, VocabSize: 49152,
		ReasoningParser: *reasoning, ToolCallParser: *calls}
	if *reply != "" {
		fake.Reply = func(req *engine.Request, _ string, _ int) string { return say(*reply, req) }
	}
	if err := serve(fake, *port, *model, *key, *watch); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// say plays a model that uses a tool's result.
func say(reply string, req *engine.Request) string {
	if n := len(req.Messages); n > 0 && req.Messages[n-1].Role == "tool" {
		return "The tool says " + req.Messages[n-1].Content + "."
	}
	return reply
}

func serve(fake *enginetest.Fake, port int, model, key string, watch bool) error {
	defer fake.Close()
	opt := httpapi.Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if key != "" {
		opt.APIKeys = []string{key}
	}
	s, err := httpapi.New(fake, opt)
	if err != nil {
		return err
	}
	ln, err := httpapi.Listen("127.0.0.1", port)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if watch {
		go func() { // ends with the process
			io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	fmt.Printf("GODWIT_BASE_URL=http://%s/v1 GODWIT_MODEL=%s\n", ln.Addr(), model)
	return s.Serve(ctx, ln)
}
