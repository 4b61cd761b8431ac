package batchjobs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"
)

// ExistsError says that an output is there already and may not be replaced.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("output %s exists: use --overwrite to replace it, or -o for another name", e.Path)
}

// sink is the output file. It is written under a temporary name beside the final
// one and appears whole: commit closes the compressed stream, syncs, renames and
// syncs the folder. Standard output ("-") is written as it comes, a line at a time.
type sink struct {
	path string // final name, "-" for standard output
	tmp  string
	file *os.File
	buf  *bufio.Writer
	enc  io.WriteCloser // nil: plain
	n    int64          // bytes of text written
}

// openSink prepares the output; it refuses to overwrite unless told so, to write
// over one of the inputs, and to share a file with another run.
func openSink(path string, stdout io.Writer, inputs []string, overwrite bool) (*sink, error) {
	if path == "-" {
		return &sink{path: path, buf: bufio.NewWriterSize(stdout, 64<<10)}, nil
	}
	if err := notAnInput(path, inputs); err != nil {
		return nil, err
	}
	if st, err := os.Lstat(path); err == nil {
		switch {
		case st.IsDir():
			return nil, fmt.Errorf("output %s is a folder: name a file in it with -o", path)
		case !overwrite:
			return nil, &ExistsError{path}
		}
	}
	s := &sink{path: path, tmp: path + ".tmp"}
	f, err := os.OpenFile(s.tmp, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("output %s: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("output %s: another run writes it (it holds %s): wait for it or choose another -o", path, s.tmp)
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, fmt.Errorf("output %s: %w", path, err)
	}
	s.file = f
	s.buf = bufio.NewWriterSize(f, 256<<10)
	if err := s.compress(); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

func (s *sink) compress() (err error) {
	switch ext := strings.ToLower(filepath.Ext(s.path)); ext {
	case ".zst", ".zstd":
		s.enc, err = zstd.NewWriter(s.buf, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	case ".gz":
		s.enc = gzip.NewWriter(s.buf)
	case ".lz4":
		s.enc = lz4.NewWriter(s.buf)
	case ".xz":
		s.enc, err = xz.NewWriter(s.buf)
	case ".bz2":
		err = errBzip2
	}
	if err != nil {
		return fmt.Errorf("output %s: %w", s.path, err)
	}
	return nil
}

// checkName refuses names that cannot be written.
func (s *sink) checkName() error {
	if strings.ToLower(filepath.Ext(s.path)) == ".bz2" {
		return fmt.Errorf("output %s: %w", s.path, errBzip2)
	}
	if st, err := os.Stat(filepath.Dir(s.path)); err != nil || !st.IsDir() {
		return fmt.Errorf("output %s: the folder does not exist", s.path)
	}
	return nil
}

func notAnInput(path string, inputs []string) error {
	out, err := os.Stat(path)
	if err != nil {
		return nil // does not exist yet
	}
	for _, in := range inputs {
		if st, err := os.Stat(in); err == nil && os.SameFile(st, out) {
			return fmt.Errorf("output %s is the input %s: choose another -o", path, in)
		}
	}
	return nil
}

// write appends whole lines.
func (s *sink) write(p []byte) error {
	s.n += int64(len(p))
	if s.enc != nil {
		_, err := s.enc.Write(p)
		return err
	}
	_, err := s.buf.Write(p)
	if err == nil && s.file == nil {
		err = s.buf.Flush()
	}
	return err
}

// commit makes the output final.
func (s *sink) commit() error {
	if s.enc != nil {
		if err := s.enc.Close(); err != nil {
			return fmt.Errorf("output %s: %w", s.path, err)
		}
	}
	if err := s.buf.Flush(); err != nil {
		return fmt.Errorf("output %s: %w", s.path, err)
	}
	if s.file == nil {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("output %s: %w", s.path, err)
	}
	if err := os.Rename(s.tmp, s.path); err != nil {
		return fmt.Errorf("output %s: %w", s.path, err)
	}
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("output %s: %w", s.path, err)
	}
	return syncDir(filepath.Dir(s.path))
}

// abandon removes the unfinished file.
func (s *sink) abandon() {
	if s.file == nil {
		return
	}
	os.Remove(s.tmp)
	s.file.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// writeFile replaces a small file in one step.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
