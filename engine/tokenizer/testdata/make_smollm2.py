"""Writes golden ids for SmolLM2's vocabulary as its GGUF file holds it, made with the
Rust library behind transformers.

    python make_smollm2.py MODEL.gguf FOLDER_WITH_TOKENIZER_DATA > smollm2.jsonl

The library is given SmolLM2's own splitter (single digits, then GPT-2's pattern).
Texts of the reference data are named by set and number only; the others are random.
"""

import json
import pathlib
import random
import sys

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

reader = gguf.GGUFReader(sys.argv[1])
tokens, merges, types = (reader.fields["tokenizer.ggml." + k].contents() for k in ("tokens", "merges", "token_type"))
tok = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]))
tok.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
)
tok.decoder = decoders.ByteLevel()
tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, types) if k == 3])

data = pathlib.Path(sys.argv[2])
texts = []
for line in (data / "goldens-4-families.jsonl").read_text(encoding="utf-8").splitlines():
    g = json.loads(line)
    if g["tokenizer"] == "qwen3":
        texts.append((g["set"], g["i"], g["text"], False))

rnd = random.Random(2)
words = (
    "the of World don't I'm we'LL it'S 'tis camelCase HTTPServer foo_bar 3.14 1234567 2025-07-04 ½ Ⅷ ١٢٣ naïve e\u0301 "
    "Größe ß 日本語 한국어 ภาษา Привет العربية 😀 👩‍👩‍👧 -> => != // /* ... !!! ( ) [x] {y} <|im_start|> <|im_end|> "
    "<file_sep> <| |> \u200b \u00a0 \u3000 \u0085 \u2028 \x00 \x13 \x7f \ufeff"
).split(" ")
blanks = [" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", ""]
for i in range(160):
    text = "".join(rnd.choice(words) + rnd.choice(blanks) for _ in range(rnd.randint(1, 20)))
    texts.append(("random", i, text, True))

for set_, i, text, own in texts:
    out = {"set": set_, "i": i, "ids": tok.encode(text, add_special_tokens=False).ids}
    if own:
        out["text"] = text
    print(json.dumps(out, ensure_ascii=False))
