"""What the endpoints of every domain share: lists paged by cursor, and texts that can be stored.

Authentication of operators is `programs/administration.py`; error rendering is `kit/web.py`.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, Protocol, TypeVar, cast
from uuid import UUID

from fastapi import Query, Request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from guerdon.kit.clock import Clock
from guerdon.kit.database import Database
from guerdon.kit.errors import GuerdonError
from guerdon.kit.ids import parse_uuid
from guerdon.kit.money import LARGEST_ATOMIC, LARGEST_JSON_INTEGER, LARGEST_POINTS, parse_amount, to_wire
from guerdon.kit.ratelimit import RateLimiter
from guerdon.kit.secrets import KeyRing
from guerdon.settings import Settings

Item = TypeVar("Item")
Row = TypeVar("Row")

MAX_PAGE = 200
BIGINT_MAX = LARGEST_POINTS


class InvalidCursorError(GuerdonError, status=400, code="INVALID_CURSOR", title="Invalid cursor"):
    """The cursor is not one that this list returned; leave it out to begin at the start."""


class Wire(BaseModel):
    """Base of what goes over the wire: camelCase outside, unknown fields ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", from_attributes=True)


class SnakeWire(BaseModel):
    """Base of what goes over the wire under the names that the rewards API has: snake_case outside too."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)


class SnakePage(SnakeWire, Generic[Item]):
    """One page of a list. Ask again with `cursor=next_cursor`; null: there is no more."""

    items: list[Item]
    next_cursor: str | None


class Page(Wire, Generic[Item]):
    """One page of a list. Ask again with `cursor=nextCursor`; null: there is no more."""

    items: list[Item]
    next_cursor: str | None


Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.")]
CursorText = Annotated[str | None, Query(max_length=400, description="`nextCursor` of the page before.")]


def _printable(text: str) -> str:
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        message = "control characters are not accepted"
        raise ValueError(message)
    return text


def storable(value: dict[str, Any]) -> dict[str, Any]:
    """The same JSON object; `ValueError` if a text in it can't be stored (SAFETY S9)."""
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if "\x00" in one or any("\ud800" <= character <= "\udfff" for character in one):
                message = "has a character that can't be stored, such as U+0000"
                raise ValueError(message)
        elif isinstance(one, dict):
            fields = cast("dict[Any, Any]", one)
            waiting.extend(fields.keys())
            waiting.extend(fields.values())
        elif isinstance(one, list):
            waiting.extend(cast("list[Any]", one))
    return value


Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_printable)]
"""A name or another text of one line."""
Prose = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000), AfterValidator(_printable)]
"""A description."""


def _whole(value: object) -> int:
    return parse_amount(value, largest=LARGEST_ATOMIC)


_digits = WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,78}$", "examples": ["1000000000000000000"]})

AtomicText = Annotated[int, PlainSerializer(to_wire, return_type=str), _digits]
"""Atomic units or wei as they are shown: a decimal string."""
AtomicInput = Annotated[
    int,
    BeforeValidator(_whole),
    PlainSerializer(to_wire, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^(0|[1-9][0-9]{0,76})$"},
                {"type": "integer", "minimum": 0, "maximum": LARGEST_JSON_INTEGER},
            ]
        }
    ),
]
"""Atomic units or wei as they are given: a decimal string, or a number up to 2^53 (DESIGN section 4)."""


def encode_cursor(key: str) -> str:
    """An opaque cursor of the last key of a page."""
    return base64.urlsafe_b64encode(key.encode("utf-8")).rstrip(b"=").decode("ascii")


def decode_cursor(cursor: str | None) -> str | None:
    """The key that a cursor was made of; `InvalidCursorError` if it is none of ours."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        key = base64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8")
    except (UnicodeError, binascii.Error) as error:
        raise InvalidCursorError from error
    if "\x00" in key:
        raise InvalidCursorError
    return key


def decode_id_cursor(cursor: str | None) -> UUID | None:
    """The same for a list whose key is an id."""
    key = decode_cursor(cursor)
    if key is None:
        return None
    known = parse_uuid(key)
    if known is None:
        raise InvalidCursorError
    return known


def page(rows: Sequence[Row], limit: int, key: Callable[[Row], str | UUID]) -> tuple[list[Row], str | None]:
    """The first `limit` of `rows`, and the cursor of the next page if the query, asked for `limit + 1`, found more."""
    shown = list(rows[:limit])
    return shown, encode_cursor(str(key(shown[-1]))) if len(rows) > limit else None


class Services(Protocol):
    """What endpoints use of the running application (`app.Runtime`)."""

    @property
    def settings(self) -> Settings:
        """What the operator decided."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def database(self) -> Database:
        """The unit of work."""
        ...

    @property
    def secrets(self) -> KeyRing:
        """Encrypts at rest."""
        ...

    @property
    def limiter(self) -> RateLimiter:
        """Slows callers."""
        ...


def services(request: Request) -> Services:
    """The running application behind a request; a FastAPI dependency."""
    return request.app.state.runtime
