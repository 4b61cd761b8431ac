"""Kernels with a model inside: interrupts, restarts and ends while it generates."""
import os
import pathlib
import re
import socket
import time
import unittest

from kernelcase import TIMEOUT, KernelCase, iopub_until_idle, shell_reply, start, stop, wait_for_stream

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
MODEL = os.environ.get("GODWIT_TEST_MODEL") or str(CACHE / "godwit" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf")
LAUNCH = f'server := LaunchServer(ServerOptions{{Model: "{MODEL}"}})\nWaitForServer(server)\nserver.Port'
SHORT = 'Generate("The capital of France is", GenerateOptions{MaxTokens: 4}).Text'
LONG = 'fmt.Println("on")\nfor { Generate("Once upon a time", GenerateOptions{MaxTokens: 2000}) }'


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@unittest.skipUnless(os.path.exists(MODEL), "the real model is not in the cache: run `just model`")
class Engine(KernelCase):
    def launch(self):
        return int(self.value(LAUNCH))

    def generating(self):
        """Starts a cell that generates without end; returns its id."""
        msg_id = self.kc.execute(LONG)
        wait_for_stream(self.kc, msg_id, "on")
        return msg_id

    def test_an_interrupt_in_the_middle_leaves_the_server_usable(self):
        port = self.launch()
        want = self.value(SHORT)
        for _ in range(2):
            msg_id = self.generating()
            self.km.interrupt_kernel()
            self.assertEqual(shell_reply(self.kc, msg_id)["content"]["ename"], "Interrupted")
            iopub_until_idle(self.kc, msg_id)
            self.assertEqual(self.value(SHORT), want)
        self.ok("TerminateProcess(server)")
        self.assertFalse(listens(port))
        reply, _ = self.run_cell(SHORT)
        self.assertIn("no server runs", reply["evalue"])
        again = self.launch()
        self.assertEqual(self.value(SHORT), want)
        self.assertTrue(listens(again))
        self.ok("TerminateProcess(server)")

    def test_two_kernels_have_an_engine_each(self):
        self.launch()
        km, kc = start()
        try:
            mine, self.kc = self.kc, kc
            try:
                other = self.launch()
                self.generating()
            finally:
                self.kc = mine
            self.value(SHORT)
        finally:
            stop(km, kc)
        self.assertFalse(listens(other))
        self.value(SHORT)
        self.ok("TerminateProcess(server)")

    def test_a_restart_and_an_end_while_it_generates_leave_nothing(self):
        port, pid = self.launch(), int(self.value("os.Getpid()"))
        self.generating()
        self.km.restart_kernel()
        self.kc.wait_for_ready(timeout=TIMEOUT)
        self.gone(pid, port)
        port, pid = self.launch(), int(self.value("os.Getpid()"))
        self.generating()
        self.kc.shutdown()
        self.gone(pid, port)
        self.km.start_kernel()  # for the tests that follow
        self.kc.wait_for_ready(timeout=TIMEOUT)

    def gone(self, pid, port):
        """Waits until a process has ended and its port is free."""
        def runs():
            try:
                with open(f"/proc/{pid}/stat") as f:
                    return not re.search(r"\) [ZX] ", f.read())
            except FileNotFoundError:
                return False
        deadline = time.time() + TIMEOUT
        while runs():
            self.assertLess(time.time(), deadline, "the kernel has not ended")
            time.sleep(0.05)
        self.assertFalse(listens(port))


if __name__ == "__main__":
    unittest.main()
