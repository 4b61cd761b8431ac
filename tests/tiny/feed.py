"""Batches of documents, made by processes beside the training."""
import multiprocessing
import queue
import random

import numpy as np

import bpe
import chats
import render


def groups(docs, size):
    """Documents sorted by length, in groups of about size tokens with padding, as arrays:
    ids [b, t], the flat places behind which a token is predicted, and these tokens."""
    docs = sorted(docs, key=lambda d: len(d[0]))
    out, group = [], []
    for d in docs:
        if group and (len(group) + 1) * len(d[0]) > size:
            out.append(group)
            group = []
        group.append(d)
    return [arrays(g) for g in out + [group]]


def arrays(group):
    t = -(-max(len(ids) for ids, _ in group) // 8) * 8
    ids, learn = np.zeros((len(group), t), np.int32), np.zeros((len(group), t), bool)
    for i, (a, b) in enumerate(group):
        ids[i, :len(a)] = a
        learn[i, :len(b)] = b
    learn[:, 0] = False
    places = np.flatnonzero(learn)
    return ids, (places - 1).astype(np.int32), ids.ravel()[places]


def batch(r, tok, tokens, size, name=None, limit=1024):
    """One step's groups with its number of tokens and of predicted tokens."""
    docs, n = [], 0
    while n < tokens:
        d = render.encode(tok, chats.adapted(r, name) if name else chats.sample(r))
        if len(d[0]) <= limit and any(d[1][1:]):
            docs.append(d)
            n += len(d[0])
    gs = groups(docs, size)
    return gs, n, sum(len(want) for _, _, want in gs)


def work(out, seed, path, args):
    r, tok = random.Random(seed), bpe.BPE(path)
    while True:
        out.put(batch(r, tok, *args))


class Feed:
    """Batches from processes; while none is ready an earlier one again."""

    def __init__(self, seed, workers, path, *args, keep=400):
        self.q, self.old, self.keep, self.fresh, self.r = multiprocessing.Queue(2 * workers), [], keep, 0, random.Random(seed)
        self.workers = [multiprocessing.Process(target=work, args=(self.q, f"{seed} {i}", path, args), daemon=True) for i in range(workers)]
        for w in self.workers:
            w.start()

    def next(self):
        try:
            b = self.q.get(block=len(self.old) < min(16, self.keep))
        except queue.Empty:
            return self.r.choice(self.old)
        self.fresh += 1
        self.old = (self.old + [b])[-self.keep:]
        return b

    def close(self):
        for w in self.workers:
            w.terminate()
