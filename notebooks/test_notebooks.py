"""Executes the notebooks with a real Jupyter client and looks at what their cells show.

The kernel godwit must be installed where this Python looks for kernels, for example by
`bin/godwit kernel install --prefix .venv`.
"""

import json
import pathlib
import re
import socket
import sys

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from execute import execute  # noqa: E402

NOTEBOOKS = {"openai_completions.ipynb": "godwit", "openai_client.ipynb": "python3"}
CHARTS = ("text/html", "image/svg+xml", "text/plain", "application/vnd.godwit.chart+json")

needs_kernel = pytest.mark.skipif(
    "godwit" not in KernelSpecManager().find_kernel_specs(),
    reason="the kernel is not installed: run `just build` and `bin/godwit kernel install --prefix .venv`",
)


@pytest.mark.parametrize("name, kernel", NOTEBOOKS.items())
def test_notebooks_are_committed_without_outputs(name, kernel):
    notebook = nbformat.read(HERE / name, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == kernel
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, cell.source
        assert not re.search(r"/(home|root|work|Users)/", cell.source), cell.source


class Executed:
    """An executed notebook: cells by a piece of their source."""

    def __init__(self, name, folder):
        self.notebook, self.error, self.path, self.html = execute(HERE / name, folder)

    def cell(self, piece, nth=0):
        found = [c for c in self.notebook.cells if c.cell_type == "code" and piece in c.source]
        assert len(found) > nth, f"no cell has {piece!r}"
        return found[nth]

    def text(self, piece, nth=0):
        """What a cell printed or displayed, as plain text."""
        out = ""
        for o in self.cell(piece, nth).outputs:
            if o.output_type == "stream":
                out += o.text
                continue
            out += ("" if out.endswith("\n") or not out else "\n") + o.get("data", {}).get("text/plain", "") + "\n"
        return out

    def displays(self, piece, nth=0):
        return [o.data for o in self.cell(piece, nth).outputs if o.output_type in ("display_data", "execute_result")]


def after(label, text):
    """The JSON object behind a label."""
    return json.loads(text[text.index(label) + len(label):])


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    return Executed("openai_completions.ipynb", tmp_path_factory.mktemp("tutorial"))


@needs_kernel
def test_the_tutorial_runs_without_an_error(tutorial):
    assert tutorial.error is None, tutorial.error
    for cell in tutorial.notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count, cell.source
            assert not [o for o in cell.outputs if o.output_type == "error"], cell.source
    page = tutorial.html.read_text(encoding="utf-8")
    assert "Server started" in page and 'class="godwit-chart"' in page


@needs_kernel
def test_the_launch_cell_says_that_the_server_started(tutorial):
    text = tutorial.text("launch_server_cmd(")
    assert re.search(r"Server started on http://127\.0\.0\.1:3\d{4}", text) and "NOTE:" in text, text


@needs_kernel
def test_the_chat_answer_is_what_the_tutorial_prints(tutorial):
    shown = tutorial.displays('print_highlight("Response:", response)')[0]
    assert "color: #00008B" in shown["text/html"]
    answer = after("Response:", shown["text/plain"])
    assert re.fullmatch(r"[0-9a-f]{32}", answer["id"]) and answer["object"] == "chat.completion" and answer["model"] == "smollm2"
    choice, usage = answer["choices"][0], answer["usage"]
    assert choice["message"]["role"] == "assistant" and choice["message"]["content"]
    assert choice["message"]["reasoning_content"] is None and choice["logprobs"] is None and "matched_stop" in choice
    assert choice["finish_reason"] == ("length" if usage["completion_tokens"] == 64 else "stop")
    assert (choice["matched_stop"] is None) == (choice["finish_reason"] == "length")
    assert usage["reasoning_tokens"] == 0 and usage["prompt_tokens_details"] is None
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert answer["metadata"] == {"weight_version": "default"}
    assert choice["message"]["content"] in tutorial.text("The answer is a Go value")


@needs_kernel
def test_logit_bias_gives_one_token_twenty_times(tutorial):
    for nth in (0, 1):
        text = tutorial.displays('"Response with logit bias:"', nth)[0]["text/plain"].split("bias:", 1)[1]
        words = text.split()
        if len(words) == 1:  # a token without a space in front
            unit = re.fullmatch(r"\s*(.+?)\1{19}", text)
            assert unit, text
        else:
            assert len(words) == 20 and len(set(words)) == 1, text


@needs_kernel
def test_the_conversation_and_the_stream_are_answered(tutorial):
    assert len(tutorial.displays("historian")[0]["text/plain"]) > 20
    assert len(tutorial.text('"Say this is a test"')) > 5


@needs_kernel
def test_helpers_answer_as_the_port_does(tutorial):
    content = after("Response:", tutorial.displays('print_highlight("Response:", response)')[0]["text/plain"])["choices"][0]["message"]["content"]
    assert tutorial.text('fmt.Println(Chat("List 3 countries').strip() == content.strip()
    assert tutorial.displays("same := Chat(conversation")[0]["text/plain"].startswith("true ")
    assert tutorial.displays("story := Generate(")[0]["text/plain"].startswith("true ")
    streamed = tutorial.text('Stream(Params{\n\t"model":       "smollm2"')
    assert streamed.startswith(tutorial.text('ChatStream("Say this is a test"').strip())


@needs_kernel
def test_thinking_is_apart_from_the_answer(tutorial):
    thinking, answer = tutorial.text('fmt.Println("Reasoning:", message.ReasoningContent)').split("-" * 100)
    assert re.search(r"^Reasoning: .*Paris", thinking) and re.search(r"^\nAnswer: .*Paris", answer)
    helper = tutorial.text("Think(true)")
    assert helper.splitlines()[0] == thinking.strip() and helper.splitlines()[1].split(":", 1)[1].strip() == answer.split(":", 1)[1].strip()
    assert re.search(r"At once: .*Paris", helper) and "think>" not in helper
    streamed, raw = tutorial.text("ToUpper(delta.ReasoningContent)").rsplit("\n\"", 1)
    assert "COUNTR" in streamed and "Paris" in streamed and "think>" not in streamed
    assert "<think>" in raw and "</think>" in raw and "Paris" in raw


@needs_kernel
def test_the_helpers_bias_names_tokens_by_their_text(tutorial):
    ids = re.search(r"' sunny': \[(\d+)\]", tutorial.text("sunny := Tokenize("))
    assert ids, tutorial.text("sunny := Tokenize(")
    by_text, by_id = tutorial.text("Bias(map[int]float64{sunny[0]: 50})").splitlines()
    assert by_text.split() == ["sunny"] * 8, by_text
    assert len(set(by_id.split())) == 1 and len(by_id.split()) == 8, by_id


@needs_kernel
def test_structured_answers_have_their_form(tutorial):
    json_, pattern, grammar = (d["text/plain"].split(":", 1)[1] for d in tutorial.displays('"response_format"'))
    person = json.loads(json_)
    assert set(person) == {"name", "age"} and 1 <= person["age"] <= 120
    assert re.fullmatch(r"\s+[12]\d{3}-\d\d-\d\d", pattern)
    assert re.fullmatch(r" (Yes|No), it is( not)?\.", grammar)
    text = tutorial.text("GenerateInto(&person")
    assert re.search(r"\{Name:.+ Age:\d+ Job:(teacher|doctor|engineer)\}", text)
    assert re.search(r"Pattern:\s+[12]\d{3}-\d\d-\d\d\n", text) and re.search(r"Grammar: (Yes|No), it is( not)?\.", text)
    assert re.search(r"Choice:\s+(Paris|London|Rome)", text)


def json_object(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@needs_kernel
def test_two_adapters_answer_in_one_cell(tutorial):
    said = [line.split(None, 1)[1] for line in tutorial.text('"tiny:upper"').splitlines()]
    plain, upper, as_json, by_path = said
    assert "Rome" in plain and plain != plain.upper()
    assert upper == upper.upper() and "ROME" in upper and by_path == upper
    assert json_object(as_json), as_json
    plain, upper, as_json = tutorial.text('Adapter("upper")').splitlines()
    assert "Madrid" in plain and "MADRID" in upper and upper == upper.upper() and json_object(as_json)
    assert tutorial.text("tiny.Models.List()").split() == ["tiny", "upper", "tiny", "json", "tiny"]


@needs_kernel
def test_an_adapter_comes_and_goes(tutorial):
    loaded, said, left = tutorial.text("LoadAdapter(").splitlines()
    assert loaded == "[json upper capitals]" and left == "[json upper]" or loaded == "[upper json capitals]" and left == "[upper json]"
    assert "ATHENS" in said and said == said.upper()


@needs_kernel
def test_several_answers_differ(tutorial):
    lines = tutorial.text("several.All").splitlines()
    assert len(lines) == 3 and len({line.split(":", 1)[1] for line in lines}) > 1, lines


@needs_kernel
def test_the_completion_has_a_text_and_a_length(tutorial):
    answer = after("Response:", tutorial.displays('"prompt":      "List 3 countries')[0]["text/plain"])
    choice, usage = answer["choices"][0], answer["usage"]
    assert answer["object"] == "text_completion" and choice["text"]
    assert usage["completion_tokens"] <= 64 and (choice["finish_reason"] != "length" or choice["matched_stop"] is None)


@needs_kernel
def test_the_story_ends_before_its_stop_text(tutorial):
    answer = after("Response:", tutorial.displays("space explorer")[0]["text/plain"])
    choice = answer["choices"][0]
    assert choice["text"] and "\n\n" not in choice["text"] and "THE END" not in choice["text"]
    if choice["finish_reason"] == "stop":
        assert choice["matched_stop"] in ("\n\n", "THE END") or isinstance(choice["matched_stop"], int)
    else:
        assert answer["usage"]["completion_tokens"] == 150


@needs_kernel
def test_charts_show_without_scripts_too(tutorial):
    for piece in ("answer.Chart()", "batch.Throughput()", "batch.Latency()", "charts.NewBar()"):
        data = tutorial.displays(piece)[-1]
        assert all(mime in data for mime in CHARTS), (piece, list(data))
        assert '<img alt=' in data["text/html"] and "<script>" in data["text/html"]
        svg = data["image/svg+xml"]
        assert (svg if isinstance(svg, str) else "".join(svg)).startswith("<svg")


@needs_kernel
def test_the_batch_is_answered_with_progress(tutorial):
    assert re.search(r"completed: \d\d+ lines \(0 errors\)", tutorial.text("RunBatch(")), tutorial.text("RunBatch(")
    bars = [d for d in tutorial.displays("RunBatch(") if "<progress" in d.get("text/html", "")]
    assert len(bars) == 1 and 'value="100.0"' in bars[0]["text/html"], "one display that ended at 100 %"


@needs_kernel
def test_the_last_cell_ends_the_server(tutorial):
    code = [c for c in tutorial.notebook.cells if c.cell_type == "code"]
    assert "terminate_process(" in code[-1].source and code[-1].execution_count
    port = int(re.search(r"Server started on http://127\.0\.0\.1:(\d+)", tutorial.text("launch_server_cmd("))[1])
    with socket.socket() as s:
        assert s.connect_ex(("127.0.0.1", port)) != 0, "the port still answers"


@needs_kernel
def test_no_cell_writes_to_standard_error(tutorial):
    for cell in tutorial.notebook.cells:
        if cell.cell_type == "code":
            assert not [o for o in cell.outputs if o.get("name") == "stderr"], cell.source


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    return Executed("openai_client.ipynb", tmp_path_factory.mktemp("client"))


@needs_kernel
def test_the_python_client_talks_to_the_go_kernel(client):
    assert client.error is None, client.error
    assert re.search(r"the Go kernel serves at port \d+", client.text("start_new_kernel"))
    assert "ChatCompletion(" in client.text("print(response)")
    assert client.text("stream=True").strip()
    assert "refused:" in client.text("no-such-model") and "no-such-model" in client.text("no-such-model")
    assert "terminated" in client.text("TerminateProcess(server)")
