"""Conversations as token ids with the positions to learn: chat_template.jinja in Python.

check.py holds the two to each other."""
import json

EMPTY = "<think>\n\n</think>\n\n"


def dumps(v):
    return json.dumps(v, ensure_ascii=False)


def call_text(call):
    f = call["function"]
    return '<tool_call>\n{"name": "%s", "arguments": %s}\n</tool_call>' % (f["name"], dumps(f["arguments"]))


def answer_text(message):
    parts = [message["content"]] if message["content"] else []
    return "\n".join(parts + [call_text(c) for c in message.get("tool_calls", [])])


def marks(message, text):
    """For each letter of an answer with parts whether it is learnt; the end is not where the last part is given."""
    out = [learn for part, learn in message["parts"] for _ in part]
    return out + [out[-1]] * (len(text) - len(out))


def segments(messages, tools=None, thought=None):
    """Pieces (text, learn) of a whole conversation; thought belongs to the last answer.

    learn is a list, one for each letter, where the answer has parts that are given."""
    out, i = [], 0
    system = ""
    if messages[0]["role"] == "system":
        system, i = messages[0]["content"], 1
    if tools:
        if system:
            system += "\n\n"
        system += "# Tools\n<tools>\n" + "\n".join(dumps(t) for t in tools) + "\n</tools>"
    if system:
        out.append((f"<|im_start|>system\n{system}<|im_end|>\n", False))
    for n in range(i, len(messages)):
        m = messages[n]
        if m["role"] == "user":
            out.append((f"<|im_start|>user\n{m['content']}<|im_end|>\n", False))
        elif m["role"] == "tool":
            first = messages[n - 1]["role"] != "tool"
            last = n + 1 == len(messages) or messages[n + 1]["role"] != "tool"
            out.append((("<|im_start|>user\n" if first else "\n") + f"<tool_response>\n{m['content']}\n</tool_response>" + ("<|im_end|>\n" if last else ""), False))
        else:
            text = answer_text(m) + "<|im_end|>"
            if thought and n == len(messages) - 1:
                out += [("<|im_start|>assistant\n", False), (f"<think>\n{thought}\n</think>\n\n" + text, True)]
            else:
                out += [("<|im_start|>assistant\n" + EMPTY, False), (text, marks(m, text) if "parts" in m else True)]
            out.append(("\n", False))
    return out


def encode(tok, doc):
    """Token ids of a document of chats.sample and which of them are to be predicted."""
    messages, tools, thought, _ = doc
    if isinstance(messages, str):
        ids = tok.encode(messages) + [tok.token_to_id("<|endoftext|>")]
        return ids, [True] * len(ids)
    ids, learn = [], []
    for text, wanted in segments(messages, tools, thought):
        # Pieces meet at added tokens or at a newline behind one, so encoding them
        # apart gives the ids of the whole.
        if isinstance(wanted, list):
            for at, piece in tok.pieces(text):
                ids += piece
                learn += [wanted[at]] * len(piece)
            continue
        piece = tok.encode(text)
        ids += piece
        learn += [wanted] * len(piece)
    return ids, learn
