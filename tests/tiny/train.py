"""Trains builtin:tiny on one core.

Usage: train.py FOLDER --until HH:MM[:SS] | --seconds N | --steps N [--seed 7] [--resume]

FOLDER holds tokenizer.json; it gets state.pt (every few minutes and at the end) and
loss-SEED.csv. With --resume it begins with the state.pt that is there. The learning rate is constant for a part of the given time or steps and then
falls in a line to zero at its end, so the end always is a finished model."""
import argparse
import csv
import datetime
import os
import random
import time

import torch
from tokenizers import Tokenizer

import corpus
import net
import render


def batches(docs, size):
    """Documents sorted by length, in groups of about size tokens with padding."""
    docs = sorted(docs, key=lambda d: len(d[0]))
    out, group = [], []
    for d in docs:
        if group and (len(group) + 1) * len(d[0]) > size:
            out.append(group)
            group = []
        group.append(d)
    return out + [group]


def tensors(group):
    t = max(len(ids) for ids, _ in group)
    ids = torch.zeros(len(group), t, dtype=torch.long)
    learn = torch.zeros(len(group), t, dtype=torch.bool)
    for i, (a, b) in enumerate(group):
        ids[i, :len(a)] = torch.tensor(a)
        learn[i, :len(b)] = torch.tensor(b)
    return ids, learn


def orthogonal(g, steps=5):
    """Newton-Schulz steps towards the nearest orthogonal matrix, for a stack [n, rows, cols]."""
    x = g.bfloat16()
    if x.shape[1] > x.shape[2]:
        return orthogonal(g.mT, steps).mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.float()


class Muon:
    """Momentum, made orthogonal, for matrices (K. Jordan, 2024), stacked by shape."""

    def __init__(self, params, lr, momentum=.95, decay=.01):
        self.lr, self.momentum, self.decay = lr, momentum, decay
        shapes = {}
        for p in params:
            shapes.setdefault(p.shape, []).append(p)
        self.groups = [(ps, torch.zeros(len(ps), *ps[0].shape)) for ps in shapes.values()]

    @torch.no_grad()
    def step(self, scale):
        for ps, m in self.groups:
            g = torch.stack([p.grad for p in ps])
            m.lerp_(g, 1 - self.momentum)
            u = orthogonal(g.lerp(m, self.momentum))
            lr = self.lr * scale
            size = max(1, u.shape[1] / u.shape[2]) ** .5
            for p, d in zip(ps, u):
                p.mul_(1 - lr * self.decay).sub_(d, alpha=lr * size)


def deadline(args):
    if args.until:
        h, m, s = map(int, (args.until + ":00").split(":")[:3])
        return datetime.datetime.now().replace(hour=h, minute=m, second=s).timestamp()
    return time.time() + args.seconds


def scale(at, steps):
    return min(1, (steps + 1) / 40) * min(1, (1 - at) / .6)


@torch.no_grad()
def validate(model, groups, auto):
    total = n = 0
    for ids, learn in groups:
        with auto():
            loss, k = model.loss(ids, learn)
        total, n = total + loss.item(), n + k
    return total / n


def save(model, folder):
    torch.save(model.state_dict(), os.path.join(folder, "state.tmp"))
    os.replace(os.path.join(folder, "state.tmp"), os.path.join(folder, "state.pt"))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("folder")
    ap.add_argument("--until")
    ap.add_argument("--seconds", type=float, default=3000)
    ap.add_argument("--steps", type=int)
    ap.add_argument("--seed", type=int, default=7)
    ap.add_argument("--resume", action="store_true")
    ap.add_argument("--docs", type=int, default=36)
    ap.add_argument("--micro", type=int, default=2048)
    ap.add_argument("--dtype", default="bf16")
    ap.add_argument("--lr", type=float, default=.02)
    args = ap.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    r, held = random.Random(args.seed), random.Random(args.seed + 1000)
    tok = Tokenizer.from_file(os.path.join(args.folder, "tokenizer.json"))
    model = net.Net()
    if args.resume:
        model.load_state_dict(torch.load(os.path.join(args.folder, "state.pt")))
    print(sum(p.numel() for p in model.parameters()), "parameters", flush=True)
    check = [tensors(g) for g in batches([render.encode(tok, corpus.sample(held)) for _ in range(96)], 2048)]
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    muon = Muon(matrices, args.lr)
    adam = torch.optim.AdamW(rest, lr=3e-3, betas=(.9, .95), weight_decay=0)
    auto = lambda: torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bf16")
    start = time.time()
    end = deadline(args)
    log = csv.writer(open(os.path.join(args.folder, f"loss-{args.seed}.csv"), "w"))
    log.writerow(["step", "tokens", "seconds", "learning_rate_scale", "loss", "held_out_loss"])
    steps = tokens = 0
    saved, mean = time.time(), 0
    while True:
        at = steps / args.steps if args.steps else (time.time() - start) / (end - start)
        if at >= 1:
            break
        s = scale(at, steps)
        docs = [render.encode(tok, corpus.sample(r)) for _ in range(args.docs)]
        n = sum(sum(b[1:]) for _, b in docs)
        total = 0
        for g in batches(docs, args.micro):
            with auto():
                loss, _ = model.loss(*tensors(g))
            (loss / n).backward()
            total += loss.item()
        for g in adam.param_groups:
            g["lr"] = 3e-3 * s
        adam.step()
        muon.step(s)
        model.zero_grad(set_to_none=True)
        steps, tokens, mean = steps + 1, tokens + sum(len(a) for a, _ in docs), mean + total / n
        if steps % 25 == 0:
            val = validate(model, check, auto) if steps % 200 == 0 else ""
            log.writerow([steps, tokens, round(time.time() - start), round(s, 3), round(mean / 25, 4), val and round(val, 4)])
            print(steps, tokens, round(tokens / (time.time() - start)), "tok/s", round(mean / 25, 4), val, flush=True)
            mean = 0
        if time.time() - saved > 180:
            save(model, args.folder)
            saved = time.time()
    save(model, args.folder)
    val = validate(model, check, auto)
    log.writerow([steps, tokens, round(time.time() - start), 0, "", round(val, 4)])
    print("done", steps, tokens, round(time.time() - start), "s", val, flush=True)


if __name__ == "__main__":
    main()
