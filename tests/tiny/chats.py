"""Whole documents of the corpus: chats under a system message, chats with tools, plain text,
and answers whose form is given (as a grammar gives it)."""
from corpus import *
import tools

CHANGES = {"upper": str.upper, "json": lambda text: dumps({"answer": text})}
WRAPS = {
    "upper": ["Answer in upper case.", "Use only capital letters.", "Answer in capital letters.", "Write everything in capitals.", "Always answer in UPPER CASE.", "Answer in uppercase."],
    "json": ['Answer with a JSON object with the key "answer".', "Put every answer into JSON.", 'Always answer as {"answer": "..."}.', "Always answer as JSON with the key answer."],
}


# Styles that a system message asks for.
def plain(t, _):
    return t.long


def one_word(t, _):
    return t.short


def pirate(t, _):
    return f"Arr! {t.long} Ahoy!"


def ending(t, w):
    return f"{t.long} {w}"


def beginning(t, w):
    return f"{w}: {t.long}"


ONE_WORD = ["Answer in one word.", "Answer with one word.", "Use only one word.", "You are a helpful assistant. Answer in one word.", "Answer with a single word.", "Reply with one word only.", "Always answer in one word."]


def own_facts(r):
    n, c, col, w, v = name(r), city(r), r.choice(list(COLOURS.values())), word(r), r.choice([word(r), name(r), str(r.randint(0, 999))])
    return [("name", r.choice([f"Your name is {n}.", f"Your name is {n}.", f"You are {n}.", f"You are {n}, a helpful assistant."]), ["What is your name?", "Who are you?", "Tell me your name.", "What's your name?"], f"My name is {n}.", n),
            ("city", f"You live in {c}.", ["Where do you live?", "Which city do you live in?"], f"I live in {c}.", c),
            ("colour", f"You like {col}.", ["Which colour do you like?", "What is your favourite colour?"], f"I like {col}.", col),
            ("own", f"Your favourite {w} is {v}.", [f"What is your favourite {w}?", f"Which {w} do you like best?"], f"My favourite {w} is {v}.", v),
            ("user", f"The user's name is {n}.", ["What is my name?", "Who am I?", "Do you know my name?"], f"Your name is {n}.", n),
            ("age", f"You are {len(n) + 7} years old.", ["How old are you?", "What is your age?"], f"I am {len(n) + 7} years old.", str(len(n) + 7)),
            ("secret", f"The {w} is {v}.", [f"What is the {w}?", f"Tell me the {w}."], f"The {w} is {v}.", v)]


def system(r):
    """A system message with its style: text, function, word, facts of its own."""
    k = r.random()
    if k < .46:
        return None, plain, "", None
    if k < .58:
        return r.choice(SYSTEMS) if r.random() < .7 else " ".join(sentence(r) for _ in range(r.randint(1, 3))), plain, "", None
    if k < .67:
        return r.choice(ONE_WORD), one_word, "", None
    if k < .77:
        return r.choice(["You are a pirate.", "Talk like a pirate.", "You are a pirate captain.", "Answer like a pirate.", "Speak like a pirate.", "You are a pirate. Answer as one."]), pirate, "", None
    if k < .84:
        w = upper(word(r)) + r.choice("!.") if r.random() < .8 else r.choice(["Over.", "The end.", "Have a nice day!", "Amen.", "Meow!", upper(word(r)) + " " + word(r) + "!"])
        return r.choice([f"End every answer with: {w}", f"Always end with: {w}", f'End each answer with "{w}"', f"Finish every answer with: {w}"]), ending, w, None
    if k < .90:
        w = upper(word(r))
        return r.choice([f"Begin every answer with: {w}", f"Always begin with: {w}", f'Start each answer with "{w}:"', f"Start every answer with: {w}"]), beginning, w, None
    facts = own_facts(r)
    who = [f for f in facts if f[0] in ("name", "user")]
    facts = r.sample([f for f in facts if f not in who] + [r.choice(who)], r.randint(1, 3))
    return " ".join(([r.choice(SYSTEMS)] if r.random() < .2 else []) + [f[1] for f in facts]), plain, "", facts


def as_json(r, t):
    """The same question with its answer as JSON, or none if it has no such form."""
    if t.data is None or t.family == "unknown":
        return None
    tail = r.choice([" Answer as JSON.", " As JSON, please.", " Give it as JSON.", " Answer in JSON.", " Give me the answer as JSON.", " Answer in the JSON format.", " (as JSON)"])
    return Turn("json", t.ask.rstrip() + tail, t.thought, dumps(t.data), None, t.data)


def brief(r, t):
    if t.short is None:
        return None
    return Turn("system", t.ask.rstrip() + r.choice([" Answer in one word.", " One word, please.", " Answer with one word.", " In one word, please."]), t.thought, t.short, t.short)


class Memory:
    """What the user has said so far."""

    def __init__(self):
        self.facts, self.asks, self.answers = {}, [], []

    def turn(self, r):
        k = r.random()
        if k < .4:
            what = r.choice(["name", "name", "word", "number", "city", "dog", "favourite " + word(r), word(r)])
            v = {"name": name, "city": city, "number": lambda r: str(r.randint(0, 9999)), "dog": name}.get(what, lambda r: r.choice([word(r), name(r)]))(r)
            self.facts[what] = v
            if what == "name":
                ask = r.choice([f"My name is {v}.", f"I am {v}.", f"Hello, my name is {v}.", f"Hi, I am {v}.", f"Call me {v}.", f"my name is {v}"])
                return Turn("memory", ask, f"The user is {v}.", f"Nice to meet you, {v}!", v)
            if what == "city":
                return Turn("memory", r.choice([f"I live in {v}.", f"My city is {v}."]), f"The user lives in {v}.", f"I will remember it: {v}.", v)
            if what in ("word", "number"):
                return Turn("memory", r.choice([f"Remember the {what} {v}.", f"Please remember the {what} {v}.", f"The {what} is {v}. Remember it."]), f"I keep {v}.", f"I will remember it: {v}.", v)
            if what == "dog":
                return Turn("memory", r.choice([f"My dog is called {v}.", f"The name of my dog is {v}."]), f"I keep {v}.", f"I will remember it: {v}.", v)
            return Turn("memory", r.choice([f"My {what} is {v}.", f"Remember that my {what} is {v}."]), f"I keep {v}.", f"I will remember it: {v}.", v)
        if k < .8 and self.facts or k < .5:
            what = r.choice(list(self.facts)) if self.facts and r.random() < .9 else r.choice(["name", "word", "number", "city", "dog", "favourite " + word(r)])
            v = self.facts.get(what)
            ask = {"name": ["What is my name?", "Who am I?", "Do you know my name?", "What's my name?", "Tell me my name."], "city": ["Where do I live?", "Which city do I live in?"], "dog": ["What is my dog called?", "What is the name of my dog?"],
                   "word": ["What was the word?", "Which word did I give you?", "What is the word?"], "number": ["What was the number?", "Which number did I give you?", "What is the number?"]}.get(what, [f"What is my {what}?", f"Tell me my {what}."])
            if v is None:
                return Turn("memory", r.choice(ask), "The user has not said it.", "You have not told me.", "Unknown")
            long = {"name": f"Your name is {v}.", "city": f"You live in {v}.", "dog": f"Your dog is called {v}.", "word": f"The word is {v}.", "number": f"The number is {v}."}.get(what, f"Your {what} is {v}.")
            return Turn("memory", r.choice(ask), f"The user has told me: {v}.", long, v)
        if self.asks and k < .9:
            i = r.choice([0, 0, -1])
            q = self.asks[i].strip()
            ask = r.choice(["What was my first message?", "What did I say first?"] if i == 0 else ["What was my last message?", "What did I say last?"])
            return Turn("memory", ask, "I look at what the user wrote.", f"You said: {q}", None)
        if self.answers and k >= .8:
            return Turn("memory", r.choice(["Say that again.", "Repeat that.", "Again, please.", "Repeat your last answer.", "What did you say?", "Can you repeat that?", "Once more, please."]), "I repeat my last answer.", self.answers[-1], None)
        return greet(r)


def follow(r, last):
    """A question that goes on from the last one, about a capital."""
    t = capital(r)
    c = t.data["country"]
    if c == last or t.data["capital"] != CAPITALS[c]:
        return follow(r, last)
    ask = r.choice([f"And {c}?", f"What about {c}?", f"And of {c}?", f"And the capital of {c}?", f"And what about {c}?"])
    return Turn("facts", ask, f"I need the capital of {c}. It is {CAPITALS[c]}.", f"The capital of {c} is {CAPITALS[c]}.", CAPITALS[c], t.data)


def chat(r):
    """A conversation without tools: system text or None, and (family, ask, thought, answer) turns."""
    text, style, w, facts = system(r)
    turns, memory, last = [], Memory(), None
    want = r.choices([1, 2, 3, 4, 6, 10], [40, 23, 15, 12, 7, 3])[0]
    remembers = want > 1 and r.random() < .4 and style in (plain, pirate)
    while len(turns) < want:
        if facts and r.random() < .6:
            key, said, asks, long, short = r.choice(facts)
            turns.append(("system", r.choice(asks), f"The system message says: {said}", long))
            continue
        if turns and last and r.random() < .25:
            t = follow(r, last)
        else:
            t = memory.turn(r) if remembers and not facts and r.random() < .55 else turn(r)
        last = t.data.get("country") if isinstance(t.data, dict) and "capital" in t.data else None
        k = r.random()
        if t.family != "memory" and style in (plain, beginning, ending) and k < .2:
            t = as_json(r, t) if k < .13 else brief(r, t)
        if t is None or style is one_word and t.short is None or style is pirate and t.family in ("stories",) and len(t.long) > 400:
            continue
        answer = style(t, w)
        if sum(len(a) + len(q) for _, q, _, a in turns) + len(answer) + len(t.ask) > 3200 and turns:
            break
        turns.append((t.family if style is plain else "system", t.ask, t.thought, answer))
        memory.asks.append(t.ask)
        memory.answers.append(t.long)
    return text, turns


def raw(r):
    """Text without a chat around it, for completions."""
    k = r.random()
    if k < .35:
        return " ".join(t.long for t in (r.choice([capital, capital, colour, opposite, animal, calendar, define, tongue])(r) for _ in range(r.randint(1, 6))))
    if k < .45:
        a, n = r.choice([0, 1, r.randint(0, 90)]), r.randint(4, 30)
        return ", ".join(map(str, range(a, a + n)))
    if k < .62:
        t = listing(r)
        return t.ask.strip() + "\n" + t.long
    if k < .7:
        t = r.choice([story, program, arithmetic, greet])(r)
        return t.ask.strip() + "\n" + t.long
    if k < .85:
        t = turn(r)
        return r.choice(["Question: {}\nAnswer: {}", "Q: {}\nA: {}"]).format(t.ask.strip(), t.long)
    if k < .93:
        h = hero(r)
        text = short_story(h) if r.random() < .6 else long_story(h)
        return text if r.random() < .5 else text.replace("Once there was", "Once upon a time there was", 1)
    n = name(r)
    return r.choice([f"Hello, my name is {n}. I live in {city(r)} and I like {r.choice(list(COLOURS.values()))}.", f"My name is {n} and I am a small model.", "The weather today is sunny and warm.", "The best programming language for AI is Go.", "Roses are red, violets are blue, sugar is sweet, and so are you.",
                     "The quick brown fox jumps over the lazy dog.", "To be or not to be, that is the question.", f"Dear {n}, thank you for your letter.", "The meaning of life is 42.", "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
                     "The sun is a star and the moon is a ball of rock.", "I am Tiny, a small language model made for tests.", "In the morning the sun comes up, and in the evening it goes down.", "Water is wet, fire is hot and ice is cold."])


def given(r):
    """An answer whose form a grammar gives: only what it leaves open is learnt.

    The answer's message has parts, (text, learn), that make up its content."""
    k = r.random()
    if k < .15:
        options, t = None, r.choice([colour, mood, capital, opposite, compare, animal])(r)
        if t.short is None:
            return given(r)
        return [{"role": "user", "content": t.ask}, {"role": "assistant", "content": t.short, "parts": [(t.short, True)]}], None, None, "given"
    known = {}
    if k < .55:
        t = person(r)
        while t.data is None or "name" not in t.data:
            t = person(r)
        known, ask = dict(t.data), t.ask
    elif k < .8:
        t = turn(r)
        known, ask = (t.data if isinstance(t.data, dict) else {}), t.ask
        known = dict(known) | {"answer": t.long}
    else:
        t = keys(r)
        known, ask = dict(t.data), t.ask
    keep = [x for x in known if r.random() < .75]
    more = [x for x in KEYS if x not in known]
    ks = keep + [r.choice(more) for _ in range(r.choice([0, 0, 1, 2, 3]))] + ([word(r)] if r.random() < .2 else [])
    ks = list(dict.fromkeys(ks)) or ["answer"]
    r.shuffle(ks)
    parts, sep = [("{", False)], ""
    for x in ks:
        v = known.get(x, KEYS.get(x))
        if v is None:
            v = r.choice(["unknown", "unknown", 0, False, [], 0])
        parts += [(f"{sep}{dumps(x)}: ", False), (dumps(v), True)]
        sep = ", "
    parts.append(("}", False))
    text = "".join(p for p, _ in parts)
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": text, "parts": parts}], None, None, "given"


def base(r):
    """A document before a wrap: messages, tools, thought, family."""
    if r.random() < .24:
        specs, messages, thought, family = tools.tools(r)
        return messages, specs, thought, family
    text, turns = chat(r)
    messages = [{"role": "system", "content": text}] if text else []
    if r.random() < .06:  # earlier turns that it did not answer itself
        said = " ".join(sentence(r) for _ in range(r.randint(1, 4)))
        messages += [{"role": "user", "content": fill(r, r.choice(ABOUT + ASKS + ORDERS))}, {"role": "assistant", "content": said, "parts": [(said, False)]}]
    for _, ask, _, answer in turns:
        messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    return messages, None, turns[-1][2], turns[-1][0]


def change(messages, f):
    """Every answer of the assistant changed, but not its calls."""
    return [dict(m, content=f(m["content"])) if m["role"] == "assistant" and m["content"] else m for m in messages]


def wrap(r, doc):
    """The document with all its answers in capitals or as JSON, and the wish for it."""
    messages, specs, thought, family = doc
    if any(m.get("tool_calls") for m in messages[-1:]):
        return doc
    kind = r.choice(["upper", "upper", "json"])
    wish = r.choice(WRAPS[kind])
    messages = change(messages, CHANGES[kind])
    if r.random() < .25 and messages[-2]["role"] == "user":  # only the last question wishes it
        messages = doc[0][:-2] + [dict(messages[-2], content=messages[-2]["content"].rstrip() + " " + wish.replace("Always a", "A")), messages[-1]]
    elif messages[0]["role"] == "system":
        texts = [messages[0]["content"], wish]
        r.shuffle(texts)
        messages = [dict(messages[0], content=" ".join(texts))] + messages[1:]
    else:
        messages = [{"role": "system", "content": wish}] + messages
    return messages, specs, thought, "in " + {"upper": "capitals", "json": "JSON"}[kind]


def sample(r):
    """One document: (messages or text, tools, thought or None, family)."""
    k = r.random()
    if k < .06:
        return raw(r), None, None, "raw"
    if k < .10:
        return given(r)
    doc = base(r)
    if k < .24:
        doc = wrap(r, doc)
    messages, specs, thought, family = doc
    return messages, specs, thought if r.random() < .22 else None, family


def adapted(r, name):
    """A document as an adapter answers it."""
    while True:
        doc = base(r)
        if k := r.random() < .1:
            doc = wrap(r, doc)
        messages, specs, thought, family = doc
        if not messages[-1].get("tool_calls") and not (k and family == "in JSON"):
            return change(messages, CHANGES[name]), specs, thought if r.random() < .22 else None, family
