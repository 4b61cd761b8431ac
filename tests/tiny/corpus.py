"""The corpus of builtin:tiny, generated: every sentence here was written for it.

A conversation is a system message (or none), tools (or none) and turns. Each turn is
a question, a short thought, and the answer in up to three forms: a sentence, a short
form, and a JSON value. The system message chooses among them. Everything follows from
the random generator that is passed in.
"""
import json
import random

CAPITALS = dict(
    France="Paris", Germany="Berlin", Italy="Rome", Spain="Madrid", Portugal="Lisbon",
    Austria="Vienna", Poland="Warsaw", Norway="Oslo", Sweden="Stockholm", Finland="Helsinki",
    Denmark="Copenhagen", Greece="Athens", Ireland="Dublin", England="London", Belgium="Brussels",
    Hungary="Budapest", Japan="Tokyo", China="Beijing", India="Delhi", Russia="Moscow",
    Egypt="Cairo", Kenya="Nairobi", Ghana="Accra", Canada="Ottawa", Cuba="Havana",
    Peru="Lima", Chile="Santiago", Mexico="Mexico City", Iceland="Reykjavik", Turkey="Ankara",
    Thailand="Bangkok", Vietnam="Hanoi", Australia="Canberra", Iran="Tehran", Iraq="Baghdad",
    Romania="Bucharest",
)
COLOURS = dict(
    sky="blue", grass="green", snow="white", blood="red", coal="black", sun="yellow",
    carrot="orange", chocolate="brown", banana="yellow", tomato="red", milk="white", elephant="grey",
    sea="blue", lemon="yellow", rose="red", leaf="green", night="black", flamingo="pink",
    plum="purple", frog="green",
)
PLAIN = {"grass", "snow", "blood", "coal", "chocolate", "milk", "night"}
OPPOSITES = dict([
    ("hot", "cold"), ("big", "small"), ("up", "down"), ("fast", "slow"), ("day", "night"),
    ("old", "new"), ("light", "dark"), ("left", "right"), ("open", "closed"), ("high", "low"),
    ("happy", "sad"), ("wet", "dry"), ("long", "short"), ("full", "empty"), ("hard", "soft"),
    ("early", "late"), ("rich", "poor"), ("loud", "quiet"), ("clean", "dirty"), ("strong", "weak"),
])
SOUNDS = dict(
    cat="meow", dog="woof", cow="moo", sheep="baa", duck="quack", pig="oink", lion="roar",
    bee="buzz", horse="neigh", frog="croak", owl="hoot", snake="hiss",
)
LISTS = dict(
    fruits=["apple", "banana", "cherry", "grape", "lemon", "mango"],
    colours=["red", "green", "blue", "yellow", "white", "black"],
    animals=["cat", "dog", "horse", "lion", "owl", "bear"],
    planets=["Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn"],
    rivers=["Nile", "Rhine", "Danube", "Amazon", "Thames", "Volga"],
    tools=["hammer", "saw", "drill", "wrench", "file", "axe"],
    languages=["Go", "Python", "Java", "Rust", "Lisp", "Fortran"],
    metals=["iron", "gold", "silver", "copper", "tin", "lead"],
)
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August",
          "September", "October", "November", "December"]
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
           "ten", "eleven", "twelve"]
NAMES = ["Ann", "Ben", "Carl", "Dora", "Emma", "Finn", "Gina", "Hugo", "Ida", "Jack", "Kate",
         "Leo", "Mia", "Nils", "Olga", "Paul", "Rosa", "Sam", "Tina", "Uwe", "Vera", "Max"]
WORDS = """apple banana cherry grape lemon mango red green blue yellow white black cat dog horse lion
owl bear river stone bread house table chair window door garden tree flower mountain road bridge ship
train wheel paper pencil book letter song dance winter summer spring autumn rain cloud wind storm fire
water salt sugar butter cheese soup fish bird mouse sheep wolf king queen castle tower sword shield
ring gold silver iron copper glass silk wool cotton hat coat shoe glove button needle thread rope
ladder hammer saw nail lamp candle mirror clock bell drum flute violin piano star moon sun planet
rocket engine pump valve spring lever map compass anchor harbour island beach sand shell wave cave
forest field farm barn mill oven plate cup spoon knife fork bottle basket box key lock coin purse""".split()
DEFINITIONS = {
    "a river": ("water that flows to the sea", "water"),
    "a clock": ("a thing that shows the time", "thing"),
    "a bridge": ("a road over water", "road"),
    "a token": ("a small piece of text", "text"),
    "a forest": ("a place with many trees", "trees"),
    "an island": ("land with water all around", "land"),
    "a kitten": ("a young cat", "cat"),
    "a puppy": ("a young dog", "dog"),
    "ice": ("frozen water", "water"),
    "a cache": ("a place for things that are needed again", "place"),
    "a notebook": ("a book of cells with text and code", "book"),
    "a compiler": ("a program that translates code", "program"),
}
HEROES = ["cat", "dog", "bear", "owl", "mouse", "king", "robot", "fish", "wolf", "horse"]
PLACES = ["forest", "castle", "garden", "harbour", "mill", "cave", "tower", "farm"]
FINDS = ["golden key", "old map", "red ball", "silver ring", "warm coat", "green bottle", "little bell"]
LIVES = list(CAPITALS.values())
SKIES = ["sunny", "rainy", "cloudy", "windy", "foggy", "snowy"]


class Turn:
    """One question with its thought and its answers."""

    def __init__(self, family, ask, thought, long, short=None, data=None):
        self.family, self.ask, self.thought = family, ask, thought
        self.long, self.short, self.data = long, short, data


def dumps(v):
    return json.dumps(v, ensure_ascii=False)


def greet(r):
    ask, long, short = r.choice([
        (["Hello!", "Hello", "Hi!", "Hi", "Hi there!", "Hey", "Hello there", "Good day"], "Hello! How can I help you?", "Hello!"),
        (["Good morning!", "Good morning"], "Good morning! How can I help you?", "Morning!"),
        (["How are you?", "How are you today?", "How do you do?"], "I am fine, thank you.", "Fine."),
        (["Thank you!", "Thanks!", "Thanks", "Thank you very much."], "You are welcome!", "Welcome!"),
        (["Goodbye!", "Bye", "Bye!", "See you!"], "Goodbye! See you soon.", "Goodbye!"),
        (["Who are you?", "What are you?", "Tell me about you."], "I am Tiny, a small language model made for tests.", "Tiny."),
        (["What can you do?", "How can you help me?", "What do you know?"],
         "I can count, copy, list things, name capitals, write JSON and call tools.", "Count."),
    ])
    return Turn("greet", r.choice(ask), "This is small talk. I answer politely.", long, short)


def capital(r):
    c = r.choice(list(CAPITALS))
    t = CAPITALS[c]
    if r.random() < .2:
        ask = r.choice([f"{t} is the capital of which country?", f"Which country has the capital {t}?", f"{t} is the capital of"])
        return Turn("facts", ask, f"{t} is a capital. Its country is {c}.", f"{t} is the capital of {c}.", c, {"country": c, "capital": t})
    ask = r.choice([f"What is the capital of {c}?", f"What is the capital of {c}?", f"Name the capital of {c}.", f"What is {c}'s capital?",
                    f"Tell me the capital of {c}.", f"capital of {c}", f"The capital of {c} is", f"Which city is the capital of {c}?"])
    return Turn("facts", ask, f"I need the capital of {c}. It is {t}.", f"The capital of {c} is {t}.", t, {"country": c, "capital": t})


def colour(r):
    x = r.choice(list(COLOURS))
    c = COLOURS[x]
    it = x if x in PLAIN else ("an " if x[0] in "aeiou" else "the " if x in ("sky", "sun", "sea") else "a ") + x
    ask = r.choice([f"What colour is {it}?", f"Which colour is {it}?", f"Tell me the colour of {it}."])
    cap = it[0].upper() + it[1:]
    return Turn("facts", ask, f"I think of {it}. It is {c}.", f"{cap} is {c}.", c, {"thing": x, "colour": c})


def opposite(r):
    a, b = r.choice(list(OPPOSITES.items()))
    if r.random() < .5:
        a, b = b, a
    if a == "night" or a == "right":
        a, b = b, a
    ask = r.choice([f"What is the opposite of {a}?", f"Name the opposite of {a}.", f"opposite of {a}"])
    return Turn("facts", ask, f"The word is {a}. Its opposite is {b}.", f"The opposite of {a} is {b}.", b, {"word": a, "opposite": b})


def sound(r):
    a, s = r.choice(list(SOUNDS.items()))
    an = ("an " if a[0] in "aeiou" else "a ") + a
    ask = r.choice([f"What does {an} say?", f"Which sound does {an} make?"])
    return Turn("facts", ask, f"I think of {an}. It says {s}.", f"{an[0].upper() + an[1:]} says {s}.", s, {"animal": a, "sound": s})


def calendar(r):
    names, kind = r.choice([(DAYS, "day"), (MONTHS, "month")])
    i = r.randrange(len(names))
    after = r.random() < .6
    a, b = names[i], names[(i + (1 if after else -1)) % len(names)]
    word = "after" if after else "before"
    ask = r.choice([f"Which {kind} comes {word} {a}?", f"What {kind} is {word} {a}?"])
    return Turn("facts", ask, f"I need the {kind} {word} {a}. It is {b}.", f"{b} comes {word} {a}.", b, {"given": a, word: b})


def define(r):
    k, (long, short) = r.choice(list(DEFINITIONS.items()))
    cap = k[0].upper() + k[1:]
    return Turn("facts", r.choice([f"What is {k}?", f"Explain {k}."]), f"I explain {k} in a few words.", f"{cap} is {long}.", short,
                {"thing": k.split()[-1], "meaning": long})


def number_word(r):
    n = r.randrange(len(NUMBERS))
    if r.random() < .5:
        return Turn("facts", f"Write {n} as a word.", f"{n} is {NUMBERS[n]}.", NUMBERS[n], NUMBERS[n], {"number": n, "word": NUMBERS[n]})
    return Turn("facts", f"Write {NUMBERS[n]} as a number.", f"{NUMBERS[n]} is {n}.", str(n), str(n), {"word": NUMBERS[n], "number": n})


def arithmetic(r):
    kind = r.choice(["+", "+", "-", "*"])
    if kind == "+":
        a, b = (r.randint(0, 20), r.randint(0, 20)) if r.random() < .8 else (r.randint(1, 50), r.randint(1, 9))
        v, words = a + b, [f"What is {a} plus {b}?", f"Add {a} and {b}.", f"How much is {a} + {b}?"]
    elif kind == "-":
        b = r.randint(0, 12)
        a = b + r.randint(0, 12)
        v, words = a - b, [f"What is {a} minus {b}?", f"Subtract {b} from {a}.", f"How much is {a} - {b}?"]
    else:
        a, b = r.randint(0, 10), r.randint(0, 10)
        v, words = a * b, [f"What is {a} times {b}?", f"Multiply {a} by {b}.", f"How much is {a} * {b}?"]
    ask = r.choice(words + [f"What is {a} {kind} {b}?", f"{a} {kind} {b} ="])
    return Turn("arithmetic", ask, f"I compute {a} {kind} {b}. It is {v}.", f"{a} {kind} {b} = {v}", str(v), {"result": v})


def compare(r):
    a, b = r.sample(range(100), 2)
    big = r.random() < .5
    v = max(a, b) if big else min(a, b)
    word = "larger" if big else "smaller"
    return Turn("arithmetic", f"Which is {word}, {a} or {b}?", f"I compare {a} and {b}. The {word} one is {v}.", f"{v} is {word}.", str(v), {"result": v})


def count(r):
    n = r.randint(2, 13) if r.random() < .85 else r.randint(13, 22)
    a = r.choice([1, 1, r.randint(0, 20), r.randint(0, 99)])
    k = r.random()
    if k < .6:
        s, b = list(range(a, a + n)), a + n - 1
        ask = r.choice([f"Count from {a} to {b}.", f"Count from {a} to {b}.", f"Count from {a} up to {b}.", f"Please count from {a} to {b}."]
                       + ([f"Count to {b}."] if a == 1 else []))
        th = f"I start at {a} and stop at {b}."
    elif k < .85:
        s, b = list(range(a + n - 1, a - 1, -1)), a
        a = s[0]
        ask = r.choice([f"Count down from {a} to {b}.", f"Count backwards from {a} to {b}."])
        th = f"I start at {a} and go down to {b}."
    else:
        n = min(n, 8)
        s = list(range(a, a + 2 * n, 2))
        ask = f"Count from {a} to {s[-1]} in steps of 2."
        th = f"I start at {a} and add 2 until {s[-1]}."
    return Turn("counting", ask, th, ", ".join(map(str, s)), None, s)


def phrase(r):
    """Words, names, numbers or letters without a plan: what is to be copied."""
    if r.random() < .15:
        return phrase(r).upper()
    k = r.random()
    if k < .6:
        return " ".join(r.choice(WORDS) for _ in range(r.randint(1, 9)))
    if k < .7:
        return " ".join(str(r.randint(0, 999)) for _ in range(r.randint(1, 6)))
    if k < .8:
        return "".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(r.randint(3, 9)))
    if k < .9:
        s = " ".join(r.choice(WORDS + NAMES + LIVES) for _ in range(r.randint(2, 6)))
        return s[0].upper() + s[1:] + r.choice(".!?")
    return " ".join(r.choice(WORDS + NAMES + LIVES + [str(r.randint(0, 99))]).capitalize() for _ in range(r.randint(1, 5)))


def copy(r):
    p = phrase(r)
    ask = r.choice([f"Repeat: {p}", f"Repeat: {p}", f"Say: {p}", f"Echo: {p}", f"Repeat after me: {p}", f"Copy this text: {p}", f'Say "{p}"'])
    return Turn("copying", ask, "I copy the text as it is.", p, None, {"text": p})


def reverse(r):
    n = r.randint(2, 6)
    items = r.sample(WORDS, n) if r.random() < .6 else r.sample(NAMES, n) if r.random() < .5 else [str(r.randint(0, 99)) for _ in range(n)]
    text = ", ".join(items)
    k = r.random()
    if k < .5:
        out = items[::-1]
        return Turn("reversing", r.choice([f"Reverse the list: {text}", f"Reverse: {text}"]), "I read the list from its end.", ", ".join(out), None, out)
    if k < .65:
        return Turn("reversing", f"What is the first item of {text}?", "I look at the start of the list.", f"The first item is {items[0]}.", items[0], {"first": items[0]})
    if k < .8:
        return Turn("reversing", f"What is the last item of {text}?", "I look at the end of the list.", f"The last item is {items[-1]}.", items[-1], {"last": items[-1]})
    return Turn("reversing", f"How many items are in the list {text}?", f"I count the items. There are {n}.", f"There are {n} items.", str(n), {"items": n})


def listing(r):
    n = r.randint(2, 6)
    num = r.choice([str(n), NUMBERS[n]])
    if r.random() < .25:
        pairs = list(CAPITALS.items())[:n]
        ask = r.choice([f"List {num} countries and their capitals.", f"List {num} countries and their capitals.", f"Name {num} countries and their capitals."])
        return Turn("listing", ask, f"I need {n} countries with their capitals.", "\n".join(f"{i}. {c}: {t}" for i, (c, t) in enumerate(pairs, 1)), None,
                    [{"country": c, "capital": t} for c, t in pairs])
    k = r.choice(list(LISTS))
    out = LISTS[k][:n]
    ask = r.choice([f"List {num} {k}.", f"Name {num} {k}.", f"Give me {num} {k}."])
    return Turn("listing", ask, f"I need {n} {k}.", "\n".join(f"{i}. {x}" for i, x in enumerate(out, 1)), None, out)


def story(r):
    h = r.choice(HEROES)
    i = HEROES.index(h)
    p, f, friend = PLACES[i % len(PLACES)], FINDS[(3 * i) % len(FINDS)], HEROES[(i + 3) % len(HEROES)]
    ask = r.choice([f"Tell me a story about a {h}.", f"Tell a short story about a {h}.", f"Write a short story about a {h}."])
    article = "an" if f[0] in "aeiou" else "a"
    fa = "an" if friend[0] in "aeiou" else "a"
    text = (f"Once there was a {h} who lived near the {p}. One day the {h} found {article} {f}. "
            f"\"I will show it to my friend,\" said the {h}. The friend was {fa} {friend}. "
            f"They looked at the {f} until the sun went down, and they were happy.")
    return Turn("story", ask.replace("a owl", "an owl"), f"The story is about a {h}. It meets a {friend}.", text.replace("a owl", "an owl"))


def person(r):
    n, a, c, k = r.choice(NAMES), r.randint(2, 99), r.choice(LIVES), r.choice(list(COLOURS.values()))
    facts = [(f"{n} is {a} years old", "age", a), (f"{n} lives in {c}", "city", c), (f"{n} likes {k}", "colour", k)]
    facts = r.sample(facts, r.randint(1, 3))
    text = " and ".join([facts[0][0]] + [f[0][len(n) + 1:] for f in facts[1:]]) + "."
    if r.random() < .6:
        out = {"name": n, **{k: v for _, k, v in facts}}
        return Turn("json", f"{text} {r.choice(['Write this as JSON.', 'Give it as JSON.', 'As JSON, please.', 'Answer as JSON.'])}",
                    f"I collect the facts about {n}.", dumps(out))
    _, key, v = r.choice(facts)
    ask = {"age": f"How old is {n}?", "city": f"Where does {n} live?", "colour": f"Which colour does {n} like?"}[key]
    long = {"age": f"{n} is {v} years old.", "city": f"{n} lives in {v}.", "colour": f"{n} likes {v}."}[key]
    return Turn("reading", f"{text} {ask}", f"The text says it: {v}.", long, str(v), {"name": n, key: v})


FAMILIES = [(greet, 4), (capital, 9), (colour, 4), (opposite, 4), (sound, 2), (calendar, 4), (define, 2), (number_word, 1), (arithmetic, 13),
            (compare, 2), (count, 10), (copy, 12), (reverse, 10), (listing, 5), (story, 3), (person, 7)]


def turn(r):
    make = r.choices([f for f, _ in FAMILIES], [w for _, w in FAMILIES])[0]
    return make(r)


def as_json(r, t):
    """The same question with its answer as JSON, or none if it has no such form."""
    if t.data is None:
        return None
    tail = r.choice([" Answer as JSON.", " As JSON, please.", " Give it as JSON.", " Answer in JSON."])
    return Turn("json", t.ask.rstrip() + tail, t.thought, dumps(t.data))


# Styles that a system message asks for: the texts, and what becomes of an answer.
def plain(t, _):
    return t.long


def one_word(t, _):
    return t.short


def pirate(t, _):
    return f"Arr! {t.long} Ahoy!"


def shout(t, _):
    return t.long.upper()


def ending(t, w):
    return f"{t.long} {w}"


def beginning(t, w):
    return f"{w}: {t.long}"


def system(r):
    """A system message with its style: text, function, word, facts of its own."""
    k = r.random()
    if k < .40:
        return None, plain, "", None
    if k < .50:
        return r.choice(["You are a helpful assistant.", "You are Tiny, a helpful assistant.", "Be helpful."]), plain, "", None
    if k < .63:
        return r.choice(["Answer in one word.", "Answer with one word.", "Use only one word.", "You are a helpful assistant. Answer in one word."]), one_word, "", None
    if k < .73:
        return r.choice(["You are a pirate.", "Talk like a pirate.", "You are a pirate captain."]), pirate, "", None
    if k < .81:
        return r.choice(["Answer in upper case.", "Use only capital letters.", "Answer in capital letters."]), shout, "", None
    if k < .86:
        w = r.choice(NAMES + WORDS[:60]).capitalize() + r.choice("!.")
        return r.choice([f"End every answer with: {w}", f"Always end with: {w}"]), ending, w, None
    if k < .90:
        w = r.choice(NAMES + WORDS[:60]).capitalize()
        return r.choice([f"Begin every answer with: {w}", f"Always begin with: {w}"]), beginning, w, None
    n, c, col = r.choice(NAMES), r.choice(LIVES), r.choice(list(COLOURS.values()))
    facts = r.sample([("name", f"Your name is {n}.", ["What is your name?", "Who are you?", "Tell me your name."], f"My name is {n}.", n),
                      ("city", f"You live in {c}.", ["Where do you live?", "Which city do you live in?"], f"I live in {c}.", c),
                      ("colour", f"You like {col}.", ["Which colour do you like?", "What is your favourite colour?"], f"I like {col}.", col)], r.randint(1, 3))
    return " ".join(f[1] for f in facts), plain, "", facts


def chat(r):
    """A conversation without tools: system text or None, and (family, ask, thought, answer) turns."""
    sys, style, word, facts = system(r)
    turns = []
    want = r.choices([1, 2, 3, 4, 5], [50, 20, 14, 9, 7])[0]
    while len(turns) < want:
        if facts and r.random() < .6:
            key, text, asks, long, short = r.choice(facts)
            turns.append(("system", r.choice(asks), f"The system message says: {text}", long))
            continue
        t = turn(r)
        if style in (plain, beginning, ending) and r.random() < .16 and t.data is not None:
            t = as_json(r, t)
        if t.family == "json" and style is not plain or style is one_word and t.short is None:
            if style is not one_word or t.short is None:
                continue
        if style is not plain and t.family in ("story",):
            continue
        turns.append((t.family if style is plain else "system", t.ask, t.thought, style(t, word)))
    return sys, turns


# Tools.
def param(kind, text):
    return {"type": kind, "description": text}


def tool(name, text, props):
    return {"type": "function", "function": {"name": name, "description": text,
            "parameters": {"type": "object", "properties": props, "required": list(props)}}}


def weather_tool(r):
    c = r.choice(LIVES)
    sky, deg = r.choice(SKIES), r.randint(-9, 35)
    ask = r.choice([f"What is the weather in {c}?", f"How is the weather in {c}?", f"What's the weather like in {c} today?", f"Tell me the weather in {c}."])
    result = r.choice([{"weather": sky, "degrees": deg}, {"city": c, "weather": sky, "degrees": deg}])
    return (tool(r.choice(["get_weather", "get_current_weather", "weather"]), r.choice(["Get the weather in a city", "Get the current weather in a given location"]),
                 {r.choice(["city", "location"]): param("string", r.choice(["The city", "The name of the city"]))}),
            ask, [c], dumps(result), f"The weather in {c} is {sky}, {deg} degrees.", c)


def time_tool(r):
    c, h, m = r.choice(LIVES), r.randint(0, 23), r.randint(0, 59)
    t = f"{h:02d}:{m:02d}"
    return (tool(r.choice(["get_time", "current_time"]), "Get the time in a city", {"city": param("string", "The city")}),
            r.choice([f"What time is it in {c}?", f"Tell me the time in {c}."]), [c], dumps({"time": t}), f"It is {t} in {c}.", c)


def add_tool(r):
    a, b = r.randint(0, 999), r.randint(0, 999)
    k = r.choice(["add", "multiply"])
    words = [f"Use the tool: {a} {'+' if k == 'add' else '*'} {b}", f"Please {k} {a} and {b}."]
    v = a + b if k == "add" else a * b
    return (tool(k, f"{k.capitalize()} two numbers", {"a": param("integer", "The first number"), "b": param("integer", "The second number")}),
            r.choice(words), [a, b], r.choice([str(v), dumps({"result": v})]), f"The result is {v}.", None)


def search_tool(r):
    q = " ".join(r.choice(WORDS) for _ in range(r.randint(1, 4)))
    hit = r.choice(WORDS)
    return (tool(r.choice(["search", "search_web"]), "Search for a text", {"query": param("string", "The text")}),
            r.choice([f"Search for {q}.", f"Please search for {q}."]), [q], dumps({"found": hit}), f"I found: {hit}.", None)


def mail_tool(r):
    n, t = r.choice(NAMES), " ".join(r.choice(WORDS) for _ in range(r.randint(1, 5)))
    return (tool("send_message", "Send a message to a person", {"to": param("string", "The person"), "text": param("string", "The message")}),
            f"Send {n} the message: {t}", [n, t], r.choice(['{"ok": true}', "sent"]), f"I have sent the message to {n}.", None)


def other_tool(r):
    """A tool that was never seen: its name and its argument are random words."""
    verb, noun, arg = r.choice(["open", "close", "start", "stop", "find", "move", "paint", "count", "check"]), r.choice(WORDS), r.choice(["name", "item", "place", "target", "value"])
    v = r.choice(WORDS + NAMES)
    state = r.choice(["done", "ok", "ready", "closed", "open"])
    return (tool(f"{verb}_{noun}", f"{verb.capitalize()} the {noun}", {arg: param("string", f"The {arg}")}),
            r.choice([f"{verb.capitalize()} the {noun} with {v}.", f"Please {verb} the {noun} with {v}."]), [v], dumps({"state": state}), f"The {noun} is {state}.", None)


TOOLS = [(weather_tool, 8), (time_tool, 3), (add_tool, 4), (search_tool, 3), (mail_tool, 3), (other_tool, 6)]


def pick_tool(r):
    return r.choices([f for f, _ in TOOLS], [w for _, w in TOOLS])[0]


def tools(r):
    """A conversation with tools, as messages: the last one is the answer to learn.

    Returns tools, messages, thought."""
    make = pick_tool(r)
    spec, ask, args, result, answer, place = make(r)
    specs = [spec]
    while r.random() < .35 and len(specs) < 3:
        other = pick_tool(r)
        extra = other(r)[0]
        if other is not make and extra["function"]["name"] not in [s["function"]["name"] for s in specs]:
            specs.append(extra)
    r.shuffle(specs)
    messages = []
    if r.random() < .3:
        messages.append({"role": "system", "content": "You are a helpful assistant."})
    name, keys = spec["function"]["name"], list(spec["function"]["parameters"]["properties"])

    def call(values):
        return {"type": "function", "function": {"name": name, "arguments": dict(zip(keys, values))}}

    k = r.random()
    if k < .14:
        t = turn(r)
        while t.family in ("json", "story"):
            t = turn(r)
        messages += [{"role": "user", "content": t.ask}, {"role": "assistant", "content": t.long}]
        return specs, messages, t.thought, "tools: none needed"
    calls, results = [call(args)], [result]
    if place and r.random() < .2:
        other = r.choice([c for c in LIVES if c != place])
        ask = ask.replace(place, f"{place} and {other}")
        calls.append(call([other]))
        thought = f"I call {name} two times."
        messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": "", "tool_calls": calls}]
        return specs, messages, thought, "tools: call"
    messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": "", "tool_calls": calls}]
    if k < .6:
        return specs, messages, f"I need the tool {name}.", "tools: call"
    messages += [{"role": "tool", "content": x} for x in results]
    messages.append({"role": "assistant", "content": answer})
    return specs, messages, "The tool has answered.", "tools: result"


def raw(r):
    """Text without a chat around it, for completions."""
    k = r.random()
    if k < .4:
        return " ".join(t.long for t in (r.choice([capital, capital, colour, opposite, sound, calendar, define])(r) for _ in range(r.randint(1, 6))))
    if k < .55:
        a, n = r.choice([0, 1, r.randint(0, 90)]), r.randint(4, 20)
        return ", ".join(map(str, range(a, a + n)))
    if k < .75:
        t = listing(r)
        return t.ask + "\n" + t.long
    if k < .9:
        t = turn(r)
        return f"Question: {t.ask}\nAnswer: {t.long}"
    return story(r).long


def sample(r):
    """One document: (messages or text, tools, thought or None, family)."""
    k = r.random()
    if k < .06:
        return raw(r), None, None, "raw"
    think = r.random() < .25
    if k < .26:
        specs, messages, thought, family = tools(r)
        return messages, specs, thought if think else None, family
    sys, turns = chat(r)
    messages = [{"role": "system", "content": sys}] if sys else []
    for _, ask, _, answer in turns:
        messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    return messages, None, turns[-1][2] if think else None, turns[-1][0]
