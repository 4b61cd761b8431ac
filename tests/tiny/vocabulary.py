"""Makes tokenizer.json: a byte-level BPE of 2,048 entries, learnt from the corpus.

Usage: vocabulary.py OUT/tokenizer.json"""
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import chats
import render

SIZE = 2048
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKERS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def texts(n):
    r = random.Random(1)
    for i in range(n):
        messages, tools, thought, _ = chats.sample(r)
        text = messages if isinstance(messages, str) else "".join(t for t, _ in render.segments(messages, tools, thought))
        for marker in SPECIAL + MARKERS:
            text = text.replace(marker, "\n")
        yield text.upper() if i % 8 == 0 else text


def main(out):
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    tok.train_from_iterator(texts(16000), trainers.BpeTrainer(
        vocab_size=SIZE - len(SPECIAL) - len(MARKERS), initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    tok.add_tokens([AddedToken(t, normalized=False, special=False) for t in MARKERS])
    assert tok.get_vocab_size() == SIZE, tok.get_vocab_size()
    tok.save(out)


if __name__ == "__main__":
    main(sys.argv[1])
