"""What the kernel tests share: a kernelspec for the kernel under test, and a client.

GODWIT_BIN names the binary; it is started as
    $GODWIT_BIN kernel run --connection-file FILE --history FOLDER
GODWIT_KERNEL_SNIPPETS may hold a JSON object that replaces entries of SNIPPETS, for a
binary whose cells show and ask by other functions.
"""
import atexit
import json
import os
import queue
import shutil
import tempfile
import time
import unittest
import uuid

BIN = os.environ.get("GODWIT_BIN", "")


def folder(prefix):
    """A folder that goes with this process."""
    path = tempfile.mkdtemp(prefix=prefix)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


SPEC_ROOT = folder("godwit-kernelspec-")
KERNEL = "godwit-under-test"
HISTORY = folder("godwit-history-")
os.environ["JUPYTER_PATH"] = SPEC_ROOT
os.environ.setdefault("JUPYTER_RUNTIME_DIR", folder("godwit-runtime-"))


def kernelspec(name, history):
    """Makes a kernelspec whose kernels keep their history in a folder."""
    os.makedirs(os.path.join(SPEC_ROOT, "kernels", name), exist_ok=True)
    with open(os.path.join(SPEC_ROOT, "kernels", name, "kernel.json"), "w") as f:
        json.dump({
            "argv": [BIN, "kernel", "run", "--connection-file", "{connection_file}", "--history", history],
            "display_name": "godwit under test",
            "language": "go",
            "interrupt_mode": "message",
            "metadata": {"supported_encryption": ["curve"]},
        }, f)
    return name


kernelspec(KERNEL, HISTORY)

# Go code for what the language has no statement for.
SNIPPETS = {
    "html": 'DisplayHTML("<b>bold</b>")',
    "png": "DisplayPNG([]byte{137, 80, 78, 71})",
    "show_id": 'DisplayAs("ID", "first")',
    "update_id": 'UpdateDisplay("ID", "second")',
    "clear": "ClearOutput(true)",
    "ask": 'answer := Input("name? ")\nfmt.Println("hello", answer)',
    "ask_password": 'secret := Password("password: ")\nfmt.Println(len(secret))',
}
SNIPPETS.update(json.loads(os.environ.get("GODWIT_KERNEL_SNIPPETS", "{}")))

from jupyter_client import BlockingKernelClient  # noqa: E402
from jupyter_client.manager import KernelManager  # noqa: E402  (needs JUPYTER_PATH)

TIMEOUT = 120  # machines may be slow: speed is measured by recipes, not here
LOG = open(os.path.join(SPEC_ROOT, "kernel.log"), "a")  # stays open: a restart uses it again


def start(kernel=KERNEL, **traits):
    """Starts a kernel and returns its manager and a connected client."""
    km = KernelManager(kernel_name=kernel, **traits)
    km.start_kernel(stderr=LOG)
    kc = km.client()
    kc.start_channels()
    kc.wait_for_ready(timeout=TIMEOUT)
    return km, kc


def another_client(km):
    """A second front end: it has a session of its own, unlike km.client().

    With its parent it asks the manager whether the kernel lives; without, a heartbeat
    that takes a second would mean that it does not.
    """
    kc = BlockingKernelClient(connection_file=km.connection_file, parent=km)
    kc.load_connection_file()
    kc.start_channels()
    kc.wait_for_ready(timeout=TIMEOUT)
    return kc


def stop(km, kc):
    kc.stop_channels()
    km.shutdown_kernel(now=True)


def parent(msg):
    return msg["parent_header"].get("msg_id")


def iopub_until_idle(kc, msg_id, timeout=TIMEOUT):
    """Returns the iopub messages of one request, its last status left out."""
    got = []
    deadline = time.time() + timeout
    while True:
        try:
            msg = kc.get_iopub_msg(timeout=max(0.01, deadline - time.time()))
        except queue.Empty:
            raise AssertionError(f"no idle for {msg_id}; got {[m['msg_type'] for m in got]}")
        if parent(msg) != msg_id:
            continue
        if msg["msg_type"] == "status" and msg["content"]["execution_state"] == "idle":
            return got
        got.append(msg)


def shell_reply(kc, msg_id, timeout=TIMEOUT):
    deadline = time.time() + timeout
    while True:
        msg = kc.get_shell_msg(timeout=max(0.01, deadline - time.time()))
        if parent(msg) == msg_id:
            return msg


def control_request(kc, msg_type, content=None, timeout=TIMEOUT):
    """Sends on control and returns the reply and the seconds that it took."""
    msg = kc.session.msg(msg_type, content or {})
    begin = time.perf_counter()
    kc.control_channel.send(msg)
    while True:
        reply = kc.control_channel.get_msg(timeout=timeout)
        if parent(reply) == msg["header"]["msg_id"]:
            return reply, time.perf_counter() - begin


def send_shell(kc, msg_type, content=None, subshell=None):
    """Sends on the shell channel and returns the message's id."""
    msg = kc.session.msg(msg_type, content or {})
    if subshell is not None:
        msg["header"]["subshell_id"] = subshell
    kc.shell_channel.send(msg)
    return msg["header"]["msg_id"]


def shell_request(kc, msg_type, content=None, timeout=TIMEOUT, subshell=None):
    return shell_reply(kc, send_shell(kc, msg_type, content, subshell), timeout)


def iopub_of(kc, msg_type, msg_id=None, timeout=TIMEOUT):
    """Returns the next iopub message of a type, of one request or of any."""
    deadline = time.time() + timeout
    while True:
        msg = kc.get_iopub_msg(timeout=max(0.01, deadline - time.time()))
        if msg["msg_type"] == msg_type and msg_id in (None, parent(msg)):
            return msg


class Gate:
    """Something that a cell waits for until the test opens it."""

    def __init__(self):
        self.path = os.path.join(SPEC_ROOT, "gate-" + uuid.uuid4().hex)
        self.code = ("for { if _, err := os.Stat(%s); err == nil { break }; time.Sleep(5 * time.Millisecond) }"
                     % json.dumps(self.path))

    def open(self):
        with open(self.path, "w"):
            pass


def wait_for_stream(kc, msg_id, text, timeout=TIMEOUT):
    """Waits until a cell has printed text."""
    seen = ""
    deadline = time.time() + timeout
    while text not in seen:
        msg = kc.get_iopub_msg(timeout=max(0.01, deadline - time.time()))
        if msg["msg_type"] == "stream" and parent(msg) == msg_id:
            seen += msg["content"]["text"]


@unittest.skipUnless(BIN, "GODWIT_BIN does not name the kernel's binary")
class KernelCase(unittest.TestCase):
    """One kernel for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.km, cls.kc = start()

    @classmethod
    def tearDownClass(cls):
        stop(cls.km, cls.kc)

    def run_cell(self, code, timeout=TIMEOUT, **options):
        """Executes code and returns the reply's content and the iopub messages."""
        msg_id = self.kc.execute(code, **options)
        reply = shell_reply(self.kc, msg_id, timeout)
        return reply["content"], iopub_until_idle(self.kc, msg_id, timeout)

    def ok(self, code, **options):
        reply, msgs = self.run_cell(code, **options)
        self.assertEqual(reply["status"], "ok", reply)
        return msgs

    def value(self, code):
        """Returns the text/plain of a cell's result."""
        results = [m for m in self.ok(code) if m["msg_type"] == "execute_result"]
        self.assertEqual(len(results), 1, f"results of {code!r}")
        return results[0]["content"]["data"]["text/plain"]

    def printed(self, msgs, name="stdout"):
        return "".join(m["content"]["text"] for m in msgs
                       if m["msg_type"] == "stream" and m["content"]["name"] == name)

    def busy(self, before="", **options):
        """Starts a cell that runs until the returned gate opens; returns its id and the gate."""
        gate = Gate()
        msg_id = self.kc.execute(before + '\nfmt.Println("on")\n' + gate.code, **options)
        wait_for_stream(self.kc, msg_id, "on")
        return msg_id, gate

    def finish(self, msg_id, gate):
        """Opens the gate of a cell and wants its good end."""
        gate.open()
        reply = shell_reply(self.kc, msg_id)["content"]
        self.assertEqual(reply["status"], "ok", reply)
        return iopub_until_idle(self.kc, msg_id)

    def types(self, msgs):
        return [m["msg_type"] for m in msgs if m["msg_type"] != "status"]
