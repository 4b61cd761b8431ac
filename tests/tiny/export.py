"""Writes what training left as a model in Hugging Face's form and adapters in PEFT's.

Usage: export.py FOLDER OUT

OUT/tiny, OUT/tiny-upper and OUT/tiny-json appear; adapters only if they are trained.
OUT/tiny/chat_template.jinja is written by hand and must be there."""
import json
import os
import shutil
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

import adapt
import chats
import net


def write(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


def model(folder, out):
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    end, text = tok.token_to_id("<|im_end|>"), tok.token_to_id("<|endoftext|>")
    shutil.copy(os.path.join(folder, "tokenizer.json"), os.path.join(out, "tokenizer.json"))
    write(os.path.join(out, "config.json"), net.CONFIG | {"eos_token_id": end, "pad_token_id": text})
    write(os.path.join(out, "generation_config.json"), {"do_sample": True, "temperature": 0.3, "eos_token_id": [end, text], "pad_token_id": text})
    write(os.path.join(out, "tokenizer_config.json"), {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": net.CONFIG["max_position_embeddings"], "bos_token": None,
        "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None, "add_bos_token": False, "clean_up_tokenization_spaces": False})
    state = torch.load(os.path.join(folder, "state.pt"))
    save_file({k: v.to(torch.bfloat16).contiguous() for k, v in state.items()}, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})


def adapter(folder, name, out):
    state = torch.load(os.path.join(folder, name + ".pt"))
    os.makedirs(out, exist_ok=True)
    save_file({"base_model.model." + k + ".weight": v.to(torch.bfloat16).contiguous() for k, v in state.items()},
              os.path.join(out, "adapter_model.safetensors"), metadata={"format": "pt"})
    write(os.path.join(out, "adapter_config.json"), {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "builtin:tiny", "r": adapt.RANK, "lora_alpha": adapt.ALPHA,
        "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True, "use_rslora": False,
        "use_dora": False, "modules_to_save": None,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]})


def main(folder, out):
    model(folder, os.path.join(out, "tiny"))
    for name in sorted(chats.CHANGES):
        if os.path.exists(os.path.join(folder, name + ".pt")):
            adapter(folder, name, os.path.join(out, "tiny-" + name))


if __name__ == "__main__":
    main(*sys.argv[1:3])
