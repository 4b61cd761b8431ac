"""Executes a notebook with a real Jupyter client: execute.py NOTEBOOK OUTDIR.

Writes OUTDIR/NAME.ipynb and OUTDIR/NAME.html and prints where they are. A failing
cell's traceback is printed and the exit status is 1; the notebook is written either way.
"""

import pathlib
import sys

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter


def execute(source, outdir, kernel_name=None, timeout=300):
    """Returns the executed notebook and the error, if a cell failed."""
    source, outdir = pathlib.Path(source), pathlib.Path(outdir)
    outdir.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(source, as_version=4)
    kw = {"kernel_name": kernel_name} if kernel_name else {}
    client = NotebookClient(notebook, timeout=timeout, startup_timeout=timeout, iopub_timeout=60, resources={"metadata": {"path": str(source.parent)}},
                            coalesce_streams=True, **kw)  # a page would show each piece of a stream on a line of its own
    error = None
    try:
        client.execute()
    except CellExecutionError as e:
        error = e
    executed = outdir / source.name
    nbformat.write(notebook, executed)
    page, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
    html = executed.with_suffix(".html")
    html.write_text(page, encoding="utf-8")
    return notebook, error, executed, html


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    _, failure, executed, html = execute(sys.argv[1], sys.argv[2])
    print(f"executed notebook: {executed}\nas a page:         {html}")
    if failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
