"""Trains a LoRA adapter of builtin:tiny: upper (answers in capitals) or json
(answers as {"answer": "..."}). The base model is frozen.

Usage: adapt.py FOLDER upper|json --until HH:MM | --seconds N [--seed 11]

FOLDER holds tokenizer.json and the base's state.pt; NAME.pt and NAME.csv appear there."""
import argparse
import csv
import os
import random
import time

import torch
from tokenizers import Tokenizer

import corpus
import net
import render
import train

RANK, ALPHA = 8, 16
CHANGES = {"upper": str.upper, "json": lambda text: corpus.dumps({"answer": text})}


def document(r, change):
    """A conversation with all its answers changed."""
    while True:
        messages, tools, thought, family = corpus.sample(r)
        if not isinstance(messages, str) and not messages[-1].get("tool_calls"):
            break
    # every answer of the assistant, but not its calls
    out = [dict(m, content=change(m["content"])) if m["role"] == "assistant" and m["content"] else m for m in messages]
    return out, tools, thought, family


def adapt(model):
    """Adds a pair to every product of every layer; returns the pairs' parameters."""
    for p in model.parameters():
        p.requires_grad_(False)
    for m in model.modules():
        if isinstance(m, net.Linear):
            m.adapt(RANK, ALPHA)
    return [p for p in model.parameters() if p.requires_grad]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("folder")
    ap.add_argument("name", choices=sorted(CHANGES))
    ap.add_argument("--until")
    ap.add_argument("--seconds", type=float, default=240)
    ap.add_argument("--seed", type=int, default=11)
    args = ap.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    r = random.Random(args.seed)
    tok = Tokenizer.from_file(os.path.join(args.folder, "tokenizer.json"))
    model = net.Net()
    model.load_state_dict(torch.load(os.path.join(args.folder, "state.pt")))
    params = adapt(model)
    adam = torch.optim.AdamW(params, lr=4e-3, betas=(.9, .98), weight_decay=.01)
    log = csv.writer(open(os.path.join(args.folder, args.name + ".csv"), "w"))
    log.writerow(["step", "tokens", "seconds", "loss"])
    start, end = time.time(), train.deadline(args)
    steps = tokens = mean = 0
    while (at := (time.time() - start) / (end - start)) < 1:
        docs = [render.encode(tok, document(r, CHANGES[args.name])) for _ in range(20)]
        n = sum(sum(b[1:]) for _, b in docs)
        for g in train.batches(docs, 2048):
            with torch.autocast("cpu", torch.bfloat16):
                loss, _ = model.loss(*train.tensors(g))
            (loss / n).backward()
            mean += loss.item() / n
        for g in adam.param_groups:
            g["lr"] = 4e-3 * min(1, (steps + 1) / 10) * (1 - at)
        torch.nn.utils.clip_grad_norm_(params, 1)
        adam.step()
        adam.zero_grad(set_to_none=True)
        steps, tokens = steps + 1, tokens + sum(len(a) for a, _ in docs)
        if steps % 10 == 0:
            log.writerow([steps, tokens, round(time.time() - start), round(mean / 10, 4)])
            print(steps, tokens, round(time.time() - start), round(mean / 10, 4), flush=True)
            mean = 0
    torch.save({k: v for k, v in model.state_dict().items() if "lora" in k}, os.path.join(args.folder, args.name + ".pt"))


if __name__ == "__main__":
    main()
