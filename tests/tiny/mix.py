"""Averages two states of one training: OUT = (1 - SHARE)·LAST + SHARE·FIRST.

Usage: mix.py LAST.pt FIRST.pt SHARE OUT.pt"""
import sys

import torch


def main(last, first, share, out):
    a, b, share = torch.load(last), torch.load(first), float(share)
    torch.save({k: (1 - share) * a[k] + share * b[k] for k in a}, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
