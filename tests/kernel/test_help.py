"""Completion, inspection and is_complete, as front ends ask for them."""
import unittest

from kernelcase import KernelCase, shell_request


class Completion(KernelCase):
    def complete(self, code, cursor=None):
        cursor = len(code) if cursor is None else cursor
        content = shell_request(self.kc, "complete_request", {"code": code, "cursor_pos": cursor})["content"]
        self.assertEqual(content["status"], "ok")
        return content

    def typed(self, code, cursor=None):
        content = self.complete(code, cursor)
        types = content["metadata"]["_jupyter_types_experimental"]
        self.assertEqual([t["text"] for t in types], content["matches"])
        return {t["text"]: (t["type"], t.get("signature", "")) for t in types}

    def test_members_of_packages_have_types_and_signatures(self):
        got = self.typed("strings.")
        self.assertEqual(got["Builder"][0], "type")
        self.assertEqual(got["TrimSpace"], ("function", "(s string) string"))
        self.assertEqual(self.typed("math.P")["Pi"][0], "constant")
        self.assertEqual(self.typed("os.Arg")["Args"][0], "variable")

    def test_unexported_members_are_not_offered(self):
        self.assertFalse([m for m in self.complete("strings.")["matches"] if m[0].islower()])

    def test_names_of_cells(self):
        self.ok("zebra := 1\nfunc zeal(n int) error { return nil }\ntype Zest struct{}\nconst zero = 0")
        got = self.typed("ze")
        self.assertEqual((got["zebra"], got["zeal"]), (("variable", "int"), ("function", "(n int) error")))
        self.assertEqual(got["zero"][0], "constant")
        self.assertEqual(self.typed("Ze")["Zest"][0], "type")

    def test_fields_and_methods_of_own_types(self):
        self.ok("type Robot struct { Name string; legs int }\nfunc (r *Robot) Walk(steps int) bool { return true }\nrobot := &Robot{}")
        got = self.typed("robot.")
        self.assertEqual(got["Name"], ("variable", "string"))
        self.assertEqual(got["Walk"], ("function", "(steps int) bool"))
        self.assertIn("legs", got)

    def test_methods_behind_calls_and_indexes(self):
        self.ok("robots := []*http.Request{nil}\nfunc first() *http.Request { return robots[0] }")
        for code in ("robots[0].Url", "first().Hea", "time.Now().Ye", "http.DefaultClient.Ti"):
            with self.subTest(code):
                self.complete(code)
        self.assertIn("Header", self.complete("first().Hea")["matches"])
        self.assertIn("Year", self.complete("time.Now().Ye")["matches"])
        self.assertIn("Timeout", self.complete("http.DefaultClient.Ti")["matches"])

    def test_variables_of_the_unfinished_cell(self):
        self.assertIn("wondrous", self.complete("wondrous := 3\nfor i := range wond")["matches"])
        self.assertIn("Scan", self.complete("sc := bufio.NewScanner(os.Stdin)\nfor sc.Sc")["matches"])

    def test_the_cursor_in_the_middle(self):
        code = "fmt.Printl(1)"
        content = self.complete(code, 10)
        self.assertEqual((content["matches"], content["cursor_start"], content["cursor_end"]), (["Println"], 4, 10))

    def test_nothing_inside_strings_and_comments(self):
        for code in ('"strings.Tr', "// strings.Tr", "`strings.Tr", "/* strings.Tr"):
            with self.subTest(code):
                self.assertEqual(self.complete(code)["matches"], [])

    def test_keywords_and_builtins(self):
        self.assertEqual(self.typed("fallthr")["fallthrough"][0], "keyword")
        self.assertIn("append", self.complete("appe")["matches"])

    def test_package_names(self):
        self.assertEqual(self.typed("strc")["strconv"][0], "package")

    def test_code_that_does_not_parse(self):
        for code in ("if x { strings.Tr", "fmt.Println(strings.Tr", "func f() {\n\tstrings.Tr", "x := ) ; strings.Tr"):
            with self.subTest(code):
                self.assertIn("TrimSpace", self.complete(code)["matches"])

    def test_odd_positions_do_no_harm(self):
        for code, cursor in (("", 0), ("x", 99), ("x", -3), (".", 1), ("..", 2), ("é.", 2), ("1.", 2), ("\n\n", 1), ("\0", 1)):
            with self.subTest(code=code, cursor=cursor):
                self.complete(code, cursor)


class Inspection(KernelCase):
    def inspect(self, code, cursor=None, detail=0):
        cursor = len(code) if cursor is None else cursor
        content = shell_request(self.kc, "inspect_request", {"code": code, "cursor_pos": cursor, "detail_level": detail})["content"]
        self.assertEqual(content["status"], "ok")
        return content["data"].get("text/plain", "") if content["found"] else None

    def test_a_function_of_std_has_its_declaration_and_its_comment(self):
        text = self.inspect("strings.TrimSpace")
        self.assertIn("func strings.TrimSpace(s string) string", text)
        self.assertIn("white space", text)

    def test_types_methods_fields_constants_and_packages_have_comments(self):
        for code, want in (("strings.Builder", "minimizes memory copying"), ("http.Client{}.Timeout", "time limit"),
                           ("math.MaxInt8", ""), ("json", "package json"), ("time.Now().Weekday", "day of the week")):
            with self.subTest(code):
                text = self.inspect(code)
                self.assertIsNotNone(text)
                self.assertIn(want, text)

    def test_a_call_that_is_being_written(self):
        self.assertIn("func strings.Replace(", self.inspect("strings.Replace("))

    def test_own_names(self):
        self.ok("count := 42\nfunc area(w, h float64) float64 { return w * h }\ntype Pair struct { A, B int }")
        self.assertEqual(self.inspect("count"), "var count int = 42")
        self.assertIn("func area(w float64, h float64) float64", self.inspect("area"))
        self.assertIn("type Pair struct", self.inspect("Pair"))

    def test_the_cursor_inside_a_name(self):
        self.assertIn("TrimSpace", self.inspect("strings.TrimSpace(x)", 11))

    def test_a_huge_value_is_cut(self):
        self.ok("huge := make([]int, 100000)")
        self.assertLess(len(self.inspect("huge")), 1000)

    def test_builtins(self):
        self.assertIn("append", self.inspect("append"))

    def test_nothing_to_inspect(self):
        for code in ("", "noSuchName", "strings.NoSuch", '"strings.TrimSpace', "1 + 2"):
            with self.subTest(code):
                self.assertIsNone(self.inspect(code))


class IsComplete(KernelCase):
    def test_what_a_console_asks(self):
        for code, want in (
            ("x := 1", "complete"), ("", "complete"), ("// a comment", "complete"), ("func f() int { return 1 }", "complete"),
            ("if x := 1; x > 0 {\n}", "complete"), ("f(1,", "incomplete"), ("x := `raw", "incomplete"), ("/* open", "incomplete"),
            ("switch x {\ncase 1:", "incomplete"), ("a +", "incomplete"), ("x := )", "invalid"), ("}", "invalid"),
            ("import \"fmt\"", "complete"), ("type T struct {", "incomplete"), ("%%bash\nls", "incomplete"), ("%%bash\nls\n", "complete"),
        ):
            with self.subTest(code):
                got = shell_request(self.kc, "is_complete_request", {"code": code})["content"]
                self.assertEqual(got["status"], want)
                self.assertEqual("indent" in got, want == "incomplete")

    def test_the_indent_follows_the_depth(self):
        for code, depth in (("func f() {", 1), ("func f() {\n\tfor {", 2), ("x := map[string][]int{\n\t\"a\": {", 2)):
            with self.subTest(code):
                got = shell_request(self.kc, "is_complete_request", {"code": code})["content"]
                self.assertEqual(got["indent"], "\t" * depth)


if __name__ == "__main__":
    unittest.main()
