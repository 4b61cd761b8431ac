"""Holds render.py to chat_template.jinja as transformers renders it and bpe.py to its tokenizer, and writes prompts
as goldens for the tests of engine/builtin.

Usage: check.py OUT [GOLDENS.json]"""
import json
import os
import random
import sys

from transformers import AutoTokenizer

import bpe
import chats
import render

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Get the weather in a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "The city"}}, "required": ["city"]}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Zürich"}'}}
USER = {"role": "user", "content": "What is the weather in \"Zürich\" & <Rome>?"}
CASES = {
    "one question": dict(messages=[USER]),
    "a system message": dict(messages=[{"role": "system", "content": "You are a pirate."}, USER]),
    "a developer message": dict(messages=[{"role": "developer", "content": "Be brief."}, USER]),
    "a later system message": dict(messages=[USER, {"role": "assistant", "content": "Sunny."}, {"role": "system", "content": "Be brief."}, USER]),
    "thinking on": dict(messages=[USER], enable_thinking=True),
    "thinking off": dict(messages=[USER], enable_thinking=False),
    "no generation prompt": dict(messages=[USER, {"role": "assistant", "content": "Sunny."}], add_generation_prompt=False),
    "earlier thoughts": dict(messages=[USER, {"role": "assistant", "content": "Sunny.", "reasoning_content": "It is summer."}, USER]),
    "thoughts inside the content": dict(messages=[USER, {"role": "assistant", "content": "<think>\nSummer.\n</think>\n\nSunny."}, USER]),
    "a tool": dict(messages=[USER], tools=[WEATHER]),
    "two tools and a system message": dict(messages=[{"role": "system", "content": "Be brief."}, USER], tools=[WEATHER, WEATHER]),
    "a call and its result": dict(messages=[USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 3}'}], tools=[WEATHER]),
    "two calls, their results, text beside them": dict(messages=[USER, {"role": "assistant", "content": "I look.", "tool_calls": [CALL, CALL]},
                                                        {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}, {"role": "assistant", "content": "Done."}, USER], tools=[WEATHER]),
    "empty texts": dict(messages=[{"role": "system", "content": ""}, {"role": "user", "content": ""}]),
}


def main(out, goldens=None):
    tok = AutoTokenizer.from_pretrained(os.path.join(out, "tiny"))
    plain = bpe.BPE(os.path.join(out, "tiny", "tokenizer.json"))
    r, n = random.Random(5), 0
    for _ in range(500):
        messages, tools, thought, _ = chats.sample(r)
        if isinstance(messages, str):
            assert plain.encode(messages) == tok(messages).input_ids, messages
            continue
        text = "".join(t for t, _ in render.segments(messages, tools, thought))
        turns = messages[:-1] + [dict(messages[-1], reasoning_content=thought or "")]
        want = tok.apply_chat_template(turns, tools=tools, tokenize=False)
        assert text == want, (text, want)
        assert plain.encode(text) == tok(text).input_ids, text
        prompt = tok.apply_chat_template(turns[:-1], tools=tools, tokenize=False, add_generation_prompt=True, enable_thinking=bool(thought))
        assert text.startswith(prompt), (text, prompt)
        n += 1
    print(n, "conversations are rendered alike")
    if goldens:
        rows = []
        for name, c in CASES.items():
            args = dict(add_generation_prompt=True) | c
            messages = args.pop("messages")
            rows.append({"name": name, **{k: v for k, v in c.items()}, "want": tok.apply_chat_template(messages, tokenize=False, **args)})
        with open(goldens, "w") as f:
            json.dump(rows, f, ensure_ascii=False, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
