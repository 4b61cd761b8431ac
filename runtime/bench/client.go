package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Target is a server with OpenAI's routes, ours or another's.
type Target struct {
	URL         string // up to and without /v1
	Model       string // "": the first of /v1/models
	Key         string
	Chat        bool // chat completions instead of completions
	Text        bool // prompts are words; else token ids, which chat cannot take
	Vocab       int  // ids are below it; 0: 10000
	Temperature float64
	Timeout     time.Duration // of a request; 0: ten minutes

	client     *http.Client
	contextLen int // as the server says; 0: it does not
}

// connect makes the client and asks the server for its models.
func (t *Target) connect(ctx context.Context) error {
	t.prepare()
	res, err := t.do(ctx, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var list struct {
		Data []struct {
			ID      string `json:"id"`
			Context int    `json:"max_model_len"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&list); err != nil {
		return fmt.Errorf("%s/v1/models: %w", t.URL, err)
	}
	if len(list.Data) == 0 {
		return fmt.Errorf("%s/v1/models lists no model", t.URL)
	}
	at := 0
	for i, m := range list.Data {
		if m.ID == t.Model {
			at = i
		}
	}
	if t.Model == "" {
		t.Model = list.Data[at].ID
	}
	t.contextLen = max(0, min(list.Data[at].Context, 1<<24))
	return nil
}

// prepare fills in what was left open and makes the client.
func (t *Target) prepare() {
	t.URL = strings.TrimSuffix(strings.TrimSuffix(t.URL, "/"), "/v1")
	if !strings.Contains(t.URL, "://") {
		t.URL = "http://" + t.URL
	}
	if t.Vocab <= 0 {
		t.Vocab = 10000
	}
	if t.Timeout <= 0 {
		t.Timeout = 10 * time.Minute
	}
	if t.Chat {
		t.Text = true
	}
	t.client = &http.Client{Transport: &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 1 << 14, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: 30 * time.Second}).DialContext, ResponseHeaderTimeout: t.Timeout}}
}

func (t *Target) close() { t.client.CloseIdleConnections() }

func (t *Target) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, t.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if t.Key != "" {
		req.Header.Set("Authorization", "Bearer "+t.Key)
	}
	res, err := t.client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(res.Body, 600))
		return nil, fmt.Errorf("%s: status %d: %s", path, res.StatusCode, bytes.TrimSpace(text))
	}
	return res, nil
}

// body is a request for out tokens after a prompt of in tokens that no other number has.
func (t *Target) body(number, in, out int) (path string, body []byte) {
	m := newTwister(uint32(number) + 1<<16)
	b := []byte(`{"model":`)
	b = appendJSON(b, t.Model)
	if t.Chat {
		path = "/v1/chat/completions"
		b = append(b, `,"messages":[{"role":"user","content":`...)
		b = appendJSON(b, words(m, in))
		b = append(b, "}]"...)
	} else {
		path = "/v1/completions"
		b = append(b, `,"prompt":`...)
		if t.Text {
			b = appendJSON(b, words(m, in))
		} else {
			b = append(b, '[')
			for i := range in {
				if i > 0 {
					b = append(b, ',')
				}
				b = strconv.AppendInt(b, int64(m.between(min(100, t.Vocab-1), t.Vocab-1)), 10)
			}
			b = append(b, ']')
		}
	}
	b = fmt.Appendf(b, `,"max_tokens":%d,"temperature":%g,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`, out, t.Temperature)
	return path, b
}

func appendJSON(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("bench: a string has no JSON: %v", err))
	}
	return append(b, text...)
}

// common are short words that most vocabularies have as one token.
var common = strings.Fields("the of and to in is that it was for on are as with his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know")

func words(m *twister, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(common[m.between(0, len(common)-1)])
	}
	return b.String()
}

// answer is what became of a request. Times are from its sending.
type answer struct {
	sent       time.Duration // from the start of the load
	late       time.Duration // behind its time of arrival
	first, end time.Duration
	gaps       []float64 // seconds between pieces of text
	pieces     int
	in, out    int // as the server counted; out is pieces if it did not
	err        error
}

// ask sends a request and follows its stream to the end.
func (t *Target) ask(ctx context.Context, path string, body []byte) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	start := time.Now()
	res, err := t.do(ctx, http.MethodPost, path, body)
	if err != nil {
		a.err = err
		return a
	}
	defer res.Body.Close()
	a.err = a.read(res.Body, start)
	if a.err == nil && a.pieces == 0 {
		a.err = errors.New("the stream had no text")
	}
	if a.out == 0 {
		a.out = a.pieces
	}
	return a
}

const maxEvent = 1 << 20 // bytes of a line of a stream

// read follows server-sent events.
func (a *answer) read(body io.Reader, start time.Time) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 16<<10), maxEvent)
	var last time.Duration
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue
		}
		data = bytes.TrimSpace(data)
		if bytes.Equal(data, []byte("[DONE]")) {
			return nil
		}
		text, err := a.event(data)
		if err != nil {
			return err
		}
		if !text {
			continue
		}
		now := time.Since(start)
		if a.pieces++; a.pieces == 1 {
			a.first = now
		} else {
			a.gaps = append(a.gaps, (now - last).Seconds())
		}
		last, a.end = now, now
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the stream ended without [DONE]")
}

// event reads one chunk. Chunks with text are told by their first letters, because
// thousands come each second; others are decoded.
func (a *answer) event(data []byte) (text bool, err error) {
	if hasText(data) && !bytes.Contains(data, []byte(`"usage":{`)) {
		return true, nil
	}
	var c struct {
		Choices []struct {
			Text  string `json:"text"`
			Delta struct {
				Content   string `json:"content"`
				Reasoning string `json:"reasoning_content"`
			} `json:"delta"`
		} `json:"choices"`
		Usage *struct {
			Prompt     int `json:"prompt_tokens"`
			Completion int `json:"completion_tokens"`
		} `json:"usage"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return false, fmt.Errorf("a chunk is no JSON: %w", err)
	}
	if len(c.Error) > 0 && !bytes.Equal(c.Error, []byte("null")) {
		return false, fmt.Errorf("the stream broke: %.300s", c.Error)
	}
	if c.Usage != nil {
		a.in, a.out = c.Usage.Prompt, c.Usage.Completion
	}
	for _, ch := range c.Choices {
		text = text || ch.Text != "" || ch.Delta.Content != "" || ch.Delta.Reasoning != ""
	}
	return text, nil
}

var textKeys = [][]byte{[]byte(`"text":"`), []byte(`"content":"`), []byte(`"reasoning_content":"`)}

func hasText(data []byte) bool {
	for _, key := range textKeys {
		if at := bytes.Index(data, key); at >= 0 && at+len(key) < len(data) && data[at+len(key)] != '"' {
			return true
		}
	}
	return false
}
