"""What a reversal looks like on the wire, asked and answered."""

from __future__ import annotations

import re
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from guerdon.activity.errors import InvalidEventError, MissingFieldsError
from guerdon.activity.models import Reversal
from guerdon.activity.schemas import MAX_INTEGER, MAX_KEY_CHARACTERS, decode_object, invalid_event

MAX_REASON_CHARACTERS: Final = 500

_PATH = re.compile(r" - at `\$\.([A-Za-z]+)`")


class ReversalBody(msgspec.Struct, frozen=True, rename="camel"):
    """A request to take a reward back. One of `event_id` and `idempotency_key` names the event."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON_CHARACTERS)]
    brand_id: Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{40}$")] | None = None
    event_id: UUID | None = None
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARACTERS)] | None = None
    """The key that the event was reported with; the request's own is the header's."""
    amount: Annotated[int, Meta(gt=0, le=MAX_INTEGER)] | None = None
    """Points to take back; all that is left of the reward if absent."""


class ReversalAnswer(msgspec.Struct, rename="camel"):
    """What was taken back, and from where. `amount` is the sum of the four below it."""

    success: bool
    event_id: str
    replayed: bool
    reversal_id: str | None = None
    amount: int = 0
    from_pending: int = 0
    from_balance: int = 0
    as_debt: int = 0
    not_recovered: int = 0
    already_reversed: bool = False
    """Nothing of the reward was left to take."""


def parse_reversal(raw: bytes) -> ReversalBody:
    """The request in `raw`; raises `InvalidEventError` and `MissingFieldsError`, which name the field."""
    value = decode_object(raw)
    try:
        body = msgspec.convert(value, ReversalBody)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from error
    if (body.event_id is None) == (body.idempotency_key is None):
        message = "Name the event by eventId, or by the idempotencyKey that it was reported with."
        raise MissingFieldsError(message, details=[{"field": "eventId", "message": "or idempotencyKey is required, not both"}])
    return body


def _named(problem: str) -> InvalidEventError:
    found = _PATH.search(problem)
    field = "reason" if found is None and "`reason`" in problem else (found[1] if found else "body")
    return invalid_event([{"field": field, "message": _PATH.sub("", problem)}])


def reversal_answer(event_id: UUID, reversal: Reversal | None, *, is_repeat: bool) -> ReversalAnswer:
    """The answer to a reversal; to a repeat the same as to the first."""
    if reversal is None:
        return ReversalAnswer(success=True, event_id=str(event_id), already_reversed=True, replayed=is_repeat)
    return ReversalAnswer(
        success=True,
        reversal_id=str(reversal.id),
        event_id=str(reversal.event_id),
        amount=reversal.points,
        from_pending=reversal.from_pending,
        from_balance=reversal.from_available,
        as_debt=reversal.as_debt,
        not_recovered=reversal.written_off,
        replayed=is_repeat,
    )
