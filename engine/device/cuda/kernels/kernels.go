// Package kernels holds the CUDA code of godwit: the sources, and what the program in
// gen compiled from them, one compressed bundle per architecture. kernels.lock says
// which sources and which compiler the bundles came from; a test compares.
//
// A bundle is a list of named images (ELF cubins or PTX text), one per .cu file.
package kernels

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"github.com/klauspost/compress/zstd"
)

//go:embed *.cu *.cuh
var sourceFiles embed.FS

//go:embed *.zst kernels.lock
var bundleFiles embed.FS

// PTX is the target for processors newer than every cubin; the driver compiles it.
const PTX = "ptx"

// Targets are the architectures that the bundles are made for.
var Targets = []string{"sm_80", "sm_89", "sm_90a", "sm_100a", "sm_120", PTX}

// Source is a file of CUDA C++.
type Source struct {
	Name string
	Data []byte
}

// Image is a module that the driver can load.
type Image struct {
	Name string // of the .cu file, without its suffix
	Data []byte
}

// Sources are all files, by name.
func Sources() ([]Source, error) {
	entries, err := fs.ReadDir(sourceFiles, ".")
	if err != nil {
		return nil, err
	}
	var all []Source
	for _, e := range entries {
		data, err := sourceFiles.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, Source{e.Name(), data})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all, nil
}

// Units are the sources that are compiled by themselves.
func Units(sources []Source) []Source {
	var units []Source
	for _, s := range sources {
		if strings.HasSuffix(s.Name, ".cu") {
			units = append(units, s)
		}
	}
	return units
}

// Lock is the text of kernels.lock: the compiler, then the hash of every source and
// of every bundle.
func Lock(compiler string, sources []Source, bundle func(target string) []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "compiler %s\n", compiler)
	for _, s := range sources {
		fmt.Fprintf(&b, "source %s %x\n", s.Name, sha256.Sum256(s.Data))
	}
	for _, t := range Targets {
		fmt.Fprintf(&b, "bundle %s %x\n", t, sha256.Sum256(bundle(t)))
	}
	return b.String()
}

// Target is the bundle for a processor of the given compute capability. Cubins run on
// later minor versions of their major version, except those with an "a".
func Target(major, minor int) (string, error) {
	switch {
	case major < 8:
		return "", fmt.Errorf("compute capability %d.%d: 8.0 (Ampere) or newer is needed", major, minor)
	case major == 8 && minor == 9:
		return "sm_89", nil
	case major == 8:
		return "sm_80", nil
	case major == 9 && minor == 0:
		return "sm_90a", nil
	case major == 10 && minor == 0:
		return "sm_100a", nil
	case major == 12:
		return "sm_120", nil
	}
	return PTX, nil
}

// Load unpacks the bundle of a target.
func Load(target string) ([]Image, error) {
	data, err := bundleFiles.ReadFile(target + ".zst")
	if err != nil {
		return nil, fmt.Errorf("kernels: no bundle for %s in this build", target)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	plain, err := d.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("kernels: bundle %s: %w", target, err)
	}
	return unpack(plain)
}

// Pack joins images: per image the length of the name, the length of the data, both.
func Pack(images []Image) []byte {
	var b []byte
	for _, m := range images {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Name)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Data)))
		b = append(append(b, m.Name...), m.Data...)
	}
	return b
}

func unpack(b []byte) ([]Image, error) {
	var images []Image
	for len(b) > 0 {
		if len(b) < 8 {
			return nil, errors.New("kernels: a bundle is cut off")
		}
		n, size := uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[4:]))
		if b = b[8:]; n+size > uint64(len(b)) {
			return nil, errors.New("kernels: a bundle is cut off")
		}
		images = append(images, Image{string(b[:n]), b[n : n+size : n+size]})
		b = b[n+size:]
	}
	return images, nil
}
