"""History on disk: sessions, patterns, several kernels, damage."""
import glob
import os
import unittest

from kernelcase import (BIN, KernelCase, folder, iopub_until_idle, kernelspec, shell_reply, shell_request, start, stop)


@unittest.skipUnless(BIN, "GODWIT_BIN does not name the kernel's binary")
class History(unittest.TestCase):
    def setUp(self):
        self.dir = os.path.join(folder("godwit-history-"), "made", "anew")
        self.kernel = kernelspec("history-" + self.id().rsplit(".", 1)[1].replace("_", "-"), self.dir)

    def session(self, *cells):
        """A kernel that has run cells; it ends with the test."""
        km, kc = start(self.kernel)
        self.addCleanup(stop, km, kc)
        for code in cells:
            self.assertEqual(shell_reply(kc, kc.execute(code))["content"]["status"], "ok")
        return kc

    def ask(self, kc, kind, **content):
        ask = {"hist_access_type": kind, "output": False, "raw": True, **content}
        return [tuple(h) for h in shell_request(kc, "history_request", ask)["content"]["history"]]

    def test_earlier_sessions_are_remembered(self):
        self.session("a := 1", "a + 1")
        kc = self.session("b := 2")
        self.assertEqual(self.ask(kc, "tail", n=2), [(1, 2, "a + 1"), (2, 1, "b := 2")])
        self.assertEqual(self.ask(kc, "range", session=-1, start=1, stop=2), [(1, 1, "a := 1")])
        self.assertEqual(self.ask(kc, "range", session=1, start=2), [(1, 2, "a + 1")])
        self.assertEqual(self.ask(kc, "range", session=0, start=0), [(2, 1, "b := 2")])
        self.assertEqual(self.ask(kc, "range", session=-2, start=0), [])

    def test_outputs_are_remembered(self):
        self.session("6 * 7", "nothing := 0")
        kc = self.session()
        self.assertEqual([tuple(h[2]) for h in self.ask(kc, "tail", n=9, output=True)], [("6 * 7", "42"), ("nothing := 0", None)])

    def test_search(self):
        self.session("x := 1", "y := 2", "x := 1", "func f() { x++ }")
        kc = self.session("x := 1")
        self.assertEqual([h[2] for h in self.ask(kc, "search", pattern="x :=*")], ["x := 1"] * 3)
        self.assertEqual(self.ask(kc, "search", pattern="x*", unique=True), [(2, 1, "x := 1")])
        self.assertEqual([h[2] for h in self.ask(kc, "search", pattern="*x*", n=2)], ["func f() { x++ }", "x := 1"])
        self.assertEqual([h[2] for h in self.ask(kc, "search", pattern="[yz] := ?")], ["y := 2"])
        self.assertEqual(self.ask(kc, "search", pattern="no such*"), [])

    def test_unicode_and_lines_survive(self):
        code = 'w := "äöü 𝄞"\n_ = w // ' + "x" * 10000
        self.session(code)
        self.assertEqual(self.ask(self.session(), "tail", n=1), [(1, 1, code)])

    def test_what_is_not_stored_is_not_remembered(self):
        kc = self.session("1")
        for options in ({"store_history": False}, {"silent": True}):
            msg_id = kc.execute('"secret"', **options)
            shell_reply(kc, msg_id)
            iopub_until_idle(kc, msg_id)
        self.assertEqual([h[2] for h in self.ask(self.session(), "tail", n=9)], ["1"])

    def test_kernels_at_the_same_time_do_not_mix(self):
        kernels = [self.session() for _ in range(3)]
        for i in range(5):
            for k, kc in enumerate(kernels):
                shell_reply(kc, kc.execute(f"{k}"))
        kc = self.session()
        for number in (1, 2, 3):
            inputs = [h[2] for h in self.ask(kc, "range", session=number, start=0)]
            self.assertEqual(inputs, [inputs[0]] * 5)
        self.assertEqual(len(self.ask(kc, "tail", n=99)), 15)
        self.assertEqual([h[0] for h in self.ask(kernels[0], "range", session=0, start=0)][:1] * 5,
                         [h[0] for h in self.ask(kernels[0], "range", session=0, start=0)])

    def test_damage_is_passed_over(self):
        self.session('"first"', '"second"')
        path, = glob.glob(os.path.join(self.dir, "*"))
        with open(path, "r+b") as f:
            lines = f.read().split(b"\n")
            f.seek(0)
            f.truncate()
            f.write(b"\x00\xff rubbish\n" + lines[0] + b"\n" + lines[1][:-4])
        kc = self.session('"goes on"')
        self.assertEqual([h[2] for h in self.ask(kc, "tail", n=9)], ['"first"', '"goes on"'])

    def test_a_folder_that_cannot_be_made_is_no_obstacle(self):
        os.makedirs(os.path.dirname(self.dir), exist_ok=True)
        with open(self.dir, "w"):
            pass
        kc = self.session("1", "2")
        self.assertEqual([h[1:] for h in self.ask(kc, "tail", n=9)], [(1, "1"), (2, "2")])

    def test_only_the_user_may_read_it(self):
        self.session("1")
        path, = glob.glob(os.path.join(self.dir, "*"))
        self.assertEqual((os.stat(path).st_mode & 0o777, os.stat(self.dir).st_mode & 0o777), (0o600, 0o700))


class BadRequests(KernelCase):
    def test_an_unknown_kind_is_an_error(self):
        content = shell_request(self.kc, "history_request", {"hist_access_type": "future"})["content"]
        self.assertEqual(content["status"], "error")

    def test_negative_and_huge_numbers_do_no_harm(self):
        self.ok("1")
        for n, want in ((-5, 0), (0, 0), (1 << 40, None)):
            got = shell_request(self.kc, "history_request", {"hist_access_type": "tail", "n": n, "output": False, "raw": True})["content"]
            self.assertEqual(got["status"], "ok")
            if want is not None:
                self.assertEqual(len(got["history"]), want)


if __name__ == "__main__":
    unittest.main()
