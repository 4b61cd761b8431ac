"""Greedy accuracy of the exported model on conversations that training never saw.

Usage: evaluate.py OUT [upper|json] [--n 40] [--held] [--wrong] [--foreign foreign.jsonl]

OUT/tiny is loaded with transformers; an answer counts if its text is exactly the
expected one. Conversations have a seed of their own; one that training may have seen by
chance (a capital) is what the family is about. With --held all words and names are ones
that no conversation of the training has. Prints a line per family. --foreign asks questions written by hand
instead, whose answers match a regular expression."""
import argparse
import json
import os
import random
import re

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import chats
import render
import words


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


def case(r, adapter):
    """Messages without the last answer, tools, thinking, expected text, family."""
    while True:
        messages, tools, thought, family = chats.adapted(r, adapter) if adapter else chats.sample(r)
        if family not in ("raw", "given"):
            return messages[:-1], tools, thought, render.answer_text(messages[-1]), family


def held():
    """Words and names of the training give way to others."""
    words.WORDS[:], words.MORE[:], words.NAMES[:] = words.HELD, words.HELD, words.HELD_NAMES


@torch.no_grad()
def answers(model, tok, cases):
    """Greedy answers, many at once; each may be a little longer than what is expected."""
    out = [None] * len(cases)
    order = sorted(range(len(cases)), key=lambda i: len(cases[i][3]) + len(cases[i][2] or ""))
    for k in range(0, len(order), 16):
        some = order[k:k + 16]
        prompts = [tok.apply_chat_template(m, tools=t, tokenize=False, add_generation_prompt=True, enable_thinking=bool(th)) for m, t, th, _, _ in (cases[i] for i in some)]
        batch = tok(prompts, add_special_tokens=False, return_tensors="pt", padding=True, padding_side="left")
        longest = max(len(tok(cases[i][3] + (cases[i][2] or "")).input_ids) for i in some)
        got = model.generate(**batch, do_sample=False, temperature=None, max_new_tokens=longest + 30)
        for i, ids in zip(some, got[:, batch.input_ids.shape[1]:]):
            ends = [n for n, x in enumerate(ids.tolist()) if x in model.generation_config.eos_token_id]
            text = tok.decode(ids[:ends[0]] if ends else ids) + ("" if ends else " ...")
            out[i] = text.partition("</think>\n\n")[2] if cases[i][2] else text
    return out


def foreign(model, tok, path, show):
    """Questions written by hand: each line has messages, perhaps tools and thinking, and what the answer matches."""
    rows = [json.loads(line) for line in open(path)]
    cases = [(x["messages"], x.get("tools"), " " * 200 if x.get("thinking") else None, "x" * x.get("length", 300), "") for x in rows]
    right = 0
    for row, got in zip(rows, answers(model, tok, cases)):
        ok = re.search(row["want"], got) is not None and not got.endswith(" ...")
        right += ok
        if show or not ok:
            print("ok   " if ok else "WRONG", json.dumps(row["messages"][-1]["content"], ensure_ascii=False)[-90:], "->", json.dumps(got, ensure_ascii=False))
    print(right, "of", len(rows))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("out")
    ap.add_argument("adapter", nargs="?")
    ap.add_argument("--n", type=int, default=40)
    ap.add_argument("--seed", type=int, default=2026)
    ap.add_argument("--wrong", action="store_true", help="print wrong answers")
    ap.add_argument("--held", action="store_true")
    ap.add_argument("--foreign")
    ap.add_argument("--families", help="only these, with commas between them")
    args = ap.parse_args()
    torch.set_num_threads(1)
    tok = AutoTokenizer.from_pretrained(os.path.join(args.out, "tiny"))
    model = AutoModelForCausalLM.from_pretrained(os.path.join(args.out, "tiny"), dtype=torch.float32)
    if args.adapter:
        merge(model, os.path.join(args.out, "tiny-" + args.adapter))
    if args.foreign:
        return foreign(model, tok, args.foreign, args.wrong)
    if args.held:
        held()
    r = random.Random(args.seed)
    cases = {}
    for _ in range(60 * args.n):
        c = case(r, args.adapter)
        for key in [c[4]] + ["thinking"] * bool(c[2]):
            group = cases.setdefault(key, [])
            if len(group) < args.n:
                group.append(c)
    for family, group in sorted(cases.items()):
        if args.families and family not in args.families.split(","):
            continue
        right = 0
        for (messages, _, _, want, _), got in zip(group, answers(model, tok, group)):
            right += got == want
            if got != want and args.wrong:
                print("   ", json.dumps(messages[-1]["content"], ensure_ascii=False), "->", repr(got), "instead of", repr(want))
        print(f"{family:20} {right:4} of {len(group)}  {100 * right / len(group):.0f} %", flush=True)


if __name__ == "__main__":
    main()
