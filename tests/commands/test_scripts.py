"""godwit run: scripts with the notebook's functions."""

import re
import time

from commands import GODWIT, Running, needs_godwit, needs_model, run

pytestmark = needs_godwit


def test_a_script_from_a_file_and_from_standard_input(tmp_path):
    script = tmp_path / "script.go"
    script.write_text('x := 6 * 7\nfmt.Println("x is", x)\nstrings.ToUpper("last value")\n')
    for ran in (run(GODWIT, "run", script), run(GODWIT, "run", "-", stdin=script.read_bytes())):
        assert ran.code == 0, ran
        assert ran.text.splitlines()[0] == "x is 42" and "LAST VALUE" in ran.text, ran


def test_a_program_with_package_main_runs(tmp_path):
    script = tmp_path / "main.go"
    script.write_text('package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("from main")\n}\n')
    ran = run(GODWIT, "run", script)
    assert ran.code == 0 and ran.text == "from main\n", ran


def test_loops_of_every_form(tmp_path):
    source = """
n := 0
for i := 0; ; i++ {
	if i == 3 { break }
	n += i
}
for i := 0; i < 2; { i++; n += i }
for ; n < 10; { n++ }
if m := n; m > 5 { n = m + 1 }
fmt.Println(n)
"""
    ran = run(GODWIT, "run", "-", stdin=source)
    assert ran.code == 0 and ran.text == "11\n", ran


def test_a_first_line_for_the_shell_is_skipped(tmp_path):
    script = tmp_path / "script.go"
    script.write_text("#!/usr/bin/env -S godwit run\nfmt.Println(1)\nnope\n")
    ran = run(GODWIT, "run", script)
    assert ran.code == 1 and "3:" in ran.err and "nope" in ran.err, ran


def test_errors_have_line_and_column(tmp_path):
    script = tmp_path / "broken.go"
    for source, place, word in [
        ("x := 1\nfmt.Println(x\ny := 2\n", "2:", "syntax"),
        ("x := 1\n\tfmt.Println(undefinedName)\n", "2:14", "undefinedName"),
        ('var n int = "text"\n', "1:13", "int"),
    ]:
        script.write_text(source)
        ran = run(GODWIT, "run", script)
        assert ran.code == 1, ran
        assert place in ran.err and "broken.go" in ran.err, (place, ran)
        assert word in ran.err or word == "syntax", ran


def test_a_panic_is_an_error_with_its_line(tmp_path):
    script = tmp_path / "panics.go"
    script.write_text('fmt.Println("before")\nvar list []int\nfmt.Println(list[3])\n')
    ran = run(GODWIT, "run", script)
    assert ran.code == 1 and ran.text == "before\n" and "out of range" in ran.err and "3" in ran.err, ran


def test_a_helper_that_fails_says_why(tmp_path):
    for source, want in [
        ('Generate("x")', "no server runs"),
        ('LaunchServerCmd("python3 -m http.server")', "expected a server command"),
        ('p := LaunchServer(ServerOptions{Model: "./missing.gguf"}); WaitForServer(p)', "missing.gguf"),
    ]:
        ran = run(GODWIT, "run", "-", stdin=source, cwd=tmp_path)
        assert ran.code == 1 and want in ran.err, ran


def test_an_endless_loop_ends_with_ctrl_c(tmp_path):
    (tmp_path / "loop.go").write_text('fmt.Println("started")\nfor {\n}\n')
    with Running(GODWIT, "run", "loop.go", cwd=tmp_path) as script:
        script.wait_for("started", where="out")
        time.sleep(0.2)
        script.interrupt()
        ran = script.end()
    assert ran.code == 1 and "nterrupted" in ran.err, ran


def test_standard_input_is_there_for_the_script(tmp_path):
    (tmp_path / "ask.go").write_text('name := Input("name? ")\nfmt.Println("hello", name)\n')
    ran = run(GODWIT, "run", "ask.go", stdin="Ada\n", cwd=tmp_path)
    assert ran.code == 0 and "hello Ada" in ran.text, ran


@needs_model
def test_a_script_launches_a_model_and_ends(tmp_path):
    (tmp_path / "model.go").write_text(
        """
server := LaunchServer(ServerOptions{Model: "smollm2"})
WaitForServer(server)
print_highlight(Generate("The capital of France is", GenerateOptions{MaxTokens: 6}).Text)
for piece := range GenerateStream("One, two, three,", GenerateOptions{MaxTokens: 6}) {
	fmt.Print(piece)
}
fmt.Println()
TerminateProcess(server)
fmt.Println(server)
"""
    )
    ran = run(GODWIT, "run", "model.go", cwd=tmp_path)
    assert ran.code == 0, ran
    assert "Paris" in ran.text and "four" in ran.text and "terminated" in ran.text, ran


def test_the_script_s_own_exit_status_is_the_command_s():
    for code, status in [("fmt.Println(1); os.Exit(3)", 3), ("fmt.Println(1); os.Exit(0)", 0)]:
        ran = run(GODWIT, "run", "-", stdin=code)
        assert ran.code == status and ran.text == "1\n" and not ran.err, ran


@needs_model
def test_standard_output_has_what_the_script_prints_and_no_log():
    source = 's := LaunchServer(ServerOptions{Model: "smollm2"})\nWaitForServer(s)\nfmt.Println("ready")\nTerminateProcess(s)\n'
    ran = run(GODWIT, "run", "-", stdin=source)
    assert ran.code == 0 and ran.text == "ready\n", ran
    assert "Loading weights" in ran.err, ran


def test_an_answer_fills_a_struct(tmp_path):
    script = tmp_path / "fill.go"
    script.write_text("""
// Mood is how somebody feels.
type Mood string

type Base struct {
	ID int `json:"id" minimum:"1" maximum:"9"` // unique
}

// Person is somebody.
type Person struct {
	Base
	// Name is short.
	Name  string          `json:"name" minLength:"1" maxLength:"6"`
	Mood  Mood            `json:"mood" enum:"happy,sad"`
	Born  time.Time       `json:"born"`
	Marks map[string]int8 `json:"marks" maxProperties:"1"`
	Tags  []string        `json:"tags" enum:"red,green" maxItems:"2"`
	Home  *struct {
		Street string `json:"street" maxLength:"5"`
	} `json:"home"`
	Kids []Person `json:"kids" maxItems:"1"`
	Rank float64  `json:"rank,string,omitempty"`
}
srv := LaunchServer(ServerOptions{Model: "builtin:tiny"})
schema, err := SchemaOf(Person{})
fmt.Println(schema, err)
filled := 0
for seed := range int64(40) {
	func() {
		defer func() {
			if p := recover(); p != nil && !strings.Contains(fmt.Sprint(p), "cut off") {
				panic(p)
			}
		}()
		var p Person
		GenerateInto(&p, "A person.", GenerateOptions{Temperature: 1, Seed: seed + 1, System: "Answer in JSON."})
		if p.ID < 1 || p.ID > 9 || p.Name == "" || len([]rune(p.Name)) > 6 || p.Mood != "happy" && p.Mood != "sad" || len(p.Marks) > 1 || len(p.Tags) > 2 || len(p.Kids) > 1 {
			panic(fmt.Sprintf("not valid: %+v", p))
		}
		filled++
	}()
	if filled == 1 {
		break
	}
}
fmt.Println("filled", filled)
fmt.Println(Choose("Is it?", []string{"yes", "no"}), Regex("A date:", `\\d{4}-\\d\\d`))
TerminateProcess(srv)
""")
    ran = run(GODWIT, "run", script)
    assert ran.code == 0, ran
    schema, filled, last = ran.text.strip().splitlines()[-3:]
    for words in ("Person is somebody.", "Name is short.", '"description":"unique"', '"required":["id","name","mood","born","marks","tags","home","kids"]'):
        assert words in schema, schema
    assert filled == "filled 1", ran
    assert re.fullmatch(r"(yes|no) \d{4}-\d\d", last), last
