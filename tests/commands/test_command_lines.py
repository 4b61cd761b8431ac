"""Command lines of cells in the built program, where package testing starts from nothing."""

import re

from commands import GODWIT, needs_godwit, run

pytestmark = needs_godwit


def test_tests_and_benchmarks_run():
    cell = """%test -benchtime 20x
func TestGood(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Log("seen") }) }
func TestBad(t *testing.T) { t.Fatalf("got %d", 3) }
func BenchmarkRepeat(b *testing.B) { for b.Loop() { strings.Repeat("a", 10) } }
func ExampleGood() {
	fmt.Println("x")
	// Output: x
}
"""
    ran = run(GODWIT, "run", "-", stdin=cell)
    assert ran.code == 1 and "1 of 4 tests failed" in ran.err, ran
    for pattern in (r"^=== RUN +TestGood\n=== RUN +TestGood/sub\n +seen\n--- PASS: TestGood .*\n    --- PASS: TestGood/sub", r"=== RUN +TestBad\n +got 3\n--- FAIL: TestBad", r"--- PASS: ExampleGood", r"BenchmarkRepeat\S*\s+20\s+[\d.]+ ns/op", r"FAIL\s+-\s"):
        assert re.search(pattern, ran.text), (pattern, ran)
    again = run(GODWIT, "repl", stdin="func TestA(t *testing.T) {}\n%test\n%test -short\n")
    assert again.code == 0 and again.text.count("--- PASS: TestA") == 2, again


def test_timing_and_capture(tmp_path):
    ran = run(GODWIT, "run", "-", stdin='%timeit -n 10 -r 3 strings.Repeat("a", 3)\n%capture out.txt\nfmt.Println("kept")\n', cwd=tmp_path)
    assert ran.code == 0 and "3 runs, 10 loops each" in ran.text and (tmp_path / "out.txt").read_text() == "kept\n", ran
