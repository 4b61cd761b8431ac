package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
)

// dialStream asks for a streamed completion on a connection of its own.
func dialStream(t *testing.T, url, fields string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	body := `{"stream":true,` + fields + `}`
	fmt.Fprintf(conn, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return conn
}

// readStream reads an answer to its end.
func readStream(t *testing.T, conn net.Conn) string {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// atRest waits until a server's pump has nothing left.
func atRest(t *testing.T, s *Server) {
	t.Helper()
	eventually(t, "the end of the pump's writers", func() bool {
		s.pump.mu.Lock()
		defer s.pump.mu.Unlock()
		return s.pump.writers == 0 && s.pump.feeds == 0 && len(s.pump.queue) == 0
	})
}

func TestStreamsInStepAreThoseThatAreAwaited(t *testing.T) {
	fake := &enginetest.Fake{ContextLen: 1 << 20, Step: 200 * time.Microsecond}
	url, s := serve(t, fake, Options{})
	for name, fields := range map[string]string{
		"one choice":         `"prompt":"x","max_tokens":50,"ignore_eos":true`,
		"one token":          `"prompt":"x","max_tokens":1`,
		"three choices":      `"prompt":"x","max_tokens":20,"n":3,"temperature":1,"seed":5`,
		"usage in each":      `"prompt":"x","max_tokens":20,"ignore_eos":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}`,
		"log-probabilities":  `"prompt":"x","max_tokens":20,"logprobs":3,"echo":true`,
		"a stop string":      `"prompt":"x","max_tokens":200,"ignore_eos":true,"stop":["a "]`,
		"umlauts in pieces":  `"prompt":"x","max_tokens":30,"logit_bias":{"195":50}`,
		"hundreds of tokens": `"prompt":"x","max_tokens":700,"ignore_eos":true`,
	} {
		t.Run(name, func(t *testing.T) {
			w := record(t, &enginetest.Fake{ContextLen: 1 << 20}, Options{}, "/v1/completions", fields)
			want := same(w.body.String())
			var wg sync.WaitGroup
			for range 20 {
				conn := dialStream(t, url, fields)
				wg.Go(func() {
					if got := same(readStream(t, conn)); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				})
			}
			wg.Wait()
		})
	}
	atRest(t, s)
	if st := fake.Stats(); st.Running != 0 || st.Cancelled != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestAReaderWhoStopsHoldsUpNobodyAndLosesNothing(t *testing.T) {
	fake := &enginetest.Fake{ContextLen: 1 << 20, Step: 100 * time.Microsecond, Chunk: 4000}
	url, s := serve(t, fake, Options{})
	const long = `"prompt":"x","max_tokens":300000,"ignore_eos":true,"logprobs":1`
	want := record(t, &enginetest.Fake{ContextLen: 1 << 20, Chunk: 4000}, Options{}, "/v1/completions", long)
	slow := dialStream(t, url, long)
	slow.(*net.TCPConn).SetReadBuffer(256 << 10) // with a buffer of less than a segment TCP would go on in crumbs
	eventually(t, "a connection that takes no more", func() bool {
		s.pump.mu.Lock()
		defer s.pump.mu.Unlock()
		return fake.Stats().Running == 1 && s.pump.feeds == 0
	})
	for range 3 {
		if got := readStream(t, dialStream(t, url, `"prompt":"x","max_tokens":20000,"ignore_eos":true`)); !strings.HasSuffix(got, "data: [DONE]\n\n") {
			t.Errorf("another stream ends with %q", got[max(0, len(got)-100):])
		}
	}
	if got := readStream(t, slow); same(got) != same(want.body.String()) {
		t.Errorf("%d bytes arrived, not the %d that should", len(got), want.body.Len())
	}
	atRest(t, s)
}

func TestAReaderWhoStopsForTooLongIsCut(t *testing.T) {
	fake := &enginetest.Fake{ContextLen: 1 << 20, Step: 100 * time.Microsecond, Chunk: 4000}
	url, s := serve(t, fake, Options{WriteTimeout: 200 * time.Millisecond})
	conn := dialStream(t, url, `"prompt":"x","max_tokens":900000,"ignore_eos":true,"logprobs":1`)
	conn.(*net.TCPConn).SetReadBuffer(4096)
	eventually(t, "a running request", func() bool { return fake.Stats().Requests > 0 })
	eventually(t, "the cut", func() bool { return fake.Stats().Running == 0 })
	if fake.Stats().Cancelled != 1 {
		t.Errorf("stats %+v", fake.Stats())
	}
	atRest(t, s)
}

func TestStreamsInStepEndBeforeTheirTime(t *testing.T) {
	const endless = `"prompt":"x","max_tokens":1000000,"ignore_eos":true,"seed":1`
	for name, c := range map[string]struct {
		end  func(t *testing.T, url string, s *Server, conn net.Conn)
		want string // in what the client has read; "": nobody reads
	}{
		"the client is gone": {func(t *testing.T, _ string, _ *Server, conn net.Conn) { conn.Close() }, ""},
		"an abort": {func(t *testing.T, url string, _ *Server, _ net.Conn) {
			do(t, "POST", url+"/abort_request", `{"abort_all":true}`)
		}, `"finish_reason":"abort"`},
		"a shutdown that does not wait": {func(t *testing.T, _ string, s *Server, _ net.Conn) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			s.Shutdown(ctx)
		}, `"error":{`},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &enginetest.Fake{ContextLen: 1 << 21, Step: time.Millisecond}
			url, s := serve(t, fake, Options{})
			conn := dialStream(t, url, endless)
			r := bufio.NewReader(conn)
			for range 20 {
				if _, err := r.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			c.end(t, url, s, conn)
			if c.want != "" {
				if rest, _ := io.ReadAll(io.LimitReader(untilEnd{r}, 1<<24)); !strings.Contains(string(rest), c.want) {
					t.Errorf("no %s in %q", c.want, rest[max(0, len(rest)-300):])
				}
			}
			eventually(t, "the end of the request", func() bool { return fake.Stats().Running == 0 })
			atRest(t, s)
		})
	}
}

// untilEnd reads up to the end of a stream of events.
type untilEnd struct{ r *bufio.Reader }

func (u untilEnd) Read(b []byte) (int, error) {
	line, err := u.r.ReadString('\n')
	n := copy(b, line)
	if strings.HasPrefix(line, "data: [DONE]") {
		err = io.EOF
	}
	return n, err
}

func TestAPausedEngineInStepGoesOn(t *testing.T) {
	fake := &enginetest.Fake{ContextLen: 1 << 20, Step: time.Millisecond}
	url, s := serve(t, fake, Options{})
	conn := dialStream(t, url, `"prompt":"x","max_tokens":200,"ignore_eos":true`)
	fake.Pause()
	time.AfterFunc(20*time.Millisecond, fake.Resume)
	if got := readStream(t, conn); strings.Count(got, "data: {") != 200 {
		t.Errorf("%d events", strings.Count(got, "data: {"))
	}
	atRest(t, s)
}

func TestAFailureInStepIsTold(t *testing.T) {
	fake := &enginetest.Fake{Step: 5 * time.Millisecond, Failures: []enginetest.Failure{{Contains: "x", AfterTokens: 7}}}
	url, s := serve(t, fake, Options{})
	for range 100 {
		got := readStream(t, dialStream(t, url, `"prompt":"x","max_tokens":20,"ignore_eos":true`))
		if strings.HasPrefix(got, `{"object":"error"`) { // it failed before the answer began
			continue
		}
		if n := strings.Count(got, `"text":"`); n != 7 || !strings.Contains(got, `"error":{`) || !strings.HasSuffix(got, "data: [DONE]\n\n") {
			t.Errorf("%d pieces of text: %s", n, got)
		}
		atRest(t, s)
		return
	}
	t.Error("no answer begins before the failure")
}

// breaking is an engine whose streams panic in Poll.
type breaking struct{ *enginetest.Fake }

func (e breaking) Generate(ctx context.Context, q *engine.Request) (*engine.Stream, error) {
	st, err := e.Fake.Generate(ctx, q)
	if err != nil || q.Prompt != "break" {
		return st, err
	}
	return engine.NewStream(st.ID(), broken{st}), nil
}

type broken struct{ *engine.Stream }

func (b broken) Recv() (engine.Event, error)               { b.Next(); return b.Event(), b.Err() }
func (b broken) Notify(wake func()) bool                   { return b.Stream.Notify(wake) }
func (b broken) Poll() (ev engine.Event, ok bool, e error) { panic("secret detail") }

func TestAPanicInTheEngineEndsOneStream(t *testing.T) {
	fake := &enginetest.Fake{Step: time.Millisecond}
	url, s := serve(t, breaking{fake}, Options{})
	other := dialStream(t, url, `"prompt":"x","max_tokens":100,"ignore_eos":true`)
	conn := dialStream(t, url, `"prompt":"break","max_tokens":100,"ignore_eos":true`)
	text, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(text), "data: {") || strings.Contains(string(text), "[DONE]") || strings.Contains(string(text), "secret") {
		t.Errorf("%v: %s", err, text)
	}
	if got := readStream(t, other); !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the other stream: %s", got)
	}
	eventually(t, "the end of the requests", func() bool { return fake.Stats().Running == 0 })
	atRest(t, s)
}

func TestAQueueThatIsNeverEmptyDoesNotGrow(t *testing.T) {
	p := newPump()
	p.most = 0 // nobody but the test takes feeds
	feeds := make([]feed, 40)
	var want []*feed
	add := func(f *feed) { want = append(want, f); p.push(f) }
	for i := range feeds {
		add(&feeds[i])
	}
	var some [16]*feed
	for range 10_000 {
		n := p.take(some[:])
		if n != len(some) || !slices.Equal(some[:], want[:n]) {
			t.Fatalf("%d feeds, or others than were put in", n)
		}
		want = want[n:]
		for _, f := range some {
			add(f)
		}
	}
	if c := cap(p.queue); c > 8*len(feeds) {
		t.Errorf("a queue of %d feeds has room for %d", len(feeds), c)
	}
}

func TestStreamsOfAllKindsOfReadersAreWhole(t *testing.T) {
	fake := &enginetest.Fake{ContextLen: 1 << 20, Step: 300 * time.Microsecond, Chunk: 400}
	url, s := serve(t, fake, Options{})
	const long = `"prompt":"x","max_tokens":60000,"ignore_eos":true,"logprobs":1`
	want := same(record(t, &enginetest.Fake{ContextLen: 1 << 20, Chunk: 400}, Options{}, "/v1/completions", long).body.String())
	var wg sync.WaitGroup
	for i := range 24 {
		conn := dialStream(t, url, fmt.Sprintf(`"rid":"%032x",`, i)+long).(*net.TCPConn)
		conn.SetDeadline(time.Now().Add(5 * time.Minute))
		draw := rand.New(rand.NewPCG(1, uint64(i)))
		wg.Go(func() {
			r := bufio.NewReader(conn)
			switch i % 6 {
			case 0, 1: // stops now and then, until the connection takes no more
				if got := same(readStream(t, &stopping{Conn: conn, draw: draw})); got != want {
					t.Errorf("reader %d: %d bytes, not the %d that should come", i, len(got), len(want))
				}
				// the connection serves another request
				fmt.Fprint(conn, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
				if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusOK {
					t.Errorf("reader %d, the next answer: %v", i, err)
				}
			case 2:
				io.CopyN(io.Discard, r, draw.Int64N(1<<20))
				conn.Close()
			case 3:
				io.CopyN(io.Discard, r, draw.Int64N(1<<20))
				conn.SetLinger(0)
				conn.Close()
			case 4:
				io.CopyN(io.Discard, r, draw.Int64N(1<<20))
				conn.CloseWrite()
				io.Copy(io.Discard, r)
			case 5:
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				first, _ := io.ReadAll(io.LimitReader(res.Body, draw.Int64N(1<<20)))
				do(t, "POST", url+"/abort_request", fmt.Sprintf(`{"rid":"%032x"}`, i))
				rest, err := io.ReadAll(res.Body)
				got := same(string(first) + string(rest))
				if err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") || !strings.Contains(got, `"finish_reason":"abort"`) && got != want {
					t.Errorf("reader %d: %v: it ends with %q", i, err, got[max(0, len(got)-300):])
				}
				if whole := strings.LastIndex(got[:max(0, strings.LastIndex(got, `"abort"`))], "\n\n"); whole > 0 && got[:whole] != want[:whole] {
					t.Errorf("reader %d: what came before the abort is no start of the answer", i)
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "the end of the requests", func() bool { return fake.Stats().Running == 0 })
	atRest(t, s)
}

// stopping is a connection that is read with pauses.
type stopping struct {
	net.Conn
	draw *rand.Rand
}

func (s *stopping) Read(b []byte) (int, error) {
	if s.draw.IntN(100) == 0 {
		time.Sleep(time.Duration(s.draw.IntN(40)) * time.Millisecond)
	}
	return s.Conn.Read(b)
}
