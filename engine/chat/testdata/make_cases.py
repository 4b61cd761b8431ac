"""Writes the conversations of the chat template tests:  python make_cases.py > cases.json"""

import json
import sys

weather = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather at a place, in \"plain\" words <b>&</b> 'quotes'",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "Stadt, z. B. Köln — 東京"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "minimum": 1},
            },
            "required": ["location"],
        },
    },
}
add = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds",
        "parameters": {
            "type": "object",
            "properties": {"b": {"type": "number"}, "a": {"type": "number", "default": 1.5}, "strict": {"type": "boolean"}},
            "required": ["b", "a"],
            "additionalProperties": False,
        },
    },
}


def user(text):
    return {"role": "user", "content": text}


def bot(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def call(name, arguments, id="call12345"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(text, name="get_weather", id="call12345"):
    return {"role": "tool", "name": name, "tool_call_id": id, "content": text}


one_call = [
    user("Weather in Köln?"),
    bot(None, tool_calls=[call("get_weather", {"location": "Köln \"Süd\" <3", "days": 2, "unit": "celsius"})]),
]
result = tool('{"temp": 21.0, "sky": "heiter – ☀", "ok": true}')

cases = [
    ("one user turn", dict(messages=[user("Hello")], gen=True)),
    ("one user turn without a generation prompt", dict(messages=[user("Hello")])),
    ("system and user", dict(messages=[system("You are terse."), user("Hello")], gen=True)),
    ("several turns", dict(messages=[system("Be kind."), user("Hi"), bot("Hello!"), user("How are you?"), bot("Fine."), user("Good")], gen=True)),
    ("several turns that end with the assistant", dict(messages=[user("Hi"), bot("Hello!"), user("Bye"), bot("Bye.")])),
    ("white space around the contents", dict(messages=[system("  S \n"), user("\n  Hi  \n\n"), bot("  Hello! \n"), user(" x ")], gen=True)),
    ("non-ASCII and quotes", dict(messages=[system("Antworte auf Deutsch: “ja”"), user("Größe? 'ß' \"é\" 日本語 😀 <a>&amp;</a> \\ \t|")], gen=True)),
    ("empty contents", dict(messages=[system(""), user(""), bot(""), user("x")], gen=True)),
    ("content that looks like a template", dict(messages=[user("{{ 7*7 }} {% for x in y %} <|im_end|> {# c #} </think> [INST]")], gen=True)),
    ("tools offered", dict(messages=[user("Weather in Köln?")], tools=[weather, add], gen=True)),
    ("tools offered with a system message", dict(messages=[system("Use tools."), user("2+3?")], tools=[add], gen=True)),
    ("a tool call as the last turn", dict(messages=one_call, tools=[weather])),
    ("a tool result", dict(messages=one_call + [result], tools=[weather], gen=True)),
    ("a tool result answered and a further question", dict(messages=one_call + [result, bot("21 °C."), user("And tomorrow?")], tools=[weather], gen=True)),
    ("two tool calls in one turn", dict(messages=[user("2+3 and 4+5?"), bot(None, tool_calls=[call("add", {"a": 2, "b": 3}, "call00001"), call("add", {"a": 4.0, "b": -5e-7, "strict": True}, "call00002")]), tool("5", "add", "call00001"), tool("9", "add", "call00002")], tools=[add], gen=True)),
    ("a tool call with text beside it", dict(messages=[user("2+3?"), bot("Let me see.", tool_calls=[call("add", {"a": 2, "b": 3})]), tool("5", "add")], tools=[add], gen=True)),
    ("a tool call without arguments", dict(messages=[user("go"), bot("", tool_calls=[call("add", {})]), tool("null", "add")], tools=[add], gen=True)),
    ("thinking switched on", dict(messages=[user("Hello")], gen=True, args={"enable_thinking": True, "thinking": True})),
    ("thinking switched off", dict(messages=[user("Hello")], gen=True, args={"enable_thinking": False, "thinking": False})),
    ("thinking of earlier turns in the content", dict(messages=[user("1?"), bot("<think>\nhm\n</think>\n\nOne."), user("2?"), bot("<think>\nso\n</think>\n\nTwo."), user("3?")], gen=True)),
    ("thinking as reasoning_content", dict(messages=[user("1?"), bot("One.", reasoning_content="hm\nso"), user("2?"), bot("Two.", reasoning_content="ah")])),
    ("thinking before a tool call", dict(messages=[user("2+3?"), bot("", reasoning_content="I must add.", tool_calls=[call("add", {"a": 2, "b": 3})]), tool("5", "add")], tools=[add], gen=True)),
    ("the last message continued", dict(messages=[user("Count"), bot("One, two")], cont=True)),
    ("the last message continued after a blank", dict(messages=[system("S"), user("Count"), bot("One, two, ")], cont=True)),
    ("contents as lists of parts", dict(messages=[{"role": "user", "content": [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there"}]}], gen=True)),
    ("a date given by the caller", dict(messages=[user("Which day?")], gen=True, args={"date_string": "1 Jan 2030"})),
    ("options of single families", dict(messages=[user("Hello")], tools=[add], gen=True, args={"tools_in_user_message": False, "reasoning_effort": "high", "thinking_budget": 512, "model_identity": "You are X.", "builtin_tools": ["browser", "python"], "datetime": "2025-07-04", "functions": "[]"})),
    ("a role that nobody knows", dict(messages=[user("Hello"), {"role": "wizard", "content": "Abracadabra"}], gen=True)),
    ("two user turns in a row", dict(messages=[user("a"), user("b")], gen=True)),
]

out = []
for name, c in cases:
    case = {"name": name, "messages": c["messages"]}
    if "tools" in c:
        case["tools"] = c["tools"]
    if c.get("gen"):
        case["add_generation_prompt"] = True
    if c.get("cont"):
        case["continue_final"] = True
    if "args" in c:
        case["args"] = c["args"]
    out.append(case)
json.dump(out, sys.stdout, ensure_ascii=False, indent=1)
print()
