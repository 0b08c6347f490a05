"""What looks at a Solana mean for one intent: pure functions over its forms, their statuses and its marker (SAFETY S18, S24).

There are two looks. The first is cheap and moves what is shown; whatever ends an intent or lets it be signed anew is found by the
second, which asks one node that has reached the slot which the first one spoke of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from guerdon.chains.solana.values import FirstLook, SecondLook, SignatureStatus
from guerdon.txmanager.models import IntentState

MARGIN_BLOCKS: Final = 32
"""Finalized blocks past the last valid height after which nothing of that age can land, whatever fork wins (SAFETY S18)."""
FORGET_SLOTS: Final = 32
"""Confirmed slots after which a transaction that was in one and is in none any more was forked away, and is not just late."""


@dataclass(frozen=True, slots=True)
class Form:
    """One signed form of an intent."""

    signature: str
    last_valid_height: int
    signed_slot: int
    age_seconds: float
    """By the database's clock: no node can make that shorter."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an intent stands before a look."""

    state: IntentState
    forms: Sequence[Form]
    """The oldest first; at least one."""
    has_marker: bool = True
    """Whether its transaction makes one."""
    block_number: int | None = None
    is_dying: bool = False
    """An operator wants it dead: the marker's absence is proof enough (SAFETY S23)."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """When bytes are too old to land. `least_seconds` is the real time that a blockhash lives at least: a node that lies about
    its height can't shorten it.
    """

    least_seconds: float
    margin_blocks: int = MARGIN_BLOCKS

    def is_over(self, form: Form, finalized_height: int) -> bool:
        """Can this form land no more, if it has not?"""
        return finalized_height > form.last_valid_height + self.margin_blocks and form.age_seconds >= self.least_seconds


class Finding(Enum):
    """What looks mean for one intent."""

    NOTHING_NEW = auto()
    INCLUDED = auto()
    """A form is in a confirmed block; it may have failed there."""
    FORKED = auto()
    """It was, and is in none any more."""
    LOOK_CLOSER = auto()
    """It is perhaps final, failed or expired: to be decided by a second look."""
    FINAL = auto()
    FAILED = auto()
    """A form is final and did nothing, and no other one can land."""
    EXPIRED = auto()
    """No form can land any more, and none has."""
    UNCERTAIN = auto()
    """No form can land any more, and this node does not know its history for long enough to say that none has."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding, with the form that it rests on, where there is one."""

    finding: Finding
    form: Form | None = None
    status: SignatureStatus | None = None


_NOTHING: Final = Verdict(Finding.NOTHING_NEW)


def judge(standing: Standing, seen: FirstLook, expiry: Expiry) -> Verdict:
    """What a first look means."""
    landed = _landed(standing, seen.statuses)
    if landed is not None:
        form, status = landed
        if status.commitment == "finalized":
            return Verdict(Finding.LOOK_CLOSER, form, status)
        if status.commitment == "confirmed":
            new = standing.state is not IntentState.INCLUDED or standing.block_number != status.slot
            return Verdict(Finding.INCLUDED, form, status) if new else _NOTHING
        return _NOTHING  # on one fork; nothing is shown of it
    if all(expiry.is_over(form, seen.finalized_height) for form in standing.forms):
        return Verdict(Finding.LOOK_CLOSER)
    if standing.state is not IntentState.INCLUDED or standing.block_number is None:
        return _NOTHING
    if seen.finalized_slot >= standing.block_number:
        # Final if at all; without a status the node perhaps keeps too few of them.
        return Verdict(Finding.LOOK_CLOSER)
    gone = seen.confirmed_slot >= standing.block_number + FORGET_SLOTS
    return Verdict(Finding.FORKED) if gone else _NOTHING


def conclude(standing: Standing, seen: SecondLook, expiry: Expiry) -> Verdict:
    """What a second look means. The intent ends only here, or goes on to be signed anew."""
    landed = _landed(standing, seen.statuses)
    if landed is not None and landed[1].commitment != "finalized":
        return _NOTHING
    if landed is not None and landed[1].succeeded:
        return Verdict(Finding.FINAL, *landed)
    if seen.marker_exists:
        # Its history may be gone; the marker is the truth (SAFETY S18).
        return Verdict(Finding.FINAL)
    over = [expiry.is_over(form, seen.finalized_height) for form in standing.forms]
    failed = [_is_failed(seen.statuses.get(form.signature)) for form in standing.forms]
    if not all(is_over or has_failed for is_over, has_failed in zip(over, failed, strict=True)):
        return _forked(standing, seen) if landed is None else _NOTHING
    if landed is not None:
        return Verdict(Finding.FAILED, *landed)
    if standing.is_dying:
        return Verdict(Finding.EXPIRED)
    # Without a marker it is one that may be repeated.
    known = not standing.has_marker or all(form.signed_slot > seen.first_available_slot for form in standing.forms)
    return Verdict(Finding.EXPIRED if known else Finding.UNCERTAIN)


def _forked(standing: Standing, seen: SecondLook) -> Verdict:
    """An included one of which a node that is past its slot knows neither signature nor marker is in no block any more."""
    number = standing.block_number
    gone = standing.state is IntentState.INCLUDED and number is not None and seen.finalized_slot >= number
    return Verdict(Finding.FORKED) if gone else _NOTHING


def _landed(standing: Standing, statuses: Mapping[str, SignatureStatus]) -> tuple[Form, SignatureStatus] | None:
    """The form that did what it was to do, else the newest one that is in a block at all."""
    found = [(form, statuses[form.signature]) for form in reversed(standing.forms) if form.signature in statuses]
    return next((one for one in found if one[1].succeeded), found[0] if found else None)


def _is_failed(status: SignatureStatus | None) -> bool:
    return status is not None and not status.succeeded and status.commitment == "finalized"
