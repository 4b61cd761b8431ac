package hub

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godwit-ai/godwit/engine/builtin"
)

// candidates are the names that would work here: known models, files and folders of
// the cache, repositories in the Hugging Face cache.
func candidates(dir string, o *Options) []string {
	list := append(knownNames(), builtin.Names()...)
	entries, _ := os.ReadDir(dir) // an unreadable folder has no candidates
	for _, e := range entries {
		name := e.Name()
		if strings.EqualFold(filepath.Ext(name), ".gguf") {
			list = append(list, strings.TrimSuffix(name, filepath.Ext(name)))
		}
	}
	entries, _ = os.ReadDir(o.hubDir())
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), "models--"); ok {
			list = append(list, strings.Replace(rest, "--", "/", 1))
		}
	}
	return list
}

// similarFiles looks beside a missing path for model files and names like it.
func similarFiles(path string) []string {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	near := nearNames(filepath.Base(path), names)
	for i := range near {
		near[i] = filepath.Join(dir, near[i])
	}
	return near
}

// nearNames gives up to three candidates that contain the name, are contained in it
// or differ in at most a third of its letters; nearest first.
func nearNames(name string, candidates []string) []string {
	type scored struct {
		name     string
		distance int
	}
	want := strings.ToLower(name)
	var found []scored
	for _, c := range candidates {
		have := strings.ToLower(c)
		d := editDistance(want, have)
		within := len(want) >= 3 && strings.Contains(have, want) || len(have) >= 3 && strings.Contains(want, have)
		if within || d <= max(1, len(want)/3) {
			found = append(found, scored{c, d})
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int { return a.distance - b.distance })
	var names []string
	for _, f := range found {
		if len(names) < 3 && !slices.Contains(names, f.name) {
			names = append(names, f.name)
		}
	}
	return names
}

// editDistance counts insertions, deletions and substitutions of bytes; names beyond
// 256 bytes are cut.
func editDistance(a, b string) int {
	a, b = a[:min(len(a), 256)], b[:min(len(b), 256)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
