package session

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"reflect"
)

// Compiled packages end the process in more places than os.Exit: package flag when a
// command line is wrong, and loggers. For cells they end the cell.

func (s *Session) exits() {
	f := reflect.ValueOf
	parse := func(fs *flag.FlagSet, args []string) error { return parseFlags(fs, args, stream{s, true}) }
	s.blocking["(*flag.FlagSet).Parse"] = f(parse)
	s.blocking["(*log.Logger).Fatal"] = f(func(l *log.Logger, a ...any) { fatal(l, fmt.Sprint(a...)) })
	s.blocking["(*log.Logger).Fatalln"] = f(func(l *log.Logger, a ...any) { fatal(l, fmt.Sprintln(a...)) })
	s.blocking["(*log.Logger).Fatalf"] = f(func(l *log.Logger, format string, a ...any) { fatal(l, typeVerbs(format, a)) })
	s.ownCommandLine()
	s.overrides["flag.Parse"] = f(func() { _ = parse(s.commandLine, os.Args[1:]) })
}

// ownCommandLine gives cells a command line in package flag that is not the process's,
// whose flags are those of its own packages: testing has many.
func (s *Session) ownCommandLine() {
	s.newCommandLine()
	s.usage = func() {
		fmt.Fprintf(s.commandLine.Output(), "Usage of %s:\n", s.commandLine.Name())
		s.commandLine.PrintDefaults()
	}
	s.overrides["flag.CommandLine"] = reflect.ValueOf(&s.commandLine).Elem()
	s.overrides["flag.Usage"] = reflect.ValueOf(&s.usage).Elem()
	set := reflect.TypeFor[*flag.FlagSet]()
	for name, v := range stdTables.get("flag") {
		m, ok := set.MethodByName(name)
		if !ok || v.Kind() != reflect.Func {
			continue
		}
		s.overrides["flag."+name] = reflect.MakeFunc(v.Type(), func(in []reflect.Value) []reflect.Value {
			return m.Func.Call(append([]reflect.Value{reflect.ValueOf(s.commandLine)}, in...))
		})
	}
}

func (s *Session) newCommandLine() {
	s.commandLine = flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	s.commandLine.Usage = func() { s.usage() }
	s.commandLine.SetOutput(stream{s, true})
}

func fatal(l *log.Logger, text string) {
	_ = l.Output(3, text)
	panic(exitSignal{1})
}

// parseFlags is fs.Parse whose messages go to the cell, if the set has no output of its
// own, and whose exit is the cell's.
func parseFlags(fs *flag.FlagSet, args []string, messages stream) error {
	if fs.Output() == os.Stderr {
		fs.SetOutput(messages)
		defer fs.SetOutput(nil)
	}
	if fs.ErrorHandling() != flag.ExitOnError {
		return fs.Parse(args)
	}
	fs.Init(fs.Name(), flag.ContinueOnError)
	defer fs.Init(fs.Name(), flag.ExitOnError)
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		panic(exitSignal{0})
	case err != nil:
		panic(exitSignal{2})
	}
	return nil
}

// giveArguments makes a command line that of the cells to come, as a program of its own
// has it: no flags are defined yet.
func (s *Session) giveArguments(args []string) {
	os.Args = append([]string{os.Args[0]}, args...)
	s.newCommandLine()
}
