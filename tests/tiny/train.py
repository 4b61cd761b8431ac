"""Trains builtin:tiny.

Usage: train.py FOLDER --seconds N | --steps N [--device cuda --workers 14] [--seed 7] [--resume]

FOLDER holds tokenizer.json; it gets state.pt (every minute and at the end) and
loss-SEED.csv. With --resume it begins with the state.pt that is there. The learning rate is
constant for a part of the given time or steps and then falls in a line to zero at its end, so
the end always is a finished model."""
import argparse
import copy
import csv
import os
import random
import time

import torch

import bpe
import feed
import net


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
        self.groups = [(ps, torch.zeros(len(ps), *ps[0].shape, device=ps[0].device)) for ps in shapes.values()]

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


def progress(args, start, steps):
    """The share of the training that is done."""
    return steps / args.steps if args.steps else (time.time() - start) / max(args.seconds, 1)


class Half:
    """A model's copy in bf16, which computes: its gradients go to the model, whose weights come to it."""

    def __init__(self, model):
        self.net = copy.deepcopy(model).bfloat16()
        pairs = [(p, q) for p, q in zip(model.parameters(), self.net.parameters()) if p.requires_grad]
        self.wide, self.narrow = [p for p, _ in pairs], [q for _, q in pairs]
        for p in self.wide:
            p.grad = torch.zeros_like(p)

    @torch.no_grad()
    def give(self):
        torch._foreach_copy_([p.grad for p in self.wide], [q.grad for q in self.narrow])
        torch._foreach_zero_([q.grad for q in self.narrow])

    @torch.no_grad()
    def take(self):
        torch._foreach_copy_(self.narrow, self.wide)


def tensors(group, device):
    if device == "cpu":
        return [torch.from_numpy(a).long() for a in group]
    return [torch.from_numpy(a).pin_memory().to(device, non_blocking=True).long() for a in group]


def backward(half, batch, device):
    """The gradients of a batch; returns its mean loss as a tensor."""
    groups, _, n = batch
    total = torch.zeros((), device=device)
    for g in [tensors(g, device) for g in groups]:
        loss = half.net.loss(*g)
        (loss / n).backward()
        total += loss.detach() / n
    half.give()
    return total


@torch.no_grad()
def validate(half, batch, device):
    return sum(half.net.loss(*tensors(g, device)).item() for g in batch[0]) / batch[2]


def save(state, path):
    torch.save({k: v.float().cpu() for k, v in state.items()}, path + ".tmp")
    os.replace(path + ".tmp", path)


def options(**defaults):
    ap = argparse.ArgumentParser()
    ap.add_argument("folder")
    ap.add_argument("--seconds", type=float, default=3000)
    ap.add_argument("--steps", type=int)
    ap.add_argument("--seed", type=int)
    ap.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    ap.add_argument("--workers", type=int, default=1)
    ap.add_argument("--batch", type=int, help="tokens of a step")
    ap.add_argument("--group", type=int, help="tokens that are computed at once")
    ap.add_argument("--lr", type=float)
    ap.set_defaults(**defaults)
    return ap


class Log:
    """Mean losses as CSV and on the screen."""

    def __init__(self, path, start):
        self.file = open(path, "w", newline="")
        self.out, self.start = csv.writer(self.file), start
        self.out.writerow(["step", "tokens", "seconds", "loss", "held_out_loss"])
        self.mean = self.n = 0

    def add(self, loss):
        self.mean, self.n = self.mean + loss, self.n + 1

    def write(self, steps, tokens, held=None):
        loss = round(float(self.mean) / self.n, 4) if self.n else ""
        self.out.writerow([steps, tokens, round(time.time() - self.start), loss, "" if held is None else round(held, 4)])
        self.file.flush()
        print(steps, tokens, f"{time.time() - self.start:.0f} s", loss, held or "", flush=True)
        self.mean = self.n = 0


def main():
    ap = options(seed=7, lr=.02, batch=4096, group=2048)
    ap.add_argument("--resume", action="store_true")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    path = os.path.join(args.folder, "tokenizer.json")
    state = os.path.join(args.folder, "state.pt")
    source = feed.Feed(args.seed, args.workers, path, args.batch, args.group)
    check = feed.batch(random.Random(args.seed + 1000), bpe.BPE(path), 100_000 if args.device == "cuda" else 10_000, args.group)
    if args.device == "cpu":
        torch.set_num_threads(1)
    model = net.Net()
    if args.resume:
        model.load_state_dict(torch.load(state))
    model.to(args.device)
    half = Half(model)
    print(sum(p.numel() for p in model.parameters()), "parameters", flush=True)
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    muon = Muon(matrices, args.lr)
    adam = torch.optim.AdamW(rest, lr=3e-3, betas=(.9, .95), weight_decay=0, fused=args.device == "cuda")
    steps = tokens = 0
    start = saved = time.time()
    log = Log(os.path.join(args.folder, f"loss-{args.seed}.csv"), start)
    while (at := progress(args, start, steps)) < 1:
        s = min(1, (steps + 1) / 40) * min(1, (1 - at) / .6)
        batch = source.next()
        log.add(backward(half, batch, args.device))
        for g in adam.param_groups:
            g["lr"] = 3e-3 * s
        adam.step()
        muon.step(s)
        half.take()
        steps, tokens = steps + 1, tokens + batch[1]
        if steps % 50 == 0:
            log.write(steps, tokens, validate(half, check, args.device) if steps % 400 == 0 else None)
        if time.time() - saved > 60:
            save(model.state_dict(), state)
            saved = time.time()
    source.close()
    save(model.state_dict(), state)
    log.write(steps, tokens, validate(half, check, args.device))
    print("done:", source.fresh, "of", steps, "batches were new", flush=True)


if __name__ == "__main__":
    main()
