"""Renders a fixed set of conversations with transformers, for every chat template
in a folder, and writes one JSON file with the results.

    python make_goldens.py TEMPLATES_FOLDER MODEL.gguf cases.json goldens.json

cases.json holds the conversations; the template of MODEL.gguf is rendered under the
name SmolLM2. The clock of strftime_now stands at 2025-07-04 09:05:03. Of templates that are
not ours only the SHA-256 of the text is kept; a case that a template refuses is recorded
by the kind of its error.
"""

import datetime
import hashlib
import json
import pathlib
import sys

import gguf
import transformers
from transformers.utils import chat_template_utils


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2025, 7, 4, 9, 5, 3)


chat_template_utils.datetime = Clock


def arguments_as_text(messages):
    """The same messages with the arguments of tool calls as JSON text, as clients send them."""
    messages = json.loads(json.dumps(messages))
    for m in messages:
        for c in m.get("tool_calls", []):
            c["function"]["arguments"] = json.dumps(c["function"]["arguments"], ensure_ascii=False)
    return messages


def render(template, case):
    result = render_messages(template, case, case["messages"])
    if any("tool_calls" in m for m in case["messages"]):
        result["with_text_arguments"] = render_messages(template, case, arguments_as_text(case["messages"]))
    return result


def render_messages(template, case, messages):
    extra = dict(case.get("args", {}))
    extra.setdefault("bos_token", "<s>")
    extra.setdefault("eos_token", "</s>")
    try:
        out, _ = chat_template_utils.render_jinja_template(
            conversations=[messages],
            tools=case.get("tools"),
            chat_template=template,
            add_generation_prompt=case.get("add_generation_prompt", False),
            continue_final_message=case.get("continue_final", False),
            **extra,
        )
        return {"text": out[0]}
    except Exception as e:
        return {"error": type(e).__name__}


def digested(result):
    """The same result with texts replaced by their digests."""
    if "with_text_arguments" in result:
        result["with_text_arguments"] = digested(result["with_text_arguments"])
    if "text" in result:
        result["sha256"] = hashlib.sha256(result.pop("text").encode()).hexdigest()
    return result


def main(folder, model, cases_file, out_file):
    cases = json.loads(pathlib.Path(cases_file).read_text(encoding="utf-8"))
    templates = {p.stem: p.read_text(encoding="utf-8") for p in sorted(pathlib.Path(folder).glob("*.jinja"))}
    reader = gguf.GGUFReader(model)
    templates["SmolLM2"] = reader.fields["tokenizer.chat_template"].contents()
    templates["own-chatml"] = pathlib.Path(__file__).with_name("chatml.jinja").read_text(encoding="utf-8")
    result = {
        "transformers": transformers.__version__,
        "templates": {
            name: {c["name"]: render(t, c) if name == "own-chatml" else digested(render(t, c)) for c in cases}
            for name, t in templates.items()
        },
    }
    pathlib.Path(out_file).write_text(
        json.dumps(result, ensure_ascii=False, indent=0, sort_keys=True) + "\n", encoding="utf-8"
    )
    for name, r in result["templates"].items():
        print(name, sum("error" not in v for v in r.values()), "rendered,", sum("error" in v for v in r.values()), "refused")


main(*sys.argv[1:])
