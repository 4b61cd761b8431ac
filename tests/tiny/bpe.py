"""tokenizer.json in plain Python: the splits are few and repeat, so a table of known
splits makes it fast. check.py holds it to the tokenizers package on the corpus."""
import json
import re

# The split pattern of vocabulary.py in the words of Python's re.
SPLIT = re.compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|(?:[^\r\n\w]|_)?[^\W\d_]+|\d| ?(?:[^\s\w]|_)+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_letters():
    """The letter that stands for each byte in byte-level BPE."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out, n = {b: chr(b) for b in keep}, 256
    for b in range(256):
        if b not in out:
            out[b] = chr(n)
            n += 1
    return out


class BPE:
    def __init__(self, path):
        data = json.load(open(path))
        self.vocab = data["model"]["vocab"]
        self.rank = {tuple(m if isinstance(m, list) else m.split(" ")): i for i, m in enumerate(data["model"]["merges"])}
        self.added = {t["content"]: t["id"] for t in data["added_tokens"]}
        self.cut = re.compile("(" + "|".join(map(re.escape, self.added)) + ")")
        self.letters, self.known = byte_letters(), {}

    def token_to_id(self, token):
        return self.added.get(token, self.vocab.get(token))

    def piece(self, text):
        ids = self.known.get(text)
        if ids is None:
            ids = self.merge([self.letters[b] for b in text.encode()])
            if len(self.known) < 2_000_000:
                self.known[text] = ids
        return ids

    def merge(self, parts):
        while len(parts) > 1:
            best = min(zip(parts, parts[1:]), key=lambda p: self.rank.get(p, 1 << 30))
            if best not in self.rank:
                break
            out, i = [], 0
            while i < len(parts):
                if i + 1 < len(parts) and (parts[i], parts[i + 1]) == best:
                    out.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    out.append(parts[i])
                    i += 1
            parts = out
        return [self.vocab[p] for p in parts]

    def pieces(self, text):
        """Ids of each split with the place where it begins."""
        at = 0
        for part in self.cut.split(text):
            if part in self.added:
                yield at, [self.added[part]]
            else:
                for m in SPLIT.finditer(part):
                    yield at + m.start(), self.piece(m.group())
            at += len(part)

    def encode(self, text):
        return [i for _, ids in self.pieces(text) for i in ids]
