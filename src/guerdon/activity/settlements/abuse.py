"""What payments look like that are made for their points: patterns, with the evidence. Pure; what they look at is bounded.

Whatever is found is held and looked at by an operator; nothing is refused by a pattern alone. Payment facilitators pay the gas of
what they settle, so that a loop costs its maker nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID

MOST_PAYMENTS: Final = 100
"""Of one payer or payee that are looked at with a payment."""
_SHOWN: Final = 5


class Pattern(StrEnum):
    """What a payment looks like."""

    SAME_ACCOUNT = "same_account"
    """Payer and payee are the same account's."""
    FUNDED_BY_PAYEE = "funded_by_payee"
    """The payee had paid the payer before."""
    LOOP = "loop"
    """What was paid comes back over others."""
    CONCENTRATION = "concentration"
    """Nearly all that the payee is paid comes from this payer."""
    BURST = "burst"
    """The payer pays more often than people do."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on a pattern is one. Counts of payments, hours, seconds, percent, micro-dollars; a 0 turns a pattern off."""

    window_hours: int = 72
    """How far back payments are looked at."""
    loop_hops: int = 3
    """Over how many others what was paid may come back; 1 is straight from the payee."""
    concentration_percent: int = 90
    concentration_payments: int = 20
    concentration_micro_usd: int = 100_000_000
    """Of the payee's last payments, before concentration is looked at."""
    burst_payments: int = 60
    burst_seconds: int = 60

    @classmethod
    def of(cls, stored: Mapping[str, int]) -> Self:
        """The defaults, but for what is stored."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})


@dataclass(frozen=True, slots=True)
class Edge:
    """Somebody has paid somebody, last at that time."""

    payer: str
    payee: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Paid:
    """One payment, as patterns are looked for in it."""

    id: UUID
    payer: str
    payee: str
    volume_micro_usd: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What a look at some payments rests on: the last ones of each payer and payee, by time, and who paid whom."""

    by_payer: Mapping[str, Sequence[Paid]]
    by_payee: Mapping[str, Sequence[Paid]]
    edges: Mapping[str, Sequence[Edge]]
    """By payer."""
    same_account: Collection[UUID]
    """Payments whose payer and payee belong to one account."""


@dataclass(frozen=True, slots=True)
class Found:
    """A pattern in a payment."""

    pattern: Pattern
    evidence: dict[str, Any]


def look_at(payment: Paid, known: Known, thresholds: Thresholds) -> list[Found]:
    """All patterns that one payment shows."""
    looks = (
        _same_account(payment, known),
        _came_back(payment, known, thresholds),
        _concentration(payment, known, thresholds),
        _burst(payment, known, thresholds),
    )
    return [found for found in looks if found is not None]


def _same_account(payment: Paid, known: Known) -> Found | None:
    if payment.id not in known.same_account:
        return None
    return Found(Pattern.SAME_ACCOUNT, {"payer": payment.payer, "payee": payment.payee})


def _came_back(payment: Paid, known: Known, thresholds: Thresholds) -> Found | None:
    """Does money go from the payee back to the payer, over `loop_hops` others at most?"""
    if not thresholds.loop_hops:
        return None
    since = payment.at - timedelta(hours=thresholds.window_hours)
    came_from: dict[str, str] = {}
    reached = {payment.payee}
    for _ in range(thresholds.loop_hops):
        following: set[str] = set()
        for payer in sorted(reached):
            for payee in sorted({edge.payee for edge in known.edges.get(payer, ()) if edge.at >= since}):
                if payee not in came_from and payee != payment.payee:
                    came_from[payee] = payer
                    following.add(payee)
        if payment.payer in came_from:
            return _loop(payment, came_from)
        reached = following
    return None


def _loop(payment: Paid, came_from: Mapping[str, str]) -> Found:
    way = [payment.payer]
    while way[-1] != payment.payee:
        way.append(came_from[way[-1]])
    way.reverse()
    pattern = Pattern.FUNDED_BY_PAYEE if len(way) == 2 else Pattern.LOOP  # noqa: PLR2004 - payee and payer, nobody between
    return Found(pattern, {"way": [payment.payer, *way], "hops": len(way) - 1})


def _concentration(payment: Paid, known: Known, thresholds: Thresholds) -> Found | None:
    received = _recent(known.by_payee.get(payment.payee, ()), payment, timedelta(hours=thresholds.window_hours))
    total = sum(one.volume_micro_usd for one in received)
    if (
        not thresholds.concentration_percent
        or len(received) < thresholds.concentration_payments
        or total < thresholds.concentration_micro_usd
    ):
        return None
    by_payer = Counter[str]()
    for one in received:
        by_payer[one.payer] += one.volume_micro_usd
    share = by_payer[payment.payer]
    if share * 100 < total * thresholds.concentration_percent:
        return None
    evidence = {"payee": payment.payee, "payer": payment.payer, "micro_usd": str(share), "of_micro_usd": str(total)}
    return Found(Pattern.CONCENTRATION, {**evidence, "payments": len(received), "payers": len(by_payer)})


def _burst(payment: Paid, known: Known, thresholds: Thresholds) -> Found | None:
    seconds = timedelta(seconds=thresholds.burst_seconds)
    made = _recent(known.by_payer.get(payment.payer, ()), payment, seconds)
    if not thresholds.burst_payments or len(made) < thresholds.burst_payments:
        return None
    amounts = Counter(one.volume_micro_usd for one in made)
    usual = [{"micro_usd": str(amount), "times": times} for amount, times in amounts.most_common(_SHOWN)]
    return Found(
        Pattern.BURST, {"payer": payment.payer, "payments": len(made), "seconds": thresholds.burst_seconds, "amounts": usual}
    )


def _recent(payments: Sequence[Paid], payment: Paid, time: timedelta) -> Sequence[Paid]:
    """Those of that time before the payment, itself among them; the last so many."""
    first, last = (bisect_right(payments, at, key=lambda one: one.at) for at in (payment.at - time, payment.at))
    return payments[max(first, last - MOST_PAYMENTS) : last]
