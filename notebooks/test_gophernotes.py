"""Notebooks that name the kernel gophernotes run unchanged, cell by cell.

Each code cell says in its metadata what gophernotes would show: "r: MIME types" for its
value, "d: MIME types" for a display, "o" for text. The notebooks are run by `godwit run`
and by Jupyter's own client, with the kernel installed under the name gophernotes.
"""

import os
import pathlib
import subprocess

import nbformat
import pytest
from nbclient import NotebookClient

HERE = pathlib.Path(__file__).resolve().parent
GODWIT = os.environ.get("GODWIT_BIN") or str(HERE.parent / "bin" / "godwit")
NOTEBOOKS = sorted(p.name for p in (HERE / "gophernotes").glob("*.ipynb"))

pytestmark = pytest.mark.skipif(not os.access(GODWIT, os.X_OK), reason="bin/godwit is missing: run `just build`, or set GODWIT_BIN")


def shown(cell):
    """What a cell shows, as its metadata writes it. Neighbouring texts count as one."""
    kinds = []
    for o in cell.outputs:
        if o.output_type == "stream":
            kind = {"stdout": "o", "stderr": "e"}[o.name]
            if kinds and kinds[-1] == kind:
                continue
        elif o.output_type == "error":
            kind = "error: " + o.evalue
        else:
            kind = {"execute_result": "r: ", "display_data": "d: "}[o.output_type] + " ".join(sorted(o.data))
        kinds.append(kind)
    return kinds


def check(notebook):
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert len(code) > 5
    wrong = [(c.source, shown(c), c.metadata.shows) for c in code if shown(c) != c.metadata.shows]
    assert not wrong, wrong


def test_there_are_notebooks_and_they_name_the_kernel():
    assert len(NOTEBOOKS) >= 4
    for name in NOTEBOOKS:
        notebook = nbformat.read(HERE / "gophernotes" / name, as_version=4)
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "gophernotes"
        assert all(c.outputs == [] and c.execution_count is None for c in notebook.cells if c.cell_type == "code")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_godwit_runs_it(name, tmp_path):
    out = tmp_path / name
    env = {**os.environ, "HOME": str(tmp_path)}
    ran = subprocess.run([GODWIT, "run", HERE / "gophernotes" / name, "-o", out], capture_output=True, text=True, env=env, timeout=300)
    assert ran.returncode == 0, ran
    notebook = nbformat.read(out, as_version=4)
    nbformat.validate(notebook)
    check(notebook)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_jupyter_runs_it(name, tmp_path, monkeypatch):
    subprocess.run([GODWIT, "kernel", "install", "--name", "gophernotes", "--prefix", tmp_path], check=True, capture_output=True)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    monkeypatch.setenv("HOME", str(tmp_path))
    notebook = nbformat.read(HERE / "gophernotes" / name, as_version=4)
    NotebookClient(notebook, timeout=300, startup_timeout=300, iopub_timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    check(notebook)
