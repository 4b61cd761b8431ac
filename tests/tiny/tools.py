"""Tools of the corpus: what is asked, which calls it needs, and what comes back."""
from corpus import *


def param(kind, text=None, enum=None):
    p = {"type": kind}
    if enum:
        p["enum"] = enum
    if text:
        p["description"] = text
    return p


def tool(r, name, text, props, required=None):
    """A tool in OpenAI's form; some lack what the form does not require."""
    for x in props.values():
        if "description" in x and r.random() < .15:  # one that tells nothing
            x["description"] = sentence(r)
    p = {"type": "object", "properties": props}
    required = list(props) if required is None else required
    if r.random() < .9:
        p["required"] = required
    if r.random() < .06:
        p["additionalProperties"] = False
    f = {"name": name}
    if r.random() < .95:
        f["description"] = text
    f["parameters"] = p
    if r.random() < .05:
        f["strict"] = r.random() < .5
    return {"type": "function", "function": f}


class Use:
    """A tool with a question for it: args of the call, the same for another object (or
    none), the result as the tool gives it, and the answer made of the result."""

    def __init__(self, tool, ask, args, result, answer, again=None):
        self.tool, self.ask, self.args, self.result, self.answer, self.again = tool, ask, args, result, answer, again


def open_answer(r, subject):
    """A result of a form that no rule knows, and how it is told."""
    k = r.random()
    if k < .5:
        out = {}
        for _ in range(r.randint(1, 4)):
            out[r.choice(["status", "value", "count", "name", "unit", "state", "place", "total", word(r), word(r)])] = r.choice([word(r), r.randint(0, 999), name(r), city(r), r.randint(0, 99) + .5])
        return dumps(out), "The result is: " + ", ".join(f"{k} {v}" for k, v in out.items()) + "."
    if k < .7:
        v = r.choice([word(r), str(r.randint(0, 9999)), f"{word(r)} {word(r)}", name(r)])
        return r.choice([v, dumps({"result": v}), dumps({"result": v})]), f"The result is: {v}."
    if k < .85:
        s = sentence(r)
        return s, f"The result is: {s}"
    e = r.choice(["not found", "timeout", "no such " + word(r), "access denied", f"{word(r)} {word(r)}"])
    return dumps({"error": e}), f"The tool has failed: {e}."


def told(r, usual, subject=None):
    """Mostly the usual result of a tool, sometimes one of another form."""
    return usual if r.random() < .8 else open_answer(r, subject)


def weather(r):
    c, sky, deg = city(r), r.choice(SKIES), r.randint(-9, 40)
    unit, key = r.random() < .3, r.choice(["city", "city", "location", "place"])
    props = {key: param("string", r.choice(["The city", "The name of the city", "The city and state, e.g. San Francisco, CA", None]))}
    args, required, tail = {key: c}, [key], ""
    if unit:
        u = r.choice(["celsius", "fahrenheit"])
        props["unit"] = param("string", r.choice(["The unit", None, "The unit of the temperature"]), ["celsius", "fahrenheit"])
        if r.random() < .6:
            tail, args = f" in {u}", args | {"unit": u}
        elif r.random() < .3:
            required, args = [key, "unit"], args | {"unit": "celsius"}
    ask = r.choice([f"What is the weather in {c}", f"How is the weather in {c}", f"What's the weather like in {c}", f"Tell me the weather in {c}", f"What is the temperature in {c}", f"What's the weather in {c}"]) + tail
    ask += r.choice(["?", "?", " today?", " now?", "", " today? Use the tool."]) if ask[0] in "WH" else "."
    usual = r.choice([({"weather": sky, "degrees": deg}, f"The weather in {c} is {sky}, {deg} degrees."), ({"city": c, "weather": sky, "degrees": deg}, f"The weather in {c} is {sky}, {deg} degrees."),
                      ({"temperature": deg, "condition": sky}, f"The weather in {c} is {sky}, {deg} degrees."), ({"temperature": deg, "weather": sky}, f"The weather in {c} is {sky}, {deg} degrees."),
                      ({"temperature": deg}, f"It is {deg} degrees in {c}."), ({"location": c, "temperature": deg, "unit": "celsius"}, f"It is {deg} degrees in {c}."), ({"temperature": str(deg), "unit": "celsius"}, f"It is {deg} degrees in {c}.")])
    t = tool(r, r.choice(["get_weather", "get_weather", "get_current_weather", "weather"]), r.choice(["Get the weather in a city", "Get the current weather in a given location", "Get weather", "The weather of a city"]), props, required)
    return Use(t, ask, args, *told(r, (dumps(usual[0]), usual[1])), (c, key, city))


def state_weather(r):
    """The weather of a city in a state."""
    c, st = r.choice(["Boston", "San Francisco", "Dallas", "Seattle", "Denver", "Miami", upper(invented(r, 2, 3))]), letters(r, 3, 3).upper()[:2]
    props = {"city": param("string", r.choice(["The city to find the weather for, e.g. 'San Francisco'", "The city", None])), "state": param("string", r.choice(["The two letters of the state that the city is in, e.g. 'CA'", "The state", None]))}
    args, tail = {"city": c}, ""
    if r.random() < .7:
        args["state"], tail = st, f", {st}"
    required = list(args)
    if r.random() < .6:
        props["unit"] = param("string", r.choice(["The unit to fetch the temperature in", "The unit", None]), ["celsius", "fahrenheit"])
        if r.random() < .5:
            args["unit"] = r.choice(["celsius", "fahrenheit"])
            tail += " in " + args["unit"]
            required += ["unit"] * (r.random() < .5)
    deg = r.randint(-9, 99)
    ask = r.choice(["What's the weather like in {}{}?", "What is the weather in {}{}?", "How is the weather in {}{}?", "What's the weather like in {}{} today?", "Tell me the weather in {}{}."]).format(c, tail)
    return Use(tool(r, r.choice(["get_current_weather", "get_weather"]), "Get the current weather in a given location", props, required), ask, args, *told(r, (dumps({"temperature": deg}), f"It is {deg} degrees in {c}.")))


def clock(r):
    c, t = city(r), f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}"
    key = r.choice(["city", "place", "timezone", "location"])
    return Use(tool(r, r.choice(["get_time", "current_time", "get_current_time"]), r.choice(["Get the time in a city", "Get the current time"]), {key: param("string", r.choice(["The city", None]))}),
               r.choice([f"What time is it in {c}?", f"Tell me the time in {c}.", f"What is the time in {c}?"]), {key: c}, *told(r, (dumps({"time": t}), f"It is {t} in {c}.")), (c, key, city))


def maths(r):
    a, b = r.randint(0, 999), r.randint(0, 999)
    k, sign, verb = r.choice([("add", "+", "add"), ("multiply", "*", "multiply"), ("subtract", "-", "subtract"), ("add", "+", "add")])
    words = [f"What is {a} {sign} {b}?", f"{a} {sign} {b}", f"Use the tool: {a} {sign} {b}", f"What is {a} {sign} {b}? Use the tool.", f"Compute {a} {sign} {b} with the tool."] + ([f"Please {k} {a} and {b}.", f"{upper(k)} {a} and {b}."] if k != "subtract" else [])
    v = {"+": a + b, "*": a * b, "-": a - b}[sign]
    x, y = r.choice([("a", "b"), ("a", "b"), ("x", "y"), ("first", "second")])
    kind = r.choice(["integer", "number", "int"])
    return Use(tool(r, r.choice([k, k, k + "_numbers"]), f"{upper(verb)} two numbers", {x: param(kind, r.choice(["The first number", None])), y: param(kind, r.choice(["The second number", None]))}),
               r.choice(words), {x: a, y: b}, r.choice([str(v), dumps({"result": v})]), f"The result is {v}.")


def calculate(r):
    e = " ".join([str(r.randint(0, 999))] + [x for _ in range(r.randint(1, 3)) for x in (r.choice("+-*/"), str(r.randint(1, 99)))])
    v = r.randint(0, 99999)
    return Use(tool(r, r.choice(["calculate", "calculator"]), "Compute an expression", {"expression": param("string", "The expression")}),
               r.choice([f"Calculate {e} with the tool.", f"Use the calculator: {e}", f"Compute {e} with the calculator."]), {"expression": e}, r.choice([str(v), dumps({"result": v})]), f"The result is {v}.")


def search(r):
    q = " ".join(word(r) for _ in range(r.randint(1, 4)))
    hit = r.choice([word(r), sentence(r).rstrip("."), name(r)])
    key = r.choice(["query", "query", "q", "text"])
    return Use(tool(r, r.choice(["search", "search_web", "web_search", "google"]), r.choice(["Search for a text", "Search the web"]), {key: param("string", r.choice(["The text", "The query", None]))}),
               r.choice([f"Search for {q}.", f"Please search for {q}.", f"Search the web for {q}.", f"Find {q} on the web."]), {key: q}, *told(r, (dumps({"found": hit}), f"I found: {hit}.")))


def mail(r):
    n, t = name(r), " ".join(word(r) for _ in range(r.randint(1, 6)))
    to, text = r.choice([("to", "text"), ("to", "body"), ("recipient", "message"), ("person", "text")])
    props = {to: param("string", "The person"), text: param("string", "The message")}
    args = {to: n, text: t}
    ask = r.choice([f"Send {n} the message: {t}", f"Send a message to {n}: {t}", f'Send {n} the message "{t}".', f"Tell {n}: {t}"])
    if r.random() < .25:
        s = " ".join(word(r) for _ in range(r.randint(1, 3)))
        props, args = {to: props[to], "subject": param("string", "The subject"), text: props[text]}, {to: n, "subject": s, text: t}
        ask = f'Send a mail to {n} with the subject "{s}" and the text "{t}".'
    return Use(tool(r, r.choice(["send_message", "send_mail", "send_email"]), "Send a message to a person", props), ask, args, r.choice(['{"ok": true}', "sent", '{"status": "sent"}']), f"I have sent the message to {n}.")


def booking(r):
    a, b = city(r), city(r)
    d = f"2025-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}"
    what = r.choice(["flight", "train"])
    x, y = r.choice([("origin", "destination"), ("from", "to")])
    props, args, tail = {x: param("string"), y: param("string")}, {x: a, y: b}, ""
    if r.random() < .6:
        props["date"], args["date"], tail = param("string", "The day"), d, f" on {d}"
    if r.random() < .3:
        n = r.randint(1, 9)
        props["passengers"], args["passengers"], tail = param("integer", "How many people"), n, tail + f" for {n} people"
    code = letters(r, 5, 6).upper()
    return Use(tool(r, f"{r.choice(['book', 'find', 'search'])}_{what}", f"Find a {what} between two cities", props), r.choice([f"Book a {what} from {a} to {b}{tail}.", f"Find a {what} from {a} to {b}{tail}.", f"I need a {what} from {a} to {b}{tail}."]), args,
               *told(r, (dumps({"booking": code}), f"The booking is {code}.")))


def money(r):
    n, (a, b) = r.randint(1, 9999), r.sample(["EUR", "USD", "GBP", "JPY", "CHF"], 2)
    v = r.randint(1, 9999)
    return Use(tool(r, "convert_currency", "Convert an amount of money", {"amount": param("number", "The amount"), "from": param("string", "The currency that is given"), "to": param("string", "The currency that is wanted")}),
               r.choice([f"Convert {n} {a} to {b}.", f"How much is {n} {a} in {b}?"]), {"amount": n, "from": a, "to": b}, r.choice([str(v), dumps({"result": v}), dumps({"amount": v})]), f"The result is {v}.")


def stock(r):
    s, v = letters(r, 3, 4).upper()[:4], r.randint(1, 999)
    key = r.choice(["symbol", "ticker"])
    return Use(tool(r, r.choice(["get_stock_price", "stock_price"]), "Get the price of a stock", {key: param("string", "The stock")}), r.choice([f"What is the stock price of {s}?", f"What is the price of {s}?"]), {key: s}, *told(r, (dumps({"price": v}), f"The price of {s} is {v}.")),
               (s, key, lambda r: letters(r, 3, 4).upper()[:4]))


def light(r):
    room, on = r.choice(["kitchen", "bedroom", "garden", "hall", word(r)]), r.random() < .5
    return Use(tool(r, r.choice(["set_light", "switch_light"]), "Switch a light on or off", {"room": param("string", "The room"), "on": param("boolean", "Whether it is on")}), f"{r.choice(['Turn', 'Switch'])} {'on' if on else 'off'} the light in the {room}.", {"room": room, "on": on},
               r.choice(['{"ok": true}', "done"]), f"The light in the {room} is {'on' if on else 'off'}.")


def event(r):
    t, d, h = " ".join(word(r) for _ in range(r.randint(1, 3))), r.choice(DAYS), f"{r.randint(0, 23):02d}:{r.choice(['00', '15', '30', '45'])}"
    return Use(tool(r, r.choice(["create_event", "add_event"]), "Put an event into the calendar", {"title": param("string", "The title"), "day": param("string", "The day"), "time": param("string", "The time")}),
               r.choice([f"Create the event {t} on {d} at {h}.", f"Put {t} into the calendar on {d} at {h}."]), {"title": t, "day": d, "time": h}, r.choice(['{"ok": true}', "created"]), f"The event is on {d} at {h}.")


def translator(r):
    t, lang = " ".join(word(r) for _ in range(r.randint(1, 6))), r.choice(["French", "German", "Spanish", "Italian", "Japanese", "Polish"])
    v = " ".join(invented(r) for _ in range(r.randint(1, 4)))
    return Use(tool(r, "translate", "Translate a text", {"text": param("string", "The text"), r.choice(["language", "to"]): param("string", "The language")}), r.choice([f"Translate to {lang}: {t}", f'Translate "{t}" to {lang}.']), {"text": t, "": lang}, *told(r, (dumps({"translation": v}), f"The result is: {v}.")))


def facts_tool(r):
    c = r.choice([city(r), r.choice(list(CAPITALS)).removeprefix("the ")])
    n = r.randint(1, 99999999)
    key = r.choice(["city", "country", "place", "name"])
    return Use(tool(r, r.choice(["get_population", "population"]), "Get the number of people in a place", {key: param("string")}), r.choice([f"How many people live in {c}?", f"What is the population of {c}?"]), {key: c}, *told(r, (dumps({"population": n}), f"{c} has {n} people.")), (c, key, city))


def free(r):
    """A tool that was never seen: its name and its arguments are random words."""
    verb, noun = r.choice(["open", "close", "start", "stop", "find", "move", "paint", "count", "check", "delete", "create", "get", "update", "print", "read", "play", "order", word(r)]), word(r)
    noun = "".join(x for x in noun if x.isalpha()) or "thing"
    verb = "".join(x for x in verb if x.isalpha()) or "do"
    props, args, told_args = {}, {}, []
    for _ in range(r.choice([0, 1, 1, 1, 2, 2, 3])):
        key = "".join(x for x in r.choice(["name", "item", "place", "target", "value", "size", "colour", "number", "id", "path", word(r), word(r)]) if x.isalpha()) or "name"
        if key in props:
            continue
        kind = r.choices(["string", "integer", "boolean", "number", "array"], [60, 22, 8, 6, 4])[0]
        v = {"string": lambda: r.choice([word(r), name(r), city(r), f"{word(r)} {word(r)}", letters(r, 3, 7)]), "integer": lambda: r.randint(0, 9999), "boolean": lambda: r.random() < .5, "number": lambda: r.randint(0, 99) + .5, "array": lambda: [word(r) for _ in range(r.randint(1, 3))]}[kind]()
        props[key] = param(kind, r.choice([f"The {key}", None])) | ({"items": {"type": "string"}} if kind == "array" else {})
        args[key] = v
        shown = dumps(v) if kind != "string" or r.random() < .3 else v
        told_args.append(r.choice([f"{key} {shown}", f"{key} {shown}", f"{key} = {shown}", f"{key}: {shown}"]) if kind != "array" else f"{key} {', '.join(v)}")
    style = r.choice(["{}_{}", "{}_{}", "{}-{}", "camel"])
    fn = verb + upper(noun) if style == "camel" else style.format(verb, noun)
    optional = {}
    if r.random() < .15:
        optional = {"".join(x for x in word(r) if x.isalpha()) or "more": param(r.choice(["string", "integer"]), r.choice(["Not needed", None]))}
        optional = {k: v for k, v in optional.items() if k not in props}
    tail = " with " + " and ".join(told_args) if told_args else ""
    if len(args) == 1 and isinstance(next(iter(args.values())), str) and r.random() < .5:
        tail = " with " + next(iter(args.values()))
    ask = r.choice([f"{upper(verb)} the {noun}{tail}.", f"Please {verb} the {noun}{tail}.", f"Use {fn}{tail}.", f"Call {fn}{tail}.", f"Use the tool {fn}{tail}."])
    state = r.choice(["done", "ok", "ready", "closed", "open", word(r)])
    again = None
    if len(args) == 1 and isinstance(next(iter(args.values())), str) and tail.count(next(iter(args.values()))) == 1:
        again = (next(iter(args.values())), next(iter(args)), word)
    return Use(tool(r, fn, r.choice([f"{upper(verb)} the {noun}", sentence(r)]), props | optional, list(props)), ask, args, *told(r, (dumps({"state": state}), f"The {noun} is {state}."), noun), again)


TOOLS = [(weather, 8), (state_weather, 2), (clock, 3), (maths, 4), (calculate, 1.5), (search, 3), (mail, 3), (booking, 2), (money, 1.5), (stock, 1.5), (light, 1.5), (event, 1.5), (translator, 1), (facts_tool, 1.5), (free, 11)]
MAKE, SHARE = [f for f, _ in TOOLS], [w for _, w in TOOLS]


def use(r):
    u = r.choices(MAKE, SHARE)[0](r)
    names = list(u.tool["function"]["parameters"]["properties"])
    if "" in u.args:  # the name of the last parameter was drawn with the tool
        u.args = {names[-1] if k == "" else k: v for k, v in u.args.items()}
    # arguments in the order in which the tool has them
    u.args = {k: u.args[k] for k in names if k in u.args}
    return u


def call(u, args=None):
    return {"type": "function", "function": {"name": u.tool["function"]["name"], "arguments": u.args if args is None else args}}


def tools(r):
    """A conversation with tools, as messages: the last one is the answer to learn.

    Returns tools, messages, thought, family."""
    first = use(r)
    specs, others = [first.tool], []
    while r.random() < .4 and len(specs) < 4:
        other = use(r)
        n = other.tool["function"]["name"]
        if all(n.split("_")[0] != s["function"]["name"].split("_")[0] and n[:4] != s["function"]["name"][:4] for s in specs):
            specs.append(other.tool)
            others.append(other)
    r.shuffle(specs)
    sums = any(s["function"]["name"].startswith(("add", "sub", "mul", "calc")) for s in specs)
    messages = []
    if r.random() < .3:
        messages.append({"role": "system", "content": r.choice(SYSTEMS)})
    family, thought = None, None
    uses = [first] + (others if r.random() < .5 else [])
    rounds = r.choices([1, 2, 3], [80, 15, 5])[0]
    for i in range(rounds):
        last = i == rounds - 1
        k = r.random()
        if k < .2:
            t = turn(r)
            while t.family == "arithmetic" and sums or t.family in ("json", "stories", "unknown") and r.random() < .8:
                t = turn(r)
            if t.family == "unknown" and any(w in t.ask.lower() for w in ("weather", "time", "people live", "population", "price", "light", "search", "mail", "book", "find", "call", "open", "play", "order", "translate", "convert", "cost")):
                continue
            messages += [{"role": "user", "content": t.ask}, {"role": "assistant", "content": t.long}]
            family, thought = "tools: none needed", t.thought
            continue
        u = r.choice(uses)
        ask, calls, results, answer = u.ask, [call(u)], [u.result], u.answer
        thought, family = f"I need the tool {u.tool['function']['name']}.", "tools: call"
        if u.again and r.random() < .25:
            value, key, other = u.again
            other = other(r)
            if other != value and value not in other:
                ask = ask.replace(value, f"{value} and {r.choice(['', 'in ']) if ' in ' + value in ask else ''}{other}", 1) if ask.count(value) == 1 else ask
                if other in ask:
                    calls.append(call(u, u.args | {key: other}))
                    thought, family = f"I call {u.tool['function']['name']} two times.", "tools: two calls"
        elif len(uses) > 1 and r.random() < .2:
            v = r.choice([x for x in uses if x is not u])
            small = v.ask if v.ask[1:2].isupper() else v.ask[0].lower() + v.ask[1:]
            ask = f"{u.ask.rstrip('.')} {r.choice(['And', 'Then', 'Also'])} {small}" if u.ask[-1] in "?." else f"{u.ask}. And {small}"
            calls.append(call(v))
            thought, family = f"I need the tools {u.tool['function']['name']} and {v.tool['function']['name']}.", "tools: two calls"
            results, answer = [u.result, v.result], f"{u.answer} {v.answer}"
        messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": "", "tool_calls": calls}]
        if len(calls) != len(results):
            if not last:
                messages = messages[:-2]
                continue
            return specs, messages, thought, family
        if last and r.random() < .55:
            return specs, messages, thought, family
        messages += [{"role": "tool", "content": x} for x in results]
        messages.append({"role": "assistant", "content": answer})
        family, thought = "tools: result", "The tool has answered."
    if messages and messages[-1]["role"] == "assistant":
        return specs, messages, thought, family
    return tools(r)
