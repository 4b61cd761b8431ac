package nb

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-ai/godwit/runtime/serve"
)

// httpClient talks to servers that this notebook did not launch, and to those of its own
// that listen for plain HTTP.
var httpClient = &http.Client{Transport: transport()}

func transport() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 5 * time.Second}
}

// clientFor is how helpers talk to a server with these flags: over its Unix socket, and
// with its own certificate, which nobody else has signed, as the one to accept.
func clientFor(c serve.Config) (*http.Client, error) {
	if c.UnixSocket == "" && c.TLSCert == "" {
		return httpClient, nil
	}
	t := transport()
	if c.UnixSocket != "" {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", c.UnixSocket)
		}
	}
	if c.TLSCert != "" {
		cert, err := leaf(c.TLSCert)
		if err != nil {
			return nil, fmt.Errorf("--ssl-certfile: %w", err)
		}
		t.TLSClientConfig = pinned(cert)
	}
	return &http.Client{Transport: t}, nil
}

// leaf is the first certificate of a PEM file, the one that a server shows.
func leaf(file string) ([]byte, error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("%s holds no certificate", file)
		}
		if block.Type == "CERTIFICATE" {
			return block.Bytes, nil
		}
	}
}

// pinned accepts exactly one certificate, whoever signed it and whatever name it has.
func pinned(cert []byte) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection compares instead
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, cert) {
				return errors.New("the server's certificate is not the one that it was launched with")
			}
			return nil
		},
	}
}

// base is the address of a server's API for HTTP requests: a Unix socket has a made-up one.
func (p *Process) base() string {
	if p.srv.Config().UnixSocket == "" {
		return p.URL
	}
	if p.srv.Config().TLSCert != "" {
		return "https://localhost"
	}
	return "http://localhost"
}

// byURL finds the server of this notebook that a base URL names, also one whose launch
// failed; nil is a server elsewhere.
func (e *Env) byURL(base string) *Process {
	u, err := url.Parse(base)
	if err != nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range slices.Backward(e.servers) {
		switch c := p.srv.Config(); {
		case c.UnixSocket != "":
			if strings.TrimSuffix(strings.TrimRight(base, "/"), "/v1") == p.URL {
				return p
			}
		case strconv.Itoa(p.Port) == u.Port() && here(u.Hostname(), c.Host):
			return p
		}
	}
	return nil
}

// here reports whether a URL's host is where a server of this process listens.
func here(host, listens string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || host == listens || ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
}

// wrongScheme says that a URL of an own server begins with the wrong scheme.
func (p *Process) wrongScheme(base string) error {
	want, _, _ := strings.Cut(p.base(), "://")
	if got, _, ok := strings.Cut(base, "://"); ok && p.srv.Config().UnixSocket == "" && !strings.EqualFold(got, want) {
		return fmt.Errorf("%s: this server speaks %s: use %s", base, want, p.URL)
	}
	return nil
}

// permanent reports an answer that waiting does not change, as an error with what to do.
func permanent(base string, status int, err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var plain tls.RecordHeaderError
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("the server at %s answers, but not without its key: WaitForServer(%q, \"KEY\")", base, base)
	case errors.As(err, &unknown) || errors.As(err, &host):
		return fmt.Errorf("%s: %w", base, err)
	case errors.As(err, &plain), err != nil && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%s: the server speaks http, not https", base)
	}
	return nil
}

// poll asks GET /v1/models every 50 ms until it answers.
func (e *Env) poll(ctx context.Context, base, key string, p *Process) {
	client := httpClient
	var gone <-chan struct{} // nil: a server elsewhere
	if p != nil {
		client, gone = p.client, p.srv.Done()
		if key == "" {
			key = p.key
		}
	}
	var last error
	for {
		status, err := ask(ctx, client, base, key)
		if status == http.StatusOK {
			return
		}
		if err := permanent(base, status, err); err != nil {
			fail(err)
		}
		if ctx.Err() == nil {
			if last = err; err == nil {
				last = fmt.Errorf("it answers with HTTP %d", status)
			}
		}
		select {
		case <-gone:
			failf("the server at %s has ended", base)
		case <-ctx.Done():
			fail(notAnswered(ctx, base, last))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// notAnswered is why waiting for a server ended.
func notAnswered(ctx context.Context, base string, last error) error {
	err := fmt.Errorf("waiting for %s: %w", base, context.Cause(ctx))
	if last != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %v", err, last)
	}
	return err
}

// ask sends GET /v1/models.
func ask(ctx context.Context, client *http.Client, base, key string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	base = strings.TrimSuffix(strings.TrimRight(base, "/"), "/v1")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/models", nil)
	if err != nil {
		return 0, err
	}
	if key == "" {
		key = "None"
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}
