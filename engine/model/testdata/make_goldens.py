"""Makes the tiny random models of this folder and what transformers computes with them.

    python make_goldens.py [NAME ...]

Each folder holds config.json and model.safetensors (float32, fixed seed), and
golden.json: versions, prompts of 1, 7, 33 and 130 tokens and 64 greedy ids after
each. logits.bin.gz are the logits of every position of every prompt, little-endian
float32, [sum of prompt lengths, vocab], eager attention on the CPU.

Weights are drawn wider than the usual initialisation, so that attention is not
flat, norms are not all ones, and the greedy margins are far above rounding.
"""

import gzip
import json
import os
import sys

import torch
import transformers
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
VOCAB = 397
LENGTHS = [1, 7, 33, 130]
NEW = 64
MARGIN = 6e-4  # smallest allowed greedy margin, relative to the largest logit

COMMON = dict(vocab_size=VOCAB, bos_token_id=1, eos_token_id=2, pad_token_id=None, torch_dtype="float32")

CONFIGS = {
    # Llama 3.x rope scaling that keeps, blends and divides frequencies; tied head.
    "llama3": LlamaConfig(
        **COMMON, hidden_size=64, intermediate_size=112, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=64)),
    "llama-untied": LlamaConfig(
        **COMMON, hidden_size=48, intermediate_size=88, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=3, max_position_embeddings=512, rms_norm_eps=0.02, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=500000.0)),
    "llama-linear-bias": LlamaConfig(
        **COMMON, hidden_size=36, intermediate_size=70, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
        attention_bias=True, mlp_bias=True,
        rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
    "mistral": MistralConfig(
        **COMMON, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=8,
        num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=False,
        sliding_window=20, rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
    # Windows in the last layer only; no size is a multiple of 32.
    "qwen2": Qwen2Config(
        **COMMON, hidden_size=60, intermediate_size=100, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-6, tie_word_embeddings=True,
        use_sliding_window=True, sliding_window=17, max_window_layers=2,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
    # head_dim is not hidden / heads. An eps this large cannot be forgotten unnoticed.
    "qwen3": Qwen3Config(
        **COMMON, hidden_size=56, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=24, max_position_embeddings=512, rms_norm_eps=0.01,
        tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
}


def fill(model, seed):
    gen = torch.Generator().manual_seed(seed)
    done = set()
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if p.data_ptr() in done:
                continue
            done.add(p.data_ptr())
            x = torch.randn(p.shape, generator=gen)
            if "norm" in name:
                p.copy_(1 + 0.2 * x)
            elif name.endswith("bias"):
                p.copy_(0.3 * x)
            elif "embed" in name:
                p.copy_(x)
            else:
                wide = 4 if "o_proj" in name or "down_proj" in name else 1.3
                p.copy_(wide * x / p.shape[1] ** 0.5)


def greedy(model, ids):
    """Returns NEW greedy ids and the smallest relative margin on the way."""
    out, new, worst = list(ids), [], float("inf")
    for _ in range(NEW):
        logits = model(torch.tensor([out])).logits[0, -1]
        top = torch.topk(logits, 2).values
        worst = min(worst, float((top[0] - top[1]) / logits.abs().max()))
        if worst < MARGIN:
            break
        new.append(int(logits.argmax()))
        out.append(new[-1])
    return new, worst


def attempt(config, name, seed):
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    fill(model, seed)
    gen = torch.Generator().manual_seed(seed + 1000)
    cases, logits, worst = [], [], float("inf")
    for n in LENGTHS:
        ids = torch.randint(3, VOCAB, (n,), generator=gen).tolist()
        logits.append(model(torch.tensor([ids])).logits[0])
        new, margin = greedy(model, ids)
        worst = min(worst, margin)
        if worst < MARGIN:
            break
        cases.append({"prompt": ids, "greedy": new, "margin": round(margin, 6)})
    return model, cases, torch.cat(logits), worst


def make(name):
    for seed in range(1, 200):
        with torch.no_grad():
            model, cases, logits, worst = attempt(CONFIGS[name], name, seed)
        if worst >= MARGIN:
            break
    else:
        raise SystemExit(f"{name}: no seed gives greedy margins of {MARGIN}")
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    model.save_pretrained(folder)
    extra = os.path.join(folder, "generation_config.json")
    if os.path.exists(extra):
        os.remove(extra)
    made = {"torch": torch.__version__, "transformers": transformers.__version__, "attention": "eager", "seed": seed}
    with open(os.path.join(folder, "golden.json"), "w") as f:
        json.dump({"made_with": made, "cases": cases}, f, separators=(",", ":"))
        f.write("\n")
    with open(os.path.join(folder, "logits.bin.gz"), "wb") as f:
        f.write(gzip.compress(logits.numpy().astype("<f4").tobytes(), 9, mtime=0))
    print(name, "seed", seed, "margin", round(worst, 5), "distinct", [len(set(c["greedy"])) for c in cases], "parameters", model.num_parameters(), "max logit", float(logits.abs().max()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or CONFIGS:
        make(name)
