"""godwit repl: on a terminal, and with a pipe."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from commands import GODWIT, needs_godwit, run

pytestmark = needs_godwit


def own_terminal():
    """Makes standard input the terminal from which signals come."""
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A program on a pseudo-terminal. send types; expect waits for what it prints."""

    def __init__(self, *args, env):
        self.main, side = pty.openpty()
        self.process = subprocess.Popen(args, stdin=side, stdout=side, stderr=side, env={**os.environ, **env}, start_new_session=True, preexec_fn=own_terminal)
        os.close(side)
        self.text = ""

    def send(self, text):
        os.write(self.main, text.encode())

    def expect(self, what, seconds=60):
        """Waits for a text behind the last one; returns what came before it."""
        end = time.monotonic() + seconds
        while what not in self.text:
            assert time.monotonic() < end, f"no {what!r} in {self.text!r}"
            if select.select([self.main], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.main, 65536).decode("utf-8", "replace")
                except OSError:
                    raise AssertionError(f"ended before {what!r}: {self.text!r}") from None
        before, _, self.text = self.text.partition(what)
        return before

    def press(self, key, what):
        """Presses a key, again where it came before the prompt was ready, until a text appears."""
        for _ in range(60):
            self.send(key)
            try:
                return self.expect(what, seconds=1)
            except AssertionError:
                assert self.process.poll() is None, self.text
        raise AssertionError(f"no {what!r} in {self.text!r}")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
        os.close(self.main)


@pytest.fixture
def start(tmp_path):
    open_ones = []

    def begin():
        env = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "TERM": "xterm-256color"}
        t = Terminal(GODWIT, "repl", env=env)
        open_ones.append(t)
        t.expect("[1]> ")
        return t

    yield begin
    for t in open_ones:
        t.close()


def test_a_session_on_a_terminal(start, tmp_path):
    t = start()
    t.send("x := 6\r")
    t.expect("[2]> ")
    t.send("for i := range 2 {\r")
    t.expect("... ")
    t.send("fmt.Println(x + i)\r")
    t.expect("... ")
    t.send("}\r")
    t.expect("6\r\n7\r\n")
    t.expect("[3]> ")
    t.send("strings.ToUpp")
    t.expect("strings.ToUpp")
    t.send("\t")  # the only completion is taken
    t.expect("strings.ToUpper")
    t.send('("abc")\r')
    t.expect("ABC\r\n")
    t.expect("[4]> ")
    t.send("strings.Repeat?\r")
    t.expect("func strings.Repeat(s string, count int) string")
    t.expect("Repeat returns a new string")
    t.expect("[4]> ")
    t.send("func broken(\r")
    t.expect("... ")
    t.press("\x03", "[4]> ")  # Ctrl-C leaves the cell
    t.send("nope\r")
    t.expect("\x1b[31mcell 4:1:1: undefined: nope\x1b[0m")
    t.expect("[5]> ")
    t.send('y := Password("secret: ")\r')
    t.expect("secret: ")
    t.send("hush\r")
    assert "hush" not in t.expect("[6]> ")
    t.send("y + y\r")
    t.expect("hushhush")
    t.expect("[7]> ")
    t.send("\x04")  # Ctrl-D ends
    assert t.process.wait(60) == 0
    kept = (tmp_path / "godwit" / "repl_history").read_text()
    assert "x := 6\n" in kept and "hush" not in kept
    again = start()
    again.send("\x1b[A")  # the lines of the last session come back
    again.expect("y + y")


def test_ctrl_c_interrupts_what_runs_and_keeps_the_rest(start):
    t = start()
    t.send('x := 1\r')
    t.expect("[2]> ")
    t.send('for { x++; if x == 1000 { fmt.Println("run", "ning") } }\r')
    t.expect("run ning")
    t.send("\x03")
    t.expect("interrupted")
    t.expect("[3]> ")
    t.send("x > 999\r")
    t.expect("true")
    t.expect("[4]> ")
    t.send("os.Exit(5)\r")
    assert t.process.wait(60) == 5


def test_a_pipe_gives_cells_and_what_they_read(tmp_path):
    source = 'x := 6\nx * 7\nfunc f(n int) int {\n\treturn n + 1\n}\nf(2)\nnope\nname := Input("name? ")\nAda\nname\n%%bash\necho shell\n\nfmt.Print("last")'
    ran = run(GODWIT, "repl", stdin=source, env={"HOME": str(tmp_path)})
    assert ran.code == 1 and ran.text == "42\n3\nname? Ada\nshell\nlast", ran
    assert "cell 5:1:1: undefined: nope" in ran.err and "\x1b" not in ran.err, ran
    assert run(GODWIT, "repl", stdin="1\nos.Exit(3)\n2\n").code == 3
    assert run(GODWIT, "repl", stdin="x := 2\nquit\nnope\n").code == 0
    assert run(GODWIT, "repl", stdin="").code == 0


def test_an_interrupt_of_a_pipe(tmp_path):
    p = subprocess.Popen([GODWIT, "repl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(b'fmt.Println("on"); time.Sleep(time.Hour)\nfmt.Println("after")\n')
    p.stdin.flush()
    assert p.stdout.readline() == b"on\n"
    p.send_signal(signal.SIGINT)
    assert p.stdout.readline() == b"after\n"
    p.stdin.close()
    assert p.wait(60) == 1
    p.stdout.close()
    p.stderr.close()
