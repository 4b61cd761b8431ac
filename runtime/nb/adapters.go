package nb

import (
	"fmt"
	"strings"

	"github.com/godwit-ai/godwit/engine"
)

// LoadAdapter loads a LoRA adapter, a folder as PEFT writes it, while its server runs;
// Adapter(name) and model "base:name" ask for it from then on. It returns the names of
// all that the server has. The server must have been launched with adapters or with
// --enable-lora. Without a server it is the youngest's.
func (e *Env) LoadAdapter(name, path string, server ...*Process) []string {
	p := e.of(server)
	if err := p.loader().LoadAdapter(e.opt.Context(), engine.AdapterSpec{Name: name, Path: path, Local: true}); err != nil {
		fail(fmt.Errorf("load adapter %q: %w", name, p.loraHint(err)))
	}
	return p.adapters()
}

// UnloadAdapter forgets an adapter when the requests that use it have ended, and returns
// the names of those that are left.
func (e *Env) UnloadAdapter(name string, server ...*Process) []string {
	p := e.of(server)
	if err := p.loader().UnloadAdapter(e.opt.Context(), name); err != nil {
		fail(fmt.Errorf("unload adapter %q: %w", name, p.loraHint(err)))
	}
	return p.adapters()
}

func (p *Process) loader() engine.Adapters {
	a, ok := p.Engine().(engine.Adapters)
	if !ok {
		failf("the server at %s has no adapters", p.URL)
	}
	return a
}

// loraHint adds how a notebook launches a server with adapters.
func (p *Process) loraHint(err error) error {
	if !p.Engine().Models()[0].LoRA {
		return fmt.Errorf("%w: in a notebook, LaunchServer(ServerOptions{Model: …, Args: []string{\"--enable-lora\"}})", err)
	}
	if have := p.adapters(); len(have) > 0 {
		return fmt.Errorf("%w; the server at %s has %s", err, p.URL, strings.Join(have, ", "))
	}
	return err
}

// adapters are the names of a server's adapters.
func (p *Process) adapters() []string {
	have := []string{}
	for _, m := range p.Engine().Models() {
		if m.Parent != "" {
			have = append(have, m.ID)
		}
	}
	return have
}
