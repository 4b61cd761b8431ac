"""A headless browser without a network: charts in a plain page with and without scripts, in an
exported notebook and in JupyterLab with the Go kernel; and JupyterLab used by hand. Pictures of what was seen: out/browser."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbconvert import HTMLExporter

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from lab import ROOT, Lab, kernel_prefix, strip  # noqa: E402

PICTURES = ROOT / "out" / "browser"
CACHE = ROOT / ".cache" / "browser"
GODWIT = os.environ.get("GODWIT_BIN") or str(ROOT / "bin" / "godwit")
TITLES = ["Throughput", "Time per request", "Token probabilities", "A figure of one's own"]

if not shutil.which("node"):
    pytest.skip("Node.js is missing", allow_module_level=True)
if not (HERE / "node_modules" / "playwright-core").is_dir():
    pytest.skip("the browser's packages are missing: run `just node`", allow_module_level=True)
needs_kernel = pytest.mark.skipif(not os.access(GODWIT, os.X_OK), reason="bin/godwit is missing: run `just build`, or set GODWIT_BIN")


def node(script, *args, timeout=900):
    """Runs a script of this folder; returns what it saw."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "BROWSER_CACHE": str(CACHE)}
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        env.pop(name, None)
    ran = subprocess.run(["node", HERE / script, *map(str, args)], capture_output=True, text=True, timeout=timeout, env=env)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def check(seen, titles, live):
    """Every chart is there, has painted pixels, and is live or a picture as it should be."""
    assert seen["beyond"] == [], "the page asked beyond this machine"
    assert seen["errors"] == []
    charts = seen["charts"]
    assert [c["title"] for c in charts] == titles
    for c in charts:
        share = c["painted"] / (c["width"] * c["height"])
        assert c["width"] >= 300 and c["height"] >= 150, c
        assert 0.03 < share < 0.9 and c["colours"] > 50, f"blank or covered: {c}"
        assert c["naturalWidth"] >= 300, f"the picture does not load: {c}"
        assert c["live"] == live and c["imageShown"] == (not live), c
        assert (c["svg"] == 1) == live, c
        if live:
            assert c["title"] in c["svgTexts"], c


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page that viz made, without a notebook around it."""
    made = subprocess.run(["go", "run", "./tests/browser/page"], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    path = tmp_path_factory.mktemp("page") / "charts.html"
    path.write_text(made.stdout, encoding="utf-8")
    return path


def test_a_page_without_scripts_shows_pictures(page):
    check(node("page.mjs", page, PICTURES, "page-static", "no-scripts"), TITLES, live=False)


def test_a_page_with_scripts_shows_live_charts(page):
    check(node("page.mjs", page, PICTURES, "page-live"), TITLES, live=True)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """charts.ipynb executed in JupyterLab: what the browser saw, and the saved notebook."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    shutil.copy(HERE / "charts.ipynb", folder / "notebooks")
    kernels = kernel_prefix(GODWIT, folder / "kernel")
    with Lab(folder / "notebooks", folder, kernels) as lab:
        seen = node("lab.mjs", lab.url, "charts.ipynb", "run", len(TITLES), PICTURES, "lab")
    return seen, folder / "notebooks" / "charts.ipynb"


@needs_kernel
def test_jupyterlab_shows_live_charts(executed):
    seen, _ = executed
    assert seen["failed"] == [], strip("\n".join(seen["failed"]))
    check(seen, TITLES, live=True)


@needs_kernel
def test_jupyterlab_shows_pictures_in_a_notebook_that_is_not_trusted(executed, tmp_path):
    _, saved = executed
    (tmp_path / "notebooks").mkdir()
    shutil.copy(saved, tmp_path / "notebooks")
    with Lab(tmp_path / "notebooks", tmp_path) as lab:  # another Lab with another key: its scripts do not run
        seen = node("lab.mjs", lab.url, "charts.ipynb", "read", len(TITLES), PICTURES, "lab-untrusted")
    check(seen, TITLES, live=False)


@needs_kernel
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_an_exported_notebook(executed, tmp_path, scripts):
    _, saved = executed
    notebook = nbformat.read(saved, as_version=4)
    html, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
    html = re.sub(r'<script src="https?://[^"]*"></script>', "", html)  # nbconvert's own require.js and MathJax
    (tmp_path / "charts.html").write_text(html, encoding="utf-8")
    name = "export-live" if scripts else "export-static"
    seen = node("page.mjs", tmp_path / "charts.html", PICTURES, name, "" if scripts else "no-scripts")
    seen["beyond"] = [u for u in seen["beyond"] if "mathjax" not in u.lower() and "mermaid" not in u.lower()]
    check(seen, TITLES, live=scripts)


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """What somebody at JupyterLab's keyboard saw: see session.mjs."""
    folder = tmp_path_factory.mktemp("hands")
    (folder / "notebooks").mkdir()
    spec = {"kernelspec": {"name": "godwit", "display_name": "Go (godwit)", "language": "go"}}
    nbformat.write(nbformat.v4.new_notebook(metadata=spec, cells=[nbformat.v4.new_code_cell()]), folder / "notebooks" / "hands.ipynb")
    kernels = kernel_prefix(GODWIT, folder / "kernel")
    with Lab(folder / "notebooks", folder, kernels) as lab:
        seen = node("session.mjs", lab.url, "hands.ipynb", PICTURES, "hands")
    assert seen["beyond"] == []
    return seen


@needs_kernel
def test_a_cell_is_typed_completed_and_run(by_hand):
    assert "TrimSpace" in by_hand["offered"] and "TrimSuffix" in by_hand["offered"]
    assert by_hand["kinds"] and set(by_hand["kinds"]) == {"function"}
    assert by_hand["typed"].endswith('strings.TrimSpace("  worked  ")')
    assert by_hand["ran"] == {"count": "[1]:", "text": "worked"}


@needs_kernel
def test_a_tooltip_shows_the_documentation(by_hand):
    assert "func strings.TrimSpace(s string) string" in by_hand["tooltip"]
    assert "white space" in by_hand["tooltip"]


@needs_kernel
def test_completion_answers_while_a_cell_runs(by_hand):
    assert "Fields" in by_hand["whileBusy"]
    assert by_hand["statusMeanwhile"] == "busy"


@needs_kernel
def test_a_running_cell_is_interrupted_and_keeps_its_state(by_hand):
    assert by_hand["running"] == "[*]:"
    assert "Interrupted" in by_hand["interrupted"]
    assert by_hand["kept"] == "worked"


@needs_kernel
def test_an_error_has_a_traceback_with_cells_and_lines(by_hand):
    text = by_hand["traceback"]
    assert "integer divide by zero" in text
    assert re.search(r"cell \d+:2", text), text


@needs_kernel
def test_input_is_asked_in_the_cell(by_hand):
    assert by_hand["answered"] == "hello Ada"


@needs_kernel
def test_rich_output_is_rendered(by_hand):
    assert by_hand["rich"] == "bold"


@needs_kernel
def test_restart_gives_a_fresh_kernel(by_hand):
    assert "undefined: word" in by_hand["fresh"]
    assert by_hand["subshells"] is True


def test_the_notebook_is_committed_without_outputs():
    for cell in nbformat.read(HERE / "charts.ipynb", as_version=4).cells:
        assert cell.cell_type != "code" or not cell.outputs and cell.execution_count is None
