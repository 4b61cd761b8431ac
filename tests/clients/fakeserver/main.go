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

	"github.com/godwit-ai/godwit/engine/enginetest"
	"github.com/godwit-ai/godwit/httpapi"
)

func main() {
	port := flag.Int("port", 0, "port on loopback; 0 picks a free one")
	model := flag.String("model", "fake/fake-135m", "served name")
	key := flag.String("api-key", "", "API key; empty: none")
	delay := flag.Duration("token-delay", time.Millisecond, "time per token")
	running := flag.Int("max-running", 0, "requests at once before 429; 0: no limit")
	watch := flag.Bool("stdin", false, "end when standard input closes")
	flag.Parse()
	if err := serve(*port, *model, *key, *delay, *running, *watch); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(port int, model, key string, delay time.Duration, running int, watch bool) error {
	fake := &enginetest.Fake{Names: []string{model}, TokenDelay: delay, MaxRunning: running, VocabSize: 49152}
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
