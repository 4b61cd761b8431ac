"""Writes smollm2-reference.json: what transformers says about SmolLM2-135M-Instruct
Q4_1 with its weights dequantised to float32, eager attention.

    python make_smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf smollm2-reference.json

For each prompt: its token ids and, for 32 greedy steps, the chosen id, the margin
(top-1 minus top-2 log-probability) and the 20 most likely ids with their
log-probabilities. The log-softmax is taken in float64 over the float32 logits.
"""

import hashlib
import json
import os
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

STEPS, TOP = 32, 20

CHATS = [
    [{"role": "user", "content": "List 3 countries and their capitals."}],
    [{"role": "user", "content": "What is the boiling point of water at sea level?"}],
    [
        {"role": "system", "content": "You answer in one short sentence."},
        {"role": "user", "content": "Why do leaves turn red in autumn?"},
    ],
    [
        {"role": "user", "content": "My name is Ines and I keep bees."},
        {"role": "assistant", "content": "Nice to meet you, Ines! How many hives do you have?"},
        {"role": "user", "content": "Seven. What should I check before winter, and what was my name?"},
    ],
    [{"role": "user", "content": "Schreibe zwei Sätze über einen Leuchtturm an der Nordsee."}],
    [{"role": "user", "content": "Translate to French: The ferry leaves at half past six, but only on Sundays."}],
    [{"role": "user", "content": "Write a Python function that returns the n-th Fibonacci number without recursion."}],
    [
        {
            "role": "user",
            "content": "Summarise this in one sentence.\n\n"
            + "The old railway between the two valleys was closed in 1968, when the last of its steam engines was sold. "
            "For thirty years the tunnel stood empty; bats moved in, and water dripped from the vault onto the rusty rails. "
            "Then a group of neighbours began to clear the track. They worked on Saturdays, without pay, and borrowed a "
            "small diesel engine from a quarry. Children painted the station signs. In the first summer forty people rode "
            "the train; in the tenth there were forty thousand, and the bakery at the upper terminus had to hire three more "
            "hands. The bats were given a new home in the cellar of the old signal box, where a camera lets visitors watch "
            "them without disturbing them. Today the line carries hikers, cyclists and, twice a day, the school class of "
            "the upper village, whose bus had been cancelled for lack of drivers.",
        }
    ],
    [{"role": "user", "content": 'Return only JSON with the keys "name", "age" and "city" for a fictional person.'}],
    [{"role": "user", "content": "日本の首都はどこですか。"}],
]

TEXTS = [
    "The quick brown fox",
    "Once upon a time, in a village by the sea, there lived a clockmaker who",
    "def quicksort(items):\n    if len(items) <= 1:\n        return items\n    pivot = items[0]\n",
    'package main\n\nimport "fmt"\n\nfunc main() {\n\tfor i := 0; i < 10; i++ {\n\t\tfmt.',
    '{"orders": [{"id": 1, "item": "lamp", "price": 19.5}, {"id": 2, "item": "chair", "price": 45.0}, {"id": 3, "item":',
    "Shopping list:\n- milk\n- eggs\n- flour\n- ",
    "1, 1, 2, 3, 5, 8, 13, 21,",
    "La capitale de l'Italie est Rome. La capitale de l'Espagne est Madrid. La capitale du Portugal est",
    "| city | country | population |\n|---|---|---|\n| Oslo | Norway | 700,000 |\n| Bern | Switzerland |",
    "Lighthouses were lit by wood fires before oil lamps were common. A keeper trimmed the wick every four hours, wound the "
    "clockwork that turned the lens, and wrote the weather in a log. Fog was worse than storm: when the beam was lost, a bell "
    "or a horn took its place, and the keeper might not sleep for two days. The lens itself was a marvel. Hundreds of prisms, "
    "ground by hand and set in brass, bent nearly all of the light into one narrow band that could be seen from twenty miles "
    "away. Cleaning it took a whole morning. When electricity came, the keepers stayed on for a while, to watch the machines; "
    "then the machines watched themselves. Many of the towers are now hotels, museums or private houses, and in some of them "
    "the old lens still turns, slowly, for the visitors. The logs have been kept too. They tell of wrecks and rescues, of "
    "birds that struck the glass in spring, of a child born during a gale, and of long weeks in which nothing happened at all. "
    "Historians read them for the weather: no other records cover the coast so closely for so many years. From these pages "
    "they have learned that",
]


def steps(model, ids):
    """Yields the log-probabilities of each greedy step, in float64."""
    out = model(torch.tensor([ids]), use_cache=True)
    for _ in range(STEPS):
        logp = torch.log_softmax(out.logits[0, -1].double(), -1)
        yield logp
        out = model(logp.argmax().view(1, 1), past_key_values=out.past_key_values, use_cache=True)


def record(model, name, ids):
    rows = []
    for logp in steps(model, ids):
        top = torch.topk(logp, TOP)
        rows.append(
            {
                "id": int(top.indices[0]),
                "margin": float(top.values[0] - top.values[1]),
                "ids": top.indices.tolist(),
                "logprobs": [round(x, 9) for x in top.values.tolist()],
            }
        )
    return {"name": name, "prompt": ids, "steps": rows}


def main(path, out):
    folder, name = os.path.split(os.path.abspath(path))
    tok = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    cases = []
    with torch.no_grad():
        for i, messages in enumerate(CHATS):
            text = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            cases.append(record(model, f"chat {i}", tok(text, add_special_tokens=False).input_ids))
        for i, text in enumerate(TEXTS):
            cases.append(record(model, f"text {i}", tok(text, add_special_tokens=False).input_ids))
    with open(path, "rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    made = {"torch": torch.__version__, "transformers": transformers.__version__}
    with open(out, "w") as f:
        json.dump({"model": name, "sha256": digest, "made_with": made, "cases": cases}, f, separators=(",", ":"))
        f.write("\n")
    for c in cases:
        text = tok.decode([s["id"] for s in c["steps"]])
        print(c["name"], len(c["prompt"]), round(min(s["margin"] for s in c["steps"]), 4), repr(text), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
