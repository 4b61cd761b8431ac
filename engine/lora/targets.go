package lora

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// allLinear is PEFT's name for every linear module but the output's.
const allLinear = "all-linear"

// targets are target_modules or exclude_modules: names of modules, or of their last parts;
// or a pattern for whole names. The tensors say what an adapter is; the targets must agree
// with them, since PEFT passes tensors over that no target names.
type targets struct {
	key     string
	names   []string
	pattern *regexp.Regexp
	said    bool // there are any
}

// readTargets reads one of the two; null, none and "all-linear" name everything. So does a
// pattern that only Python's engine reads: it is no reason to refuse tensors that fit.
func readTargets(key string, v jsontext.Value) (t targets, err error) {
	t.key = key
	wrong := fmt.Errorf("%s must be a list of module names or a pattern", key)
	switch {
	case v == nil || v.Kind() == 'n':
		return t, nil
	case v.Kind() == '[':
		t.said = true
		if err := json.Unmarshal(v, &t.names); err != nil {
			return t, wrong
		}
		return t, nil
	case v.Kind() != '"':
		return t, wrong
	}
	var text string
	if err := json.Unmarshal(v, &text); err != nil {
		return t, wrong
	}
	switch {
	case strings.EqualFold(text, allLinear):
		return t, nil
	case len(text) > 1024:
		return t, errors.New(key + ": the pattern is too long")
	}
	re, err := regexp.Compile(`^(?:` + text + `)$`)
	if err != nil {
		return t, nil
	}
	t.said, t.pattern = true, re
	return t, nil
}

// has reports whether the targets name a module.
func (t *targets) has(module string) bool {
	if t.pattern != nil {
		return t.pattern.MatchString(module)
	}
	for _, n := range t.names {
		if module == n || strings.HasSuffix(module, "."+n) {
			return true
		}
	}
	return false
}

// aimed says why a module is none that the configuration means; nil if it is one.
func (c *config) aimed(module string) error {
	switch {
	case c.targets.said && !c.targets.has(module):
		return fmt.Errorf("module %s has a pair, but %s, %s, does not name it", module, c.targets.key, clip(string(c.Targets)))
	case c.excluded.said && c.excluded.has(module):
		return fmt.Errorf("module %s has a pair, but %s, %s, names it", module, c.excluded.key, clip(string(c.Excluded)))
	}
	return nil
}

// clip shortens foreign text for a message.
func clip(s string) string {
	if len(s) <= 200 {
		return s
	}
	return strings.ToValidUTF8(s[:200], "") + "…"
}
