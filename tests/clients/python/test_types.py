"""Types as people write them with Pydantic, on builtin:tiny: each either gives answers that
its own schema allows, or is refused with the place that cannot be enforced.

GODWIT_SEEDS says how many seeds are tried per type (default 2).
"""

import collections
import concurrent.futures
import datetime
import decimal
import enum
import ipaddress
import json
import os
import pathlib
import re
import unittest
import uuid
from typing import Annotated, Any, Dict, FrozenSet, Generic, List, Literal, NamedTuple, Optional, Set, Tuple, TypeVar, Union

import jsonschema
import openai
import pydantic
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Required, TypedDict

from client import Godwit, client

SEEDS = int(os.environ.get("GODWIT_SEEDS", "2"))
MODEL = "builtin:tiny"


class Item(BaseModel):
    q: int
    p: float


class Options(BaseModel):
    a: Optional[int]
    b: Union[int, str, None]
    c: Literal["x", 1, True, None]
    d: Union[int, float, bool] = 3
    e: Optional[List[Optional[str]]] = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog", "hound"]
    name: pydantic.constr(min_length=1, max_length=8)


class Pets(BaseModel):
    pet: Annotated[Union[Cat, Dog], Field(discriminator="kind")]
    more: List[Annotated[Union[Cat, Dog], Field(discriminator="kind")]] = Field(max_length=2)


class Times(BaseModel):
    at: datetime.datetime
    day: datetime.date
    time: datetime.time


class Codes(BaseModel):
    id: uuid.UUID
    zip: pydantic.constr(pattern=r"^\d{5}(-\d{4})?$")
    n: pydantic.conint(gt=0, lt=100, multiple_of=5)
    d: pydantic.condecimal(max_digits=6, decimal_places=2)
    e: decimal.Decimal


class Maps(BaseModel):
    items: Dict[str, Item]
    counts: Dict[str, int] = Field(min_length=1, max_length=3)
    keys: Dict[Literal["x", "y"], int]
    short: Dict[pydantic.constr(pattern="^[a-z]{2}$"), bool]


class Lists(BaseModel):
    a: pydantic.conlist(int, min_length=2, max_length=3)
    b: List[List[bool]] = Field(max_length=2)
    c: Set[Literal["a", "b", "c"]]
    d: FrozenSet[int]
    e: Set[str]


class Node(BaseModel):
    v: int = Field(ge=0, le=9)
    left: Optional["Node"] = None
    right: Optional["Node"] = None


class Expression(BaseModel):
    op: Literal["+", "*"]
    args: List[Union["Expression", int]] = Field(min_length=2, max_length=2)


class First(BaseModel):
    second: Optional["Second"]


class Second(BaseModel):
    firsts: List[First] = Field(max_length=1)


First.model_rebuild()


class Level(enum.IntEnum):
    low = 1
    high = 10


class Mixed(enum.Enum):
    red = "red"
    three = 3
    nothing = None


class Enums(BaseModel):
    level: Level
    mixed: Mixed
    by_name: Dict[str, Level] = Field(max_length=2)


class Forbid(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int
    b: str = Field("x", max_length=3)


class Heir(Forbid):
    c: Optional[Forbid] = None


class Allow(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: Dict[str, int]
    a: int


@pydantic.dataclasses.dataclass
class Point:
    x: int
    y: Optional[str] = None


class Pair(NamedTuple):
    x: int
    y: int = 0


class Partly(TypedDict, total=False):
    a: Required[int]
    b: str


class Classes(BaseModel):
    p: Point
    ps: List[Point] = Field(max_length=2)
    pair: Pair
    partly: Partly


class Described(BaseModel):
    a: str = Field(description='the "a" é\n', pattern="^[A-Z][a-z]*$", examples=["Ab"], max_length=6)
    b: int = Field(default=4, ge=-3, lt=12, title="Bee")
    c: float = Field(gt=0, allow_inf_nan=False)
    d: str = Field(alias="d-d", max_length=4)
    e: int = Field(json_schema_extra={"format": "int32", "x-order": 1, "multipleOf": 3})


class Anything(BaseModel):
    a: Any
    b: object
    c: dict
    d: list


class Tuples(BaseModel):
    t: Tuple[int, str]
    u: Tuple[bool, ...]
    v: Tuple[()]
    w: Tuple[Literal["a"], Optional[int], float]


class Texts(BaseModel):
    b: bytes
    s: pydantic.SecretStr
    p: pathlib.Path
    r: re.Pattern


class Net(BaseModel):
    a: ipaddress.IPv4Address
    b: ipaddress.IPv6Address
    u: pydantic.HttpUrl


class Strictly(BaseModel):
    a: pydantic.StrictInt
    c: pydantic.PositiveInt
    d: pydantic.NegativeFloat
    e: pydantic.NonNegativeInt
    j: pydantic.JsonValue


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    items: List[T] = Field(max_length=2)
    next: Optional[int] = None


class Listed(pydantic.RootModel[List[Item]]):
    pass


class Either(pydantic.RootModel[Union[int, Literal["none"]]]):
    pass


class Counts(pydantic.RootModel[Dict[str, int]]):
    pass


class Unicode(BaseModel):
    größe: int
    naïve: Literal["é", "日本", '"\\/\b\n']
    two: pydantic.constr(pattern="^[一-鿿]{2}$")


class Empty(BaseModel):
    model_config = ConfigDict(extra="forbid")


TYPES = [Options, Pets, Times, Codes, Maps, Lists, Node, Expression, First, Enums, Forbid, Heir, Allow, Classes, Described, Anything, Tuples, Texts, Net, Strictly,
         Page[Item], Listed, Either, Counts, Unicode, Empty]

REFUSED = [
    ({"type": "object", "properties": {"a": {"type": "string", "pattern": r"^(a|b)\1$"}}}, "#/properties/a/pattern"),
    ({"type": "object", "properties": {"a": {"$ref": "other.json"}}}, "#/properties/a/$ref"),
    ({"$defs": {"A": {"type": "thing"}}, "properties": {"x": {"items": {"$ref": "#/$defs/A"}}}}, "#/$defs/A/type"),
    ({"allOf": [{"properties": {"a/b": {"minimum": "1"}}}]}, "#/allOf/0/properties/a~1b/minimum"),
]


class TypesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Godwit("--model-path", MODEL)
        cls.client = client(base_url=cls.server.base_url)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()

    def answer(self, kind, seed):
        """The text of an answer, and the schema that was asked for."""
        helper = seed % 2 == 0
        schema = openai.lib._pydantic.to_strict_json_schema(kind) if helper else kind.model_json_schema()
        answer = self.client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Give me one."}], temperature=1 + seed // 2 % 2, seed=seed, max_tokens=250, n=2,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "strict": helper, "schema": schema}})
        return [c.message.content for c in answer.choices if c.finish_reason == "stop"], schema

    def check(self, kind, seed):
        texts, schema = self.answer(kind, seed)
        valid = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        for text in texts:
            valid.validate(json.loads(text))
        return len(texts)

    def test_types_of_every_kind(self):
        ended = collections.Counter()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = [(kind, seed, pool.submit(self.check, kind, seed)) for seed in range(SEEDS) for kind in TYPES]
            for kind, seed, answer in answers:
                with self.subTest(kind=kind.__name__, seed=seed):
                    ended[kind.__name__] += answer.result()
        print({kind.__name__: ended[kind.__name__] for kind in TYPES}, "of", 2 * SEEDS, "each ended by themselves")
        self.assertGreater(ended.total(), SEEDS * len(TYPES) // 4)

    def test_what_cannot_be_enforced_is_named(self):
        for schema, place in REFUSED:
            with self.subTest(place=place), self.assertRaises(openai.BadRequestError) as caught:
                self.client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}], max_tokens=5,
                                                    response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
            self.assertIn(place + ":", caught.exception.body["message"])
            self.assertEqual(caught.exception.body["param"], "response_format.json_schema.schema")


if __name__ == "__main__":
    unittest.main()
