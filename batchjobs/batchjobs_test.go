package batchjobs

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"github.com/godwit-ai/godwit/engine/enginetest"
)

func chatLine(id, text string) string {
	return fmt.Sprintf(`{"custom_id":%q,"method":"POST","url":"/v1/chat/completions","body":{"model":"default","messages":[{"role":"user","content":%q}],"max_tokens":8}}`, id, text)
}

// answerOf is an output line as a reader sees it.
type answerOf struct {
	ID         string  `json:"id"`
	CustomID   *string `json:"custom_id"`
	Line       int     `json:"line"`
	ByteOffset int64   `json:"byte_offset"`
	Response   *struct {
		StatusCode int    `json:"status_code"`
		RequestID  string `json:"request_id"`
		Body       struct {
			Choices []json.RawMessage `json:"choices"`
			Usage   struct {
				CompletionTokens int `json:"completion_tokens"`
			} `json:"usage"`
		} `json:"body"`
	} `json:"response"`
	Error *struct {
		Code, Message string
		Param         *string
	} `json:"error"`
}

func (a answerOf) name() string {
	if a.CustomID == nil {
		return "null"
	}
	return *a.CustomID
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// readOutput decodes an output file; every line must be whole.
func readOutput(t *testing.T, path string) []answerOf {
	t.Helper()
	var out []answerOf
	err := Each([]string{path}, nil, func(line []byte) bool {
		var a answerOf
		if err := json.Unmarshal(line, &a); err != nil {
			t.Errorf("%s: not a whole JSON line: %v: %.80s", path, err, line)
		}
		out = append(out, a)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func runJob(t *testing.T, o Options) ([]answerOf, Summary, error) {
	t.Helper()
	if o.Output == "" {
		o.Output = filepath.Join(t.TempDir(), "out.jsonl")
	}
	s, err := Run(t.Context(), &enginetest.Fake{}, o)
	if _, statErr := os.Stat(o.Output); statErr != nil {
		return nil, s, err
	}
	return readOutput(t, o.Output), s, err
}

func compress(t *testing.T, codec string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch codec {
	case "zstd":
		w, err = zstd.NewWriter(&b)
	case "gzip":
		w = gzip.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "lz4":
		z := lz4.NewWriter(&b)
		err = z.Apply(lz4.BlockSizeOption(lz4.Block64Kb))
		w = z
	case "snappy":
		w = s2.NewWriter(&b, s2.WriterSnappyCompat())
	case "plain":
		return text
	case "bzip2":
		return bzip2Of(t, text)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bzip2Of uses the bzip2 program, since Go cannot write the format.
func bzip2Of(t *testing.T, text []byte) []byte {
	cmd := exec.Command("python3", "-c", "import bz2,sys;sys.stdout.buffer.write(bz2.compress(sys.stdin.buffer.read()))")
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Skip("no python3 to write bzip2 with: ", err)
	}
	if got, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(out))); err != nil || !bytes.Equal(got, text) {
		t.Fatal("bzip2 round trip failed")
	}
	return out
}

func TestEveryCompressionIsReadByContentUnderAnyName(t *testing.T) {
	var text []byte
	for i := range 300 {
		text = append(text, chatLine(fmt.Sprint("q", i), fmt.Sprint("question ", i))+"\n"...)
	}
	for _, codec := range []string{"plain", "zstd", "gzip", "bzip2", "xz", "lz4", "snappy"} {
		t.Run(codec, func(t *testing.T) {
			in := write(t, "wrong-name.dat", compress(t, codec, text))
			out, s, err := runJob(t, Options{Inputs: []string{in}})
			if err != nil || s.Status != "completed" || len(out) != 300 {
				t.Fatalf("%d answers, status %s, error %v", len(out), s.Status, err)
			}
			for i, a := range out {
				if a.name() != fmt.Sprint("q", i) || a.Response == nil || a.Response.StatusCode != 200 || a.Error != nil {
					t.Fatalf("answer %d is %+v", i, a)
				}
			}
		})
	}
}

func TestOutputIsCompressedByItsExtension(t *testing.T) {
	in := write(t, "in.jsonl", []byte(chatLine("a", "x")+"\n"))
	for ext, magic := range map[string]string{".zst": "\x28\xB5\x2F\xFD", ".gz": "\x1F\x8B", ".xz": "\xFD7zXZ", ".lz4": "\x04\x22\x4D\x18", ".jsonl": "{"} {
		path := filepath.Join(t.TempDir(), "out"+ext)
		out, _, err := runJob(t, Options{Inputs: []string{in}, Output: path})
		if err != nil || len(out) != 1 {
			t.Fatalf("%s: %v, %d lines", ext, err, len(out))
		}
		b, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(b), magic) {
			t.Errorf("%s does not start with %q", ext, magic)
		}
	}
	if _, _, err := runJob(t, Options{Inputs: []string{in}, Output: filepath.Join(t.TempDir(), "out.bz2")}); err == nil {
		t.Error("bzip2 output must be refused")
	}
}

func TestBadLinesBecomeErrorLinesAtTheirPlace(t *testing.T) {
	good := chatLine("good", "hello")
	cases := []struct{ name, line, code, param string }{
		{"not JSON", `{"custom_id": "x", nonsense`, "invalid_json", ""},
		{"half an object", `{"custom_id": "x"`, "invalid_json", ""},
		{"two values", good + good, "invalid_json", ""},
		{"an array", `[1,2]`, "invalid_json", ""},
		{"a number", `17`, "invalid_json", ""},
		{"a raw NUL", "{\"custom_id\":\"a\x00b\"}", "invalid_json", ""},
		{"invalid UTF-8", "{\"prompt\":\"\xff\"}", "invalid_json", ""},
		{"a duplicate key", `{"prompt":"a","prompt":"b"}`, "invalid_json", ""},
		{"nesting 20k deep", `{"prompt":"a","x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, "invalid_json", ""},
		{"neither prompt nor messages", `{"text":"hi"}`, "invalid_json", ""},
		{"no custom_id", `{"method":"POST","url":"/v1/completions","body":{"prompt":"x"}}`, "invalid_custom_id", "custom_id"},
		{"an empty custom_id", `{"custom_id":"","url":"/v1/completions","body":{"prompt":"x"}}`, "invalid_custom_id", "custom_id"},
		{"a number as custom_id", `{"custom_id":7,"url":"/v1/completions","body":{"prompt":"x"}}`, "invalid_custom_id", "custom_id"},
		{"a custom_id of 10 KB", `{"custom_id":"` + strings.Repeat("x", 10<<10) + `","url":"/v1/completions","body":{"prompt":"x"}}`, "invalid_custom_id", "custom_id"},
		{"an unknown url", `{"custom_id":"u","method":"POST","url":"/v1/nope","body":{}}`, "unsupported_url", "url"},
		{"GET", `{"custom_id":"u","method":"GET","url":"/v1/completions","body":{"prompt":"x"}}`, "unsupported_url", "method"},
		{"no body", `{"custom_id":"u","method":"POST","url":"/v1/completions"}`, "invalid_json", "body"},
		{"a body that is a string", `{"custom_id":"u","method":"POST","url":"/v1/completions","body":"x"}`, "invalid_json", "body"},
		{"stream", `{"custom_id":"u","method":"POST","url":"/v1/completions","body":{"prompt":"x","stream":true}}`, "stream_unsupported", "stream"},
		{"an unknown model", `{"custom_id":"u","method":"POST","url":"/v1/completions","body":{"model":"gpt-9","prompt":"x"}}`, "model_not_found", "model"},
		{"a bad parameter", `{"custom_id":"u","method":"POST","url":"/v1/completions","body":{"prompt":"x","temperature":-1}}`, "invalid_value", "temperature"},
		{"empty messages", `{"custom_id":"u","method":"POST","url":"/v1/chat/completions","body":{"messages":[]}}`, "", "messages"},
	}
	var text bytes.Buffer
	offsets := make([]int64, len(cases))
	for i, c := range cases {
		text.WriteString(good + "\n")
		offsets[i] = int64(text.Len())
		text.WriteString(c.line + "\n")
	}
	text.WriteString(chatLine("last", "bye"))
	out, s, err := runJob(t, Options{Inputs: []string{write(t, "in.jsonl", text.Bytes())}})
	if err != nil || len(out) != 2*len(cases)+1 {
		t.Fatalf("%d lines, error %v", len(out), err)
	}
	if s.Status != "completed_with_errors" || s.Errors != int64(len(cases)) || ExitCode(s, err) != ExitErrorLines {
		t.Errorf("summary %+v, exit code %d", s, ExitCode(s, err))
	}
	for i, c := range cases {
		if ok := out[2*i]; ok.name() != "good" || ok.Error != nil || ok.Response == nil {
			t.Errorf("%s: the good line before it gave %+v", c.name, ok)
		}
		a := out[2*i+1]
		switch {
		case a.Error == nil || a.Response != nil:
			t.Errorf("%s: no error line: %+v", c.name, a)
		case c.code != "" && a.Error.Code != c.code:
			t.Errorf("%s: code %q (%s), want %q", c.name, a.Error.Code, a.Error.Message, c.code)
		case a.Error.Message == "":
			t.Errorf("%s: no message", c.name)
		case a.Line != 2*i+2 || a.ByteOffset != offsets[i]:
			t.Errorf("%s: line %d, offset %d, want %d, %d", c.name, a.Line, a.ByteOffset, 2*i+2, offsets[i])
		case c.param != "" && (a.Error.Param == nil || *a.Error.Param != c.param):
			t.Errorf("%s: param %v, want %q", c.name, a.Error.Param, c.param)
		}
	}
	if out[len(out)-1].name() != "last" || out[len(out)-1].Response == nil {
		t.Error("the last line without a newline got no answer")
	}
}

func TestPlainPrompts(t *testing.T) {
	in := write(t, "in.jsonl", []byte(strings.Join([]string{
		`{"prompt":"a plain prompt","max_tokens":3}`,
		`{"messages":[{"role":"user","content":"hi"}],"custom_id":"m"}`,
		`"a JSON string"`,
	}, "\n")))
	out, _, err := runJob(t, Options{Inputs: []string{in}})
	if err != nil || len(out) != 3 {
		t.Fatal(err, out)
	}
	for i, want := range []string{"null", "m", "null"} {
		if out[i].name() != want || out[i].Response == nil {
			t.Errorf("line %d: %+v", i, out[i])
		}
	}
	if n := out[0].Response.Body.Usage.CompletionTokens; n > 3 {
		t.Errorf("%d tokens, want at most 3", n)
	}
	if !bytes.Contains(out[1].Response.Body.Choices[0], []byte(`"message"`)) || !bytes.Contains(out[2].Response.Body.Choices[0], []byte(`"text"`)) {
		t.Error("messages are chats and strings are completions")
	}
	txt := write(t, "in.txt", []byte("first line\nsecond \"line\"\n\n{third\n"))
	out, _, err = runJob(t, Options{Inputs: []string{txt}, Chat: true})
	if err != nil || len(out) != 3 {
		t.Fatalf("text input: %d lines, %v", len(out), err)
	}
	for _, a := range out {
		if a.Response == nil || !bytes.Contains(a.Response.Body.Choices[0], []byte(`"message"`)) {
			t.Errorf("text input with Chat: %+v", a)
		}
	}
}

func TestTextForms(t *testing.T) {
	one, two := chatLine("1", "x"), chatLine("2", "y")
	for name, tc := range map[string]struct {
		text string
		n    int
	}{
		"an empty file":             {"", 0},
		"only newlines":             {"\n\r\n \n", 0},
		"a byte order mark":         {"\xEF\xBB\xBF" + one + "\n" + two + "\n", 2},
		"CRLF":                      {one + "\r\n" + two + "\r\n", 2},
		"no final newline":          {one + "\n" + two, 2},
		"blank lines in between":    {one + "\n\n\n" + two + "\n\n", 2},
		"white space around a line": {"  " + one + " \t\n" + two, 2},
	} {
		out, s, err := runJob(t, Options{Inputs: []string{write(t, "in.jsonl", []byte(tc.text))}})
		if err != nil || len(out) != tc.n || s.Errors != 0 {
			t.Errorf("%s: %d answers, %d errors, %v; want %d", name, len(out), s.Errors, err, tc.n)
		}
	}
	utf16 := []byte{0xFF, 0xFE}
	for _, c := range one {
		utf16 = append(utf16, byte(c), 0)
	}
	for name, b := range map[string][]byte{"with a mark": utf16, "without": utf16[2:]} {
		_, s, err := runJob(t, Options{Inputs: []string{write(t, "in.jsonl", b)}})
		var in *InputError
		if !errors.As(err, &in) || in.Code != "input_encoding" || ExitCode(s, err) != ExitPermanent {
			t.Errorf("UTF-16 %s: %v", name, err)
		}
	}
}

func TestDamagedFilesKeepWholeLinesAndEndTheJob(t *testing.T) {
	for codec, lines := range map[string]int{"zstd": 6000, "gzip": 6000, "xz": 16000 /* its chunks are 2 MB */, "lz4": 6000} {
		if codec == "xz" && raceEnabled {
			continue // takes half a minute
		}
		var text []byte
		for i := range lines {
			text = append(text, chatLine(fmt.Sprint("q", i), strconv.Itoa(i*7919))+"\n"...)
		}
		whole := compress(t, codec, text)
		for name, tc := range map[string]struct {
			data []byte
			code string
		}{
			"truncated":     {whole[:len(whole)*2/3], "input_truncated"},
			"garbage after": {append(bytes.Clone(whole), "garbage that is no frame"...), ""},
		} {
			out, s, err := runJob(t, Options{Inputs: []string{write(t, "in."+codec, tc.data)}})
			var in *InputError
			if !errors.As(err, &in) || ExitCode(s, err) != ExitPermanent || s.Status != "failed" {
				if codec == "lz4" && name == "garbage after" {
					continue // an lz4 reader stops at the frame's end mark
				}
				t.Errorf("%s %s: status %s, error %v", codec, name, s.Status, err)
				continue
			}
			if tc.code != "" && in.Code != tc.code {
				t.Errorf("%s %s: code %s (%v), want %s", codec, name, in.Code, in.Err, tc.code)
			}
			if in.Offset <= 0 {
				t.Errorf("%s %s: no offset", codec, name)
			}
			if len(out) < 100 || name == "garbage after" && len(out) != lines {
				t.Errorf("%s %s: only %d lines kept", codec, name, len(out))
			}
			for i, a := range out {
				if a.name() != fmt.Sprint("q", i) || a.Response == nil {
					t.Fatalf("%s %s: line %d is %+v", codec, name, i, a)
				}
			}
		}
	}
}

func TestAWindowBeyondTheLimitIsRefusedByName(t *testing.T) {
	// A frame header that asks for an 8 GiB window: descriptor without single segment, window byte.
	frame := append([]byte{0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xB8 /* 2^(10+23) */}, 0x01, 0x00, 0x00)
	_, _, err := runJob(t, Options{Inputs: []string{write(t, "in.zst", frame)}})
	if err == nil || !strings.Contains(err.Error(), "--max-window") {
		t.Errorf("error %v does not name --max-window", err)
	}
}

func TestLinesOverTheLimitAreErrorLinesAndTheNextIsRead(t *testing.T) {
	long := `{"prompt":"` + strings.Repeat("x", 3<<20) + `"}`
	in := write(t, "in.jsonl", []byte(chatLine("a", "x")+"\n"+long+"\n"+chatLine("b", "y")+"\n"))
	out, _, err := runJob(t, Options{Inputs: []string{in}, MaxLineBytes: 1 << 20})
	if err != nil || len(out) != 3 {
		t.Fatal(err, len(out))
	}
	if out[1].Error == nil || out[1].Error.Code != "line_too_long" || out[2].name() != "b" || out[2].Response == nil {
		t.Errorf("got %+v and %+v", out[1], out[2])
	}
}

func TestInputsThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for name, in := range map[string]string{"missing": filepath.Join(dir, "no.jsonl"), "a directory": dir, "a device": "/dev/zero", "a pattern without match": filepath.Join(dir, "*.jsonl")} {
		out := filepath.Join(dir, "out.jsonl")
		s, err := Run(t.Context(), &enginetest.Fake{}, Options{Inputs: []string{in}, Output: out})
		if err == nil || ExitCode(s, err) != ExitPermanent {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: an output was made", name)
		}
	}
}

func TestOutputIsNeverTheInputNorOverwrittenUnasked(t *testing.T) {
	in := write(t, "in.jsonl", []byte(chatLine("a", "x")+"\n"))
	before, _ := os.ReadFile(in)
	link := in + ".link"
	if err := os.Symlink(in, link); err != nil {
		t.Fatal(err)
	}
	hard := in + ".hard"
	if err := os.Link(in, hard); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{in, link, hard} {
		if _, err := Run(t.Context(), &enginetest.Fake{}, Options{Inputs: []string{in}, Output: out, Overwrite: true}); err == nil {
			t.Errorf("output %s was accepted", out)
		}
	}
	if after, _ := os.ReadFile(in); !bytes.Equal(before, after) {
		t.Fatal("the input was changed")
	}
	out := filepath.Join(t.TempDir(), "out.jsonl")
	o := Options{Inputs: []string{in}, Output: out}
	if _, err := Run(t.Context(), &enginetest.Fake{}, o); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), &enginetest.Fake{}, o); err == nil || !strings.Contains(err.Error(), "--overwrite") {
		t.Errorf("a second run must be refused and name --overwrite: %v", err)
	}
	o.Overwrite = true
	if _, err := Run(t.Context(), &enginetest.Fake{}, o); err != nil {
		t.Error(err)
	}
}

func TestTwoRunsOnOneOutputExcludeEachOther(t *testing.T) {
	in := write(t, "in.jsonl", []byte(chatLine("a", "x")+"\n"))
	out := filepath.Join(t.TempDir(), "out.jsonl")
	s, err := openSink(out, nil, []string{in}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.abandon()
	if _, err := Run(t.Context(), &enginetest.Fake{}, Options{Inputs: []string{in}, Output: out}); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("the second run must be refused: %v", err)
	}
}

func TestAnInterruptedJobKeepsWholeLinesInOrder(t *testing.T) {
	var text bytes.Buffer
	const all = 20_000 // far more than can be answered before somebody looks at the progress
	for i := range all {
		text.WriteString(chatLine(fmt.Sprint("q", i), fmt.Sprint(i)) + "\n")
	}
	in := write(t, "in.jsonl", text.Bytes())
	out := filepath.Join(t.TempDir(), "out.jsonl.zst")
	fake := &enginetest.Fake{TokenDelay: 2 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Run(ctx, fake, Options{Inputs: []string{in}, Output: out, Concurrency: 16,
		ProgressEvery: time.Millisecond, Progress: func(p Progress) {
			if p.Done >= 40 {
				cancel()
			}
		}})
	if !errors.Is(err, context.Canceled) || s.Status != "interrupted" || ExitCode(s, err) != ExitInterrupted {
		t.Fatalf("status %s, error %v", s.Status, err)
	}
	lines := readOutput(t, out)
	if int64(len(lines)) != s.Lines || len(lines) < 40 || len(lines) == all {
		t.Fatalf("%d lines in the file, %d in the summary", len(lines), s.Lines)
	}
	last := -1
	for _, a := range lines {
		n, err := strconv.Atoi(strings.TrimPrefix(a.name(), "q"))
		if err != nil || n <= last || a.Response == nil {
			t.Fatalf("line %+v after %d", a, last)
		}
		last = n
	}
	if st := fake.Stats(); st.Running != 0 {
		t.Errorf("%d requests still run", st.Running)
	}
	if _, err := os.Stat(out + ".tmp"); err == nil {
		t.Error("the temporary file is still there")
	}
}

func TestAFullQueueIsWaitedFor(t *testing.T) {
	var text bytes.Buffer
	for i := range 100 {
		text.WriteString(chatLine(fmt.Sprint("q", i), fmt.Sprint(i)) + "\n")
	}
	in := write(t, "in.jsonl", text.Bytes())
	out := filepath.Join(t.TempDir(), "out.jsonl")
	s, err := Run(t.Context(), &enginetest.Fake{MaxRunning: 3, TokenDelay: 100 * time.Microsecond}, Options{Inputs: []string{in}, Output: out, Concurrency: 32})
	if err != nil || s.Errors != 0 || s.Lines != 100 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestMaxErrorsStopsTheJobAndKeepsWhatIsDone(t *testing.T) {
	text := strings.Repeat("{bad\n", 1000)
	out := filepath.Join(t.TempDir(), "out.jsonl")
	s, err := Run(t.Context(), &enginetest.Fake{}, Options{Inputs: []string{write(t, "in.jsonl", []byte(text))}, Output: out, MaxErrors: 5, Concurrency: 2})
	if !errors.Is(err, ErrTooManyErrors) || ExitCode(s, err) != ExitPermanent {
		t.Fatal(err)
	}
	if n := len(readOutput(t, out)); n < 6 || n == 1000 {
		t.Errorf("%d lines kept", n)
	}
}

func TestSeveralInputsMakeOneOutput(t *testing.T) {
	dir := t.TempDir()
	for i, codec := range []string{"zstd", "gzip"} {
		name := filepath.Join(dir, fmt.Sprintf("part%d.x", i))
		text := chatLine(fmt.Sprint("f", i), "x") + "\n{bad\n"
		if err := os.WriteFile(name, compress(t, codec, []byte(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, s, err := runJob(t, Options{Inputs: []string{filepath.Join(dir, "part*.x")}})
	if err != nil || len(out) != 4 || s.Errors != 2 {
		t.Fatalf("%d lines, %+v, %v", len(out), s, err)
	}
	if out[0].name() != "f0" || out[2].name() != "f1" || out[3].Line != 2 {
		t.Errorf("order or line numbers are wrong: %+v", out)
	}
	ids := map[string]bool{}
	for _, a := range out {
		ids[a.ID] = true
	}
	if len(ids) != 4 {
		t.Error("line ids repeat")
	}
}

func TestOutputNames(t *testing.T) {
	for in, want := range map[string]string{
		"a/prompts.jsonl.zst": "a/prompts.out.jsonl.zst", "p.jsonl": "p.out.jsonl", "p.txt.gz": "p.out.jsonl.gz",
		"p.jsonl.bz2": "p.out.jsonl.zst", "-": "-", "noext": "noext.out.jsonl",
	} {
		if got := OutputName(in); got != want {
			t.Errorf("OutputName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestStandardInputAndOutput(t *testing.T) {
	var out bytes.Buffer
	s, err := Run(t.Context(), &enginetest.Fake{}, Options{Inputs: []string{"-"}, Output: "-",
		Stdin: bytes.NewReader(compress(t, "zstd", []byte(chatLine("a", "x")+"\n"))), Stdout: &out})
	if err != nil || s.Lines != 1 || !strings.HasSuffix(out.String(), "\n") || !strings.Contains(out.String(), `"custom_id":"a"`) {
		t.Errorf("%+v %v %q", s, err, out.String())
	}
}

func TestManifestMatchesTheSummary(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.jsonl")
	_, s, err := runJob(t, Options{Inputs: []string{write(t, "in.jsonl", []byte(chatLine("a", "x")+"\n{bad\n"))}, Output: out})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out + ".manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var m Summary
	if err := json.Unmarshal(b, &m); err != nil || m != s || m.Lines != 2 || m.Errors != 1 {
		t.Errorf("manifest %+v, summary %+v, %v", m, s, err)
	}
}

// TestOneMillionLinesInConstantMemory runs itself as a child, so that the peak is
// the job's alone.
func TestOneMillionLinesInConstantMemory(t *testing.T) {
	if os.Getenv("BATCHJOBS_MEMORY_CHILD") != "" {
		memoryChild(t)
		return
	}
	n := 100_000
	if raceEnabled || testing.Short() {
		n = 10_000
	}
	if os.Getenv("BATCHJOBS_MILLION") != "" {
		n = 1_000_000
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOneMillionLinesInConstantMemory$", "-test.v")
	cmd.Env = append(os.Environ(), "BATCHJOBS_MEMORY_CHILD="+strconv.Itoa(n))
	b, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "peak") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func memoryChild(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("BATCHJOBS_MEMORY_CHILD"))
	if err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(t.TempDir(), "in.jsonl.zst")
	f, err := os.Create(in)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		fmt.Fprintln(z, chatLine(fmt.Sprint("request-", i), fmt.Sprintf("Question %d: what is %d times %d? %s", i, i, i+1, strings.Repeat("context ", 20))))
	}
	z.Close()
	f.Close()
	out := filepath.Join(t.TempDir(), "out.jsonl.zst")
	begin := time.Now()
	s, err := Run(t.Context(), &enginetest.Fake{}, Options{Inputs: []string{in}, Output: out})
	if err != nil || s.Lines != int64(n) || s.Errors != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	peak := peakRSS(t)
	t.Logf("%d lines in %v: peak RSS %d MiB", n, time.Since(begin).Round(time.Millisecond), peak>>20)
	if limit := int64(256 << 20); peak > limit && !raceEnabled {
		t.Errorf("peak RSS %d MiB, more than 256", peak>>20)
	}
	next := 0
	if err := Each([]string{out}, nil, func(line []byte) bool {
		want := fmt.Sprintf(`"custom_id":"request-%d"`, next)
		if !bytes.Contains(line[:min(len(line), 120)], []byte(want)) {
			t.Fatalf("line %d is %.120s", next, line)
		}
		next++
		return true
	}); err != nil || next != n {
		t.Fatalf("%d lines read back, %v", next, err)
	}
}

func peakRSS(t *testing.T) int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Skip("/proc/self/status has no VmHWM")
	return 0
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(chatLine("a", "x")))
	f.Add([]byte(`{"prompt":"x"}`))
	f.Add([]byte(`"x"`))
	f.Add([]byte(`{"custom_id":"a","url":5,"body":[]}`))
	o := Options{}
	o.fill()
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(bytes.TrimSpace(b)) == 0 || bytes.IndexByte(b, '\n') >= 0 {
			return
		}
		req, bad := parse(line{raw: b}, &o)
		if (bad == nil) != (req.body != nil && req.url != "") && bad == nil {
			t.Fatalf("%q: neither request nor error", b)
		}
		if bad != nil && (bad.Code == "" || bad.Message == "") {
			t.Fatalf("%q: error without code or message", b)
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, codec := range []string{"plain", "zstd", "gzip", "lz4", "snappy", "xz"} {
		var b bytes.Buffer
		switch codec {
		case "zstd":
			w, _ := zstd.NewWriter(&b)
			io.WriteString(w, "a\nb\n")
			w.Close()
		case "gzip":
			w := gzip.NewWriter(&b)
			io.WriteString(w, "a\nb\n")
			w.Close()
		case "lz4":
			w := lz4.NewWriter(&b)
			io.WriteString(w, "a\nb\n")
			w.Close()
		case "xz":
			w, _ := xz.NewWriter(&b)
			io.WriteString(w, "a\nb\n")
			w.Close()
		case "snappy":
			w := s2.NewWriter(&b, s2.WriterSnappyCompat())
			io.WriteString(w, "a\nb\n")
			w.Close()
		default:
			b.WriteString("a\nb\n")
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := openSource("-", bytes.NewReader(data), 8<<20)
		if err != nil {
			return
		}
		defer s.closer()
		for range 10000 {
			if _, err := s.next(1 << 20); err != nil {
				var in *InputError
				if err != io.EOF && !errors.As(err, &in) {
					t.Fatalf("unexpected error type %T", err)
				}
				return
			}
		}
	})
}
