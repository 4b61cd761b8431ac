"""Structured output through the client's own helpers: what ended by itself is valid.

GODWIT_SEEDS says how many seeds are tried per type (default 2; `just structured` takes 500),
GODWIT_STREAMS how many requests run at once.
"""

import collections
import concurrent.futures
import json
import os
import unittest
from enum import Enum, IntEnum
from typing import Dict, List, Literal, Optional, Set, Tuple, Union

import jsonschema
import openai
from pydantic import BaseModel, ConfigDict, Field

from client import MODEL, ServerTest

SEEDS = int(os.environ.get("GODWIT_SEEDS", "2"))
STREAMS = int(os.environ.get("GODWIT_STREAMS", "16"))
TOKENS = 160


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Mood(str, Enum):
    happy = "happy"
    sad = "sad"
    neither = "neither"


class Address(Strict):
    street: str = Field(max_length=16)
    number: Optional[int] = Field(ge=1, le=999)


class Person(Strict):
    """Nested, with an enum, options and a union."""

    name: str = Field(min_length=1, max_length=12)
    mood: Mood
    home: Optional[Address]
    tags: List[Literal["red", "green", "blue"]] = Field(max_length=3)
    score: Union[int, bool, None]


class Tree(Strict):
    """Recursive."""

    value: int = Field(ge=-99, le=99)
    children: List["Tree"] = Field(max_length=2)


class Circle(Strict):
    kind: Literal["circle"]
    radius: float = Field(gt=0, le=10)


class Box(Strict):
    kind: Literal["box"]
    sides: List[int] = Field(min_length=2, max_length=3)


class Shape(Strict):
    """A union that is told apart by a field."""

    shape: Union[Circle, Box] = Field(discriminator="kind")
    code: str = Field(pattern=r"^[A-Z]{2}-\d{3}$")


class Level(IntEnum):
    low = 1
    high = 10


class Stock(Strict):
    """Maps, pairs and sets, fields that may be left out, numbers with steps."""

    level: Level
    price: float = Field(ge=0, le=100, multiple_of=0.25)
    counts: Dict[str, int] = Field(max_length=2)
    pair: Tuple[bool, Literal["left", "right"]]
    letters: Set[Literal["a", "b", "c"]]
    note: Optional[str] = Field(default=None, max_length=8)


class Call(Strict):
    """Two types that contain each other."""

    name: Literal["add", "neg"]
    operands: List[Union["Operand", int]] = Field(min_length=1, max_length=2)


class Operand(Strict):
    call: Optional[Call]


Call.model_rebuild()

TYPES = [Person, Tree, Shape, Stock, Call]
ASK = [{"role": "user", "content": "Make up an example, as JSON."}]


class StructuredTest(ServerTest):
    def ask(self, kind, seed, **more):
        more.setdefault("max_tokens", TOKENS)
        return dict(model=MODEL, messages=ASK, response_format=kind, temperature=1 + seed % 2, seed=seed, **more)

    def check(self, kind, text):
        jsonschema.Draft202012Validator(kind.model_json_schema()).validate(json.loads(text))
        kind.model_validate_json(text)

    def parse(self, kind, seed):
        """One answer: temperature 1 or 2, of every four seeds two streamed, one by the schema of Pydantic as it is."""
        ask = self.ask(kind, seed)
        if seed % 4 > 1:
            with self.client.chat.completions.stream(**ask) as stream:
                return stream.get_final_completion().choices[0]
        if seed % 8 == 1:  # undeclared members are free where Pydantic lets them be
            ask["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": kind.model_json_schema()}}
            return self.client.chat.completions.create(**ask).choices[0]
        return self.client.chat.completions.parse(**ask).choices[0]

    def one(self, kind, seed):
        """Whether the answer ended by itself; it is valid then."""
        try:
            choice = self.parse(kind, seed)
        except openai.LengthFinishReasonError as cut:
            self.assertEqual(cut.completion.choices[0].finish_reason, "length")
            if cut.completion.usage:
                self.assertEqual(cut.completion.usage.completion_tokens, TOKENS)
            return False
        if choice.finish_reason == "length":
            return False
        self.assertEqual(choice.finish_reason, "stop")
        if parsed := getattr(choice.message, "parsed", None):
            self.assertIsInstance(parsed, kind)
        self.check(kind, choice.message.content)
        return True

    def test_what_ends_by_itself_is_valid(self):
        ended = collections.Counter()
        with concurrent.futures.ThreadPoolExecutor(STREAMS) as pool:
            answers = [(kind, seed, pool.submit(self.one, kind, seed)) for seed in range(SEEDS) for kind in TYPES]
            for kind, seed, answer in answers:
                with self.subTest(kind=kind.__name__, seed=seed):
                    ended[kind.__name__] += answer.result()
        for kind in TYPES:
            print(f"{kind.__name__}: {ended[kind.__name__]} of {SEEDS} answers ended by themselves; the others said length")
        self.assertGreater(ended.total(), 0)

    def test_streams_give_the_same(self):
        for kind in TYPES:
            for seed in range(min(SEEDS, 20) // 2):
                with self.subTest(kind=kind.__name__, seed=seed):
                    try:
                        whole = self.client.chat.completions.parse(**self.ask(kind, seed)).choices[0].message
                    except openai.LengthFinishReasonError:
                        continue
                    with self.client.chat.completions.stream(**self.ask(kind, seed)) as stream:
                        final = stream.get_final_completion()
                    self.assertEqual(final.choices[0].finish_reason, "stop")
                    self.assertEqual(final.choices[0].message.content, whole.content)
                    self.assertEqual(final.choices[0].message.parsed, whole.parsed)

    def test_a_limit_says_length(self):
        with self.assertRaises(openai.LengthFinishReasonError):
            self.client.chat.completions.parse(**self.ask(Person, 1, max_tokens=5))

    def test_several_choices_are_all_valid(self):
        answer = self.client.chat.completions.create(model=MODEL, messages=ASK, n=4, seed=3, temperature=2, max_tokens=TOKENS,
                                                     response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": Shape.model_json_schema()}})
        for choice in answer.choices:
            if choice.finish_reason == "stop":
                self.check(Shape, choice.message.content)

    def test_tools_that_must_be_called(self):
        tool = openai.pydantic_function_tool(Shape, name="draw", description="Draws a shape.")
        named = {"type": "function", "function": {"name": "draw"}}

        def call(choice, seed):
            return self.client.chat.completions.create(model=MODEL, messages=ASK, tools=[tool], tool_choice=choice, temperature=2,
                                                       seed=seed, max_tokens=TOKENS, parallel_tool_calls=False).choices[0]

        with concurrent.futures.ThreadPoolExecutor(STREAMS) as pool:
            answers = [(choice, seed, pool.submit(call, choice, seed)) for seed in range(SEEDS) for choice in ("required", named)]
            for choice, seed, answer in answers:
                with self.subTest(choice=choice, seed=seed):
                    got = answer.result()
                    if got.finish_reason == "length":
                        continue
                    self.assertEqual(got.finish_reason, "tool_calls")
                    (made,) = got.message.tool_calls
                    self.assertEqual(made.function.name, "draw")
                    self.check(Shape, made.function.arguments)

    def test_other_forms_of_constraints(self):
        def complete(**extra):
            return self.client.completions.create(model=MODEL, prompt="The colour is", temperature=2, seed=5, max_tokens=100, extra_body=extra).choices[0]

        for extra, pattern in (
            ({"regex": "(red|green){2}"}, "(red|green){2}"),
            ({"guided_choice": ["red", "deep blue"]}, "red|deep blue"),
            ({"structured_outputs": {"choice": ["red", "deep blue"]}}, "red|deep blue"),
            ({"ebnf": 'root ::= root "," colour | colour\ncolour ::= "red" | "blue"'}, "(red|blue)(,(red|blue))*"),
            ({"grammar": 'root ::= [0-9]{3} " " ("x" | "y")'}, "[0-9]{3} [xy]"),
            ({"json_schema": '{"enum": ["red", 7]}'}, '"red"|7'),
        ):
            choice = complete(**extra)
            if choice.finish_reason == "stop":
                self.assertRegex(choice.text, f"^({pattern})$")

    def test_what_cannot_be_enforced_is_refused(self):
        for extra, param, part in (
            ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": {"a": {"$ref": "#/nowhere"}}}}}},
             "response_format.json_schema.schema", "#/properties/a/$ref"),
            ({"regex": "("}, "regex", "missing"),
            ({"ebnf": "root ::= nothing"}, "ebnf", "line 1, column 10"),
            ({"regex": "a", "guided_json": {}}, "guided_json", "exclude"),
        ):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=5, extra_body=extra)
            self.assertEqual(caught.exception.body["param"], param)
            self.assertIn(part, caught.exception.body["message"])


if __name__ == "__main__":
    unittest.main()
