"""Programs that people use: nbclient, nbconvert, jupyter kernelspec, jupyter console."""
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from kernelcase import BIN, KERNEL, SNIPPETS, TIMEOUT


def notebook(*cells):
    nb = nbformat.v4.new_notebook()
    nb.metadata["kernelspec"] = {"name": KERNEL, "display_name": "Go", "language": "go"}
    nb.cells = [nbformat.v4.new_code_cell(c) for c in cells]
    return nb


def client(nb, **traits):
    """An nbclient that waits for a slow machine; by default it goes on without outputs that take four seconds."""
    return NotebookClient(nb, **{"timeout": TIMEOUT, "startup_timeout": TIMEOUT, "iopub_timeout": TIMEOUT, **traits})


@unittest.skipUnless(BIN, "GODWIT_BIN does not name the kernel's binary")
class Clients(unittest.TestCase):
    def test_nbclient_executes_a_notebook(self):
        nb = notebook("x := 20", 'fmt.Println("x is", x)\nx + 1', SNIPPETS["html"])
        client(nb).execute()
        self.assertEqual([c["execution_count"] for c in nb.cells], [1, 2, 3])
        stream, result = nb.cells[1].outputs
        self.assertEqual((stream.text, result.data["text/plain"]), ("x is 20\n", "21"))
        self.assertEqual(nb.cells[2].outputs[0].data["text/html"], "<b>bold</b>")
        self.assertEqual(nb.metadata["language_info"]["name"], "go")
        nbformat.validate(nb)

    def test_nbclient_updates_a_display(self):
        nb = notebook(SNIPPETS["show_id"], SNIPPETS["update_id"])
        client(nb, allow_errors=True).execute()
        if "DisplayAs" in nb.cells[0].outputs[0].get("evalue", ""):
            self.skipTest("cells of this binary have no DisplayAs")
        self.assertEqual(nb.cells[0].outputs[0].data["text/plain"], "second")

    def test_nbclient_reports_a_failing_cell(self):
        nb = notebook("1", "noSuchName")
        with self.assertRaises(CellExecutionError) as failure:
            client(nb).execute()
        self.assertIn("noSuchName", str(failure.exception))

    def test_nbclient_interrupts_a_cell_that_takes_too_long(self):
        nb = notebook("for { time.Sleep(time.Millisecond) }", "2")
        client(nb, timeout_func=lambda cell: 4 if "for" in cell.source else TIMEOUT, interrupt_on_timeout=True, allow_errors=True).execute()
        self.assertEqual(nb.cells[0].outputs[0].ename, "Interrupted")
        self.assertEqual(nb.cells[1].outputs[0].data["text/plain"], "2")

    def jupyter(self, *args, timeout=5 * TIMEOUT, **kw):
        return subprocess.run([sys.executable, "-m", *args], capture_output=True, text=True, timeout=timeout, **kw)

    def test_kernelspec_list_shows_it(self):
        done = self.jupyter("jupyter", "kernelspec", "list", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(KERNEL, json.loads(done.stdout)["kernelspecs"])

    def test_nbconvert_makes_html(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "n.ipynb")
            nbformat.write(notebook('fmt.Println("<script>alert(1)</script>")', "6 * 7"), path)
            done = self.jupyter("jupyter", "nbconvert", "--to", "html", "--execute", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(os.path.join(d, "n.html")) as f:
                html = f.read()
        self.assertIn("42", html)
        self.assertNotIn("<script>alert(1)", html)

    def test_jupyter_server_runs_a_cell_over_its_websocket(self):
        """What JupyterLab does: start, run, complete, interrupt, restart and end a kernel by the server's API."""
        try:
            import jupyter_server  # noqa: F401
            import requests
            import websocket
        except ImportError as missing:
            self.skipTest(str(missing))
        token = "token-of-the-test"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with tempfile.TemporaryDirectory() as d, open(os.path.join(d, "log"), "w") as log:
            env = dict(os.environ, JUPYTER_CONFIG_DIR=d, JUPYTER_TOKEN=token)
            server = subprocess.Popen([sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root",
                                       "--ip=127.0.0.1", f"--port={port}", f"--ServerApp.root_dir={d}"],
                                      env=env, stdout=log, stderr=log)
            try:
                self.use_server(requests, websocket, f"127.0.0.1:{port}", token)
            finally:
                server.terminate()
                server.wait(TIMEOUT)

    def use_server(self, requests, websocket, host, token):
        auth = {"Authorization": f"token {token}"}
        deadline = time.time() + TIMEOUT
        while True:
            try:
                specs = requests.get(f"http://{host}/api/kernelspecs", headers=auth, timeout=TIMEOUT).json()
                break
            except requests.ConnectionError:
                self.assertLess(time.time(), deadline, "the server does not start")
                time.sleep(0.2)
        self.assertEqual(specs["kernelspecs"][KERNEL]["spec"]["language"], "go")
        kernel = requests.post(f"http://{host}/api/kernels", headers=auth, json={"name": KERNEL}, timeout=TIMEOUT).json()["id"]
        ws = websocket.create_connection(f"ws://{host}/api/kernels/{kernel}/channels", header=auth, timeout=TIMEOUT)

        def request(msg_type, content):
            msg_id = uuid.uuid4().hex
            ws.send(json.dumps({"channel": "shell", "metadata": {}, "parent_header": {}, "content": content, "header": {
                "msg_id": msg_id, "msg_type": msg_type, "session": "test", "username": "", "version": "5.4",
                "date": "2026-01-01T00:00:00.000Z"}}))
            return msg_id

        def answers(msg_id, until):
            got = []
            while True:
                msg = json.loads(ws.recv())
                if msg["parent_header"].get("msg_id") == msg_id:
                    got.append(msg)
                    if until(msg):
                        return got

        def idle(m):
            return m["msg_type"] == "status" and m["content"]["execution_state"] == "idle"

        def run(code):
            return answers(request("execute_request", {"code": code}), idle)
        self.assertIn("42", [m["content"]["data"]["text/plain"] for m in run("6 * 7") if m["msg_type"] == "execute_result"])
        reply = answers(request("complete_request", {"code": "fmt.Printl", "cursor_pos": 10}), lambda m: m["msg_type"] == "complete_reply")
        self.assertEqual(reply[-1]["content"]["status"], "ok")
        busy = request("execute_request", {"code": 'fmt.Println("on")\nfor { time.Sleep(time.Millisecond) }'})
        answers(busy, lambda m: m["msg_type"] == "stream")
        self.assertEqual(requests.post(f"http://{host}/api/kernels/{kernel}/interrupt", headers=auth, timeout=TIMEOUT).status_code, 204)
        self.assertIn("Interrupted", [m["content"].get("ename") for m in answers(busy, idle)])
        self.assertEqual(requests.post(f"http://{host}/api/kernels/{kernel}/restart", headers=auth, timeout=TIMEOUT).status_code, 200)
        ws.close()
        ws = websocket.create_connection(f"ws://{host}/api/kernels/{kernel}/channels", header=auth, timeout=TIMEOUT)
        self.assertIn("2", [m["content"]["data"]["text/plain"] for m in run("1 + 1") if m["msg_type"] == "execute_result"])
        ws.close()
        self.assertEqual(requests.delete(f"http://{host}/api/kernels/{kernel}", headers=auth, timeout=TIMEOUT).status_code, 204)

    def test_console_runs_a_cell(self):
        try:
            import jupyter_console  # noqa: F401
        except ImportError:
            self.skipTest("jupyter_console is not installed")
        for attempt in range(4):
            try:
                done = self.jupyter("jupyter_console", "--kernel", KERNEL, "--simple-prompt", input="6 * 7\n", timeout=TIMEOUT)
                break
            except subprocess.TimeoutExpired:
                # The console runs its first cell without waiting for its iopub subscription
                # and then waits for an idle that it may have missed.
                self.assertLess(attempt, 3, "the console hung each time")
        self.assertIn("42", done.stdout)

    def test_the_binary_installs_lists_and_removes_its_kernelspec(self):
        with tempfile.TemporaryDirectory() as d:
            env = dict(os.environ, JUPYTER_DATA_DIR=d, JUPYTER_PATH="")

            def kernel(*args):
                return subprocess.run([BIN, "kernel", *args], env=env, capture_output=True, text=True, timeout=TIMEOUT)
            done = kernel("install", "--user", "--name", "installed")
            if "usage: testkernel" in done.stderr:
                self.skipTest("the test kernel has no install command")
            self.assertEqual(done.returncode, 0, done.stderr)
            done = self.jupyter("jupyter", "kernelspec", "list", "--json", env=env)
            spec = json.loads(done.stdout)["kernelspecs"]["installed"]
            self.assertEqual(spec["resource_dir"], os.path.join(d, "kernels", "installed"))
            self.assertTrue(os.path.isabs(spec["spec"]["argv"][0]))
            self.assertEqual(spec["spec"]["interrupt_mode"], "message")
            self.assertIn("installed", kernel("list").stdout)
            self.assertEqual(kernel("remove", "--user", "--name", "installed").returncode, 0)
            self.assertFalse(os.path.exists(spec["resource_dir"]))

    def test_the_binary_installs_itself_under_an_alias(self):
        with tempfile.TemporaryDirectory() as d:
            env = dict(os.environ, JUPYTER_DATA_DIR=d, JUPYTER_PATH="")

            def kernel(*args):
                return subprocess.run([BIN, "kernel", *args], env=env, capture_output=True, text=True, timeout=TIMEOUT)
            done = kernel("install", "--user", "--alias", "gophernotes")
            if "usage: testkernel" in done.stderr:
                self.skipTest("the test kernel has no install command")
            self.assertEqual(done.returncode, 0, done.stderr)
            own, alias = (json.loads(pathlib.Path(d, "kernels", name, "kernel.json").read_text()) for name in ("godwit", "gophernotes"))
            self.assertEqual(own["argv"], alias["argv"])
            self.assertEqual(alias["language"], "go")
            self.assertNotEqual(own["display_name"], alias["display_name"])
            for name in ("godwit", "gophernotes"):
                self.assertEqual(kernel("remove", "--user", "--name", name).returncode, 0)


if __name__ == "__main__":
    unittest.main()
