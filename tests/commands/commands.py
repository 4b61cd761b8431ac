"""Runs the two commands as a user would and looks at what they print and leave."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary(variable, name):
    path = os.environ.get(variable) or str(ROOT / "bin" / name)
    return path if os.access(path, os.X_OK) else None


GODWIT = binary("GODWIT_BIN", "godwit")
BATCHJOBS = binary("GODWIT_BATCHJOBS", "batchjobs")


def model_path():
    """The small real model, or None."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    default = os.path.join(cache, "godwit", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
    path = os.environ.get("GODWIT_TEST_MODEL") or default
    return path if os.path.exists(path) else None


needs_godwit = pytest.mark.skipif(not GODWIT, reason="bin/godwit is missing: run `just build`, or set GODWIT_BIN")
needs_batchjobs = pytest.mark.skipif(not BATCHJOBS, reason="bin/batchjobs is missing: run `just build`, or set GODWIT_BATCHJOBS")
needs_model = pytest.mark.skipif(not model_path(), reason="the small model is not in the user's cache: run `just model`")

# Codes of batchjobs; godwit has 0, 1 (the work failed) and 2 (wrong flags).
DONE, ERROR_LINES, PERMANENT, INTERRUPTED = 0, 3, 42, 75


class Ran:
    """A command that has ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def text(self):
        return self.out.decode() if isinstance(self.out, bytes) else self.out

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out!r}\n--- stderr\n{self.err}"


def run(*args, stdin=b"", cwd=None, timeout=300, env=None):
    """Runs a command to its end; stdout stays bytes."""
    if isinstance(stdin, str):
        stdin = stdin.encode()
    p = subprocess.run(
        [str(a) for a in args], input=stdin, capture_output=True, cwd=cwd, timeout=timeout, env={**os.environ, **(env or {})}
    )
    ran = Ran(p.returncode, p.stdout, p.stderr.decode("utf-8", "replace"))
    assert "goroutine " not in ran.err, f"a panic reached the user: {ran}"
    return ran


class Running:
    """A command that runs: its output is collected by threads. Use as a context."""

    def __init__(self, *args, stdin=None, cwd=None):
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [str(a) for a in args], stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd
        )
        self.out, self.err = bytearray(), bytearray()
        self.threads = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.out), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.err), daemon=True),
        ]
        for t in self.threads:
            t.start()

    @staticmethod
    def _read(pipe, into):
        for piece in iter(lambda: pipe.read1(65536), b""):
            into += piece
        pipe.close()

    def wait_for(self, pattern, seconds=300, where="err"):
        """Waits until stderr (or stdout) matches; returns the match."""
        end = time.monotonic() + seconds
        while True:
            text = bytes(getattr(self, where)).decode("utf-8", "replace")
            m = re.search(pattern, text)
            if m:
                return m
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} before {pattern!r}:\n{text}")
            if time.monotonic() > end:
                raise AssertionError(f"no {pattern!r} after {seconds} s:\n{text}")
            time.sleep(0.01)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def end(self, seconds=120):
        """Waits for the end; returns what Ran holds."""
        code = self.process.wait(seconds)
        for t in self.threads:
            t.join(60)
        return Ran(code, bytes(self.out), bytes(self.err).decode("utf-8", "replace"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
        for t in self.threads:
            t.join(60)


def chat_line(n, question="Say hi.", model="smollm2", **body):
    body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 8, "temperature": 0, **body}
    return json.dumps({"custom_id": f"q{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"


def text_line(n, prompt="The capital of France is", model="smollm2", **body):
    body = {"model": model, "prompt": prompt, "max_tokens": 8, "temperature": 0, **body}
    return json.dumps({"custom_id": f"q{n}", "method": "POST", "url": "/v1/completions", "body": body}) + "\n"


def answers(data):
    """The JSON objects of an output; fails unless every line is whole."""
    if isinstance(data, pathlib.Path):
        data = data.read_bytes()
    assert data == b"" or data.endswith(b"\n"), f"the last line is cut: {data[-80:]!r}"
    return [json.loads(line) for line in data.splitlines()]


def ids(data):
    return [a["custom_id"] for a in answers(data)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def truncated_gguf(folder, size=1_000_000):
    """The beginning of the real model."""
    path = pathlib.Path(folder) / "cut.gguf"
    with open(model_path(), "rb") as f:
        path.write_bytes(f.read(size))
    return path


