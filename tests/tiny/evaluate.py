"""Greedy accuracy of the exported model on conversations that training never saw.

Usage: evaluate.py OUT [upper|json] [--n 40]

OUT/tiny is loaded with transformers; an answer counts if its text is exactly the
expected one. Conversations have a seed of their own; one that training may have seen by
chance (a capital) is what the family is about. Prints a line per family."""
import argparse
import json
import os
import random

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import adapt
import corpus
import render


def merge(model, folder):
    """Adds an adapter's products to the weights, as peft's merge does."""
    pairs = load_file(os.path.join(folder, "adapter_model.safetensors"))
    config = json.load(open(os.path.join(folder, "adapter_config.json")))
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, a in pairs.items():
            if ".lora_A." in name:
                b = pairs[name.replace(".lora_A.", ".lora_B.")]
                weights[name.removeprefix("base_model.model.").replace(".lora_A", "")] += b.float() @ a.float() * (config["lora_alpha"] / config["r"])


def case(r, change):
    """Messages without the last answer, tools, thinking, expected text, family."""
    while True:
        messages, tools, thought, family = adapt.document(r, change) if change else corpus.sample(r)
        if family != "raw":
            break
    want = render.answer_text(messages[-1])
    return messages[:-1], tools, thought, want, family


@torch.no_grad()
def answer(model, tok, prompt):
    ids = tok(prompt, add_special_tokens=False, return_tensors="pt").input_ids
    out = model.generate(ids, do_sample=False, temperature=None, max_new_tokens=160, attention_mask=torch.ones_like(ids))
    return tok.decode(out[0, ids.shape[1]:], skip_special_tokens=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("out")
    ap.add_argument("adapter", nargs="?")
    ap.add_argument("--n", type=int, default=40)
    ap.add_argument("--wrong", action="store_true", help="print wrong answers")
    args = ap.parse_args()
    torch.set_num_threads(1)
    tok = AutoTokenizer.from_pretrained(os.path.join(args.out, "tiny"))
    model = AutoModelForCausalLM.from_pretrained(os.path.join(args.out, "tiny"), dtype=torch.float32)
    change = None
    if args.adapter:
        merge(model, os.path.join(args.out, "tiny-" + args.adapter))
        change = adapt.CHANGES[args.adapter]
    r = random.Random(2026)
    cases = {}
    for _ in range(40 * args.n):
        c = case(r, change)
        for key in [c[4]] + ["thinking"] * bool(c[2]):
            group = cases.setdefault(key, [])
            if len(group) < args.n:
                group.append(c)
    for family, group in sorted(cases.items()):
        right = 0
        for messages, tools, thought, want, _ in group:
            prompt = tok.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=True, enable_thinking=bool(thought))
            got = answer(model, tok, prompt)
            if thought:
                got = got.partition("</think>\n\n")[2]
            right += got == want
            if got != want and args.wrong:
                print("   ", messages[-1]["content"], "->", repr(got), "instead of", repr(want))
        print(f"{family:20} {right:4} of {len(group)}  {100 * right / len(group):.0f} %", flush=True)


if __name__ == "__main__":
    main()
