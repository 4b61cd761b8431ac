package nb

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/runtime/internal/testcert"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAServerWithKeysAndItsOwnCertificate(t *testing.T) {
	n := newNotebook(t)
	cert, key := testcert.New(t, "my.example") // a name that no test server has
	keys := filepath.Join(t.TempDir(), "keys")
	write(t, keys, "first-key\nsecond-key\n")
	model := modeltest.TinyModel(t, "llama")
	launches := map[string]func() *Process{
		"LaunchServer": func() *Process {
			return n.LaunchServer(ServerOptions{Model: model, ServedName: "tiny", Threads: 1, APIKeyFile: keys, TLSCert: cert, TLSKey: key})
		},
		"launch_server_cmd": func() *Process {
			p, _ := n.LaunchServerCmd(fmt.Sprintf("python3 -m sglang.launch_server --model-path %s --served-model-name tiny --api-key-file=%s \\\n"+
				" --ssl-certfile %s --ssl-keyfile %s --threads 1", model, keys, cert, key))
			return p
		},
	}
	for name, launch := range launches {
		t.Run(name, func(t *testing.T) {
			p := launch()
			if !strings.HasPrefix(p.URL, "https://127.0.0.1:") {
				t.Errorf("the address is %s", p.URL)
			}
			n.WaitForServer(p, 60)
			n.WaitForServer(p.URL, 60)
			n.WaitForServer(p.URL, "second-key", 60)
			n.WaitForServer(strings.Replace(p.URL, "127.0.0.1", "localhost", 1), 60)
			mustFail(t, func() { n.WaitForServer(p.URL, "wrong-key", 60) }, "key")
			mustFail(t, func() { n.WaitForServer(strings.Replace(p.URL, "https", "http", 1), 60) }, "speaks https", p.URL)
			mustFail(t, func() { n.OpenAI(strings.Replace(p.URL, "https", "http", 1)+"/v1", "first-key") }, "speaks https")
			client := n.OpenAI(p.URL+"/v1", "second-key")
			if ms := client.Models.List(); len(ms) != 1 || ms[0].ID != "tiny" {
				t.Errorf("models: %+v", ms)
			}
			o := GenerateOptions{MaxTokens: 6, IgnoreEOS: true}
			var text strings.Builder
			for c := range client.Completions.Stream(Params{"model": "tiny", "prompt": "the", "temperature": 0, "max_tokens": 6, "ignore_eos": true}) {
				text.WriteString(c.Choices[0].Text)
			}
			if a := n.Generate("the", o); a.Text != text.String() {
				t.Errorf("over HTTPS %q, in the process %q", text.String(), a)
			}
			mustFail(t, func() { n.OpenAI(p.URL + "/v1").Models.List() }, "401")
			n.TerminateProcess(p)
			mustFail(t, func() { client.Models.List() }, "refused")
		})
	}
	write(t, keys, "\n")
	mustFail(t, func() { n.LaunchServer(ServerOptions{Model: model, APIKeyFile: keys}) }, "holds no key")
	mustFail(t, func() { n.LaunchServer(ServerOptions{Model: model, TLSCert: cert}) }, "--ssl-keyfile")
	mustFail(t, func() { n.LaunchServer(ServerOptions{Model: model, TLSCert: key, TLSKey: cert}) }, "certificate")
}

func TestOnlyTheCertificateOfTheLaunchIsAccepted(t *testing.T) {
	n := newNotebook(t)
	cert, key := testcert.New(t, "my.example") // a name that no test server has
	p := n.LaunchServer(ServerOptions{Model: modeltest.TinyModel(t, "llama"), Threads: 1, TLSCert: cert, TLSKey: key})
	n.WaitForServer(p, 60)
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	req, err := http.NewRequest(http.MethodGet, other.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.client.Do(req); err == nil || !strings.Contains(err.Error(), "not the one") {
		t.Errorf("another server's certificate: %v", err)
	}
	mustFail(t, func() { n.WaitForServer(other.URL, 60) }, other.URL, "certificate")
}

func TestAServerBehindAUnixSocket(t *testing.T) {
	n := newNotebook(t)
	dir, err := os.MkdirTemp("", "nb") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	p := n.LaunchServer(ServerOptions{Model: modeltest.TinyModel(t, "llama"), ServedName: "tiny", Threads: 1, Args: []string{"--uds", filepath.Join(dir, "s")}})
	n.WaitForServer(p, 60)
	n.WaitForServer(p.URL, 60)
	if ms := n.OpenAI(p.URL + "/v1").Models.List(); len(ms) != 1 || ms[0].ID != "tiny" {
		t.Errorf("models: %+v", ms)
	}
}

func TestWaitingEndsWhereItIsInVain(t *testing.T) {
	n := newNotebook(t)
	status := http.StatusUnauthorized
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer right" || r.URL.Path != "/v1/models" {
			w.WriteHeader(status)
		}
	}))
	defer srv.Close()
	mustFail(t, func() { n.WaitForServer(srv.URL, 60) }, "key")
	n.WaitForServer(srv.URL, "right")
	n.WaitForServer(srv.URL+"/v1/", 60, "right")
	mustFail(t, func() { n.WaitForServer("https"+strings.TrimPrefix(srv.URL, "http"), 60) }, "http, not https")
	status = http.StatusServiceUnavailable
	mustFail(t, func() { n.WaitForServer(srv.URL, 0.2) }, "200ms", "HTTP 503")
	mustFail(t, func() { n.WaitForServer("127.0.0.1:30000") }, "no address")
	mustFail(t, func() { n.WaitForServer("http://127.0.0.1:1", "100ms") }, "100ms", "refused")
	mustFail(t, func() { n.WaitForServer((*Process)(nil)) }, "nil")
	mustFail(t, func() { n.WaitForServer(srv.URL, true) }, "bool")
}

func TestAnotherHostsServerIsNotTakenForOnesOwn(t *testing.T) {
	n := newNotebook(t)
	p := n.launchTiny(t)
	port := fmt.Sprint(p.Port)
	for base, own := range map[string]bool{"http://127.0.0.1:" + port: true, "http://localhost:" + port + "/v1": true, "http://0.0.0.0:" + port: true,
		"http://[::1]:" + port: true, "http://192.0.2.1:" + port: false, "http://gpu.example:" + port: false, "http://127.0.0.1:1": false, "%": false} {
		if got := n.byURL(base) == p; got != own {
			t.Errorf("%s is one's own: %v", base, got)
		}
	}
}

func TestTwoServersAndTheirPorts(t *testing.T) {
	n := newNotebook(t)
	a := n.launchTiny(t)
	model := modeltest.TinyModel(t, "llama")
	mustFail(t, func() { n.LaunchServer(ServerOptions{Model: model, Port: a.Port}) }, "in use", "another server of this notebook", "Servers()[0].Terminate()")
	if len(n.Servers()) != 1 {
		t.Errorf("servers: %v", n.Servers())
	}
	a.Terminate()
	b := n.LaunchServer(ServerOptions{Model: model, Port: a.Port, Threads: 1}) // as a cell that runs again
	n.WaitForServer(a.Port, 60)
	if p := n.byURL(a.URL); p != b {
		t.Errorf("%s is %v", a.URL, p)
	}
}

// TestTerminatingWhileACellWaits ends servers under those that wait for them.
func TestTerminatingWhileACellWaits(t *testing.T) {
	n := newNotebook(t)
	p := n.launchTiny(t)
	began := p.Engine().Stats().Requests
	p.Engine().(engine.Pauser).Pause() // nobody is done before the end
	client := n.OpenAI(p.URL + "/v1")
	runs := map[string]func(){
		"Generate": func() { n.Generate("the", GenerateOptions{MaxTokens: 1900, IgnoreEOS: true}) },
		"a stream": func() { drain(n, GenerateOptions{MaxTokens: 1900, IgnoreEOS: true}) },
		"HTTP": func() {
			client.Completions.Create(Params{"model": "tiny", "prompt": "the", "max_tokens": 1900, "ignore_eos": true})
		},
	}
	ended := make(chan error, len(runs))
	for name, run := range runs {
		go func() {
			if err := failure(run); err == nil {
				ended <- fmt.Errorf("%s does not fail", name)
				return
			}
			ended <- nil
		}()
	}
	for end := time.Now().Add(time.Minute); p.Engine().Stats().Requests < began+int64(len(runs)) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	n.TerminateProcess(p)
	for range runs {
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("a cell waits for a server that is gone")
		}
	}
}

func TestAnInterruptWhileTheModelLoads(t *testing.T) {
	n := newNotebook(t)
	ctx, interrupt := context.WithCancel(t.Context())
	n.next(ctx)
	p := n.LaunchServer(ServerOptions{Model: modeltest.TinyModel(t, "llama"), Threads: 1})
	interrupt()
	if err := failure(func() { n.WaitForServer(p) }); err != nil && !strings.Contains(err.Error(), "canceled") {
		t.Errorf("the cell ends with %v", err)
	}
	n.next(t.Context())
	n.WaitForServer(p, 60) // it loads on
	if a := n.Generate("x", GenerateOptions{MaxTokens: 1, IgnoreEOS: true}); len(a.Tokens) != 1 {
		t.Errorf("%+v", a)
	}
	if _, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.Port)); err != nil {
		t.Error(err)
	}
}

func TestAServerSaysWhatBecameOfIt(t *testing.T) {
	n := newNotebook(t)
	p := n.launchTiny(t)
	if s := p.String(); !strings.HasSuffix(s, "(running)") {
		t.Errorf("a server that answers: %s", s)
	}
	n.TerminateProcess(p)
	if s := p.String(); !strings.HasSuffix(s, "(terminated)") {
		t.Errorf("a server that is gone: %s", s)
	}
	q := n.LaunchServer(ServerOptions{Model: filepath.Join(t.TempDir(), "nowhere")})
	if s := q.String(); strings.HasSuffix(s, "(running)") {
		t.Errorf("a server that has no model: %s", s)
	}
	mustFail(t, func() { n.WaitForServer(q, 60) }, "nowhere")
	<-q.srv.Done()
	if s := q.String(); !strings.Contains(s, "(failed: ") {
		t.Errorf("a server that failed: %s", s)
	}
}
