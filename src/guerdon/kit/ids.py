"""UUIDv7 ids: ordered by time, so that rows written together lie together.

The distinct id types (`ProgramId`, `AccountId`, ...) are in the domains; here is only what makes and checks a plain UUID.
"""

from datetime import datetime
from typing import cast
from uuid import UUID

# The driver's subclass, which is also what comes from the database: made, written and sent in a tenth of the time.
from asyncpg.pgproto import pgproto  # pyright: ignore[reportMissingTypeStubs]
from uuid_utils import uuid7 as _uuid7

_made_of_bytes = cast("type[UUID]", pgproto.UUID)  # pyright: ignore[reportUnknownMemberType]

PLATFORM_PROGRAM_ID = UUID(int=0)
"""Stands where a table wants a program and the row belongs to the platform; never the id of a program."""


def uuid7() -> UUID:
    """A new id, greater than every id that this process made before."""
    return _made_of_bytes(_uuid7().bytes)  # pyright: ignore[reportArgumentType] - the driver's takes bytes


def uuid7_batch(count: int) -> list[UUID]:
    """`count` new ids in ascending order, each greater than every id that this process made before."""
    return [uuid7() for _ in range(count)]


def first_of(moment: datetime) -> UUID:
    """The lowest id that can be made at that time: rows with lower ones are older."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def parse_uuid(value: object) -> UUID | None:
    """The UUID written in `value`, or None if it is no text in the usual 36-character form.

    `uuid.UUID` also takes braces, a `urn:` prefix and dashes anywhere; an id from outside has one spelling only.
    """
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str) or len(value) != 36:  # noqa: PLR2004 - the length of the canonical form
        return None
    try:
        parsed = UUID(value)
    except ValueError:
        return None
    return parsed if str(parsed) == value.lower() else None
