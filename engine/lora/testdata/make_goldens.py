"""Makes the adapters of this folder and what peft and transformers compute with them.

    python make_goldens.py

Needs torch, transformers and peft. The base models are those of engine/model/testdata. Each
folder holds adapter_config.json and adapter_model.safetensors as peft writes them (float32,
fixed seed, both factors random), and golden.json: the base model's name, versions, a prompt
and the logits of its last position with the adapter, from the CPU.
"""

import json
import os

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "..", "model", "testdata")
PROMPT = [1, 17, 230, 5, 99, 396, 42, 42, 7, 311, 64]

ADAPTERS = {
    # The usual kind: two projections.
    "plain": ("llama3", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    # Every product, scaled by the root of the rank, other ranks and alphas for some.
    "patterns": ("llama3", dict(
        r=6, lora_alpha=5, use_rslora=True, target_modules="all-linear",
        rank_pattern={"layers.1.mlp.down_proj": 3, "o_proj": 9}, alpha_pattern={"layers.0.*gate_proj": 11, "k_proj": 2})),
    # Some layers only; a rank that is not a multiple of anything.
    "layers": ("qwen3", dict(r=7, lora_alpha=16, target_modules=["k_proj", "o_proj", "up_proj"], layers_to_transform=[0, 2])),
    "biased": ("qwen2", dict(r=5, lora_alpha=10, target_modules=["q_proj", "k_proj", "v_proj", "down_proj"])),
}


def make(name, base, options, seed):
    model = transformers.AutoModelForCausalLM.from_pretrained(os.path.join(MODELS, base), torch_dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter, p in sorted(model.named_parameters()):
            if "lora_" in parameter:
                p.copy_(torch.randn(p.shape, generator=gen) * 0.3)
        logits = model(torch.tensor([PROMPT])).logits[0, -1]
    folder = os.path.join(HERE, name)
    model.save_pretrained(folder)
    config = os.path.join(folder, "adapter_config.json")
    with open(config) as f:
        saved = json.load(f)
    saved["base_model_name_or_path"] = base  # and no path of the machine that made it
    saved["target_modules"] = sorted(saved["target_modules"])
    with open(config, "w") as f:
        json.dump(saved, f, indent=1, sort_keys=True)
        f.write("\n")
    if os.path.exists(os.path.join(folder, "README.md")):
        os.remove(os.path.join(folder, "README.md"))
    with open(os.path.join(folder, "golden.json"), "w") as f:
        json.dump({
            "base": base, "peft": peft.__version__, "transformers": transformers.__version__, "torch": torch.__version__.split("+")[0],
            "prompt": PROMPT, "logits": [round(float(x), 6) for x in logits],
        }, f)
        f.write("\n")


for seed, (name, (base, options)) in enumerate(ADAPTERS.items()):
    make(name, base, options, seed)
