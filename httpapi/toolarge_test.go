package httpapi

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/enginetest"
)

// TestABodyThatIsTooLargeIsAnsweredToAClientThatSendsItAll is what clients do that do
// not read before they have written: the refusal must reach them.
func TestABodyThatIsTooLargeIsAnsweredToAClientThatSendsItAll(t *testing.T) {
	url, _ := serve(t, &enginetest.Fake{}, Options{MaxBodyBytes: 64 << 10})
	host := strings.TrimPrefix(url, "http://")
	body := bytes.Repeat([]byte("a"), 4<<20)
	for name, framing := range map[string]string{
		"an announced size": "Content-Length: 4194304\r\n\r\n",
		"chunks":            "Transfer-Encoding: chunked\r\n\r\n400000\r\n",
	} {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(c, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+framing); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(body); err != nil {
			t.Errorf("%s: the connection broke under the body: %v", name, err)
		}
		answer, err := io.ReadAll(io.LimitReader(c, 4096))
		if !strings.HasPrefix(string(answer), "HTTP/1.1 413 ") || !strings.Contains(string(answer), "request_too_large") {
			t.Errorf("%s: %q %v", name, answer, err)
		}
		c.Close()
	}
	if res, err := http.Get(url + "/health"); err != nil || res.StatusCode != 200 {
		t.Errorf("afterwards: %v %v", res, err)
	}
}
