package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/runtime/serve"
)

// version runs the command and returns what it printed.
func version(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := versionCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{}, args...))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.Execute()
	return out.String(), err
}

func TestVersionForPeople(t *testing.T) {
	out, err := version(t)
	if err != nil {
		t.Fatal(err)
	}
	want := `^godwit    \S+\ncommit    .+\ngo        ` + regexp.QuoteMeta(runtime.Version()) + `\nplatform  ` + runtime.GOOS + "/" + runtime.GOARCH + `\ncuda      (none: .+|driver for CUDA \d+\.\d+; GPUs: \d+)\n$`
	if !regexp.MustCompile(want).MatchString(out) {
		t.Errorf("%s", out)
	}
}

func TestVersionAsJSON(t *testing.T) {
	out, err := version(t, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var got about
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Build != serve.ThisBuild() || (got.CUDA == "") == (got.CUDAWhy == "") {
		t.Errorf("%+v", got)
	}
}

func TestVersionTakesNoArguments(t *testing.T) {
	if _, err := version(t, "now"); err == nil {
		t.Error("an argument passes")
	}
}
