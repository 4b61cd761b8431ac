"""godwit run NOTEBOOK.ipynb: notebooks without Jupyter, checked with Jupyter's own reader."""

import json
import signal

import nbformat
import pytest

from commands import GODWIT, Running, needs_godwit, run

pytestmark = needs_godwit


def code(source, *tags):
    cell = nbformat.v4.new_code_cell(source)
    cell.metadata["tags"] = list(tags)
    return cell


@pytest.fixture
def save(tmp_path):
    def write(*cells, name="in.ipynb", **metadata):
        notebook = nbformat.v4.new_notebook(cells=list(cells), metadata=metadata)
        path = tmp_path / name
        nbformat.write(notebook, path)
        return path

    return write


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    return notebook


def test_parameters_go_behind_their_cell_and_outputs_into_the_file(save, tmp_path):
    source = save(
        nbformat.v4.new_markdown_cell("# Report"),
        code('name := "nobody"\nrows := 1', "parameters"),
        code('for range rows {\n\tfmt.Println("hello", name)\n}'),
        code('Display(display.HTML("<b>x</b>"))\nimage.NewGray(image.Rect(0, 0, 2, 2))'),
    )
    before = source.read_bytes()
    out = tmp_path / "out.ipynb"
    ran = run(GODWIT, "run", source, "-p", "name=O'Brien", "-p", "rows=2", "-o", out)
    assert ran.code == 0 and "[4/4] done" in ran.err, ran
    assert source.read_bytes() == before
    cells = read(out).cells
    assert [c.get("execution_count") for c in cells] == [None, 1, 2, 3, 4]
    assert cells[2].metadata.tags == ["injected-parameters"]
    assert cells[2].source == '// Parameters\nname = "O\'Brien"\nrows = 2'
    assert cells[3].outputs[0].text == "hello O'Brien\nhello O'Brien\n"
    assert set(cells[4].outputs[0].data) == {"text/html", "text/plain"}
    assert cells[4].outputs[1].output_type == "execute_result" and "image/png" in cells[4].outputs[1].data
    # Run again with another value: the injected cell is replaced.
    again = run(GODWIT, "run", out, "-p", "rows=1")
    assert again.code == 0, again
    cells = read(out).cells
    assert len(cells) == 5 and cells[3].outputs[0].text == "hello nobody\n"


def test_a_failing_cell_is_located_and_the_notebook_is_written(save):
    source = save(code("x := 1"), code("fmt.Println(x)\nx.nope()"), code("x"))
    ran = run(GODWIT, "run", source)
    assert ran.code == 1 and "cell 2:2:3" in ran.err and "x.nope undefined" in ran.err, ran
    cells = read(source).cells
    assert cells[1].outputs[-1].output_type == "error" and cells[2].execution_count is None
    ran = run(GODWIT, "run", source, "--allow-errors", "--progress", "none")
    assert ran.code == 1 and "[1/3]" not in ran.err, ran
    assert read(source).cells[2].outputs[0].data["text/plain"] == "1"


def test_a_cell_may_take_only_so_long(save):
    source = save(code("for {}"), code("1"))
    ran = run(GODWIT, "run", source, "--timeout", "300ms")
    assert ran.code == 1 and "Timeout: the cell ran longer than 300ms" in ran.err, ran
    assert read(source).cells[0].outputs[0].ename == "Timeout"


def test_an_interrupt_leaves_what_ran(save):
    source = save(code("fmt.Println(1)"), code('fmt.Println("waiting")\ntime.Sleep(time.Hour)'))
    with Running(GODWIT, "run", source, "--show") as p:
        p.wait_for("waiting", where="out")
        p.process.send_signal(signal.SIGINT)
        p.process.wait(60)
    assert p.process.returncode == 130
    cells = read(source).cells
    assert cells[0].outputs[0].text == "1\n" and cells[1].outputs[-1].ename == "Interrupted"


def test_parameters_from_a_file_and_strings_by_force(save, tmp_path):
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"n": 5, "word": "a b", "on": True}))
    source = save(code('n, word, on, code := 1, "", false, "7"', "parameters"), code("fmt.Println(n, word, on, code)"))
    ran = run(GODWIT, "run", "-f", values, "-p", "n=6", "-r", "code=08", source, "-o", "-")
    assert ran.code == 0, ran
    notebook = nbformat.reads(ran.text, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[2].outputs[0].text == "6 a b true 08\n"


@pytest.mark.parametrize(
    "args, message, status",
    [
        (["-p", "rows=1"], "the notebook has no such parameter; it has n", 1),
        (["-p", "n=many"], "takes a whole number", 1),
        (["-p", "n"], "write NAME=VALUE", 2),
        (["more"], "unexpected argument", 2),
        (["--timeout", "x"], "timeout", 2),
        (["--progress", "loud"], "use auto, tty, plain or none", 2),
        (["-o", "/no/such/folder/x.ipynb"], "no such file or directory", 1),
    ],
)
def test_wrong_words_are_refused(save, args, message, status):
    source = save(code("n := 1", "parameters"))
    ran = run(GODWIT, "run", source, *args)
    assert ran.code == status and message in ran.err, ran


def test_what_is_no_go_notebook_is_refused(save, tmp_path):
    python = save(code("1"), kernelspec={"name": "python3", "language": "python", "display_name": "Python"})
    ran = run(GODWIT, "run", python)
    assert ran.code == 1 and "is a notebook in python" in ran.err, ran
    broken = tmp_path / "broken.ipynb"
    broken.write_text('{"nbformat": 3}')
    ran = run(GODWIT, "run", broken)
    assert ran.code == 1 and "notebook format 3" in ran.err, ran
    ran = run(GODWIT, "run", "-p", "a=1", "script.go")
    assert ran.code == 2 and "--param is for notebooks" in ran.err, ran


def test_the_cells_run_in_the_folder_of_the_notebook(save, tmp_path):
    (tmp_path / "data.txt").write_text("beside")
    source = save(code('b, err := os.ReadFile("data.txt")\nfmt.Println(string(b), err)'))
    ran = run(GODWIT, "run", source, "--show", cwd="/")
    assert ran.code == 0 and "beside <nil>" in ran.text, ran
    ran = run(GODWIT, "run", source, "--cwd", "/", "--show")
    assert ran.code == 0 and "no such file" in ran.text, ran
