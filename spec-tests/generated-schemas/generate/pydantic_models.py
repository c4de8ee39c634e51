"""Writes the schemas of 36 models in the manner of people's own, with an instance that each accepts and one that it refuses.

Run with Python 3.10 and pydantic[email] 2: python3 pydantic_models.py > ../fixtures/pydantic.json
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Generic, List, Literal, NamedTuple, Optional, TypeVar, Union
from uuid import UUID

from pydantic import (
    AnyUrl,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    HttpUrl,
    Json,
    NonNegativeFloat,
    PositiveInt,
    RootModel,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict


class User(BaseModel):
    """A user of the system."""

    id: int
    name: str = Field(description="Full name", examples=["Jane Doe"])
    is_active: bool = True


class Address(BaseModel):
    street: str
    city: str
    postal_code: str = Field(pattern=r"^\d{5}(-\d{4})?$")
    country: str = "US"


class Customer(BaseModel):
    name: str
    email: EmailStr
    address: Address
    other_addresses: list[Address] = []


class Color(str, Enum):
    red = "red"
    green = "green"
    blue = "blue"


class Priority(IntEnum):
    low = 1
    medium = 2
    high = 3


class Task(BaseModel):
    title: Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)]
    priority: Priority = Priority.medium
    color: Optional[Color] = None
    due: Optional[datetime] = None


class Cat(BaseModel):
    pet_type: Literal["cat"]
    meows: int


class Dog(BaseModel):
    pet_type: Literal["dog"]
    barks: float


class Lizard(BaseModel):
    pet_type: Literal["reptile", "lizard"]
    scales: bool


class PetOwner(BaseModel):
    pet: Union[Cat, Dog, Lizard] = Field(discriminator="pet_type")
    count: int


class TextPart(BaseModel):
    type: Literal["text"] = "text"
    text: str


class ImagePart(BaseModel):
    type: Literal["image_url"] = "image_url"
    image_url: HttpUrl
    detail: Literal["auto", "low", "high"] = "auto"


class ChatMessage(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: Union[str, list[Annotated[Union[TextPart, ImagePart], Field(discriminator="type")]]]


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class LinkedList(BaseModel):
    head: str
    tail: Optional[LinkedList] = None


class Leaf(BaseModel):
    kind: Literal["leaf"] = "leaf"
    value: float


class Negation(BaseModel):
    kind: Literal["not"] = "not"
    operand: Expression


class Sum(BaseModel):
    kind: Literal["sum"] = "sum"
    operands: list[Expression] = Field(min_length=2)


Expression = Annotated[Union[Leaf, Negation, Sum], Field(discriminator="kind")]


class Formula(BaseModel):
    expression: Expression


class Product(BaseModel):
    sku: str = Field(pattern=r"^[A-Z]{3}-\d{4}$")
    price: Decimal = Field(gt=0, max_digits=8, decimal_places=2)
    quantity: int = Field(ge=0, le=10_000, multiple_of=5)
    weight: float = Field(gt=0, lt=1000)
    tags: set[str] = set()


class Measurement(BaseModel):
    ratio: float = Field(ge=0, le=1)
    step: float = Field(multiple_of=0.25)
    level: PositiveInt
    error: NonNegativeFloat = 0


class Event(BaseModel):
    id: UUID
    day: date
    begins: time
    at: datetime
    lasts: timedelta


class Server(BaseModel):
    host: IPv4Address
    url: AnyUrl
    config: Path
    password: SecretStr


class Scores(BaseModel):
    by_name: dict[str, float]
    by_year: dict[int, list[int]] = {}


class Labels(RootModel[dict[str, str]]):
    pass


class Numbers(RootModel[List[int]]):
    pass


class Anything(BaseModel):
    payload: Any
    metadata: dict[str, Any] = {}
    nothing: None = None


class Point(BaseModel):
    position: tuple[float, float]
    history: list[tuple[int, str]] = []
    path: tuple[int, ...] = ()


class Coordinates(NamedTuple):
    latitude: float
    longitude: float
    name: str = "here"


class Place(BaseModel):
    at: Coordinates


class CamelModel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    first_name: str
    last_login_at: Optional[datetime] = None


class StrictArguments(BaseModel):
    model_config = ConfigDict(extra="forbid")
    query: str
    limit: int = Field(default=10, ge=1, le=100)


class OpenArguments(BaseModel):
    model_config = ConfigDict(extra="allow")
    command: str


class IntegerExtras(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]
    name: str


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    items: list[T]
    total: int
    next_cursor: Optional[str] = None


class Success(BaseModel, Generic[T]):
    status: Literal["ok"] = "ok"
    data: T


class Failure(BaseModel):
    status: Literal["error"] = "error"
    message: str


class Answer(RootModel[Union[Success[User], Failure]]):
    pass


class Options(TypedDict, total=False):
    temperature: float
    stop: list[str]


class Run(BaseModel):
    model: str
    options: Options


@dataclass
class Segment:
    start: int
    end: int
    label: Optional[str] = None


class Transcript(BaseModel):
    segments: list[Segment] = Field(min_length=1, max_length=3)


class Loose(BaseModel):
    value: Union[int, str, bool, None]
    either: Union[list[int], dict[str, int]]


class Raw(BaseModel):
    content: bytes
    encoded: Base64Bytes
    settings: Json[dict[str, int]]


class Queue(BaseModel):
    waiting: deque[int] = Field(max_length=2)
    seen: frozenset[int] = frozenset()


class Employee(BaseModel):
    name: str
    manager: Optional[Employee] = None
    team: Optional[Team] = None


class Team(BaseModel):
    name: str
    members: list[Employee]


class Step(BaseModel):
    explanation: str
    output: str


class MathReasoning(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: list[Step]
    final_answer: str


class Invoice(BaseModel):
    number: Annotated[str, Field(pattern=r"^INV-[0-9]{6}$", alias="invoiceNumber")]
    issued: date
    lines: Annotated[list[LineItem], Field(min_length=1)]
    currency: Literal["EUR", "USD", "GBP"] = "EUR"


class LineItem(BaseModel):
    description: str = Field(max_length=120)
    amount: Decimal


class Extraction(BaseModel):
    """What an article says."""

    people: list[str] = Field(default_factory=list, description="Names of people", max_length=5)
    sentiment: Literal["positive", "neutral", "negative"]
    confidence: float = Field(ge=0.0, le=1.0)
    summary: Annotated[str, Field(min_length=10, max_length=200)]


class Filter(BaseModel):
    field: Literal["name", "age"]
    operator: Literal["=", "<", ">"]
    value: Union[str, int, list[Union[str, int]]]


class Query(BaseModel):
    where: list[Union[Filter, AnyOf]] = []
    order: Literal["asc", "desc", None] = None


class AnyOf(BaseModel):
    any_of: list[Union[Filter, AnyOf]]


class Deprecated(BaseModel):
    old: Annotated[Optional[int], Field(deprecated=True)] = None
    new: int = Field(title="New value", json_schema_extra={"x-order": 1})
    constant: Literal[True] = True


ADDRESS = {"street": "1 Main St", "city": "Reno", "postal_code": "89501"}
USER = {"id": 1, "name": "Jane"}

CASES: list[tuple[str, Any, Any, Any]] = [
    ("User", User, USER, {"id": "one", "name": "Jane"}),
    ("Customer", Customer, {"name": "J", "email": "j@example.com", "address": ADDRESS}, {"name": "J", "email": "j@example.com", "address": {**ADDRESS, "postal_code": "895"}}),
    ("Task", Task, {"title": "Write", "priority": 3, "color": "red", "due": "2026-01-02T03:04:05Z"}, {"title": "Write", "priority": 4}),
    ("PetOwner", PetOwner, {"pet": {"pet_type": "lizard", "scales": True}, "count": 2}, {"pet": {"pet_type": "cat", "scales": True}, "count": 2}),
    ("ChatMessage", ChatMessage, {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": "https://example.com/a.png"}]}, {"role": "user", "content": [{"type": "video", "text": "Hi"}]}),
    ("Tree", Tree, {"value": 1, "children": [{"value": 2, "children": [{"value": 3}]}]}, {"value": 1, "children": [{"value": "x"}]}),
    ("LinkedList", LinkedList, {"head": "a", "tail": {"head": "b", "tail": None}}, {"head": "a", "tail": {"tail": None}}),
    ("Formula", Formula, {"expression": {"kind": "sum", "operands": [{"kind": "leaf", "value": 1.5}, {"kind": "not", "operand": {"kind": "leaf", "value": 2}}]}}, {"expression": {"kind": "sum", "operands": [{"kind": "leaf", "value": 1.5}]}}),
    ("Product", Product, {"sku": "ABC-1234", "price": 9.5, "quantity": 25, "weight": 0.5, "tags": ["new", "sale"]}, {"sku": "ABC-1234", "price": 9.5, "quantity": 26, "weight": 0.5}),
    ("Measurement", Measurement, {"ratio": 0.5, "step": 1.75, "level": 3}, {"ratio": 0.5, "step": 1.8, "level": 3}),
    ("Event", Event, {"id": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "day": "2026-02-28", "begins": "10:00:00Z", "at": "2026-02-28T10:00:00Z", "lasts": "PT1H30M"}, {"id": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "begins": "10:00:00Z", "at": "2026-02-28T10:00:00Z", "lasts": "PT1H30M"}),
    ("Server", Server, {"host": "10.0.0.1", "url": "https://example.com/", "config": "/etc/app.toml", "password": "secret"}, {"host": "10.0.0.1", "url": "https://example.com/", "config": 1, "password": "secret"}),
    ("Scores", Scores, {"by_name": {"a": 1.5}, "by_year": {"2026": [1, 2]}}, {"by_name": {"a": "x"}}),
    ("Labels", Labels, {"app": "web", "tier": "front"}, {"app": 1}),
    ("Numbers", Numbers, [1, 2, 3], [1, "two"]),
    ("Anything", Anything, {"payload": [1, {"a": None}], "metadata": {"k": True}, "nothing": None}, {"metadata": {}}),
    ("Point", Point, {"position": [1.5, 2], "history": [[1, "a"]], "path": [1, 2, 3]}, {"position": [1.5, 2, 3]}),
    ("Place", Place, {"at": [47.1, 8.5, "Zug"]}, {"at": [47.1]}),
    ("CamelModel", CamelModel, {"firstName": "Ada", "lastLoginAt": None}, {"lastLoginAt": None}),
    ("StrictArguments", StrictArguments, {"query": "cats", "limit": 5}, {"query": "cats", "unknown": 1}),
    ("OpenArguments", OpenArguments, {"command": "ls", "flags": ["-l"]}, {"flags": ["-l"]}),
    ("IntegerExtras", IntegerExtras, {"name": "a", "x": 1}, {"name": "a", "x": "b"}),
    ("Page", Page[User], {"items": [USER], "total": 1, "next_cursor": None}, {"items": [{"id": 1}], "total": 1}),
    ("Answer", Answer, {"status": "ok", "data": USER}, {"status": "ok", "data": 1}),
    ("Run", Run, {"model": "m", "options": {"stop": ["."]}}, {"model": "m", "options": {"stop": "."}}),
    ("Transcript", Transcript, {"segments": [{"start": 0, "end": 5, "label": None}]}, {"segments": []}),
    ("Loose", Loose, {"value": None, "either": {"a": 1}}, {"value": None, "either": ["a"]}),
    ("Raw", Raw, {"content": "abc", "encoded": "YWJj", "settings": '{"a": 1}'}, {"content": "abc", "encoded": "YWJj"}),
    ("Queue", Queue, {"waiting": [1, 2], "seen": [1, 2]}, {"waiting": [1, "b"]}),
    ("Employee", Employee, {"name": "A", "team": {"name": "T", "members": [{"name": "B", "manager": {"name": "A"}}]}}, {"name": "A", "team": {"name": "T"}}),
    ("MathReasoning", MathReasoning, {"steps": [{"explanation": "Add.", "output": "4"}], "final_answer": "4"}, {"steps": ["Add."], "final_answer": "4"}),
    ("Invoice", Invoice, {"invoiceNumber": "INV-000123", "issued": "2026-03-01", "lines": [{"description": "Work", "amount": "12.50"}]}, {"invoiceNumber": "123", "issued": "2026-03-01", "lines": [{"description": "Work", "amount": "12.50"}]}),
    ("Extraction", Extraction, {"people": ["Ada"], "sentiment": "neutral", "confidence": 0.9, "summary": "A short summary."}, {"sentiment": "mixed", "confidence": 0.9, "summary": "A short summary."}),
    ("Query", Query, {"where": [{"any_of": [{"field": "age", "operator": ">", "value": 3}]}], "order": None}, {"where": [{"field": "age", "operator": "!", "value": 3}]}),
    ("Deprecated", Deprecated, {"new": 1, "constant": True}, {"new": 1, "constant": False}),
    ("Labelled union of lists", TypeAdapter(Union[list[User], list[Failure]]), [{"status": "error", "message": "no"}], [{"status": "no", "message": "no"}]),
]


def written(name: str, model: Any, valid: Any, invalid: Any) -> dict[str, Any]:
    adapter = model if isinstance(model, TypeAdapter) else TypeAdapter(model)
    adapter.validate_json(json.dumps(valid))
    try:
        adapter.validate_json(json.dumps(invalid))
    except ValidationError:
        return {"name": name, "schema": adapter.json_schema(), "valid": valid, "invalid": invalid}
    raise SystemExit(f"{name} accepts {invalid}")


if __name__ == "__main__":
    assert len(CASES) == 36
    print(json.dumps([written(*case) for case in CASES], indent=2))
