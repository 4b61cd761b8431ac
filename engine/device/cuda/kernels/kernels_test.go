package kernels

import (
	"bytes"
	"strings"
	"testing"
)

func TestTheBundlesAreThoseOfTheSources(t *testing.T) {
	lock, err := bundleFiles.ReadFile("kernels.lock")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	compiler, _, _ := strings.Cut(strings.TrimPrefix(string(lock), "compiler "), "\n")
	want := Lock(compiler, sources, func(target string) []byte {
		data, err := bundleFiles.ReadFile(target + ".zst")
		if err != nil {
			t.Fatal(err)
		}
		return data
	})
	have := map[string]bool{}
	for line := range strings.Lines(string(lock)) {
		have[line] = true
	}
	for line := range strings.Lines(want) {
		if !have[line] {
			t.Errorf("kernels.lock does not say %q: run `just kernels`", strings.TrimSpace(line))
		}
	}
}

func TestEveryTargetHasAllUnits(t *testing.T) {
	sources, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range Targets {
		images, err := Load(target)
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		units := Units(sources)
		if len(images) != len(units) {
			t.Errorf("%s has %d images, want %d", target, len(images), len(units))
			continue
		}
		for i, u := range units {
			if images[i].Name+".cu" != u.Name {
				t.Errorf("%s: image %d is %s, want %s", target, i, images[i].Name, u.Name)
			}
			if elf := bytes.HasPrefix(images[i].Data, []byte("\x7fELF")); elf == (target == PTX) {
				t.Errorf("%s: %s: is an ELF image: %v", target, u.Name, elf)
			}
		}
	}
}

func TestABundleForEachProcessor(t *testing.T) {
	for _, c := range []struct {
		major, minor int
		want         string
	}{{8, 0, "sm_80"}, {8, 6, "sm_80"}, {8, 9, "sm_89"}, {9, 0, "sm_90a"}, {10, 0, "sm_100a"}, {10, 3, PTX}, {12, 0, "sm_120"}, {13, 0, PTX}, {7, 5, ""}} {
		got, err := Target(c.major, c.minor)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%d.%d: %q, %v; want %q", c.major, c.minor, got, err, c.want)
		}
	}
}

func TestPackedImagesComeBack(t *testing.T) {
	in := []Image{{"a", []byte("one")}, {"bb", nil}}
	packed := Pack(in)
	out, err := unpack(packed)
	if err != nil || len(out) != 2 || out[0].Name != "a" || string(out[0].Data) != "one" || out[1].Name != "bb" {
		t.Errorf("%v, %v", out, err)
	}
	for n := 1; n < len(packed); n++ {
		if out, err := unpack(packed[:n]); err == nil && len(out) != 1 {
			t.Errorf("cut at %d: %v", n, out)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(Pack([]Image{{"a", []byte("one")}}))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		images, err := unpack(b)
		if err == nil && !bytes.Equal(Pack(images), b) {
			t.Errorf("%q unpacks and packs to something else", b)
		}
	})
}
