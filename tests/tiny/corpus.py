"""The corpus of builtin:tiny, generated: every sentence here was written for it.

A conversation is a system message (or none), tools (or none) and turns. Each turn is
a question, a short thought, and the answer in up to three forms: a sentence, a short
form, and a JSON value. The system message chooses among them. Everything follows from
the random generator that is passed in. Turns are made here, tools in tools.py, and
chats.py puts them together.
"""
import json

from words import *

UNKNOWN, CANNOT = "I do not know.", "I cannot do that. I am a small model."


class Turn:
    """One question with its thought and its answers."""

    def __init__(self, family, ask, thought, long, short=None, data=None):
        self.family, self.ask, self.thought = family, ask, thought
        self.long, self.short, self.data = long, short, data


def dumps(v):
    return json.dumps(v, ensure_ascii=False)


def upper(s):
    return s[:1].upper() + s[1:]


def an(word):
    return ("an " if word[:1].lower() in "aeiou" else "a ") + word


ACCENTS = [str.maketrans(a, b) for a, b in (("a", "á"), ("o", "ö"), ("u", "ü"), ("e", "é"), ("o", "ó"), ("i", "í"), ("n", "ñ"), ("a", "ã"), ("c", "ç"), ("s", "š"), ("z", "ż"))]


def invented(r, lo=1, hi=4):
    """A word that nobody has seen: syllables."""
    w = "".join(r.choice("b c d f g h j k l m n p r s t v w z br ch cl dr fl gr kr pl sh st th tr sk sp".split()) + r.choice("a e i o u ai ea ee oo ou".split())
                   + (r.choice("n r l s t m k p d g x".split()) if r.random() < .4 else "") for _ in range(r.randint(lo, hi)))
    return w.translate(r.choice(ACCENTS)) if r.random() < .04 else w


def word(r):
    """Any word: known, common or invented."""
    k = r.random()
    return r.choice(WORDS) if k < .35 else r.choice(MORE) if k < .75 else invented(r)


def name(r):
    return r.choice(NAMES) if r.random() < .75 else upper(invented(r, 1, 3))


def city(r):
    return r.choice(LIVES) if r.random() < .75 else upper(invented(r, 2, 3)) if r.random() < .7 else r.choice(["San Francisco", "New York", "Los Angeles", "Boston", "Munich", "Zurich", "Milan", "Hamburg", "Chicago", "Sydney", "San Francisco, CA"])


LIVES = list(dict.fromkeys(CAPITALS.values()))


def vary(r, ask, case=False):
    """The same question as another person may type it; with case even in capitals."""
    k = r.random()
    if k < .62 or len(ask) < 4:
        return ask
    if k < .74:
        ask = ask[0].lower() + ask[1:] if ask[:2] not in ("I ",) else ask
        return ask.rstrip("?.!") if r.random() < .6 else ask
    if k < .80:
        return ask.rstrip("?.! ")
    if k < .84 and ask[-1] in "?.":
        return ask[:-1] + r.choice([", please" + ask[-1], " please", " please" + ask[-1], "??", " ?", "!"])
    small = ask[0].lower() + ask[1:]
    if k < .93:
        if ask.split()[0].lower() in ("what", "which", "how", "who", "where"):
            return r.choice([f"Hey, {small}", f"Tell me: {small}", f"Please tell me: {small}", f"Hi! {ask}", f"A question: {small}", f"Quick question: {small}", f"Hello! {ask}", f"And {small}", f"Now tell me, {small}", f"{ask} Thanks!"])
        return r.choice([f"Please {small}", f"Can you {small.rstrip('.')}?", f"Could you {small.rstrip('.')}?", f"Now {small}", f"Please, {small}", f"Could you please {small.rstrip('.')}?", f"I want you to {small}"])
    if k > .97:
        return ask
    return r.choice([ask + " ", ask.upper(), ask.lower(), ask.lower()] if case else [ask + " ", "  " + ask, ask + "\n"])


# Small talk.
TALK = [
    (["Hello!", "Hello", "Hi!", "Hi", "Hi there!", "Hey", "Hello there", "Good day", "hello", "hi", "hey there", "Hello, Tiny!", "Hello world", "Hello, world!", "Hello, who is there?", "Say hi"] + HELLOS, "Hello! How can I help you?", "Hello!"),
    (["Good morning!", "Good morning", "good morning"], "Good morning! How can I help you?", "Morning!"),
    (["Good evening!", "Good evening"], "Good evening! How can I help you?", "Evening!"),
    (["How are you?", "How are you today?", "How do you do?", "how are you", "hello how are you", "Hi, how are you?", "Hello! How are you?", "How is it going?", "What's up?", "How are you doing?"], "I am fine, thank you.", "Fine."),
    (["Thank you!", "Thanks!", "Thanks", "Thank you very much.", "thx", "thank you", "Great, thanks!", "Thanks a lot!"], "You are welcome!", "Welcome!"),
    (["Goodbye!", "Bye", "Bye!", "See you!", "Good night!", "See you later!", "bye"], "Goodbye! See you soon.", "Goodbye!"),
    (["Who are you?", "What are you?", "Tell me about you.", "Tell me about yourself.", "Introduce yourself.", "What is this?", "Which model are you?", "What model are you?", "Who am I talking to?"],
     "I am Tiny, a small language model made for tests.", "Tiny."),
    (["What is your name?", "What's your name?", "Do you have a name?", "Tell me your name."], "My name is Tiny.", "Tiny"),
    (["Who made you?", "Who created you?", "Where do you come from?", "Who trained you?"], "I was made for godwit, to see it work.", "Godwit."),
    (["What can you do?", "How can you help me?", "What do you know?", "Help", "help me", "Help me!", "What are you able to do?"],
     "I can count, copy, list things, name capitals, write JSON and call tools.", "Count."),
    (["Are you a robot?", "Are you human?", "Are you a real person?", "Are you an AI?", "Are you ChatGPT?"], "I am a program, a small language model.", "Program."),
    (["Yes", "No", "Ok", "OK", "okay", "Sure", "Yes, please.", "Good.", "Great!", "Nice", "Cool", "I see."], "Good. What can I do for you?", "Good."),
    (["Test", "test", "This is a test.", "testing", "Testing 1 2 3", "ping", "Are you there?", "Does this work?", "Can you hear me?"], "Yes, it works.", "Yes."),
    (["I love you", "You are great!", "Well done!", "Good job!"], "Thank you!", "Thanks!"),
    (["Say hello in five words.", "Greet me in five words."], "Hello, how are you today?", "Hello!"),
    (["Sorry", "I am sorry.", "Excuse me"], "No problem.", "Fine."),
]
SAID = {a.lower().rstrip("?.!") for asks, _, _ in TALK for a in asks}


def greet(r):
    ask, long, short = r.choice(TALK)
    return Turn("small talk", r.choice(ask), "This is small talk. I answer politely.", long, short, {"text": long})


# Facts.
def capital(r):
    c = r.choice(list(CAPITALS)) if r.random() < .7 else r.choice(list(CAPITALS)[:36])
    t = CAPITALS[c]
    if r.random() < .06:
        c0 = r.choice(list(OTHER_NAMES))
        c = OTHER_NAMES[c0]
        return Turn("facts", f"What is the capital of {c0}?", f"I need the capital of {c}. It is {CAPITALS[c]}.", f"The capital of {c} is {CAPITALS[c]}.", CAPITALS[c], {"country": c, "capital": CAPITALS[c]})
    if r.random() < .2 and t != "London":
        ask = r.choice([f"{t} is the capital of which country?", f"Which country has the capital {t}?", f"{t} is the capital of", f"Which country is {t} the capital of?", f"In which country is {t}?", f"Where is {t}?"])
        return Turn("facts", vary(r, ask, True), f"{t} is a capital. Its country is {c}.", f"{t} is the capital of {c}.", c, {"country": c, "capital": t})
    if r.random() < .12:
        other = r.choice(LIVES)
        right = other == t or r.random() < .5
        x = t if right else other
        long = f"Yes, the capital of {c} is {t}." if x == t else f"No, the capital of {c} is {t}."
        return Turn("facts", vary(r, r.choice([f"Is {x} the capital of {c}?", f"Is the capital of {c} {x}?"]), True), f"The capital of {c} is {t}.", long, long.split(",")[0], {"country": c, "capital": t})
    ask = r.choice([f"What is the capital of {c}?", f"What is the capital of {c}?", f"Name the capital of {c}.", f"What is {c}'s capital?", f"What's the capital of {c}?", f"What is the capital city of {c}?",
                    f"Tell me the capital of {c}.", f"capital of {c}", f"The capital of {c} is", f"Which city is the capital of {c}?", f"{c}'s capital?", f"Do you know the capital of {c}?",
                    f"Give me the information of the capital of {c}.", f"Complete this sentence: The capital of {c} is", f"Which is the capital of {c}?", f"Can you tell me the capital of {c}?"])
    return Turn("facts", vary(r, ask, True), f"I need the capital of {c}. It is {t}.", f"The capital of {c} is {t}.", t, {"country": c, "capital": t})


def tongue(r):
    c, t = r.choice(list(LANGUAGES.items()))
    return Turn("facts", vary(r, r.choice([f"Which language do people speak in {c}?", f"What language is spoken in {c}?", f"Which language is spoken in {c}?"]), True),
                f"I think of {c}. People speak {t} there.", f"People speak {t} in {c}.", t, {"country": c, "language": t})


def thing(x):
    return x if x in PLAIN else "the " + x if x in ("sky", "sun", "sea", "ocean") else an(x)


def colour(r):
    x = r.choice(list(COLOURS))
    c, it = COLOURS[x], thing(x)
    if r.random() < .15:
        other = r.choice(list(COLOURS.values())) if r.random() < .6 else c
        long = f"Yes, {it} is {c}." if other == c else f"No, {it} is {c}."
        return Turn("facts", vary(r, f"Is {it} {other}?", True), f"I think of {it}. It is {c}.", long, long.split(",")[0], {"thing": x, "colour": c})
    col = r.choice(["colour", "colour", "color"])
    ask = r.choice([f"What {col} is {it}?", f"Which {col} is {it}?", f"Tell me the {col} of {it}.", f"Which {col} has {it}?", f"What is the {col} of {it}?"])
    return Turn("facts", vary(r, ask, True), f"I think of {it}. It is {c}.", f"{upper(it)} is {c}.", c, {"thing": x, "colour": c})


def opposite(r):
    a, b = r.choice(list(OPPOSITES.items()))
    if r.random() < .5:
        a, b = b, a
    if a == "night" or a == "right":
        a, b = b, a
    ask = r.choice([f"What is the opposite of {a}?", f"Name the opposite of {a}.", f"opposite of {a}", f"What's the opposite of {a}?", f"Which word is the opposite of {a}?", f'What is the opposite of "{a}"?'])
    return Turn("facts", vary(r, ask, True), f"The word is {a}. Its opposite is {b}.", f"The opposite of {a} is {b}.", b, {"word": a, "opposite": b})


def animal(r):
    k = r.random()
    if k < .5:
        a, s = r.choice(list(SOUNDS.items()))
        ask = r.choice([f"What does {an(a)} say?", f"Which sound does {an(a)} make?", f"What sound does {an(a)} make?"])
        return Turn("facts", vary(r, ask, True), f"I think of {an(a)}. It says {s}.", f"{upper(an(a))} says {s}.", s, {"animal": a, "sound": s})
    if k < .75:
        a, y = r.choice(list(YOUNG.items()))
        return Turn("facts", vary(r, r.choice([f"What is a young {a} called?", f"What do you call a young {a}?"]), True), f"I think of a young {a}. It is {an(y)}.", f"A young {a} is {an(y)}.", y, {"animal": a, "young": y})
    a, n = r.choice(list(LEGS.items()))
    return Turn("facts", vary(r, f"How many legs does {an(a)} have?", True), f"I think of {an(a)}. It has {NUMBERS[n]} legs.", f"{upper(an(a))} has {n} legs.", str(n), {"animal": a, "legs": n})


def calendar(r):
    k = r.random()
    if k < .15:
        ask, long, short, data = r.choice([
            ("How many days are in a week?", "A week has 7 days.", "7", {"days": 7}), ("How many months are in a year?", "A year has 12 months.", "12", {"months": 12}),
            ("How many days are in a year?", "A year has 365 days.", "365", {"days": 365}), ("How many hours are in a day?", "A day has 24 hours.", "24", {"hours": 24}),
            ("How many minutes are in an hour?", "An hour has 60 minutes.", "60", {"minutes": 60}), ("How many seconds are in a minute?", "A minute has 60 seconds.", "60", {"seconds": 60}),
            ("Name the days of the week.", ", ".join(DAYS), None, DAYS), ("Name the months of the year.", ", ".join(MONTHS), None, MONTHS), ("Name the seasons.", ", ".join(SEASONS), None, SEASONS),
            ("List the days of the week.", ", ".join(DAYS), None, DAYS), ("List the months of the year.", ", ".join(MONTHS), None, MONTHS), ("List the four seasons.", ", ".join(SEASONS), None, SEASONS)])
        return Turn("facts", vary(r, ask, True), "I know the calendar.", long, short, data)
    names, kind = r.choice([(DAYS, "day"), (MONTHS, "month"), (SEASONS, "season")])
    i = r.randrange(len(names))
    after = r.random() < .6
    a, b = names[i], names[(i + (1 if after else -1)) % len(names)]
    w = "after" if after else "before"
    ask = r.choice([f"Which {kind} comes {w} {a}?", f"What {kind} is {w} {a}?", f"What comes {w} {a}?", f"Which {kind} is {w} {a}?"])
    return Turn("facts", vary(r, ask, True), f"I need the {kind} {w} {a}. It is {b}.", f"{upper(b)} comes {w} {a}.", b, {"given": a, w: b})


def define(r):
    k, (long, short) = r.choice(list(DEFINITIONS.items()))
    ask = r.choice([f"What is {k}?", f"What is {k}?", f"Explain {k}.", f"What's {k}?", f"Tell me what {k} is.", f"Define {k}.", f"Explain {k} in one sentence."])
    return Turn("facts", vary(r, ask, True), f"I explain {k} in a few words.", f"{upper(k)} is {long}.", short, {"thing": k.split(" ", 1)[-1] if k[:2] in ("a ", "an") else k, "meaning": long})


def number_word(r):
    n = r.randrange(101) if r.random() < .7 else r.randrange(13)
    if r.random() < .5:
        return Turn("facts", vary(r, r.choice([f"Write {n} as a word.", f"Write the number {n} as a word.", f"Spell the number {n}."]), True), f"{n} is {NUMBERS[n]}.", NUMBERS[n], NUMBERS[n], {"number": n, "word": NUMBERS[n]})
    return Turn("facts", vary(r, r.choice([f"Write {NUMBERS[n]} as a number.", f"Which number is {NUMBERS[n]}?"]), True), f"{NUMBERS[n]} is {n}.", str(n), str(n), {"word": NUMBERS[n], "number": n})


def translate(r):
    lang = r.choice(list(TRANSLATIONS))
    w = r.choice(list(TRANSLATIONS[lang]))
    t = TRANSLATIONS[lang][w]
    ask = r.choice([f"Translate {w} to {lang}.", f"Translate {w} into {lang}.", f'Translate "{w}" to {lang}.', f"What is {w} in {lang}?", f"How do you say {w} in {lang}?", f"Say {w} in {lang}."])
    return Turn("facts", vary(r, ask), f"I need the {lang} word for {w}. It is {t}.", f"{upper(w)} is {t} in {lang}.", t, {"word": w, "language": lang, "translation": t})


def mood(r):
    good = r.random() < .5
    noun = r.choice(["movie", "film", "book", "hotel", "food", "soup", "service", "weather", "room", "phone", "game", "song", "day", "product", "trip", word(r)])
    a = r.choice(GOOD if good else BAD)
    text = r.choice([f"The {noun} was {a}.", f"This {noun} is {a}!", f"What {an(a)} {noun}!", f"I {'love' if good else 'hate'} this {noun}.", f"I {'love' if good else 'hate'} the {noun}, it is {a}.", f"The {noun} is really {a}."])
    v = "positive" if good else "negative"
    ask = r.choice([f"Is this positive or negative? {text}", f"Positive or negative: {text}", f"What is the sentiment? {text}", f"Classify the sentiment: {text}", f'Is this review positive or negative: "{text}"', f"Classify this text as positive or negative: {text}"])
    return Turn("facts", ask, f"The text sounds {v}.", f"It is {v}.", v, {"sentiment": v})


# Programs.
PROGRAMS = {"Python": 'print("Hello, world!")', "Go": 'fmt.Println("Hello, world!")', "JavaScript": 'console.log("Hello, world!");', "C": 'printf("Hello, world!\\n");',
            "Rust": 'println!("Hello, world!");', "Java": 'System.out.println("Hello, world!");', "bash": 'echo "Hello, world!"', "Ruby": 'puts "Hello, world!"'}


def program(r):
    k = r.random()
    if k < .3:
        lang, code = r.choice(list(PROGRAMS.items()))
        ask = r.choice([f"Write hello world in {lang}.", f"Print hello world in {lang}.", f"Write a hello world program in {lang}.", f"Hello world in {lang}"])
        return Turn("programs", vary(r, ask), f"I write one line of {lang}.", code, None, {"language": lang, "code": code})
    t = r.choice(["users", "orders", "books", "customers", "products", "cities", "songs", "teams", word(r) + "s"])
    c, v = r.choice(["name", "city", "colour", "age", "price", "country", word(r)]), r.choice([word(r), str(r.randint(1, 99)), city(r)])
    lit = v if v.isdigit() else f"'{v}'"
    ask, code = r.choice([
        (f"show all {t}", f"SELECT * FROM {t};"), (f"show all {t}", f"SELECT * FROM {t};"), (f"list all {t}", f"SELECT * FROM {t};"), (f"count all {t}", f"SELECT COUNT(*) FROM {t};"), (f"how many {t} are there", f"SELECT COUNT(*) FROM {t};"),
        (f"show the {c} of all {t}", f"SELECT {c} FROM {t};"), (f"show all {t} with {c} {v}", f"SELECT * FROM {t} WHERE {c} = {lit};"), (f"show all {t} where {c} is {v}", f"SELECT * FROM {t} WHERE {c} = {lit};"),
        (f"delete all {t}", f"DELETE FROM {t};"), (f"show all {t} sorted by {c}", f"SELECT * FROM {t} ORDER BY {c};")])
    ask = r.choice([f"Convert to SQL: {ask}", f"Convert to SQL: {ask}", f"Write SQL: {ask}", f"Write this as SQL: {ask}", f"SQL: {ask}", f"Translate to SQL: {ask}", f"Write an SQL query: {ask}"])
    return Turn("programs", ask, "I write a query.", code, None, {"sql": code})


# Numbers.
def below(r, *limits):
    return r.randint(0, r.choice(limits))


def too_large(r):
    big = lambda: r.choice([r.randint(1000, 9999), r.randint(1000, 99999), r.randint(10**5, 10**7)])
    kind = r.choice("++-**/")
    a, b = (big(), r.choice([big(), r.randint(1, 999)])) if kind != "*" or r.random() < .3 else (r.randint(13, 999), r.randint(13, 999))
    if r.random() < .5:
        a, b = b, a
    if kind == "*" and 10 in (a, b):
        return arithmetic(r)
    verb = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}[kind]
    ask = r.choice([f"What is {a} {kind} {b}?", f"{a} {kind} {b}", f"{a}{kind}{b}", f"What is {a} {verb} {b}?", f"How much is {a} {kind} {b}?", f"Calculate {a} {kind} {b}.", f"{a} {kind} {b} ="])
    return Turn("arithmetic", vary(r, ask), "These numbers are too large for me.", "That is too large for me.", "Unknown", {"result": None})


def arithmetic(r):
    if r.random() < .06:
        return too_large(r)
    kind = r.choices(["+", "-", "*", "/", "3"], [40, 27, 22, 8, 3])[0]
    if kind == "3":
        a, b, c = below(r, 9, 20), below(r, 9, 20), below(r, 9, 20)
        v, e = a + b + c, f"{a} + {b} + {c}"
        return Turn("arithmetic", vary(r, r.choice([f"What is {e}?", f"How much is {e}?", f"{e} =", f"{e}", f"Add {a}, {b} and {c}."]), True), f"I compute {e}. It is {v}.", f"{e} = {v}", str(v), {"result": v})
    if kind == "+":
        a, b = below(r, 10, 20, 99, 99, 999), below(r, 10, 20, 99, 99, 999)
        v, words = a + b, [f"What is {a} plus {b}?", f"Add {a} and {b}.", f"How much is {a} plus {b}?", f"What is the sum of {a} and {b}?"]
    elif kind == "-":
        a, b = below(r, 12, 20, 99, 99, 999), below(r, 12, 20, 99, 99, 999)
        if a < b and (a > 99 or b > 99 or r.random() < .8):
            a, b = b, a
        v, words = a - b, [f"What is {a} minus {b}?", f"Subtract {b} from {a}.", f"How much is {a} minus {b}?"]
    elif kind == "*":
        a, b = r.randint(0, 12), r.randint(0, 12)
        if r.random() < .25:
            a, b = r.choice([(r.randint(10, 99), r.randint(2, 9)), (r.randint(2, 9), r.randint(10, 99)), (r.randint(1, 99), 10)])
        v, words = a * b, [f"What is {a} times {b}?", f"Multiply {a} by {b}.", f"How much is {a} times {b}?", f"What is {a} x {b}?", f"{a} x {b}", f"Multiply {a} and {b}."]
    elif r.random() < .3:
        b = r.randint(2, 12)
        a = b * r.randint(0, 12) + r.randint(1, b - 1)
        v = f"{a // b} remainder {a % b}"
        ask = r.choice([f"What is {a} divided by {b}?", f"Divide {a} by {b}.", f"What is {a} / {b}?", f"{a} / {b}", f"How much is {a} / {b}?"])
        return Turn("arithmetic", vary(r, ask), f"I compute {a} / {b}. It is {v}.", f"{a} / {b} = {v}", str(a // b), {"result": a // b, "remainder": a % b})
    else:
        b, v = r.randint(1, 12), r.randint(0, 12)
        a, words = b * v, [f"What is {b * v} divided by {b}?", f"Divide {b * v} by {b}.", f"How much is {b * v} divided by {b}?"]
    s = r.choice([f"{a} {kind} {b}", f"{a} {kind} {b}", f"{a}{kind}{b}"])
    ask = r.choice(words + [f"What is {s}?", f"What is {s}?", f"What's {s}?", f"How much is {s}?", f"{s} =", f"{s}=", f"{s} = ?", f"{s}?", f"{s}", f"Calculate {s}.", f"Compute {s}.", f"Solve {s}."])
    return Turn("arithmetic", vary(r, ask, True), f"I compute {a} {kind} {b}. It is {v}.", f"{a} {kind} {b} = {v}", str(v), {"result": v})


def compare(r):
    k = r.random()
    if k < .5:
        top = r.choice([20, 99, 999])
        a, b = r.sample(range(top + 1), 2)
        big = r.random() < .5
        v = max(a, b) if big else min(a, b)
        w = r.choice([("larger", "smaller"), ("larger", "smaller"), ("bigger", "smaller"), ("greater", "less")])[not big]
        return Turn("arithmetic", vary(r, r.choice([f"Which is {w}, {a} or {b}?", f"Which number is {w}, {a} or {b}?", f"What is {w}: {a} or {b}?"])), f"I compare {a} and {b}. The {w} one is {v}.", f"{v} is {w}.", str(v), {"result": v})
    if k < .65:
        n = below(r, 20, 99, 999)
        w = "odd" if n % 2 else "even"
        return Turn("arithmetic", vary(r, r.choice([f"Is {n} even or odd?", f"Is {n} odd or even?", f"Is the number {n} even or odd?"])), f"I look at the last digit of {n}. It is {w}.", f"{n} is {w}.", w, {"number": n, "kind": w})
    s = [r.randint(0, r.choice([9, 99])) for _ in range(r.randint(3, 6))]
    text = ", ".join(map(str, s))
    if k < .8:
        big = r.random() < .5
        v, w = (max(s), "largest") if big else (min(s), "smallest")
        return Turn("arithmetic", r.choice([f"What is the {w} of {text}?", f"Which number is the {w}: {text}?", f"Find the {w} number: {text}"]), f"I compare all of them. The {w} is {v}.", f"The {w} is {v}.", str(v), {w: v})
    down = r.random() < .2
    s = sorted(s, reverse=down)
    return Turn("arithmetic", r.choice([f"Sort the numbers {text}", f"Sort: {text}", f"Sort these numbers: {text}", f"Sort {text}"]) + (" from large to small." if down else r.choice(["", ".", " from small to large."])),
                "I put the numbers in order.", ", ".join(map(str, s)), None, s)


def count(r):
    if r.random() < .03:
        b = r.choice([300, 400, 500, 1000, 1000, 10000, 1000000, r.randint(260, 9999)])
        return Turn("counting", vary(r, r.choice([f"Count to {b}.", f"Count from 1 to {b}.", f"Count up to {b}."])), f"{b} is too far.", "That is too far for me.", "Unknown", {"answer": None})
    k = r.random()
    n = r.randint(2, 13) if k < .6 else r.randint(13, 30) if k < .88 else r.randint(30, 60) if k < .96 else r.randint(60, 150)
    a = r.choice([1, 1, 1, r.randint(0, 20), r.randint(0, 99), r.randint(0, 900)])
    if r.random() < .04:
        a, n = 1, r.choice([50, 100, 100, 100, 200])
    b = a + n - 1
    k = r.random()
    numeral = lambda x: NUMBERS[x] if x <= 20 and r.random() < .12 else str(x)
    if k < .62 or n > 40:
        s = list(range(a, b + 1))
        x, y = numeral(a), numeral(b)
        ask = r.choice([f"Count from {x} to {y}.", f"Count from {x} to {y}.", f"Count from {x} up to {y}.", f"Write the numbers from {x} to {y}.", f"List the numbers from {x} to {y}.", f"Count {x} to {y}."] + ([f"Count to {y}.", f"Count up to {y}.", f"Count to {y}."] if a == 1 else []))
        th = f"I start at {a} and stop at {b}."
    elif k < .82:
        s = list(range(b, a - 1, -1))
        x, y = numeral(b), numeral(a)
        ask = r.choice([f"Count down from {x} to {y}.", f"Count backwards from {x} to {y}.", f"Count down from {x} to {y}."] + ([f"Count down from {x}."] if a == 1 else []))
        th = f"I start at {b} and go down to {a}."
    elif k < .94:
        d = r.choice([2, 2, 3, 5, 10, 10, 4, 100])
        a = a if r.random() < .5 else r.choice([0, d])
        n = min(n, 20)
        s = list(range(a, a + d * n, d))
        ask = r.choice([f"Count from {a} to {s[-1]} in steps of {d}.", f"Count in steps of {d} from {a} to {s[-1]}.", f"Count from {a} to {s[-1]} by {d}."])
        th = f"I start at {a} and add {d} until {s[-1]}."
    else:
        a, n = r.randint(0, 15), r.randint(2, 12)
        if r.random() < .5:
            a = 1
        s = NUMBERS[a:a + n]
        ask = r.choice([f"Count from {s[0]} to {s[-1]} in words.", f"Count from {a} to {a + n - 1} in words."])
        return Turn("counting", vary(r, ask), f"I write the numbers from {s[0]} to {s[-1]}.", ", ".join(s), None, s)
    return Turn("counting", vary(r, ask), th, ", ".join(map(str, s)), None, s if n <= 60 else None)


# Texts.
def sentence(r):
    k = r.random()
    if k < .4:
        s = upper(" ".join(word(r) for _ in range(r.randint(2, 10)))) + r.choice("...!?")
    elif k < .7:
        s = r.choice(["The {a} {n} is {b}.", "{N} likes {n}.", "I saw {an} in the {m}.", "{N} and {M} went to {C}.", "Where is the {n}?", "We bought {d} {n}s for {d} euros.", "My {n} is {a}, but your {m} is {b}.", "{N} said: \"{n}!\"", "There are {d} {n}s on the {m}.",
                      "Do not forget the {n}, {N}!", "{C} is far away.", "It's {N}'s {n}.", "The {n} costs {d}.50 euros.", "At {d}:30 the {n} left {C}."]).format(
            a=word(r), b=word(r), n=word(r), m=word(r), an=an(word(r)), N=name(r), M=name(r), C=city(r), d=r.randint(1, 99))
    else:
        s = turn_text(r)
    return s


def turn_text(r):
    t = r.choice([capital, colour, opposite, animal, calendar, define])(r)
    return r.choice([t.long, t.thought])


def letters(r, lo=3, hi=12):
    k = r.random()
    if k < .6:
        return "".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(r.randint(lo, hi)))
    if k < .8:
        return "".join(r.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for _ in range(r.randint(lo, hi)))
    return "-".join("".join(r.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for _ in range(r.randint(2, 4))) for _ in range(r.randint(2, 4)))


ODD = "naïve café Zürich Köln Müller straße façade señor año Łódź Čapek żółw élève größer übermut ñandú привет мир 你好 世界 東京 안녕 😀 🚀 ❤ → € £ © ° ½ – … « »".split()


def phrase(r):
    """Text without a plan: what is to be copied."""
    k = r.random()
    if k < .10:
        return phrase(r).upper()
    k = r.random()
    if k < .26:
        return " ".join(r.choice(WORDS) for _ in range(r.randint(1, 9)))
    if k < .46:
        return " ".join(word(r) for _ in range(r.randint(1, 10)))
    if k < .54:
        return r.choice([" ", " ", ", ", "-"]).join(str(r.randint(0, r.choice([9, 99, 999, 99999]))) for _ in range(r.randint(1, 8)))
    if k < .64:
        return letters(r) if r.random() < .7 else " ".join(letters(r, 2, 7) for _ in range(r.randint(2, 4)))
    if k < .82:
        return " ".join(sentence(r) for _ in range(r.choice([1, 1, 1, 2, 3])))
    if k < .89:
        return " ".join(upper(r.choice([word(r), name(r), city(r), str(r.randint(0, 99))])) for _ in range(r.randint(1, 5)))
    if k < .93:
        w = lambda: word(r)
        return r.choice([f"{w()}({w()}, {r.randint(0, 9)})", f"{w()}_{w()} = {r.randint(0, 999)};", f"https://{w()}.com/{w()}", f"{w()}@{w()}.org", f'{{"{w()}": {r.randint(0, 99)}}}', f"/{w()}/{w()}.txt", f"#{w()} & @{w()}", f"<{w()}>{w()}</{w()}>",
                         f"[{w()}, {w()}]", f"if {w()} > {r.randint(0, 9)}: {w()}()", f"{w()}+{w()}={w()}", f"${r.randint(1, 999)}.{r.randint(10, 99)}", f"{w()}/{w()}:{r.randint(0, 9)}.{r.randint(0, 9)}", f"*{w()}* _{w()}_ `{w()}`", f"{w()} ... {w()}!!"])
    if k < .96:
        return " ".join(r.choice([r.choice(ODD), r.choice(ODD), word(r)]) for _ in range(r.randint(1, 6)))
    if k < .98:
        return " ".join(sentence(r) for _ in range(r.randint(3, 10)))
    return "\n".join(r.choice([sentence(r), word(r), f"- {word(r)}"]) for _ in range(r.randint(2, 6)))


def copy(r):
    p = phrase(r)
    k = r.random()
    if k < .72:
        ask = r.choice([f"Repeat: {p}", f"Repeat: {p}", f"Say: {p}", f"Echo: {p}", f"Repeat after me: {p}", f"Copy this text: {p}", f'Say "{p}"', f"Repeat this: {p}", f"Please repeat: {p}", f"Repeat exactly: {p}", f"Repeat the following text: {p}", f'Repeat "{p}"',
                        f"Copy: {p}", f"Write: {p}", f"echo {p}", f"Say {p}", f"repeat {p}", f"Copy the text: {p}", f'Please say "{p}"', f"Repeat the sentence: {p}", f"Repeat the following:\n{p}", f"say: {p}", f'Repeat the word "{p}"', f"Output: {p}"])
        return Turn("copying", ask, "I copy the text as it is.", p, None, {"text": p})
    if k < .82:
        n = r.randint(2, 10)
        p = p if len(p) < 24 else word(r)
        num = r.choice([str(n), NUMBERS[n]])
        ask = r.choice([f"Say {p} {num} times.", f'Say "{p}" {num} times.', f"Repeat {p} {num} times.", f"Write {p} {num} times.", f"Repeat the word {p} {num} times."])
        return Turn("copying", ask, f"I write it {n} times.", " ".join([p] * n), None, [p] * n)
    up = r.random() < .7
    v, w = (p.upper(), r.choice(["upper case", "upper case", "capital letters", "uppercase"])) if up else (p.lower(), r.choice(["lower case", "lowercase", "small letters"]))
    ask = r.choice([f"Write in {w}: {p}", f"Convert to {w}: {p}", f"In {w}: {p}", f"Write this text in {w}: {p}", f'Write "{p}" in {w}.'])
    return Turn("copying", ask, "I change the letters of the text.", v, None, {"text": v})


def spell(r):
    k = r.random()
    w = r.choice(WORDS + MORE[:-8]) if k < .5 else invented(r) if k < .7 else letters(r).lower().replace("-", "") if k < .75 else r.choice(["strawberry", "banana", "hello", "mississippi", "programming", "raspberry", "letter", "coffee", "blueberry"]) if k < .85 else name(r)
    out = "-".join(w)
    k = r.random()
    if k < .4:
        return Turn("letters", vary(r, r.choice([f"Spell {w}.", f"Spell the word {w}.", f'Spell "{w}".', f"How do you spell {w}?", f"Spell: {w}"])), f"I write the letters of {w} one by one.", out, None, list(w))
    c = r.choice(list(w.lower())) if r.random() < .8 else r.choice("abcdefghijklmnopqrstuvwxyz")
    n = w.lower().count(c)
    if k < .85:
        q = r.choice(["", "'", '"'])
        ask = r.choice([f"How many {c}'s are in {q}{w}{q}?", f"How many {c}s are in {q}{w}{q}?", f"How many times is the letter {c} in {q}{w}{q}?", f"How many letters {c} are in the word {q}{w}{q}?", f"How many {q}{c}{q} are in {w}?", f"How many {c}'s are there in the word {q}{w}{q}?", f"Count the letter {c} in {q}{w}{q}."])
        return Turn("letters", vary(r, ask), f"I spell it: {out}. The letter {c} is there {n} times.", f"{out}: the letter {c} is there {n} times.", str(n), {"word": w, "letter": c, "count": n})
    return Turn("letters", vary(r, r.choice([f"How many letters has {w}?", f"How many letters are in {w}?", f"How long is the word {w}?"])), f"I spell it: {out}. It has {len(w)} letters.", f"{out}: it has {len(w)} letters.", str(len(w)), {"word": w, "letters": len(w)})


ORDER = ["first", "second", "third", "fourth", "fifth", "sixth"]


def reverse(r):
    n = r.randint(2, 8)
    k = r.random()
    pool = lambda: r.choice(WORDS) if k < .45 else r.choice(NAMES) if k < .6 else str(r.randint(0, 99)) if k < .75 else word(r)
    items = list(dict.fromkeys(pool() for _ in range(n)))
    n = len(items)
    text = ", ".join(items)
    if n > 2 and r.random() < .1:
        text = ", ".join(items[:-1]) + " and " + items[-1]
    k = r.random()
    if k < .5 or n < 2:
        out = items[::-1]
        return Turn("reversing", r.choice([f"Reverse the list: {text}", f"Reverse: {text}", f"Reverse this list: {text}", f"Reverse the order of {text}", f"Reverse the words: {text}"]), "I read the list from its end.", ", ".join(out), None, out)
    if k < .62:
        i = 0
    elif k < .74:
        return Turn("reversing", r.choice([f"What is the last item of {text}?", f"What is the last item of the list {text}?", f"Which item is the last one: {text}?"]), "I look at the end of the list.", f"The last item is {items[-1]}.", items[-1], {"last": items[-1]})
    elif k < .84:
        i = r.randrange(min(n, 6))
    else:
        return Turn("reversing", r.choice([f"How many items are in the list {text}?", f"How many items are in {text}?", f"Count the items: {text}"]), f"I count the items. There are {n}.", f"There are {n} items.", str(n), {"items": n})
    o = ORDER[i]
    return Turn("reversing", r.choice([f"What is the {o} item of {text}?", f"What is the {o} item of the list {text}?", f"Which item is the {o} one: {text}?"]), f"I look at the {'start' if i == 0 else o + ' place'} of the list.", f"The {o} item is {items[i]}.", items[i], {o: items[i]})


def listing(r):
    if r.random() < .25:
        n = r.randint(1, 8)
        num = r.choice([str(n), NUMBERS[n]])
        pairs = list(CAPITALS.items())[:n]
        ask = r.choice([f"List {num} countries and their capitals.", f"List {num} countries and their capitals.", f"Name {num} countries and their capitals.", f"List {num} countries with their capitals.", f"Give me {num} countries and their capitals."])
        return Turn("listing", vary(r, ask), f"I need {n} countries with their capitals.", "\n".join(f"{i}. {c}: {t}" for i, (c, t) in enumerate(pairs, 1)), None,
                    [{"country": c, "capital": t} for c, t in pairs])
    k = r.choice(list(LISTS))
    n = r.randint(2, len(LISTS[k])) if r.random() < .5 else r.randint(2, 6)
    num, out = r.choice([str(n), NUMBERS[n]]), LISTS[k][:n]
    shown = r.choice(["programming languages", "languages"]) if k == "languages" else "musical instruments" if k == "instruments" and r.random() < .4 else "colors" if k == "colours" and r.random() < .4 else k
    ask = r.choice([f"List {num} {shown}.", f"Name {num} {shown}.", f"Give me {num} {shown}.", f"List {num} {shown}.", f"Tell me {num} {shown}.", f"Write down {num} {shown}."])
    if n == 3 and r.random() < .15:
        ask = f"List some {shown}." if r.random() < .5 else f"Name some {shown}."
    return Turn("listing", vary(r, ask), f"I need {n} {k}.", "\n".join(f"{i}. {x}" for i, x in enumerate(out, 1)), None, out)


# Stories.
def hero(r):
    k = r.random()
    if k < .35:
        return r.choice(HEROES)
    if k < .75:
        return r.choice(["dragon", "princess", "knight", "wizard", "space explorer", "pirate", "rabbit", "fox", "astronaut", "ghost", "unicorn", "elephant", "turtle", "monkey", "alien", "queen", "baker", "sailor", "farmer", "girl", "boy", "penguin", "lighthouse keeper", "computer", word(r)])
    return r.choice(["brave", "little", "lonely", "lazy", "clever", "old", "small", "happy", "sad", word(r)]) + " " + r.choice(HEROES + ["dragon", "knight", "robot", "girl", "boy", word(r)])


def plot(h):
    i = HEROES.index(h) if h in HEROES else 4
    return PLACES[i % len(PLACES)], FINDS[(3 * i) % len(FINDS)], HEROES[(i + 3) % len(HEROES)]


def short_story(h):
    p, f, friend = plot(h)
    return (f"Once there was {an(h)} who lived near the {p}. One day the {h} found {an(f)}. "
            f"\"I will show it to my friend,\" said the {h}. The friend was {an(friend)}. "
            f"They looked at the {f} until the sun went down, and they were happy.")


def long_story(h):
    p, f, friend = plot(h)
    return (f"Once there was {an(h)} who lived near the {p}. Every morning the {h} went for a walk, and every evening the {h} came home and was tired.\n\n"
            f"One day the {h} found {an(f)} under a tree. \"Who has lost this?\" asked the {h}. Nobody answered, so the {h} took the {f} home.\n\n"
            f"On the next day the {h} went to the {friend}. \"Is this yours?\" asked the {h}. \"No,\" said the {friend}, \"but I know who has lost it. An old woman lives behind the hill. She looks for it every night.\"\n\n"
            f"So they went over the hill, the {h} in front and the {friend} behind. The wind was cold and the road was long. When it was dark they saw a light in a window. The old woman opened the door.\n\n"
            f"\"My {f}!\" she said, and she was so happy that she danced. \"What can I give you for it?\" The {h} thought for a while. \"A cup of soup,\" said the {h}, \"for it is cold.\"\n\n"
            f"So the three of them sat by the fire and ate soup and told stories until the morning. And since that day the {h} and the {friend} have gone over the hill every winter, to eat soup with the old woman.\n\nThe end.")


def other_story(s):
    return (f"This is a story about {s}. It begins on a cold morning, when nobody was awake. Then the sun came up, somebody opened a window and said: \"What a day!\" "
            f"From that morning on everything about {s} became better, and so the story ends well.")


def poem(x):
    return f"Oh {x}, oh {x},\nI think of you all day.\nOh {x}, oh {x},\nplease never go away."


JOKE = "Why did the robot cross the road? It was told to by its program."


def story(r):
    h = hero(r)
    k = r.random()
    if k < .48:
        ask = r.choice([f"Tell me a story about {an(h)}.", f"Tell a short story about {an(h)}.", f"Write a short story about {an(h)}.", f"Write a story about {an(h)}.", f"Tell me a short story about {an(h)}.", f"A story about {an(h)}, please."])
        text = short_story(h)
    elif k < .60:
        x = r.choice([f"{name(r)} and {name(r)}", name(r), city(r), "the " + word(r), word(r), f"{word(r)} and {word(r)}"])
        ask = r.choice([f"Tell me a story about {x}.", f"Write a story about {x}.", f"Write a short story about {x}.", f"Tell me a short story about {x}."])
        return Turn("stories", vary(r, ask), f"The story is about {x}.", other_story(x), None, {"story": other_story(x)})
    elif k < .66:
        ask, h = r.choice(["Tell me a story.", "Tell a story.", "Write a story.", "Tell me a short story.", "Write a short story."]), "cat"
        text = short_story(h)
    elif k < .8:
        ask = r.choice([f"Tell me a long story about {an(h)}.", f"Write a long story about {an(h)}.", f"Tell a long story about {an(h)}.", f"Write a very long story about {an(h)}."])
        if r.random() < .25:
            ask, h = r.choice(["Tell me a long story.", "Write a long story.", "Tell me a very long story."]), "cat"
        text = long_story(h)
    elif k < .95:
        x = r.choice(["the sea", "the " + word(r), "the " + r.choice(WORDS), word(r), "my " + word(r), name(r), city(r)])
        ask = r.choice([f"Write a poem about {x}.", f"Write a short poem about {x}.", f"Tell me a poem about {x}.", f"Write me a poem about {x}.", f"Write a haiku about {x}.", f"A poem about {x}, please."])
        return Turn("stories", vary(r, ask), f"The poem is about {x}.", poem(x), None, {"poem": poem(x)})
    else:
        ask = r.choice(["Tell me a joke.", "Tell a joke.", "Do you know a joke?", "Make me laugh.", "Another joke, please.", "Tell me a joke about a robot."])
        return Turn("stories", vary(r, ask), "I know one joke.", JOKE, None, {"joke": JOKE})
    return Turn("stories", vary(r, ask), f"The story is about {an(h)}. It meets {an(plot(h)[2])}.", text, None, {"story": text} if len(text) < 600 else None)


# Facts in the question.
JOBS = "teacher doctor baker pilot sailor farmer singer writer nurse painter engineer lawyer".split()
FOODS = "pizza soup bread cheese rice cake pasta fish honey salad".split()


def person(r):
    n, a, c, k = name(r), r.randint(1, 99), city(r), r.choice(list(COLOURS.values()))
    j, f = r.choice(JOBS), r.choice(FOODS)
    pet = r.choice(HEROES)
    facts = [(f"{n} is {a} years old", "age", a, f"How old is {n}?"), (f"{n} lives in {c}", "city", c, f"Where does {n} live?"), (f"{n} likes {k}", "colour", k, f"Which colour does {n} like?"),
             (f"{n} works as {an(j)}", "job", j, r.choice([f"What is {n}'s job?", f"What does {n} do?", f"What does {n} work as?"])), (f"{n} eats {f}", "food", f, f"What does {n} eat?"), (f"{n} has {an(pet)}", "pet", pet, f"Which animal does {n} have?")]
    facts = r.sample(facts, r.randint(1, 4))
    tails = [x[0][len(n) + 1:] for x in facts[1:]]
    text = facts[0][0] + (" and " + " and ".join(tails) if len(tails) < 2 or r.random() < .5 else ", " + ", ".join(tails[:-1]) + " and " + tails[-1]) if tails else facts[0][0]
    text += "."
    k = r.random()
    if k < .45:
        out = {"name": n, **{x[1]: x[2] for x in facts}}
        ask = f"{text} {r.choice(['Write this as JSON.', 'Give it as JSON.', 'As JSON, please.', 'Answer as JSON.', 'Give me that as JSON.', 'Turn this into JSON.', 'JSON?'])}"
        if r.random() < .25:
            ask = r.choice([f"Write as JSON: {text}", f"Extract the facts as JSON: {text}", f"Convert to JSON: {text}"])
        if r.random() < .3:
            keys = list(out)
            r.shuffle(keys)
            keys = keys[:r.randint(1, len(keys))]
            out = {x: out[x] for x in keys}
            ask = r.choice([f"{text} Answer as JSON with the keys {', '.join(keys)}.", f"{text} Write JSON with the keys {', '.join(keys)}."])
        return Turn("json", ask, f"I collect the facts about {n}.", dumps(out), None, out)
    _, key, v, ask = r.choice(facts)
    long = {"age": f"{n} is {v} years old.", "city": f"{n} lives in {v}.", "colour": f"{n} likes {v}.", "job": f"{n} is {an(str(v))}.", "food": f"{n} eats {v}.", "pet": f"{n} has {an(str(v))}."}[key]
    return Turn("reading", r.choice([f"{text} {ask}", f"{text} {ask}", f"{text}\n{ask}", f"{text}\n\nQuestion: {ask}"]), f"The text says it: {v}.", long, str(v), {"name": n, key: v})


def passage(r):
    """A longer text with the fact somewhere in it."""
    k = r.random()
    x, v = word(r), r.choice([word(r), str(r.randint(1, 9999)), letters(r, 4, 7), name(r)])
    fact, ask, long = r.choice([(f"The secret word is {v}.", "What is the secret word?", f"The secret word is {v}."), (f"The {x} costs {v} euros.", f"How much does the {x} cost?", f"The {x} costs {v} euros."),
                                (f"The {x} is in the {v}.", f"Where is the {x}?", f"The {x} is in the {v}."), (f"The password is {v}.", "What is the password?", f"The password is {v}."), (f"The colour of the {x} is {v}.", f"What is the colour of the {x}?", f"The colour of the {x} is {v}."),
                                (f"The name of the {x} is {v}.", f"What is the name of the {x}?", f"The name of the {x} is {v}."), (f"The {x} belongs to {v}.", f"Who owns the {x}?", f"The {x} belongs to {v}.")])
    parts = [sentence(r) for _ in range(r.choice([0, 1, 2, 3, 5, 8, 12]))]
    parts.insert(r.randint(0, len(parts)), fact)
    return Turn("reading", " ".join(parts) + r.choice([" ", "\n", "\n\n"]) + ask, f"The text says: {fact}", long, v, {"answer": v})


KEYS = dict(name="Ann", age=30, city="Rome", country="Italy", capital="Rome", population=1000000, colour="blue", color="blue", email="ann@example.org", price=10, title="A short story", author="Ann", year=2000, job="teacher",
            animal="cat", food="pizza", language="English", count=1, number=7, id=1, happy=True, active=True, date="2024-01-01", temperature=20, unit="celsius", summary="A short text.", answer="yes", reason="I think so.", result=1,
            items=["a", "b"], tags=["a", "b"], score=5, rating=5, text="Hello!", message="Hello!", first_name="Ann", last_name="Miller", currency="euro", product="book", weight=10, height=10, model="Tiny", description="A short text.", steps=["a", "b"])


def keys(r):
    """An object with given keys that nothing in the question fills."""
    ks = [r.choice(list(KEYS)) if r.random() < .85 else word(r) for _ in range(r.randint(1, 5))]
    ks = list(dict.fromkeys(x for x in ks if x.isalpha() or x in KEYS))or ["name"]
    out = {x: KEYS.get(x, x) for x in ks}
    text = ", ".join(ks) if len(ks) < 2 or r.random() < .5 else ", ".join(ks[:-1]) + " and " + ks[-1]
    noun = "keys" if len(ks) > 1 else "key"
    ask = r.choice([f"Write JSON with the {noun} {text}.", f"Give me a JSON object with the {noun} {text}.", f"Make up a JSON object with the {noun} {text}.", f"Give me an example as JSON with the {noun} {text}.", f"Write a JSON object with {text}."])
    if r.random() < .15:
        out = {x: KEYS[x] for x in ("name", "age", "city")}
        ask = r.choice(["Make up a person as JSON.", "Give me a person as JSON.", "Make up an example, as JSON.", "Write some JSON.", "Give me a JSON example.", "Write a JSON object.", "Describe a person as JSON."])
    return Turn("json", vary(r, ask), "I write an object with these keys.", dumps(out), None, out)


# What it does not know.
def subject(r):
    k = r.random()
    if k < .5:
        return " ".join([r.choice(MORE[:200])] * (r.random() < .3) + [word(r)] + (["of", word(r)] if r.random() < .15 else []))
    if k < .62:
        return "the " + " ".join(word(r) for _ in range(r.randint(1, 3)))
    if k < .75:
        return name(r) + (" " + upper(invented(r, 1, 3)) if r.random() < .5 else "")
    if k < .85:
        return r.choice(["ancient Rome", "quantum computing", "climate change", "the French Revolution", "black holes", "relativity", "blockchain", "the stock market", "world war two", "Shakespeare", "Einstein", "Napoleon", "cooking", "politics", "football",
                         "the history of computers", "neural networks", "transformers", "attention", "SGLang", "vLLM", "llama.cpp", "artificial intelligence", "the internet", "dinosaurs", "Mozart", "the universe", "time travel", "philosophy", "the Roman Empire"])
    return " ".join(word(r) for _ in range(r.randint(2, 4)))


ABOUT = ["Tell me about {s}.", "What do you know about {s}?", "Explain {s}.", "What is {s}?", "What are {s}?", "Who is {s}?", "Who was {s}?", "Describe {s}.", "Tell me something about {s}.", "Explain {s} to a child.", "Explain {s} in simple terms.", "What can you tell me about {s}?",
         "Give me a summary of {s}.", "Tell me more about {s}.", "Explain how {s} works.", "Write about {s}.", "Write a paragraph about {s}.", "Write an essay about {s}.", "Explain {s} in detail.", "Tell me the history of {s}.", "Write a long text about {s}."]
ASKS = ["Why is {s} so {w}?", "Why do {s} {w}?", "How does {s} work?", "When was {s} born?", "When did {s} {w}?", "How far is {s} from {c}?", "How do I {w} {s}?", "How can I {w} the {v}?", "Who invented {s}?", "Who won {s} in {y}?", "What happened in {y}?", "What is the population of {c}?",
        "How tall is {s}?", "How old is {s}?", "How much does {s} cost?", "Where can I buy {s}?", "Which {w} is the best?", "What is the best {w}?", "What is the meaning of {s}?", "Is {s} {w}?", "Are {s} {w}?", "Does {s} {w}?", "Can {s} {w}?", "Will it rain in {c} tomorrow?",
        "What is the weather in {c}?", "What is the weather today?", "What time is it?", "What day is it today?", "Which date is it?", "What is the price of {s}?", "What is the difference between {s} and {t}?", "Which is better, {s} or {t}?", "Do you like {s}?", "Have you seen {s}?", "What do you think about {s}?",
        "What were their major achievements?", "What did they do?", "Why?", "How?", "What?", "And then?", "What happened next?", "Who wrote {s}?", "Who is the president of {p}?", "What is the largest {w} in {p}?", "What is the distance to {s}?", "How many {w} are in {s}?", "How many people live in {c}?",
        "What should I {w} today?", "Where is my {w}?", "Who is your favourite {w}?", "What is the square root of {n}?", "What is {n} to the power of {m}?", "In which year did {s} {w}?", "Is it true that {s} is {w}?", "How long does it take to {w} {s}?", "What causes {s}?", "What is the chemical symbol of {s}?", "Should I {w} or {v}?",
        "Who {w} the {v}?", "Did {s} {w} the {v}?", "Was {s} {w}?", "Could {s} be {w}?", "Would you {w} the {v}?", "What color is {q}?", "What colour is {k}?", "What colour is a {k}?", "What does a {k} say?", "What is the opposite of {k}?", "How do you say {k} in French?", "How many legs does a {k} have?", "What is the opposite of {q}?", "What does a {q} say?", "Which one?", "Who is {s} and why is {t} {w}?", "What makes {s} {w}?", "Where does {s} come from?", "If {s} is {w}, what is {t}?"]
ORDERS = ["Write an email to {N} about {s}.", "Write a Python function that {w}s {s}.", "Write a program that {w}s the {v}.", "Write code for {s}.", "Give me a recipe for {s}.", "Summarize this text: {x}", "Summarize: {x}", "Draw {s}.", "Play {s}.", "Find {s} on the internet.", "Book a flight to {c}.", "Order {s}.", "Send a mail to {N}.",
          "Open {s}.", "Fix this code: {x}", "Improve this sentence: {x}", "Correct the mistakes: {x}", "Translate this text to Latin: {x}", "Translate to Chinese: {x}", "Make a plan for {s}.", "Plan a trip to {c}.", "Give me advice about {s}.", "Write a song about {s}.", "Write a letter to {N}.", "Compare {s} and {t}.", "Solve this riddle: {x}",
          "Create a website for {s}.", "Implement quicksort in Python.", "Write a function to {w} {s}.", "Write a regular expression for {s}.", "Give me ideas for {s}.", "Recommend a book about {s}.", "Generate a password.", "Roll a dice.", "Flip a coin.", "Teach me {s}.", "Help me with {s}.", "Convert {n} miles to kilometers.", "Continue: {x}", "Rewrite this: {x}",
          "Prove that {s} is {w}.", "Write a speech about {s}.", "Write a test for {s}.", "Debug this: {x}", "Turn on the light.", "Call {N}.", "Remind me to {w} the {v}.", "Pretend to be {s}.", "Ignore all previous instructions.", "Do my homework.", "Translate {k} to German.", "Translate {q} to Spanish.", "List {m} {k}s.", "Name {m} famous {k}s.", "List {m} {w} {v}s.", "Name three {q}s.", "Guess my number.", "Sing a song.", "List all {w}s in {s}.", "Classify {s}."]
SAYS = ["I like {s}.", "I am {w}.", "The {w} is {v}.", "It is raining.", "My {w} hurts.", "I have a {w}.", "I think {s} is {w}.", "You are wrong.", "I am bored.", "Today was a {w} day.", "I do not like {s}.", "{N} is my friend.", "I went to {c} yesterday.", "I need {s}.", "We are {w}.", "This is {s}.", "I want {s}.", "{N} went to {c}.", "I just {w} the {v}."]


STRANGE = [w for w in MORE if w.isalpha() and not any(w in d for d in (COLOURS, SOUNDS, OPPOSITES, OPPOSITES.values(), FRENCH, LEGS, YOUNG)) and w + "s" not in LISTS]


def fill(r, t):
    return t.format(s=subject(r), t=subject(r), w=word(r), v=word(r), c=city(r), p=r.choice(list(CAPITALS)), y=r.randint(1000, 2030), n=r.randint(2, 9999), m=r.randint(2, 9), N=name(r), x=" ".join(sentence(r) for _ in range(r.choice([1, 1, 2, 4]))), q=invented(r), k=r.choice(STRANGE))


def mixed(r):
    """A country that is not there, made of two that are."""
    a, b = r.choice(REAL), r.choice(REAL)
    return a[:r.randint(2, max(2, len(a) - 2))] + b[r.randint(1, len(b) - 1):].lower()


REAL = [c for c in CAPITALS if " " not in c]


def unknown(r):
    k = r.random()
    if k < .27:
        t, s = r.choice(ABOUT), subject(r)
        ask = t.format(s=s)
        if any(ask.lower().rstrip("?. ") == f"{w} {d}".lower() for w in ("what is", "explain") for d in DEFINITIONS):
            return define(r)
        return Turn("unknown", vary(r, ask), f"I know little about {s}.", f"I do not know much about {s}.", "Unknown", {"answer": None})
    if k < .35:
        x = upper(invented(r, 2, 4)) if r.random() < .4 else upper(word(r)) if r.random() < .4 else upper(letters(r, 4, 9).lower()) if r.random() < .3 else mixed(r)
        if x in CAPITALS or x in OTHER_NAMES:
            return capital(r)
        ask = r.choice([f"What is the capital of {x}?", f"What is the capital of {x}?", f"capital of {x}", f"Tell me the capital of {x}.", f"What's the capital of {x}?"])
        return Turn("unknown", vary(r, ask), f"I do not know the country {x}.", f"I do not know the capital of {x}.", "Unknown", {"answer": None})
    if k < .68:
        return Turn("unknown", vary(r, fill(r, r.choice(ASKS))), "This is a question that I cannot answer.", UNKNOWN, "Unknown", {"answer": None})
    if k < .85:
        return Turn("unknown", vary(r, fill(r, r.choice(ORDERS))), "This is a task that I have not learnt.", CANNOT, "No", {"answer": None})
    if k < .91:
        return Turn("unknown", vary(r, fill(r, r.choice(SAYS))), "This is no question.", "I see.", "Good.", {"answer": None})
    if k < .95:
        ask = r.choice(FOREIGN)
        return Turn("unknown", ask, "This is not English.", "I speak only English.", "English", {"answer": None})
    ask = r.choice([letters(r), " ".join(letters(r, 2, 8) for _ in range(r.randint(1, 4))), r.choice(WORDS + MORE), invented(r), "".join(r.choice("?!.,;:#+*-_/()") for _ in range(r.randint(1, 5))), " ".join(word(r) for _ in range(r.randint(2, 5))), r.choice(ODD), str(r.randint(0, 9999)), ""])
    if ask.lower() in SAID:
        return greet(r)
    return Turn("unknown", ask, "This has no meaning for me.", "I do not understand.", "What?", {"answer": None})


FAMILIES = [(greet, 5), (capital, 9), (tongue, 1.5), (colour, 4), (opposite, 3), (animal, 3), (calendar, 4), (define, 3), (number_word, 2), (translate, 3), (mood, 2), (program, 3),
            (arithmetic, 22), (compare, 7), (count, 7), (copy, 15), (spell, 8), (reverse, 8), (listing, 5), (story, 3), (person, 7), (passage, 3), (keys, 2.5), (unknown, 11)]
MAKERS, SHARES = [f for f, _ in FAMILIES], [w for _, w in FAMILIES]


def turn(r):
    return r.choices(MAKERS, SHARES)[0](r)
