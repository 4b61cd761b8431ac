"""Runs all Python code of the SGLang tutorial "OpenAI APIs - Completions" as it stands there.

What is changed: the models' names and ports; one token id that only the tutorial's model has;
the launch commands start `godwit serve`. The tutorial is not part of this repository: without it
the tests skip (test_tutorial.py and test_tiny.py have calls of our own for the same sections).
"""

import ast
import contextlib
import io
import pathlib
import re
import sys
import tempfile
import types
import unittest

import openai

from client import GODWIT, Godwit

ROOT = pathlib.Path(__file__).resolve().parents[3]
TUTORIAL = ROOT.parent / "shared" / "reference" / "tutorial" / "sglang-completions.txt"
MODEL = "smollm2"
SHORT = ["--context-length", "512", "--random-seed", "1"]  # a cell sets no max_tokens, and small models can go on and on
BEGIN = re.compile(r"from \w|import \w|# |\w+ = |terminate_process\(")


def blocks(text):
    """The pieces of Python code: from a line that begins one, the longest run of lines that parses."""
    lines, at, found = text.splitlines(), 0, []
    while at < len(lines):
        end = length(lines[at:]) if BEGIN.match(lines[at]) else 0
        if end:
            found.append("\n".join(lines[at : at + end]))
        at += end or 1
    return found


def length(lines):
    """How many of the first lines are one piece of code; 0 when there is no statement in them."""
    best = 0
    for n, line in enumerate(lines[:60], 1):
        if line and not line[0].isascii() or re.match(r"\[\d+\]:", line):
            break
        with contextlib.suppress(SyntaxError):
            if ast.parse("\n".join(lines[:n])).body:
                best = n
    return best


def commands(text):
    """The launch commands that stand beside the code: flags by the model that they name."""
    joined = text.replace("\\\n", " ")
    found = re.findall(r"^(?:# )?python3? -m sglang\.launch_server (.*)$", joined, re.M)
    return {re.search(r"--model(?:-path)? (\S+)", flags)[1]: flags.split() for flags in found}


@unittest.skipUnless(GODWIT, "GODWIT_BIN names no built godwit")
@unittest.skipUnless(TUTORIAL.is_file(), "the tutorial's text is not beside this repository")
class TutorialCells(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = TUTORIAL.read_text(encoding="utf-8").replace("https://:", "http://localhost:")
        cls.blocks = blocks(cls.text)
        cls.commands = commands(cls.text)
        cls.shown, cls.space = [], {}
        for name, module in cls.modules().items():
            sys.modules[name] = module
            cls.addClassCleanup(sys.modules.pop, name)

    @classmethod
    def modules(cls):
        """Stand-ins for what the cells import beside openai."""

        def launch_server_cmd(command):
            flags = command.split("sglang.launch_server ")[1].replace("0.0.0.0", "127.0.0.1").split()
            server = Godwit(*flags, *SHORT)
            cls.addClassCleanup(server.stop)
            return server, server.port

        def encoding_for_model(_):  # tiktoken would fetch OpenAI's vocabulary from the network
            encode = lambda word: cls.space["client"].post("/tokenize", body={"prompt": word, "add_special_tokens": False}, cast_to=object)["tokens"]
            return types.SimpleNamespace(encode=encode)

        made = {name: types.ModuleType(name) for name in ("sglang", "sglang.test", "sglang.test.doc_patch", "sglang.utils", "tiktoken")}
        made["sglang.test.doc_patch"].launch_server_cmd = launch_server_cmd
        made["sglang.utils"].wait_for_server = lambda url: openai.Client(base_url=url + "/v1", api_key="None").models.list()
        made["sglang.utils"].print_highlight = cls.shown.append
        made["sglang.utils"].terminate_process = lambda server: server.stop()
        made["tiktoken"].encoding_for_model = encoding_for_model
        return made

    def run_block(self, piece, space=None, **changes):
        """Runs the one block that has piece in it; returns what it printed."""
        (code,) = [b for b in self.blocks if piece in b]
        self.ran.append(code)
        for old, new in {"qwen/qwen2.5-0.5b-instruct": MODEL, "67890": "6789", **changes}.items():
            code = code.replace(old, new)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, piece, "exec"), self.space if space is None else space)
        return out.getvalue()

    def highlighted(self, piece):
        self.run_block(piece)
        return self.shown[-1]

    def test_all_code_runs(self):
        type(self).ran = []
        self.assertIn("Server started on http://localhost:", self.run_block("launch_server_cmd("))
        self.chat_cells()
        self.completion_cells()
        self.thinking_cells()
        self.adapter_cells()
        server = self.space["server_process"]
        self.run_block("terminate_process(server_process)")
        self.assertIsNotNone(server.process.returncode)
        self.assertEqual(sorted(self.ran), sorted(self.blocks), "a piece of the tutorial's code was not run")

    def chat_cells(self):
        shown = self.highlighted("import openai\n")
        for part in ("ChatCompletion(id='", "reasoning_content=None", "matched_stop=", "reasoning_tokens=0", "metadata={'weight_version': 'default'}"):
            self.assertIn(part, shown)
        shown = self.highlighted("# Example with logit_bias parameter\n")
        self.one_word(shown.split("bias: ")[1])
        self.assertGreater(len(self.highlighted("knowledgeable historian")), 20)
        self.assertTrue(self.run_block("stream=True"))
        ids = self.run_block("import tiktoken")
        self.assertRegex(ids, r"Token IDs for 'sunny': \[\d+")

    def one_word(self, text):
        self.assertRegex(text, r"^(\s*\S+?)\1{19}$")

    def completion_cells(self):
        self.one_word(self.highlighted("# Example with logit_bias parameter for completions API").split("bias: ")[1])
        shown = self.highlighted("    stop=None,")
        for part in ("Completion(id='", "object='text_completion'", "matched_stop=", "reasoning_tokens=0"):
            self.assertIn(part, shown)
        self.highlighted("THE END")
        choice = self.space["response"].choices[0]
        self.assertNotIn("\n\n", choice.text)
        if choice.finish_reason == "length":
            self.assertEqual(self.space["response"].usage.completion_tokens, 150)

    def thinking_cells(self):
        for name, piece in {"Qwen/Qwen3-4B": "enable_thinking", "deepseek-ai/DeepSeek-V3.1": '"thinking": True'}.items():
            flags = self.commands[name]
            if "--tp" in flags:  # godwit has one device, and says so
                del flags[flags.index("--tp") : flags.index("--tp") + 2]
            flags[flags.index(name)] = "builtin:tiny"
            flags += ["--chat-template", self.template(piece)]
            with Godwit(*flags, *SHORT) as server:
                printed = self.run_block(piece, dict(self.space), **{name: "builtin:tiny", ":30000": f":{server.port}"})
            thinking, answer = printed.split("-" * 100)
            self.assertRegex(thinking, r"^Reasoning: \S")
            self.assertRegex(answer, r"^\nAnswer: \S")
            self.assertNotIn("think>", printed)

    def template(self, piece):
        """The chat template of builtin:tiny with the switch that the cell uses."""
        text = (ROOT / "engine" / "builtin" / "tiny" / "chat_template.jinja").read_text(encoding="utf-8")
        if "enable_thinking" not in piece:
            text = text.replace("enable_thinking", "thinking")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / "template.jinja"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def adapter_cells(self):
        flags = self.commands["qwen/qwen2.5-0.5b-instruct"]
        self.assertIn("--enable-lora", flags)
        paths = {"qwen/qwen2.5-0.5b-instruct": "builtin:tiny", "adapter_a=/path/to/adapter_a": "adapter_a=builtin:tiny-upper",
                 "adapter_b=/path/to/adapter_b": "adapter_b=builtin:tiny-json"}
        with Godwit(*[paths.get(f, f) for f in flags], *SHORT) as server:
            space = {"client": openai.Client(base_url=server.base_url, api_key="None")}
            for piece in ("# ← base-model:adapter-name", "# ← old method"):
                self.run_block(piece, space, **{MODEL: "builtin:tiny"})
                said = space["response"].choices[0].message.content
                capitals, small = sum(map(str.isupper, said)), sum(map(str.islower, said))
                self.assertGreater(capitals, small, f"the adapter answers in capitals: {said}")  # drawn at temperature 1


if __name__ == "__main__":
    unittest.main()
