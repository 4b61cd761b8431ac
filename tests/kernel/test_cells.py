"""What cells show and how they fail: display, clear, values, errors, user expressions."""
import unittest

from kernelcase import SNIPPETS, KernelCase, another_client, iopub_of, iopub_until_idle, shell_reply


class Display(KernelCase):
    def shown(self, msgs):
        return [(m["msg_type"], m["content"].get("transient", {}).get("display_id"), m["content"].get("data", {}).get("text/plain"))
                for m in msgs if m["msg_type"] in ("display_data", "update_display_data", "execute_result")]

    def test_an_update_in_the_cell_that_showed(self):
        msgs = self.ok(SNIPPETS["show_id"] + "\n" + SNIPPETS["update_id"])
        self.assertEqual(self.shown(msgs), [("display_data", "ID", "first"), ("update_display_data", "ID", "second")])

    def test_an_update_in_a_loop_keeps_its_order(self):
        code = SNIPPETS["update_id"].replace('"second"', "fmt.Sprint(i)")
        msgs = self.ok(SNIPPETS["show_id"] + "\nfor i := 0; i < 20; i++ {\n" + code + "\n}")
        self.assertEqual([s[2] for s in self.shown(msgs)], ["first"] + [str(i) for i in range(20)])

    def test_clear_output_waits_or_not(self):
        for code, wait in ((SNIPPETS["clear"], True), (SNIPPETS["clear"].replace("true", "false"), False)):
            cleared = [m for m in self.ok(code) if m["msg_type"] == "clear_output"]
            self.assertEqual([m["content"] for m in cleared], [{"wait": wait}])

    def test_print_clear_print_keeps_its_order(self):
        msgs = self.ok('for i := 0; i < 3; i++ {\nfmt.Println(i)\n' + SNIPPETS["clear"] + "\n}")
        self.assertEqual(self.types(msgs), ["execute_input"] + ["stream", "clear_output"] * 3)

    def test_display_between_prints_keeps_its_order(self):
        msgs = self.ok('fmt.Println("a")\n' + SNIPPETS["html"] + '\nfmt.Println("b")')
        self.assertEqual(self.types(msgs), ["execute_input", "stream", "display_data", "stream"])

    def test_display_in_a_goroutine_of_the_cell(self):
        msgs = self.ok("done := make(chan bool)\ngo func() {\n" + SNIPPETS["html"] + "\ndone <- true\n}()\n<-done")
        self.assertIn("display_data", self.types(msgs))

    def test_a_silent_cell_shows_nothing(self):
        _, msgs = self.run_cell(SNIPPETS["html"] + "\n" + SNIPPETS["clear"], silent=True)
        self.assertEqual(self.types(msgs), [])

    def test_every_bundle_has_data_and_metadata(self):
        for m in self.ok(SNIPPETS["html"] + "\n1"):
            if m["msg_type"] in ("display_data", "execute_result"):
                self.assertIsInstance(m["content"]["data"], dict)
                self.assertIsInstance(m["content"]["metadata"], dict)


class Values(KernelCase):
    def test_the_last_expression_is_the_value(self):
        for code, want in (("v1 := 1; v1 + 1", "2"), ('"a" + "b"', "ab"), ("[]string{}", "[]"), ("map[string]int{\"a\": 1}", "map[a:1]"),
                           ("struct{ A int }{3}", "{3}"), ("func() (int, error) { return 1, nil }()", "1 <nil>")):
            with self.subTest(code):
                self.assertEqual(self.value(code), want)

    def test_what_has_no_value(self):
        for code in ("x := 1", "var y int", "func f() {}", "for i := 0; i < 3; i++ {}", "import \"fmt\"", "", "// nothing", "f()"):
            with self.subTest(code):
                self.assertNotIn("execute_result", self.types(self.ok(code)))


class Errors(KernelCase):
    def failure(self, code):
        reply, msgs = self.run_cell(code)
        self.assertEqual(reply["status"], "error", reply)
        self.assertEqual(msgs[-1]["msg_type"], "error")
        return reply

    def test_all_compile_errors_come_at_once_with_their_places(self):
        reply = self.failure("var a int = \"x\"\nb := 1\nundefinedName()")
        self.assertEqual(reply["ename"], "CompileError")
        for want in (":1:13: ", "undefined: undefinedName"):
            self.assertIn(want, reply["evalue"])

    def test_a_failed_cell_defines_nothing(self):
        self.failure("half := 1\nnoSuchName()")
        self.assertIn("undefined: half", self.failure("half")["evalue"])

    def test_a_panic_has_gos_text_and_the_line(self):
        for code, text, line in (
            ("x := []int{1}\ni := 5\nx[i] = 2", "index out of range [5] with length 1", ":3:"),
            ("a, b := 1, 0\na / b", "integer divide by zero", ":2:"),
            ("var p *struct{ A int }\np.A = 1", "nil pointer dereference", ":2:"),
            ("var e any = \"s\"\n_ = e.(int)", "interface conversion", ":2:"),
            ("panic(fmt.Errorf(\"own %d\", 7))", "own 7", ":1:"),
        ):
            with self.subTest(code):
                reply = self.failure(code)
                self.assertIn(text, reply["evalue"])
                self.assertIn(line, "\n".join(reply["traceback"]))

    def test_the_traceback_names_the_cells_of_all_frames(self):
        reply, _ = self.run_cell("func inner(n int) int {\n\treturn 10 / n\n}")
        first = reply["execution_count"]
        reply = self.failure("func outer() int { return inner(0) }\nouter()")
        text = "\n".join(reply["traceback"])
        self.assertIn(f"cell {first}:2", text)
        self.assertIn(f"cell {reply['execution_count']}:2:1", text)

    def test_os_exit_and_log_fatal_end_only_the_cell(self):
        self.ok("alive := 1")
        for code in ("os.Exit(3)", "log.Fatal(\"bye\")", "runtime.Goexit()"):
            with self.subTest(code):
                self.run_cell(code)
                self.assertEqual(self.value("alive"), "1")

    def test_output_before_a_panic_is_kept(self):
        _, msgs = self.run_cell('fmt.Print("partly")\npanic("then")')
        self.assertEqual(self.types(msgs), ["execute_input", "stream", "error"])

    def test_an_error_while_silent_is_only_in_the_reply(self):
        reply, msgs = self.run_cell('panic("quiet")', silent=True)
        self.assertEqual((reply["status"], self.types(msgs)), ("error", []))


class UserExpressions(KernelCase):
    def test_they_are_evaluated_behind_the_cell(self):
        reply, _ = self.run_cell("n := 1\nn = 20", user_expressions={"n": "n", "html": '"<b>"', "sum": "n + 1"})
        got = {k: v["data"]["text/plain"] for k, v in reply["user_expressions"].items()}
        self.assertEqual(got, {"n": "20", "html": "<b>", "sum": "21"})

    def test_a_failing_one_has_an_error_of_its_own(self):
        reply, _ = self.run_cell("1", user_expressions={"bad": "1 / zero()", "good": "2"})
        bad = reply["user_expressions"]["bad"]
        self.assertEqual((bad["status"], reply["status"]), ("error", "ok"))
        self.assertTrue(bad["ename"] and bad["evalue"] and bad["traceback"])
        self.assertEqual(reply["user_expressions"]["good"]["data"]["text/plain"], "2")

    def test_behind_a_failed_cell_none_is_evaluated(self):
        reply, _ = self.run_cell("panic(1)", user_expressions={"a": "1"})
        self.assertFalse(reply.get("user_expressions"))

    def test_they_are_not_counted_or_shown(self):
        before = self.run_cell("1")[0]["execution_count"]
        reply, msgs = self.run_cell("2", silent=True, user_expressions={"a": "3"})
        self.assertEqual((reply["user_expressions"]["a"]["data"]["text/plain"], self.types(msgs)), ("3", []))
        self.assertEqual(self.run_cell("1")[0]["execution_count"], before + 1)


class Timing(KernelCase):
    def test_the_reply_tells_when_the_cell_started(self):
        first = shell_reply(self.kc, self.kc.execute("1"))["metadata"]["started"]
        second = shell_reply(self.kc, self.kc.execute("1"))["metadata"]["started"]
        self.assertLess(first, second)

    def test_execute_input_comes_before_the_cell_ends(self):
        msg_id, gate = self.busy()
        # busy saw the stream; the input came before it
        self.assertEqual(self.types(self.finish(msg_id, gate)), [])

    def test_idle_comes_behind_all_output(self):
        for _ in range(10):
            msg_id = self.kc.execute('for i := 0; i < 50; i++ { fmt.Println(i) }')
            self.assertEqual(self.printed(iopub_until_idle(self.kc, msg_id)), "".join(f"{i}\n" for i in range(50)))
            shell_reply(self.kc, msg_id)

    def test_a_print_of_16_megabytes_in_pieces_is_complete(self):
        msg_id = self.kc.execute('line := strings.Repeat("z", 1023) + "\\n"\nfor i := 0; i < 16384; i++ { fmt.Print(line) }')
        self.assertEqual(len(self.printed(iopub_until_idle(self.kc, msg_id, timeout=600))), 16 << 20)
        shell_reply(self.kc, msg_id)

    def test_welcome_and_first_cell_of_a_new_subscriber(self):
        other = another_client(self.km)
        msg_id = other.execute('fmt.Println("mine")')
        self.assertEqual(iopub_of(other, "stream", msg_id)["content"]["text"], "mine\n")
        other.stop_channels()


if __name__ == "__main__":
    unittest.main()
