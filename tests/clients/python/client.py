"""What the suites here share: where the server is, and a client for it."""

import json
import os
import re
import subprocess
import threading
import time
import unittest
import urllib.request

import openai

try:
    openai.OpenAI(api_key="-").chat.completions  # imports what `import openai` leaves for later: a package
except ImportError as missing:  # that is not there is one error here, not one for each request of each test
    raise ImportError(f"{missing}: install what tests/requirements.txt pins (`just venv`)") from missing

BASE_URL = os.environ.get("GODWIT_BASE_URL", "")
MODEL = os.environ.get("GODWIT_MODEL", "default")
API_KEY = os.environ.get("GODWIT_API_KEY", "None")
FAKE_SERVER = os.environ.get("GODWIT_FAKE_SERVER", "")
GODWIT = os.environ.get("GODWIT_BIN", "")


def client(**kw):
    kw.setdefault("base_url", BASE_URL)
    kw.setdefault("api_key", API_KEY)
    kw.setdefault("max_retries", 0)
    kw.setdefault("timeout", 600)
    return openai.OpenAI(**kw)


class ServerTest(unittest.TestCase):
    """A test against the server at GODWIT_BASE_URL."""

    @classmethod
    def setUpClass(cls):
        if not BASE_URL:
            raise unittest.SkipTest("GODWIT_BASE_URL is not set")
        cls.client = client()

    @classmethod
    def tearDownClass(cls):
        cls.client.close()


def metric(name, base_url=None, api_key=None):
    """The value of one metric without labels."""
    url = re.sub(r"/v1/?$", "", base_url or BASE_URL) + "/metrics"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {api_key or API_KEY}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


def native(path, body):
    """Posts to a route beside /v1: decoded JSON, the data of a stream's events, or text."""
    url = re.sub(r"/v1/?$", "", BASE_URL) + path
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=600) as answer:
        text, kind = answer.read().decode(), answer.headers.get_content_type()
    if kind == "text/event-stream":
        return [event.removeprefix("data: ") for event in text.strip().split("\n\n")]
    return json.loads(text) if kind == "application/json" else text


def eventually(check, seconds=60):
    """Polls until check() is true."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class FakeServer:
    """A fakeserver process (tests/clients/fakeserver) with the given flags."""

    def __init__(self, *flags):
        if not FAKE_SERVER:
            raise unittest.SkipTest("GODWIT_FAKE_SERVER names no fakeserver binary")
        self.process = subprocess.Popen(
            [FAKE_SERVER, "-stdin", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        self.base_url = re.search(r"GODWIT_BASE_URL=(\S+)", line).group(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


class Godwit:
    """A `godwit serve` process with the given flags on a free loopback port."""

    def __init__(self, *flags):
        if not GODWIT:
            raise unittest.SkipTest("GODWIT_BIN names no built godwit")
        command = [GODWIT, "serve", *flags, "--log-level", "warning", "--host", "127.0.0.1", "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace", bufsize=1)
        seen = []
        for line in self.process.stderr:  # ends when the process does
            seen.append(line)
            if found := re.search(r"serving .* at (http\S+/v1)", line):
                break
        else:
            self.process.wait()
            raise AssertionError(f"{' '.join(command)}: {''.join(seen)}")
        self.base_url = found[1]
        self.port = int(re.search(r":(\d+)/v1", self.base_url)[1])
        self.rest = threading.Thread(target=self.process.stderr.read)  # joined by stop
        self.rest.start()

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.rest.join()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
