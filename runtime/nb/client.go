package nb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"strings"
)

// Params are the fields of an API request, named as OpenAI names them; those of
// "extra_body" count as if they stood beside the others:
//
//	Params{"model": "smollm2", "messages": Messages{{Role: "user", Content: "Hi"}}, "temperature": 0}
type Params map[string]any

// flat has the fields of extra_body beside the others, as OpenAI's client sends them.
func (p Params) flat() Params {
	extra, ok := plain(p["extra_body"]).(map[string]any)
	if more, is := p["extra_body"].(Params); is {
		extra, ok = more, true
	}
	if !ok {
		return p
	}
	out := maps.Clone(p)
	delete(out, "extra_body")
	maps.Copy(out, extra)
	return out
}

// Messages is a conversation.
type Messages []Message

// Client talks to a server's port as any OpenAI client does, over HTTP. Its shape
// follows the tutorial: client.Chat.Completions.Create(Params{…}).
type Client struct {
	Chat        ChatService
	Completions CompletionService
	Models      ModelService
}

type connection struct {
	env    *Env
	client *http.Client
	base   string
	key    string
}

// ChatService holds the chat resource.
type ChatService struct{ Completions ChatCompletionService }

// ChatCompletionService calls /chat/completions.
type ChatCompletionService struct{ c *connection }

// CompletionService calls /completions.
type CompletionService struct{ c *connection }

// ModelService calls /models.
type ModelService struct{ c *connection }

// OpenAI makes a client for a base URL such as "http://127.0.0.1:30000/v1"; a key is
// only needed where the server asks for one. The certificate of a server that this
// notebook launched is accepted as it is.
func (e *Env) OpenAI(baseURL string, apiKey ...string) *Client {
	c := &connection{env: e, client: httpClient, base: strings.TrimRight(baseURL, "/"), key: "None"}
	if p := e.byURL(baseURL); p != nil {
		if err := p.wrongScheme(baseURL); err != nil {
			fail(err)
		}
		c.client = p.client
		if p.srv.Config().UnixSocket != "" {
			c.base = p.base() + strings.TrimPrefix(c.base, p.URL)
		}
	}
	if len(apiKey) > 0 {
		c.key = apiKey[0]
	}
	return &Client{Chat: ChatService{ChatCompletionService{c}}, Completions: CompletionService{c}, Models: ModelService{c}}
}

// Usage counts the tokens of an answer.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
	ReasoningTokens  int `json:"reasoning_tokens"`
}

// String sums up as people read it.
func (u *Usage) String() string {
	return fmt.Sprintf("%d prompt + %d completion = %d tokens, %d of them thinking", u.PromptTokens, u.CompletionTokens, u.TotalTokens, u.ReasoningTokens)
}

// Completion is an answer of either endpoint, or one chunk of a stream. Fields that
// an endpoint does not have stay empty.
type Completion struct {
	ID       string         `json:"id"`
	Object   string         `json:"object"`
	Created  int64          `json:"created"`
	Model    string         `json:"model"`
	Choices  []Choice       `json:"choices"`
	Usage    *Usage         `json:"usage"`
	Metadata map[string]any `json:"metadata"`

	raw json.RawMessage
}

// Choice is one of the answers.
type Choice struct {
	Index        int             `json:"index"`
	Message      ResponseMessage `json:"message"` // chat
	Delta        ResponseMessage `json:"delta"`   // chunk of a chat stream
	Text         string          `json:"text"`    // completion
	FinishReason string          `json:"finish_reason"`
	MatchedStop  any             `json:"matched_stop"`
	Logprobs     map[string]any  `json:"logprobs"`
}

// ResponseMessage is what the model said.
type ResponseMessage struct {
	Role             string     `json:"role"`
	Content          string     `json:"content"`
	ReasoningContent string     `json:"reasoning_content"`
	ToolCalls        []ToolCall `json:"tool_calls"`
}

// String is the answer's text, so that fmt.Println(r.Choices[0].Message) prints it.
func (m ResponseMessage) String() string { return m.Content }

// ToolCall is a call of a tool that the model wants made, or a piece of one in a stream.
type ToolCall struct {
	Index    int          `json:"index"`
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function FunctionCall `json:"function"`
}

// FunctionCall names a function and its arguments, which are JSON text.
type FunctionCall struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// String is the JSON that the server sent.
func (c *Completion) String() string { return string(c.raw) }

// ModelCard describes a served model.
type ModelCard struct {
	ID          string `json:"id"`
	Parent      string `json:"parent"` // of an adapter: the model that it changes
	OwnedBy     string `json:"owned_by"`
	Root        string `json:"root"`
	MaxModelLen int    `json:"max_model_len"` // tokens of prompt and answer together
}

// APIError is an error answer of the server.
type APIError struct {
	Status  int
	Message string
	Type    string
	Param   string
	Code    string
}

func (e *APIError) Error() string { return fmt.Sprintf("HTTP %d: %s", e.Status, e.Message) }

// Create sends a chat request and waits for the answer. An error answer fails the
// cell.
func (s ChatCompletionService) Create(p Params) *Completion {
	return s.c.create("/chat/completions", p)
}

// Stream sends a chat request and yields chunks as they arrive.
func (s ChatCompletionService) Stream(p Params) iter.Seq[*Completion] {
	return s.c.stream("/chat/completions", p)
}

// Create sends a completion request and waits for the answer.
func (s CompletionService) Create(p Params) *Completion { return s.c.create("/completions", p) }

// Stream sends a completion request and yields chunks as they arrive.
func (s CompletionService) Stream(p Params) iter.Seq[*Completion] {
	return s.c.stream("/completions", p)
}

// List returns the served models.
func (s ModelService) List() []ModelCard {
	resp := s.c.do(http.MethodGet, "/models", nil)
	defer resp.Body.Close()
	var list struct{ Data []ModelCard }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		failf("read %s/models: %w", s.c.base, err)
	}
	return list.Data
}

func (c *connection) create(path string, p Params) *Completion {
	if p["stream"] == true {
		failf("stream is set: use Stream instead of Create")
	}
	resp := c.do(http.MethodPost, path, p)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		failf("read the answer: %w", err)
	}
	return decodeCompletion(body)
}

func decodeCompletion(body []byte) *Completion {
	out := &Completion{raw: bytes.Clone(bytes.TrimSpace(body))}
	if err := json.Unmarshal(body, out); err != nil {
		failf("the answer is not what was expected: %w", err)
	}
	return out
}

func (c *connection) do(method, path string, p Params) *http.Response {
	resp, err := c.send(c.env.opt.Context(), method, path, p)
	if err != nil {
		fail(err)
	}
	return resp
}

func (c *connection) send(ctx context.Context, method, path string, p Params) (*http.Response, error) {
	var body io.Reader
	if p != nil {
		b, err := json.Marshal(p.flat())
		if err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, readError(resp)
}

func readError(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	var body struct {
		Error struct {
			Message, Type string
			Param, Code   any
		}
	}
	if json.Unmarshal(b, &body) != nil || body.Error.Message == "" {
		return &APIError{Status: resp.StatusCode, Message: strings.TrimSpace(string(b))}
	}
	text := func(v any) string {
		if v == nil {
			return ""
		}
		return fmt.Sprint(v)
	}
	return &APIError{resp.StatusCode, body.Error.Message, body.Error.Type, text(body.Error.Param), text(body.Error.Code)}
}

func (c *connection) stream(path string, p Params) iter.Seq[*Completion] {
	return func(yield func(*Completion) bool) {
		q := Params{"stream": true}
		for k, v := range p {
			q[k] = v
		}
		resp := c.do(http.MethodPost, path, q)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
			if !ok {
				continue
			}
			data = bytes.TrimSpace(data)
			if string(data) == "[DONE]" {
				return
			}
			if bytes.HasPrefix(data, []byte(`{"error"`)) || bytes.HasPrefix(data, []byte(`{"object":"error"`)) {
				failf("the stream ended with an error: %s", data)
			}
			if !yield(decodeCompletion(data)) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			failf("read the stream: %w", err)
		}
		failf("the stream broke off before its end")
	}
}
