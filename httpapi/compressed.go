package httpapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/godwit-ai/godwit/httpapi/openai"
	"github.com/klauspost/compress/zstd"
)

// Limits of compressed bodies, beside that of all bodies: JSON that people write does not
// shrink a hundred times.
const (
	mostRatio   = 100
	smallOutput = 1 << 20 // bytes that may come out whatever went in
)

var errInflated = errors.New("too much comes out of a compressed body")

// encodingOf is the compression of a body: "", gzip or zstd. ok is false for others, and
// for several.
func encodingOf(h http.Header) (name string, ok bool) {
	list := h.Values("Content-Encoding")
	if len(list) == 0 {
		return "", true
	}
	switch name = strings.ToLower(strings.TrimSpace(list[0])); {
	case len(list) > 1:
		return "", false
	case name == "" || name == "identity":
		return "", true
	}
	return name, name == "gzip" || name == "zstd"
}

// inflate gives the text of a compressed body. It stops with errInflated at most bytes, or
// when much more comes out than went in.
func inflate(encoding string, data []byte, most int64) ([]byte, error) {
	if ratio := max(smallOutput, mostRatio*int64(len(data))); ratio < most {
		most = ratio
	}
	r, err := inflater(encoding, data)
	if err != nil {
		return nil, refuseDamaged(encoding)
	}
	defer r.Close()
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, most+1))
	switch {
	case n > most || errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, errInflated
	case err != nil:
		return nil, refuseDamaged(encoding)
	}
	return out.Bytes(), nil
}

func inflater(encoding string, data []byte) (io.ReadCloser, error) {
	if encoding == "gzip" {
		return gzip.NewReader(bytes.NewReader(data))
	}
	d, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

func refuseDamaged(encoding string) error {
	return refuse(http.StatusBadRequest, openai.CodeInvalidJSON, "The request body is no whole "+encoding+" text, as its Content-Encoding says")
}
