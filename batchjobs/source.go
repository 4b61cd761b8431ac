package batchjobs

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// InputError is damage to, or trouble with, an input as a whole. It ends a job
// (exit code 42), unlike a bad line.
type InputError struct {
	Name   string // file name, "-" for standard input
	Code   string // "input_truncated", "input_corrupt", "input_encoding", "input_unreadable"
	Offset int64  // in the decompressed text; -1 if unknown
	Err    error
}

func (e *InputError) Error() string {
	if e.Offset >= 0 {
		return fmt.Sprintf("%s: %s at byte %d of the text: %v", e.Name, e.Code, e.Offset, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Name, e.Code, e.Err)
}

func (e *InputError) Unwrap() error { return e.Err }

// source is one input, decompressed.
type source struct {
	name   string
	codec  string // "zstd", "gzip", …, "plain"
	size   int64  // compressed bytes; 0 if unknown (pipes)
	read   *atomic.Int64
	dict   uint32 // dictionary that the first zstd frame names; 0: none
	text   *bufio.Reader
	closer func() error
	asText bool // every line is a prompt

	line   int   // lines handed out so far
	offset int64 // bytes of text consumed so far
}

// expand resolves patterns and checks that every input is a readable file or pipe.
func expand(names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		if n == "-" {
			out = append(out, n)
			continue
		}
		if _, err := os.Stat(n); err == nil {
			out = append(out, n)
			continue
		}
		found, err := filepath.Glob(n)
		if err != nil || len(found) == 0 {
			return nil, &InputError{Name: n, Code: "input_unreadable", Offset: -1, Err: fs.ErrNotExist}
		}
		out = append(out, found...)
	}
	for _, n := range out {
		if n == "-" {
			continue
		}
		if err := checkFile(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func checkFile(name string) error {
	bad := func(err error) error {
		return &InputError{Name: name, Code: "input_unreadable", Offset: -1, Err: err}
	}
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return bad(err)
	case st.IsDir():
		return bad(errors.New("is a directory: name the files in it"))
	case st.Mode()&fs.ModeDevice != 0:
		return bad(errors.New("is a device: batchjobs reads files, pipes and standard input (-)"))
	case st.Mode()&fs.ModeNamedPipe != 0:
		return nil // opening a pipe to look at it would lose its data
	}
	f, err := os.Open(name)
	if err != nil {
		return bad(err)
	}
	return f.Close()
}

// openSource opens one input and recognises its compression by the first bytes.
// window bounds the memory that a zstd frame may ask for.
func openSource(name string, stdin io.Reader, window uint64) (*source, error) {
	s := &source{name: name, read: new(atomic.Int64), closer: func() error { return nil }}
	raw := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, &InputError{Name: name, Code: "input_unreadable", Offset: -1, Err: err}
		}
		if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
			s.size = st.Size()
		}
		raw, s.closer = f, f.Close
	}
	s.asText = strings.HasSuffix(stem(name), ".txt")
	if err := s.decompress(&counter{raw, s.read}, window); err != nil {
		s.closer() //nolint:errcheck // the first error counts
		return nil, err
	}
	return s, s.skipMark()
}

// stem is the name without a compression extension.
func stem(name string) string {
	for _, ext := range []string{".zst", ".zstd", ".gz", ".bz2", ".xz", ".lz4", ".sz", ".bgz"} {
		if n, ok := strings.CutSuffix(name, ext); ok {
			return n
		}
	}
	return name
}

type counter struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

const textBuffer = 256 << 10

// decompress sets s.text to the decoded text of r.
func (s *source) decompress(r io.Reader, window uint64) error {
	in := bufio.NewReaderSize(r, textBuffer)
	s.codec = sniff(in)
	var (
		out  io.Reader
		err  error
		stop = func() {}
	)
	switch s.codec {
	case "zstd":
		var h zstd.Header
		if first, _ := in.Peek(zstd.HeaderMaxSize); h.Decode(first) == nil {
			s.dict = h.DictionaryID
		}
		var d *zstd.Decoder
		d, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
		if err == nil {
			out, stop = d, d.Close
		}
	case "gzip":
		out, err = gzip.NewReader(in)
	case "bzip2":
		out = bzip2.NewReader(in)
	case "xz":
		out, err = xz.ReaderConfig{DictCap: int(min(window, 1<<30))}.NewReader(in)
	case "lz4":
		out = lz4.NewReader(in)
	case "snappy":
		out = s2.NewReader(in)
	default:
		out = in
	}
	if err != nil {
		return s.damage(err)
	}
	closeFile := s.closer
	s.closer = func() error { stop(); return closeFile() }
	s.text = bufio.NewReaderSize(out, textBuffer)
	return nil
}

// sniff names the compression of what r starts with (batch.md section 9.1). zstd
// files may begin with skippable frames; they are walked over.
func sniff(r *bufio.Reader) string {
	at := 0
	for {
		b, _ := r.Peek(min(at+10, r.Size()))
		if len(b) <= at {
			return "plain"
		}
		b = b[at:]
		switch {
		case bytes.HasPrefix(b, []byte{0x28, 0xB5, 0x2F, 0xFD}):
			return "zstd"
		case bytes.HasPrefix(b, []byte{0x04, 0x22, 0x4D, 0x18}):
			return "lz4"
		case len(b) >= 8 && b[0]&0xF0 == 0x50 && bytes.Equal(b[1:4], []byte{0x2A, 0x4D, 0x18}):
			n := int64(binary.LittleEndian.Uint32(b[4:]))
			if int64(at)+8+n+4 > int64(r.Size()) {
				return "zstd"
			}
			at += 8 + int(n)
		case at > 0:
			return "zstd"
		case bytes.HasPrefix(b, []byte{0x1F, 0x8B}):
			return "gzip"
		case bytes.HasPrefix(b, []byte("BZh")):
			return "bzip2"
		case bytes.HasPrefix(b, []byte{0xFD, '7', 'z', 'X', 'Z', 0}):
			return "xz"
		case bytes.HasPrefix(b, []byte{0xFF, 6, 0, 0, 's', 'N', 'a', 'P', 'p', 'Y'}):
			return "snappy"
		default:
			return "plain"
		}
	}
}

// skipMark drops a UTF-8 byte order mark and refuses UTF-16 and UTF-32.
func (s *source) skipMark() error {
	b, err := s.text.Peek(4)
	if len(b) == 0 && err != nil && err != io.EOF {
		return s.damage(err)
	}
	wide := bytes.HasPrefix(b, []byte{0xFF, 0xFE}) || bytes.HasPrefix(b, []byte{0xFE, 0xFF}) ||
		len(b) == 4 && (b[0] == 0 && b[1] != 0 || b[0] != 0 && b[1] == 0)
	if wide {
		return &InputError{Name: s.name, Code: "input_encoding", Offset: 0, Err: errors.New("looks like UTF-16 or UTF-32: convert it to UTF-8, for example with iconv -t UTF-8")}
	}
	if bytes.HasPrefix(b, []byte{0xEF, 0xBB, 0xBF}) {
		n, _ := s.text.Discard(3)
		s.offset += int64(n)
	}
	return nil
}

// named puts the codec before an error that does not name it itself.
func (s *source) named(err error) error {
	if strings.HasPrefix(err.Error(), s.codec+":") {
		return err
	}
	return fmt.Errorf("%s: %w", s.codec, err)
}

// damage turns a decoder's error into an InputError at the current place.
func (s *source) damage(err error) error {
	e := &InputError{Name: s.name, Code: "input_corrupt", Offset: s.offset, Err: s.named(err)}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		e.Code = "input_truncated"
		e.Err = fmt.Errorf("the %s stream ends too early; every whole line before was processed", s.codec)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeTooSmall):
		e.Err = fmt.Errorf("%w: raise --max-window if you trust the file", s.named(err))
	case errors.Is(err, zstd.ErrUnknownDictionary):
		e.Err = fmt.Errorf("%w (id %d): decompress the file with it first", s.named(err), s.dict)
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		e.Code = "input_unreadable"
	}
	return e
}

// line is one input line.
type line struct {
	source  *source
	ordinal int64 // over all inputs, blank lines left out
	number  int   // 1-based, in its file
	offset  int64 // of its first byte in the decompressed text
	raw     []byte
	tooLong int64 // length in bytes when it is over the limit; raw is nil then
	asText  bool
}

// next reads the next line that is not blank; io.EOF at the end. The text belongs
// to the caller.
func (s *source) next(limit int) (line, error) {
	for {
		ln := line{source: s, number: s.line + 1, offset: s.offset, asText: s.asText}
		var n int64
		for {
			part, err := s.text.ReadSlice('\n')
			n += int64(len(part))
			if n <= int64(limit)+2 {
				ln.raw = append(ln.raw, part...)
			} else {
				ln.raw = nil
			}
			if err == bufio.ErrBufferFull {
				continue
			}
			if err == io.EOF && n == 0 {
				return line{}, io.EOF
			}
			if err != nil && err != io.EOF {
				return line{}, s.damage(err)
			}
			break
		}
		s.line++
		s.offset += n
		if n > int64(limit)+2 {
			ln.tooLong = n
			return ln, nil
		}
		ln.raw = bytes.TrimSuffix(ln.raw, []byte("\n"))
		ln.raw = bytes.TrimSuffix(ln.raw, []byte("\r"))
		if len(ln.raw) > limit {
			ln.tooLong, ln.raw = int64(len(ln.raw)), nil
			return ln, nil
		}
		if len(bytes.TrimSpace(ln.raw)) > 0 {
			return ln, nil
		}
	}
}
