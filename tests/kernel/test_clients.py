"""Programs that people use: nbclient, nbconvert, jupyter kernelspec, jupyter console."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from kernelcase import BIN, KERNEL, SNIPPETS, TIMEOUT


def notebook(*cells):
    nb = nbformat.v4.new_notebook()
    nb.metadata["kernelspec"] = {"name": KERNEL, "display_name": "Go", "language": "go"}
    nb.cells = [nbformat.v4.new_code_cell(c) for c in cells]
    return nb


@unittest.skipUnless(BIN, "GODWIT_BIN does not name the kernel's binary")
class Clients(unittest.TestCase):
    def test_nbclient_executes_a_notebook(self):
        nb = notebook("x := 20", 'fmt.Println("x is", x)\nx + 1', SNIPPETS["html"])
        NotebookClient(nb, timeout=TIMEOUT).execute()
        self.assertEqual([c["execution_count"] for c in nb.cells], [1, 2, 3])
        stream, result = nb.cells[1].outputs
        self.assertEqual((stream.text, result.data["text/plain"]), ("x is 20\n", "21"))
        self.assertEqual(nb.cells[2].outputs[0].data["text/html"], "<b>bold</b>")
        self.assertEqual(nb.metadata["language_info"]["name"], "go")
        nbformat.validate(nb)

    def test_nbclient_updates_a_display(self):
        nb = notebook(SNIPPETS["show_id"], SNIPPETS["update_id"])
        NotebookClient(nb, timeout=TIMEOUT, allow_errors=True).execute()
        if "DisplayAs" in nb.cells[0].outputs[0].get("evalue", ""):
            self.skipTest("cells of this binary have no DisplayAs")
        self.assertEqual(nb.cells[0].outputs[0].data["text/plain"], "second")

    def test_nbclient_reports_a_failing_cell(self):
        nb = notebook("1", "noSuchName")
        with self.assertRaises(CellExecutionError) as failure:
            NotebookClient(nb, timeout=TIMEOUT).execute()
        self.assertIn("noSuchName", str(failure.exception))

    def test_nbclient_interrupts_a_cell_that_takes_too_long(self):
        nb = notebook("for { time.Sleep(time.Millisecond) }", "2")
        NotebookClient(nb, timeout=1, interrupt_on_timeout=True, allow_errors=True).execute()
        self.assertEqual(nb.cells[0].outputs[0].ename, "Interrupted")
        self.assertEqual(nb.cells[1].outputs[0].data["text/plain"], "2")

    def jupyter(self, *args, **kw):
        return subprocess.run([sys.executable, "-m", *args], capture_output=True, text=True, timeout=60, **kw)

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

    def test_console_runs_a_cell(self):
        try:
            import jupyter_console  # noqa: F401
        except ImportError:
            self.skipTest("jupyter_console is not installed")
        done = self.jupyter("jupyter", "console", "--kernel", KERNEL, "--simple-prompt", input="6 * 7\n")
        self.assertIn("42", done.stdout)


if __name__ == "__main__":
    unittest.main()
