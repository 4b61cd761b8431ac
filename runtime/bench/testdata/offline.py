# Draws the goldens of offline.json with CPython's generator:
#   python3 testdata/offline.py > testdata/offline.json
import hashlib
import json
import random
import struct

cases = []
for seed, n in [(0, 256), (1, 20), (42, 64), (4294967295, 8)]:
    random.seed(seed)
    prompts = []
    for _ in range(n):
        length = random.randint(100, 1024)
        prompts.append([random.randint(0, 10000) for _ in range(length)])
    lengths = [random.randint(100, 1024) for _ in range(n)]
    digest = hashlib.sha256(b"".join(struct.pack("<I", t) for p in prompts for t in p))
    cases.append({"seed": seed, "n": n, "input": sum(map(len, prompts)), "output": sum(lengths), "sha256": digest.hexdigest(),
                  "input_lengths": [len(p) for p in prompts], "output_lengths": lengths})
print("[" + ",\n".join(json.dumps(c) for c in cases) + "]")
