// Command testkernel is a Jupyter kernel around a plain session, with a few
// functions to show and to ask. The black-box tests start it when they are not told
// of another binary.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"reflect"

	"github.com/godwit-ai/godwit/kernel"
	"github.com/godwit-ai/godwit/kernel/comm"
	"github.com/godwit-ai/godwit/runtime/session"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testkernel:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("testkernel kernel run", flag.ContinueOnError)
	file := flags.String("connection-file", "", "Jupyter's connection file")
	history := flags.String("history", "", "folder for the history")
	if len(args) < 2 || args[0] != "kernel" || args[1] != "run" {
		return errors.New("usage: testkernel kernel run --connection-file FILE [--history FOLDER]")
	}
	if err := flags.Parse(args[2:]); err != nil {
		return err
	}
	var s *session.Session
	const path = "godwit/test/show"
	comms := comm.NewHub()
	s, err := session.New(session.Options{
		Exports:    []map[string]map[string]reflect.Value{comms.Symbols(), {path + "/show": exports(func() session.Output { return s.Current() })}},
		DotImports: []string{path},
	})
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return kernel.Run(context.Background(), kernel.Options{ConnectionFile: *file, HistoryDir: *history, Session: s, Comms: comms, Version: "test", Logger: log})
}

// exports are the functions that cells may call.
func exports(out func() session.Output) map[string]reflect.Value {
	show := func(mime string, v any, id string, update bool) {
		out().Display(session.Bundle{Data: map[string]any{mime: v}, ID: id, Update: update})
	}
	ask := func(prompt string, password bool) string {
		answer, err := out().Input(prompt, password)
		if err != nil {
			panic(err)
		}
		return answer
	}
	return map[string]reflect.Value{
		"DisplayHTML":   reflect.ValueOf(func(s string) { show("text/html", s, "", false) }),
		"DisplayPNG":    reflect.ValueOf(func(b []byte) { show("image/png", b, "", false) }),
		"DisplayAs":     reflect.ValueOf(func(id, text string) { show("text/plain", text, id, false) }),
		"UpdateDisplay": reflect.ValueOf(func(id, text string) { show("text/plain", text, id, true) }),
		"ClearOutput":   reflect.ValueOf(func(wait ...bool) { out().ClearOutput(len(wait) > 0 && wait[0]) }),
		"Input":         reflect.ValueOf(func(prompt string) string { return ask(prompt, false) }),
		"Password":      reflect.ValueOf(func(prompt string) string { return ask(prompt, true) }),
	}
}
