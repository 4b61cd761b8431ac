package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	hf "github.com/gomlx/go-huggingface/hub"
)

// repo is a repository of the Hugging Face hub, perhaps with one file of it and a
// revision: ORG/NAME, ORG/NAME/FILE.gguf, either with @REVISION behind it.
type repo struct {
	id       string // ORG/NAME
	file     string // "" for the whole model
	revision string // "" for main
}

var (
	repoPart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$`)
	// refName has no slash: revisions with one are not looked up.
	refName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$`)
	commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// parseRepo accepts only names whose parts are harmless as folder names.
func parseRepo(name string) (repo, bool) {
	var r repo
	name, r.revision, _ = strings.Cut(name, "@")
	if r.revision != "" && !safeName(refName, r.revision) {
		return repo{}, false
	}
	parts := strings.Split(name, "/")
	if len(parts) == 3 && strings.EqualFold(filepath.Ext(parts[2]), ".gguf") {
		r.file = parts[2]
	} else if len(parts) != 2 {
		return repo{}, false
	}
	for _, p := range parts {
		if !safeName(repoPart, p) {
			return repo{}, false
		}
	}
	r.id = parts[0] + "/" + parts[1]
	return r, true
}

func safeName(pattern *regexp.Regexp, s string) bool {
	return pattern.MatchString(s) && !strings.Contains(s, "..") && !strings.Contains(s, "--")
}

// hubDir is the cache of the Hugging Face tools.
func (o *Options) hubDir() string {
	if o.HubDir != "" {
		return o.HubDir
	}
	if dir := os.Getenv("HF_HUB_CACHE"); dir != "" {
		return dir
	}
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return filepath.Join(dir, "hub")
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface", "hub")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "huggingface", "hub")
	}
	return filepath.Join(home, ".cache", "huggingface", "hub")
}

// resolve looks into the local cache and then, if allowed, on the hub.
func (r repo) resolve(ctx context.Context, o *Options, missing *NotFoundError) (string, error) {
	dir := filepath.Join(o.hubDir(), "models--"+strings.ReplaceAll(r.id, "/", "--"))
	path, local := r.local(dir)
	if local == nil {
		return path, nil
	}
	if !o.AllowDownload || o.Offline {
		missing.Tried = append(missing.Tried, fmt.Sprintf("the local Hugging Face cache (%v)", local))
		missing.Near = nearNames(r.id, candidates("", o))
		return "", fmt.Errorf("%w (nothing was downloaded: the model has to be there, or downloading allowed)", missing)
	}
	if err := r.download(ctx, dir, o); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if u := (*url.Error)(nil); errors.As(err, &u) { // the client library says the address three times
			err = u
		}
		return "", fmt.Errorf("there is no file or folder of this name, and model %s cannot be downloaded: %w; download its folder elsewhere and pass it with --model-path", r.id, err)
	}
	return r.local(dir)
}

// local finds a usable snapshot below dir, the repository's cache folder.
func (r repo) local(dir string) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("no folder %s", dir)
	}
	snapshot, err := r.snapshot(dir)
	if err != nil {
		return "", err
	}
	if r.file != "" {
		path := filepath.Join(snapshot, r.file)
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("no %s in %s", r.file, snapshot)
		}
		return path, nil
	}
	entries, err := os.ReadDir(snapshot)
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(snapshot, e.Name())); err == nil { // links may dangle
			names = append(names, e.Name())
		}
	}
	if !hasModel(names) {
		return "", fmt.Errorf("the snapshot %s is incomplete: it has no weights", snapshot)
	}
	return snapshot, nil
}

func hasModel(names []string) bool {
	weights := func(n string) bool {
		return strings.HasSuffix(n, ".safetensors") && slices.Contains(names, "config.json") || strings.EqualFold(filepath.Ext(n), ".gguf")
	}
	return slices.ContainsFunc(names, weights)
}

// snapshot is the folder of the wanted revision: by its name or commit, or the only
// one that there is.
func (r repo) snapshot(dir string) (string, error) {
	revision := r.revision
	if revision == "" {
		revision = "main"
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "refs", revision)); err == nil {
		commit := strings.TrimSpace(string(raw))
		if !safeName(refName, commit) {
			return "", fmt.Errorf("%s does not hold a commit", filepath.Join(dir, "refs", revision))
		}
		revision = commit
	}
	all := filepath.Join(dir, "snapshots")
	if info, err := os.Stat(filepath.Join(all, revision)); err == nil && info.IsDir() {
		return filepath.Join(all, revision), nil
	}
	entries, _ := os.ReadDir(all)
	if r.revision == "" && len(entries) == 1 && entries[0].IsDir() {
		return filepath.Join(all, entries[0].Name()), nil
	}
	return "", fmt.Errorf("no snapshot of revision %s in %s", revision, all)
}

// download fetches the files that a model needs into the shared cache. The client
// library cannot be interrupted while it transfers: when ctx ends, download returns
// and the library's goroutine finishes its file in the background.
func (r repo) download(ctx context.Context, dir string, o *Options) error {
	client := hf.New(r.id).WithCacheDir(o.hubDir()).WithProgressBar(false)
	client.Verbosity = 0
	if r.revision != "" {
		client.WithRevision(r.revision)
	}
	if o.Endpoint != "" {
		client.WithEndpoint(o.Endpoint)
	}
	result := make(chan error, 1)
	go func() { result <- r.transfer(ctx, client, dir) }()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-result:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			o.report(Progress{Model: r.id, Stage: "download", Done: folderSize(filepath.Join(dir, "blobs"))})
		}
	}
}

func (r repo) transfer(ctx context.Context, client *hf.Repo, dir string) (err error) {
	defer func() {
		if p := recover(); p != nil { // the library panics on odd revisions
			err = fmt.Errorf("the hub client failed: %v", p)
		}
	}()
	if _, err := client.FileURL(""); err != nil { // fetches the list of files anew
		return errors.New(firstLine(err))
	}
	commit := client.Info().CommitHash
	if !commitHash.MatchString(commit) { // it becomes part of a path
		return fmt.Errorf("the hub gives %.60q as the commit", commit)
	}
	var names []string
	for name, err := range client.IterFileNames() {
		if err != nil {
			return errors.New(firstLine(err))
		}
		names = append(names, name)
	}
	wanted, err := r.wanted(names)
	if err != nil {
		return err
	}
	for _, name := range wanted {
		// One at a time: the library's own parallel transfers race on a counter, and
		// this is where ctx can stop between files.
		if err := ctx.Err(); err != nil {
			return err
		}
		path, err := client.DownloadFile(name)
		if err != nil {
			return errors.New(firstLine(err))
		}
		if err := checkLength(ctx, client, name, path); err != nil {
			return err
		}
	}
	return r.writeRef(dir, commit)
}

// writeRef notes which commit the revision is, as the Hugging Face tools do.
func (r repo) writeRef(dir, commit string) error {
	revision := r.revision
	if revision == "" {
		revision = "main"
	}
	if revision == commit {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(dir, "refs"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "refs", revision), []byte(commit), 0o644)
}

// firstLine drops the stack trace that the library's errors can carry.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// wanted chooses among a repository's files: configuration, tokenizer, safetensors;
// without safetensors one GGUF file. Never pickles, never code.
func (r repo) wanted(names []string) ([]string, error) {
	if r.file != "" {
		if !slices.Contains(names, r.file) {
			return nil, fmt.Errorf("the repository has no file %s", r.file)
		}
		return []string{r.file}, nil
	}
	var safe, gguf, rest []string
	for _, n := range names {
		switch {
		case strings.Contains(n, "/") || strings.HasPrefix(n, "consolidated"):
		case strings.HasSuffix(n, ".safetensors"):
			safe = append(safe, n)
		case strings.EqualFold(filepath.Ext(n), ".gguf"):
			gguf = append(gguf, n)
		case slices.Contains([]string{"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "model.safetensors.index.json"}, n):
			rest = append(rest, n)
		}
	}
	switch {
	case len(safe) > 0:
		return append(rest, safe...), nil
	case len(gguf) == 1:
		return gguf, nil
	case len(gguf) > 1:
		return nil, fmt.Errorf("the repository has several GGUF files: name one, as in %s/%s", r.id, gguf[0])
	}
	return nil, errors.New("the repository has neither safetensors nor GGUF files")
}

// checkLength compares a downloaded file with the length that the hub states, because
// a transfer that breaks off can look complete; a short file is removed.
func checkLength(ctx context.Context, client *hf.Repo, name, path string) error {
	url, err := client.FileURL(name)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("check the length of %s: %w", name, err)
	}
	resp.Body.Close()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || resp.ContentLength < 0 || resp.ContentLength == info.Size() {
		return nil
	}
	if blob, err := filepath.EvalSymlinks(path); err == nil {
		os.Remove(blob)
	}
	os.Remove(path)
	return fmt.Errorf("the transfer of %s broke off after %d of %d bytes: try again", name, info.Size(), resp.ContentLength)
}
