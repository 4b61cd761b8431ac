package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/builtin"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/hub"
	"github.com/godwit-ai/godwit/engine/lora"
)

var _ engine.Adapters = (*Engine)(nil)

const defaultAdaptersPerBatch = 8

// adapter is one that can be named in requests.
type adapter struct {
	engine.AdapterSpec
	folder  string // where it is read from
	key     string // of its prefix-cache entries: another one for each time of loading
	created int64

	// guarded by adapters.mu
	data   *lora.Adapter // nil: not in memory, read again when it is wanted
	uses   int           // requests that have it
	used   uint64        // clock of its last use
	loaded uint64        // clock of its last reading
	idle   chan struct{} // not nil while it is unloaded: closed when uses is 0

	seat seat // owned by the loop
}

// adapters are what an engine with LoRA knows. All methods may be called concurrently.
type adapters struct {
	e *Engine

	mu    sync.Mutex
	list  []*adapter // in order of loading
	clock uint64
}

func (e *Engine) checkAdapters() error {
	o := &e.o
	if len(o.Adapters) > 0 {
		o.EnableLoRA = true
	}
	if !o.EnableLoRA {
		return nil
	}
	o.MaxAdaptersPerBatch = cmp.Or(o.MaxAdaptersPerBatch, defaultAdaptersPerBatch)
	pinned := 0
	for _, a := range o.Adapters {
		if a.Pinned {
			pinned++
		}
	}
	switch {
	case o.MaxAdaptersPerBatch < 1 || o.MaxAdaptersPerBatch > 1<<12:
		return fmt.Errorf("max loras per batch is %d: give a number from 1 to %d", o.MaxAdaptersPerBatch, 1<<12)
	case o.MaxLoadedAdapters != 0 && o.MaxLoadedAdapters < o.MaxAdaptersPerBatch:
		return fmt.Errorf("max loaded loras is %d: it must be at least max loras per batch, %d", o.MaxLoadedAdapters, o.MaxAdaptersPerBatch)
	case o.MaxLoRARank < 0:
		return fmt.Errorf("max lora rank is %d", o.MaxLoRARank)
	case !slices.Contains([]string{"", "lru", "fifo"}, o.LoRAEviction):
		return fmt.Errorf("unknown LoRA eviction policy %q: lru and fifo are known", o.LoRAEviction)
	case pinned > o.MaxAdaptersPerBatch-1:
		return fmt.Errorf("%d adapters are pinned: at most max loras per batch - 1, %d, may be", pinned, o.MaxAdaptersPerBatch-1)
	}
	return nil
}

// openAdapters loads the adapters of the options. The device must be able to run them.
func (e *Engine) openAdapters(ctx context.Context) error {
	if !e.o.EnableLoRA {
		return nil
	}
	if _, ok := e.exec.(device.Adapting); !ok {
		return fmt.Errorf("LoRA adapters can not be run on the device %s", e.dev.Name())
	}
	for i := range e.models {
		e.models[i].LoRA = true
	}
	e.lora = &adapters{e: e}
	for _, a := range e.o.Adapters {
		folder := a.Path
		if builtin.Is(folder) {
			var err error
			if folder, err = e.unpack(ctx, folder); err != nil {
				return err
			}
		}
		if err := e.lora.load(ctx, a, folder); err != nil {
			return fmt.Errorf("adapter %q: %w", cmp.Or(a.Name, a.Path), err)
		}
	}
	return nil
}

// unpack gives the folder of an adapter that is inside the program.
func (e *Engine) unpack(ctx context.Context, name string) (string, error) {
	return hub.Resolve(ctx, name, hub.Options{Offline: true})
}

// LoadAdapter reads an adapter from inside Options.LoRADir, one that is inside the
// program, or a local one.
func (e *Engine) LoadAdapter(ctx context.Context, a engine.AdapterSpec) error {
	if e.lora == nil {
		return loraOff("lora_name")
	}
	if builtin.Is(a.Path) {
		folder, err := e.unpack(ctx, a.Path)
		if errors.Is(err, os.ErrNotExist) {
			return engine.Invalid("lora_path", "%v.", err)
		}
		if err != nil {
			return err
		}
		return e.lora.load(ctx, a, folder)
	}
	folder, err := a.Path, error(nil)
	if !a.Local {
		folder, err = e.inside(a.Path)
	} else if folder == "" {
		err = engine.Invalid("lora_path", "lora_path is empty.")
	}
	if err != nil {
		return err
	}
	return e.lora.load(ctx, a, folder)
}

// UnloadAdapter forgets an adapter.
func (e *Engine) UnloadAdapter(ctx context.Context, name string) error {
	if e.lora == nil {
		return loraOff("lora_name")
	}
	return e.lora.unload(ctx, name)
}

func loraOff(param string) error {
	return &engine.RequestError{Param: param, Err: engine.ErrUnsupported, Message: "LoRA is not enabled: start the server with --enable-lora or --lora-paths"}
}

// inside resolves a path of a request in the folder for it, symbolic links included.
func (e *Engine) inside(path string) (string, error) {
	dir := e.o.LoRADir
	if dir == "" {
		return "", engine.Invalid("lora_path", "Adapters can be loaded at run time only from one folder, and the server was given none: start it with --lora-dir.")
	}
	refuse := engine.Invalid("lora_path", "lora_path must name a folder inside the server's --lora-dir.")
	if path == "" || strings.ContainsRune(path, 0) {
		return "", refuse
	}
	root, err := filepath.EvalSymlinks(dir)
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err != nil {
		return "", fmt.Errorf("the folder for adapters: %w", err)
	}
	full := path
	if !filepath.IsAbs(path) {
		if !filepath.IsLocal(path) {
			return "", refuse
		}
		full = filepath.Join(root, path)
	}
	if full, err = filepath.EvalSymlinks(full); err != nil {
		return "", refuse
	}
	rel, err := filepath.Rel(root, full)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return "", refuse
	}
	return full, nil
}

// load reads an adapter and adds it to the list.
func (s *adapters) load(ctx context.Context, spec engine.AdapterSpec, folder string) error {
	if spec.Name == "" {
		spec.Name = spec.Path
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := s.checkName(spec.Name, spec.Name != spec.Path); err != nil {
		return err
	}
	data, err := s.read(folder, spec.Path)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(spec.Name) != nil {
		return engine.Invalid("lora_name", "The adapter %s is loaded already; unload it first.", spec.Name)
	}
	if spec.Pinned && s.pinned() >= s.e.o.MaxAdaptersPerBatch-1 {
		return engine.Invalid("pinned", "At most %d adapters may be pinned.", s.e.o.MaxAdaptersPerBatch-1)
	}
	if err := s.makeRoom(nil); err != nil {
		return err
	}
	s.clock++
	a := &adapter{AdapterSpec: spec, folder: folder, key: spec.Name + "#" + strconv.FormatUint(s.clock, 10), created: time.Now().Unix(),
		data: data, used: s.clock, loaded: s.clock}
	s.list = append(s.list, a)
	s.e.log.Info("adapter loaded", "name", a.Name, "rank", data.Rank, "products", len(data.Pairs), "bytes", data.Bytes)
	return nil
}

// checkName refuses what could not be told from other names, or not be written as part of
// base:adapter. A name that nobody chose is the adapter's path, which may hold colons and
// blanks.
func (s *adapters) checkName(name string, chosen bool) error {
	if name == "" || len(name) > 256 {
		return engine.Invalid("lora_name", "lora_name must have 1 to 256 bytes.")
	}
	if !utf8.ValidString(name) {
		return engine.Invalid("lora_name", "lora_name is not valid UTF-8.")
	}
	if strings.TrimSpace(name) != name {
		return engine.Invalid("lora_name", "lora_name must not begin or end with white space.")
	}
	for _, c := range name {
		switch {
		case unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Variation_Selector) || c == utf8.RuneError || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, c):
			return engine.Invalid("lora_name", "lora_name must hold no control characters, and none that are not shown or change the direction of others: %U.", c)
		case chosen && unicode.IsSpace(c):
			return engine.Invalid("lora_name", "lora_name must hold no white space: %U.", c)
		case chosen && c == ':':
			return engine.Invalid("lora_name", "lora_name must hold no colon: it stands between a base model and its adapter.")
		}
	}
	if s.e.base(name) {
		return engine.Invalid("lora_name", "%s is the name of the base model.", name)
	}
	return nil
}

// read loads the files and checks the rank. Errors show the folder as it was named: the
// server's own paths are nothing for clients.
func (s *adapters) read(folder, named string) (*lora.Adapter, error) {
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return nil, engine.Invalid("lora_path", "The folder %s does not exist: an adapter is a folder with adapter_config.json and adapter_model.safetensors.", named)
	}
	data, err := lora.Load(folder, s.e.program)
	if err != nil {
		return nil, &engine.RequestError{Param: "lora_path", Err: engine.ErrInvalidRequest, Message: strings.ReplaceAll(err.Error(), folder, named)}
	}
	if most := s.e.o.MaxLoRARank; most > 0 && data.Rank > most {
		return nil, engine.Invalid("lora_path", "The adapter has rank %d; the server takes at most %d (--max-lora-rank).", data.Rank, most)
	}
	return data, nil
}

func (s *adapters) find(name string) *adapter {
	for _, a := range s.list {
		if strings.EqualFold(a.Name, name) {
			return a
		}
	}
	return nil
}

func (s *adapters) pinned() (n int) {
	for _, a := range s.list {
		if a.Pinned {
			n++
		}
	}
	return n
}

// makeRoom takes one adapter out of memory if as many as allowed are there; it stays
// listed and is read again when it is wanted. keep is not taken.
func (s *adapters) makeRoom(keep *adapter) error {
	most := s.e.o.MaxLoadedAdapters
	n := 0
	var victim *adapter
	for _, a := range s.list {
		if a.data == nil {
			continue
		}
		n++
		if a == keep || a.Pinned || a.uses > 0 {
			continue
		}
		if victim == nil || s.before(a.used, a.loaded, victim.used, victim.loaded) {
			victim = a
		}
	}
	switch {
	case most == 0 || n < most:
		return nil
	case victim == nil:
		return &engine.RequestError{Param: "lora_name", Err: engine.ErrInvalidRequest,
			Message: fmt.Sprintf("%d adapters are loaded, which is the limit (--max-loaded-loras), and each is pinned or in use.", n)}
	}
	victim.data = nil
	return nil
}

// before says which of two goes first, by the policy.
func (s *adapters) before(usedA, sinceA, usedB, sinceB uint64) bool {
	if s.e.o.LoRAEviction == "fifo" {
		return sinceA < sinceB
	}
	return usedA < usedB
}

// acquire finds the adapter that a request's model names, and has it in memory until
// release. nil is the base model.
func (s *adapters) acquire(name string) (*adapter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.find(name)
	if a == nil {
		return nil, nil
	}
	if a.data == nil {
		if err := s.makeRoom(a); err != nil {
			return nil, err
		}
		data, err := s.read(a.folder, a.Path)
		if err != nil {
			return nil, err
		}
		a.data = data
		s.clock++
		a.loaded = s.clock
	}
	s.clock++
	a.used = s.clock
	a.uses++
	return a, nil
}

func (s *adapters) release(a *adapter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.uses--; a.uses == 0 && a.idle != nil {
		close(a.idle)
		a.data = nil
	}
}

func (s *adapters) unload(ctx context.Context, name string) error {
	s.mu.Lock()
	a := s.find(name)
	if a == nil {
		names := s.names()
		s.mu.Unlock()
		return engine.Invalid("lora_name", "The adapter %s is not loaded; loaded: %s.", name, strings.Join(names, ", "))
	}
	s.list = slices.DeleteFunc(s.list, func(b *adapter) bool { return a == b })
	idle := make(chan struct{})
	if a.idle = idle; a.uses == 0 {
		close(idle)
		a.data = nil
	}
	s.mu.Unlock()
	select {
	case <-idle:
		s.e.log.Info("adapter unloaded", "name", a.Name)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *adapters) names() []string {
	names := []string{}
	for _, a := range s.list {
		names = append(names, a.Name)
	}
	return names
}

// models are the cards of the adapters.
func (s *adapters) models(base engine.ModelInfo) []engine.ModelInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []engine.ModelInfo
	for _, a := range s.list {
		m := base
		m.ID, m.Path, m.Asked, m.Parent, m.Created = a.Name, a.Path, "", base.ID, a.created
		list = append(list, m)
	}
	return list
}

// adapterOf finds the adapter of a request: by its bare name, or behind the base model's
// and a colon. nil is the base model. What is found must be released.
func (e *Engine) adapterOf(name string) (*adapter, error) {
	if e.lora == nil || name == "" || e.base(name) {
		return nil, nil
	}
	a, err := e.lora.acquire(name)
	if a != nil || err != nil {
		return a, err
	}
	for i := range len(name) { // the base's name may have a colon too
		if name[i] != ':' || !e.base(strings.TrimSpace(name[:i])) || strings.TrimSpace(name[i+1:]) == "" {
			continue
		}
		if a, err = e.lora.acquire(strings.TrimSpace(name[i+1:])); a != nil || err != nil {
			return a, err
		}
	}
	return nil, nil
}

// knownAdapter reports a name that adapterOf finds.
func (e *Engine) knownAdapter(name string) bool {
	a, err := e.adapterOf(name)
	if a != nil {
		e.lora.release(a)
	}
	return a != nil || err != nil
}

// base reports a name of the base model.
func (e *Engine) base(name string) bool {
	return strings.EqualFold(name, "default") || strings.EqualFold(name, e.o.ModelPath) ||
		slices.ContainsFunc(e.models, func(m engine.ModelInfo) bool { return strings.EqualFold(m.ID, name) || strings.EqualFold(m.Path, name) })
}

// seat is an adapter's place on the device.
type seat struct {
	slot    int32 // 0: none
	running int   // jobs that were let in
	used    uint64
	since   uint64
}

// seats are the device's slots, owned by the loop.
type seats struct {
	exec  device.Adapting
	set   *adapters
	by    []*adapter // by slot; [0] is the base model
	queue []*job     // waiting for a slot, in order
	clock uint64
}

// admit lets a job in, or makes it wait until its adapter has a place on the device. Who
// comes later waits behind, so that nobody waits without end.
func (l *loop) admit(j *job) {
	if j.adapter == nil {
		l.add(j)
		return
	}
	if len(l.seats.queue) > 0 || !l.sit(j) {
		l.seats.queue = append(l.seats.queue, j)
	}
}

// admitWaiting lets those in whose turn has come.
func (l *loop) admitWaiting() {
	if l.seats == nil {
		return
	}
	for len(l.seats.queue) > 0 {
		j := l.seats.queue[0]
		if !j.over && !l.sit(j) {
			return
		}
		l.seats.queue = slices.Delete(l.seats.queue, 0, 1)
	}
}

// sit gives a job's adapter a place, if it has none, and lets the job in. It reports
// false when every slot is in use, or a step is under way that might use it.
func (l *loop) sit(j *job) bool {
	s, a := l.seats, j.adapter
	s.clock++
	if a.seat.slot == 0 {
		slot := s.free()
		if slot == 0 || l.air != nil {
			return false
		}
		if old := s.by[slot]; old != nil {
			old.seat.slot, s.by[slot] = 0, nil
		}
		s.set.mu.Lock()
		data := a.data
		s.set.mu.Unlock()
		err := errors.New("it was unloaded")
		if data != nil {
			err = safely(func() error { return s.exec.SetAdapter(int(slot), &data.Adapter) })
		}
		if err != nil {
			l.end(j, internal(fmt.Errorf("adapter %s: %w", a.Name, err)))
			return true
		}
		s.by[slot] = a
		a.seat.slot, a.seat.since = slot, s.clock
	}
	a.seat.used = s.clock
	a.seat.running++
	j.seated = true
	l.add(j)
	return true
}

// free is a slot that can be given away; 0 when there is none.
func (s *seats) free() (slot int32) {
	for i := 1; i < len(s.by); i++ {
		a := s.by[i]
		if a == nil {
			return int32(i)
		}
		if a.seat.running > 0 || a.Pinned && s.set.listed(a) {
			continue
		}
		if best := s.by[slot]; slot == 0 || s.set.before(a.seat.used, a.seat.since, best.seat.used, best.seat.since) {
			slot = int32(i)
		}
	}
	return slot
}

func (s *adapters) listed(a *adapter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.list, a)
}

// leave notes that a job with an adapter has ended.
func (l *loop) leave(j *job) {
	if j.adapter == nil {
		return
	}
	if j.seated {
		j.adapter.seat.running--
	}
	l.seats.set.release(j.adapter)
}
