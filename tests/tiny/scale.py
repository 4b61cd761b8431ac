"""Multiplies the embedding of one token, which is its output row too.

Usage: scale.py STATE.pt TOKENIZER.json TOKEN FACTOR"""
import sys

import torch
from tokenizers import Tokenizer


def main(path, tokenizer, token, factor):
    state = torch.load(path)
    state["model.embed_tokens.weight"][Tokenizer.from_file(tokenizer).token_to_id(token)] *= float(factor)
    torch.save(state, path)


if __name__ == "__main__":
    main(*sys.argv[1:])
