package serve

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// hidden stands where a secret was.
const hidden = "[redacted]"

// secretFlags are flags whose values are secrets.
var secretFlags = []string{"api-key", "admin-api-key"}

// aliases are second names of flags.
var aliases = map[string]bool{"model": true, "uds": true}

// Args are the values of all flags of a launch by their names with underscores, as
// SGLang's /server_info has them; null is what was left to the server. No secret is among
// them: keys are hidden, also where they are part of another value, and so are what a URL
// says of who asks, and what looks like a token of a hub.
func (c Config) Args() map[string]any {
	fs := pflag.NewFlagSet("server", pflag.ContinueOnError)
	c.EngineFlags.Register(fs) // c is a copy: its values are the flags' defaults here
	c.HTTPFlags.Register(fs)
	keys, _ := c.keys() // Start has told what is wrong with the file
	keys = append(keys, strings.TrimSpace(c.AdminKey))
	args := map[string]any{}
	fs.VisitAll(func(f *pflag.Flag) {
		if aliases[f.Name] {
			return
		}
		args[strings.ReplaceAll(f.Name, "-", "_")] = value(f, keys)
	})
	return args
}

// value is a flag's, without secrets.
func value(f *pflag.Flag, keys []string) any {
	s := f.Value.String()
	for _, name := range secretFlags {
		if f.Name == name && s != "" {
			return hidden
		}
	}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		texts := []string{}
		for _, e := range list.GetSlice() {
			texts = append(texts, redact(e, keys))
		}
		return texts
	}
	switch f.Value.Type() {
	case "bool":
		return s == "true"
	case "int", "int64", "uint64":
		if s == "0" && strings.Contains(f.Usage, "(default: ") { // left to the server
			return nil
		}
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			return n
		}
	}
	if s == "" {
		return nil
	}
	return redact(s, keys)
}

var (
	// token is what hubs and providers give to their users.
	token = regexp.MustCompile(`\b(?:hf_|sk-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|nvapi-)[A-Za-z0-9_-]{12,}`)
	// address is a URL inside a longer text.
	address = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]+`)
)

// redact hides keys, tokens, and the passwords and queries of URLs.
func redact(s string, keys []string) string {
	s = address.ReplaceAllStringFunc(s, redactURL)
	for _, k := range keys {
		if len(k) >= 4 { // a shorter one would take pieces out of words
			s = strings.ReplaceAll(s, k, hidden)
		}
	}
	return token.ReplaceAllString(s, hidden)
}

// redactURL hides who asks (user, password) and the values of the query, among which are
// signatures and tokens.
func redactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		scheme, _, _ := strings.Cut(s, "://")
		return scheme + "://" + hidden
	}
	scheme, rest, _ := strings.Cut(s, "://")
	rest, fragment, hasFragment := strings.Cut(rest, "#")
	rest, _, hasQuery := strings.Cut(rest, "?")
	if u.User != nil {
		host, path, hasPath := strings.Cut(rest, "/")
		rest = hidden + host[strings.LastIndexByte(host, '@'):]
		if hasPath {
			rest += "/" + path
		}
	}
	if hasQuery {
		rest += "?" + hidden
	}
	if hasFragment {
		rest += "#" + fragment
	}
	return scheme + "://" + rest
}
