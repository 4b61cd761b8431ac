"""Command lines, questions and what else is not Go, the way people of other kernels write it."""
import http.server
import os
import tempfile
import threading
import unittest

from kernelcase import KernelCase, shell_request


class Commands(KernelCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = os.path.realpath(place.name)
        self.ok("%cd " + self.place)

    def out(self, code, **options):
        return self.printed(self.ok(code, **options))

    def failure(self, code):
        reply, msgs = self.run_cell(code)
        self.assertEqual(reply["status"], "error", reply)
        return reply, msgs

    def test_a_directory_and_back(self):
        self.assertEqual(self.out("%cd /\n%pwd"), "/\n")
        self.assertEqual(self.out("%cd -\n!pwd"), f"{self.place}\n{self.place}\n")
        self.assertIn("/no/such", self.failure("%cd /no/such")[0]["evalue"])

    def test_files_are_written_added_to_and_loaded(self):
        self.assertEqual(self.out("%%writefile a.go\nfmt.Println(1)"), "wrote a.go\n")
        self.assertEqual(self.out("%%writefile -a a.go\nfmt.Println(2)"), "added to a.go\n")
        reply, _ = self.run_cell("%load a.go")
        self.assertEqual(reply["payload"], [{"source": "set_next_input", "text": "fmt.Println(1)\nfmt.Println(2)\n", "replace": True}])
        self.assertEqual(self.out("%run a.go"), "1\n2\n")

    def test_an_address_is_loaded(self):
        class Cell(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = self.path == "/cell.go"
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write("fmt.Println(\"é\")".encode() if found else b"")

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cell) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_port}"
            reply, _ = self.run_cell(f"%load {address}/cell.go")
            self.assertEqual(reply["payload"][0]["text"], 'fmt.Println("é")')
            self.assertIn("404", self.failure(f"%load {address}/none.go")[0]["evalue"])
            server.shutdown()

    def test_the_shell_sees_variables_of_the_cells(self):
        self.ok('type P struct{ Name string }\nn, p := 3, P{"Ada"}')
        self.assertEqual(self.out("!echo {n} {p.Name} ${HOME:+set} {other} {a,b}"), "3 Ada set {other} {a,b}\n")

    def test_scripts_have_streams_and_a_status(self):
        reply, msgs = self.failure("%%bash\necho out\necho err >&2\nexit 4")
        self.assertEqual((self.printed(msgs), self.printed(msgs, "stderr")), ("out\n", "err\n"))
        self.assertIn("exit status 4", reply["evalue"])
        self.assertEqual(self.out("%%bash\r\necho a\r\necho b\r\n"), "a\nb\n")

    def test_comments_and_blank_lines_stand_among_commands(self):
        self.assertEqual(self.out("// set\n\n%env CELL_B=2\n  // show\n!echo $CELL_B\nfmt.Println(3)"), "2\n3\n")
        self.assertEqual(self.out("\ufeff!echo mark"), "mark\n")

    def test_strings_with_the_looks_of_commands_are_strings(self):
        self.assertEqual(self.out("s := `\n%cd /nowhere\n!false\n$ false\n%%bash\n`\nfmt.Print(len(s))"), "36")
        self.assertEqual(self.value("a := 17 %\n5\na"), "2")

    def test_main_has_arguments_and_flags_of_its_own(self):
        code = 'n := flag.Int("n", 1, "a count")\nflag.Parse()\nfmt.Println(*n, flag.Args())'
        for head, want in (("%% -n 4 'a b'", "4 [a b]\n"), ("%main", "1 []\n"), ("%args -n 5", "5 []\n")):
            self.assertEqual(self.out(head + "\n" + code), want)  # each time defined anew

    def test_wrong_flags_end_only_the_cell(self):
        self.ok("kept := 1")
        for code, text in (
            ("%% -nope\nflag.Parse()", "flag provided but not defined: -nope"),
            ('flag.NewFlagSet("tool", flag.ExitOnError).Parse([]string{"-x"})', "Usage of tool"),
            ('log.New(os.Stderr, "", 0).Fatal("bye")', "bye"),
        ):
            with self.subTest(code):
                reply, msgs = self.failure(code)
                self.assertEqual(reply["ename"], "ExitRequest")
                self.assertIn(text, self.printed(msgs, "stderr"))
                self.assertEqual(self.value("kept"), "1")

    def test_cells_do_not_see_the_arguments_of_the_kernel(self):
        self.ok("%args")
        self.assertEqual(self.value("0 + len(os.Args)"), "1")

    def test_unknown_commands_name_the_nearest(self):
        for code, want in (("%hlep", "did you mean %help?"), ("%%bahs\nls", "did you mean %%bash?"), ("%whos", "did you mean %who?"),
                           ("%autoget", "kernel build --with"), ("%zzz", "there are %args,")):
            with self.subTest(code):
                self.assertIn(want, self.failure(code)[0]["evalue"])

    def test_a_command_below_go_is_explained(self):
        for code in ('fmt.Println("a")\n!echo later', "x := 1\n%cd /", "x := 1\n%%bash\nls"):
            with self.subTest(code):
                self.assertIn("a command line stands in the first lines", self.failure(code)[0]["evalue"])

    def test_the_help_lists_what_works(self):
        text = self.out("%help")
        for line in text.splitlines()[1:]:
            if not line.startswith("  %"):
                continue
            for word in line[2:].split("  ")[0].split(", "):
                word = word.split(" ")[0]
                reply, _ = self.run_cell(word + " --no-such-option-or-file\n")
                self.assertNotIn("unknown command", reply.get("evalue", ""), word)


class Questions(KernelCase):
    def page(self, code):
        reply, _ = self.run_cell(code)
        self.assertEqual(reply["status"], "ok", reply)
        return reply["payload"][0]["data"]["text/plain"]

    def test_a_name_with_a_question_mark_opens_its_documentation(self):
        for code in ("strings.TrimSpace?", "?strings.TrimSpace", " strings.TrimSpace??\n"):
            with self.subTest(code):
                text = self.page(code)
                self.assertIn("func strings.TrimSpace(s string) string", text)
                self.assertIn("white space", text)

    def test_own_names_and_unknown_ones(self):
        self.ok("// half halves.\nfunc half(n int) int { return n / 2 }")
        self.assertIn("half halves.", self.page("half?"))
        reply, _ = self.run_cell("noSuchName?")
        self.assertEqual((reply["status"], reply["ename"]), ("error", "NotFound"))


class Help(KernelCase):
    def offered(self, code):
        return shell_request(self.kc, "complete_request", {"code": code, "cursor_pos": len(code)})["content"]

    def test_commands_paths_imports_and_fields_are_completed(self):
        for code, want in (("%timei", "%timeit"), ("%%wr", "%%writefile"), ("%cd /et", "/etc/"), ("!ls /et", "/etc/"),
                           ('import "encoding/js', "encoding/json"), ("http.Server{ReadHeader", "ReadHeaderTimeout: ")):
            with self.subTest(code):
                got = self.offered(code)
                self.assertIn(want, got["matches"])
                self.assertTrue(want.startswith(code[got["cursor_start"]:got["cursor_end"]]))

    def test_the_text_of_a_script_ends_with_an_empty_line(self):
        for code, want in (("%%bash", "incomplete"), ("%%bash\nls", "incomplete"), ("%%bash\nls\n", "complete"), ("%%\n1", "complete")):
            with self.subTest(code):
                self.assertEqual(shell_request(self.kc, "is_complete_request", {"code": code})["content"]["status"], want)


if __name__ == "__main__":
    unittest.main()
