"""Writes dequantize.json: random blocks of every format and the float32 values that
the Python package gguf (0.19.0, numpy) reads from them. Run: python golden.py"""

import json
import os

import gguf
import numpy as np

rng = np.random.default_rng(20261123)


def scale(kind):
    """A finite f16 as two bytes: usual, negative, subnormal or zero."""
    value = {0: rng.normal(0, 0.02), 1: -abs(rng.normal(0, 3)), 2: 3e-6, 3: 0.0}[kind]
    return np.frombuffer(np.float16(value).tobytes(), np.uint8)


# format: positions of the f16 scales in a block
scales = {
    "F16": [0], "BF16": [], "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0],
    "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
cases = []
for name, positions in scales.items():
    kind = gguf.GGMLQuantizationType[name]
    elems, size = gguf.GGML_QUANT_SIZES[kind]
    if elems == 1:  # plain floats: every sixteenth finite pattern
        bits = np.arange(0, 1 << 16, 16, dtype=np.uint16) + 5
        exponent = 0x7C00 if name == "F16" else 0x7F80
        bits = bits[(bits & exponent) != exponent]
        blocks = np.frombuffer(bits[:: len(bits) // 256].tobytes(), np.uint8)
    else:
        rows = []
        for k in range(4 if elems == 32 else 2):
            row = rng.integers(0, 256, size, dtype=np.uint8)
            for i, at in enumerate(positions):
                row[at : at + 2] = scale((k + i) % 4)
            rows.append(row)
        blocks = np.concatenate(rows)
    values = gguf.quants.dequantize(blocks, kind).astype("<f4")
    cases.append({"type": name, "blocks": blocks.tobytes().hex(), "values": values.tobytes().hex()})

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dequantize.json")
with open(path, "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
