"""Trains a LoRA adapter of builtin:tiny: upper (answers in capitals) or json
(answers as {"answer": "..."}). The base model is frozen.

Usage: adapt.py FOLDER upper|json --seconds N | --steps N [--device cuda --workers 7] [--seed 11]

FOLDER holds tokenizer.json and the base's state.pt; NAME.pt and NAME.csv appear there."""
import os
import random
import time

import torch

import bpe
import chats
import feed
import net
import train

RANK, ALPHA = 8, 16


def adapt(model):
    """Adds a pair to every product of every layer; returns the pairs' parameters."""
    for p in model.parameters():
        p.requires_grad_(False)
    for m in model.modules():
        if isinstance(m, net.Linear):
            m.adapt(RANK, ALPHA)
    return [p for p in model.parameters() if p.requires_grad]


def main():
    ap = train.options(seed=11, lr=4e-3, batch=4096, group=2048)
    ap.add_argument("name", choices=sorted(chats.CHANGES))
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    path = os.path.join(args.folder, "tokenizer.json")
    source = feed.Feed(args.seed, args.workers, path, args.batch, args.group, args.name)
    check = feed.batch(random.Random(args.seed + 1000), bpe.BPE(path), 50_000 if args.device == "cuda" else 5_000, args.group, args.name)
    if args.device == "cpu":
        torch.set_num_threads(1)
    model = net.Net()
    model.load_state_dict(torch.load(os.path.join(args.folder, "state.pt")))
    params = adapt(model)
    model.to(args.device)
    half = train.Half(model)
    adam = torch.optim.AdamW(params, lr=args.lr, betas=(.9, .98), weight_decay=.01, fused=args.device == "cuda")
    steps = tokens = 0
    start = time.time()
    log = train.Log(os.path.join(args.folder, args.name + ".csv"), start)
    while (at := train.progress(args, start, steps)) < 1:
        batch = source.next()
        log.add(train.backward(half, batch, args.device))
        for g in adam.param_groups:
            g["lr"] = args.lr * min(1, (steps + 1) / 20) * (1 - at)
        torch.nn.utils.clip_grad_norm_(params, 1)
        adam.step()
        half.take()
        steps, tokens = steps + 1, tokens + batch[1]
        if steps % 20 == 0:
            log.write(steps, tokens)
    source.close()
    train.save({k: v for k, v in model.state_dict().items() if "lora" in k}, os.path.join(args.folder, args.name + ".pt"))
    log.write(steps, tokens, train.validate(half, check, args.device))
    print("done:", source.fresh, "of", steps, "batches were new", flush=True)


if __name__ == "__main__":
    main()
