package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The types and functions here stand for a linked package.

type Server struct {
	Port    int
	Opts    ServerOptions
	onClose func()
}

func (s *Server) Close() error          { s.onClose(); return nil }
func (s *Server) Wait(d time.Duration)  {}
func (s Server) Name() string           { return fmt.Sprint("server ", s.Port) }
func (s *Server) Each(f func(int) bool) { _ = f(s.Port) && f(s.Port+1) }

type ServerOptions struct {
	Model string
	Args  map[string]any
	Log   io.Writer
}

type Level int

func (l Level) String() string { return [...]string{"low", "high"}[l] }

type Visitor interface {
	Visit(name string, args ...int) (string, error)
}

type wrapVisitor struct {
	IValue any
	WVisit func(name string, args ...int) (string, error)
}

func (w wrapVisitor) Visit(name string, args ...int) (string, error) { return w.WVisit(name, args...) }

func linkedExports(closed *int) []map[string]map[string]reflect.Value {
	var def = ServerOptions{Model: "default"}
	return []map[string]map[string]reflect.Value{{"example.com/linked/linked": {
		"Server": reflect.ValueOf((*Server)(nil)), "ServerOptions": reflect.ValueOf((*ServerOptions)(nil)),
		"Level": reflect.ValueOf((*Level)(nil)), "Visitor": reflect.ValueOf((*Visitor)(nil)), "_Visitor": reflect.ValueOf((*wrapVisitor)(nil)),
		"High": reflect.ValueOf(Level(1)), "Default": reflect.ValueOf(&def).Elem(),
		"Launch": reflect.ValueOf(func(ctx context.Context, o ServerOptions, ports ...int) (*Server, error) {
			if o.Model == "" {
				return nil, errors.New("no model")
			}
			return &Server{Port: len(ports), Opts: o, onClose: func() { *closed++ }}, nil
		}),
		"Walk":          reflect.ValueOf(func(v Visitor) (string, error) { return v.Visit("root", 1, 2) }),
		"launch_server": reflect.ValueOf(func(cmd string) (*Server, int) { return &Server{Port: len(cmd)}, len(cmd) }),
		"Describe":      reflect.ValueOf(func(x any) string { return fmt.Sprintf("%v", x) }),
	}}}
}

func TestLinkedPackages(t *testing.T) {
	closed := 0
	s, err := New(Options{Exports: linkedExports(&closed), DotImports: []string{"example.com/linked"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct{ name, code, want string }{
		{"a function used unqualified", "srv, err := Launch(context.Background(), ServerOptions{Model: \"m\", Args: map[string]any{\"a\": 1}}, 1, 2)\nfmt.Println(srv.Port, srv.Name(), srv.Opts.Model, srv.Opts.Args[\"a\"], err)\nsrv.Close()", "2 server 2 m 1 <nil>\n"},
		{"a name that is not exported", "p, port := launch_server(`abc`)\nfmt.Println(p.Port, port)", "3 3\n"},
		{"the package by an import", "import \"example.com/linked\"\nfmt.Println(linked.High, linked.Default.Model)", "high default\n"},
		{"a variable of the package is set", "Default.Model = \"x\"\nfmt.Println(Default.Model)", "x\n"},
		{"an error comes back", "_, err := Launch(context.Background(), ServerOptions{})\nfmt.Println(err)", "no model\n"},
		{"a type of the cell as an interface of the package", "type V struct{ n int }\nfunc (v *V) Visit(name string, args ...int) (string, error) { v.n += len(args); return fmt.Sprint(name, v.n, args), nil }\nfmt.Println(Walk(&V{1}))", "root3 [1 2] <nil>\n"},
		{"a range over a method", "for p := range (&Server{Port: 5}).Each { fmt.Print(p, \" \") }", "5 6 "},
		{"a value of the cell as any", "type C int\nfunc (c C) String() string { return \"C!\" }\nfmt.Println(Describe(C(1)), Describe([]C{2}))", "C! [C!]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := &recorder{}
			if e := exec(t, s, rec, c.code); e != nil {
				t.Fatal(e)
			}
			if rec.stdout() != c.want {
				t.Errorf("got %q, want %q", rec.stdout(), c.want)
			}
		})
	}
	if closed != 1 {
		t.Errorf("Close ran %d times", closed)
	}
	if e := exec(t, s, &recorder{}, "Launch(1)"); e == nil || !strings.Contains(e.Message, "not enough arguments in call to Launch") {
		t.Errorf("got %v", e)
	}
	if got := s.Complete("srv.Cl", 6); len(got.Matches) != 1 || got.Matches[0].Text != "Close" {
		t.Errorf("got %v", got)
	}
	if got := s.Complete("Laun", 4); len(got.Matches) == 0 || got.Matches[0].Text != "Launch" {
		t.Errorf("got %v", got)
	}
}

func TestCurrentOutputInExports(t *testing.T) {
	var s *Session
	s, err := New(Options{Exports: []map[string]map[string]reflect.Value{{"example.com/p/p": {
		"Show": reflect.ValueOf(func(x string) { s.Current().Display(Bundle{Data: map[string]any{"text/html": x}}) }),
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rec := &recorder{}
	if e := exec(t, s, rec, "p.Show(\"<b>1</b>\")"); e != nil {
		t.Fatal(e)
	}
	if len(rec.displays) != 1 || rec.displays[0].Data["text/html"] != "<b>1</b>" {
		t.Errorf("got %v", rec.displays)
	}
}
