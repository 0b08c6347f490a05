"""Looks for patterns in payments that are about to be credited, and keeps what it finds for an operator. Nothing here commits.

A bounded number of statements a batch, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from guerdon.activity.settlements import repository_flags as repository
from guerdon.activity.settlements.abuse import Edge, Found, Known, Paid, Thresholds, look_at
from guerdon.activity.settlements.repository_flags import Enough, NewFlag
from guerdon.activity.settlements.repository_settlements import Row
from guerdon.kit.database import ProgramSession
from guerdon.kit.ids import uuid7
from guerdon.kit.outbox import Severity, raise_alert

REVIEW_WAITS = "settlements.review"
_MOST_FOLLOWED = 200
"""Addresses that loops are followed to from one batch, at each hop."""


class Owners(Protocol):
    """Whose both ends of each payment were at its time."""

    @property
    def payers(self) -> Mapping[UUID, UUID]:
        """Accounts of payers, by payment."""
        ...

    @property
    def payees(self) -> Mapping[UUID, UUID]:
        """Accounts of payees, by payment."""
        ...


async def flag(
    session: ProgramSession, program_id: UUID, rows: Sequence[Row], batch: Sequence[Row], owners: Owners, now: datetime
) -> dict[UUID, str]:
    """What an operator has to look at first, with why in words; the flags are kept. What was approved before is not.

    The `batch` is all that comes with these `rows`, which need not be kept yet.
    """
    if not rows:
        return {}
    thresholds = Thresholds.of(await repository.thresholds_of(session, program_id))
    every = {row.id: Paid(row.id, row.payer, row.payee, row.volume_micro_usd, row.settled_at) for row in batch}
    payments = [every[row.id] for row in rows]
    known = await _known(session, program_id, payments, sorted(every.values(), key=lambda one: one.at), owners, thresholds)
    found = {payment.id: look_at(payment, known, thresholds) for payment in payments}
    flags = [
        NewFlag(uuid7(), payment_id, one.pattern, one.evidence) for payment_id, patterns in found.items() for one in patterns
    ]
    await repository.put_flags(session, program_id, flags, now)
    approved = await repository.approved(session, program_id, [flag.settlement_id for flag in flags])
    return {payment_id: _words(patterns) for payment_id, patterns in found.items() if patterns and payment_id not in approved}


async def _known(
    session: ProgramSession,
    program_id: UUID,
    payments: Sequence[Paid],
    every: Sequence[Paid],
    owners: Owners,
    thresholds: Thresholds,
) -> Known:
    window = timedelta(hours=thresholds.window_hours)
    by_payer: dict[str, list[Paid]] = {payment.payer: [] for payment in payments}
    by_payee: dict[str, list[Paid]] = {payment.payee: [] for payment in payments}
    for one in every:
        if one.payer in by_payer:
            by_payer[one.payer].append(one)
        if one.payee in by_payee:
            by_payee[one.payee].append(one)
    if thresholds.burst_payments:
        enough = Enough(timedelta(seconds=thresholds.burst_seconds), thresholds.burst_payments)
        await _add_earlier(session, program_id, "payer", by_payer, enough)
    if thresholds.concentration_percent:
        enough = Enough(window, thresholds.concentration_payments, thresholds.concentration_micro_usd)
        await _add_earlier(session, program_id, "payee", by_payee, enough)
    same = {
        payment.id
        for payment in payments
        if payment.id in owners.payers and owners.payers[payment.id] == owners.payees.get(payment.id)
    }
    since = min(payment.at for payment in payments) - window
    edges: dict[str, list[Edge]] = {}
    for edge in await _edges(session, program_id, {one.payee for one in every}, since, thresholds.loop_hops):
        edges.setdefault(edge.payer, []).append(edge)
    for one in every:
        edges.setdefault(one.payer, []).append(Edge(one.payer, one.payee, one.at))
    return Known(by_payer, by_payee, edges, same)


async def _add_earlier(
    session: ProgramSession, program_id: UUID, side: str, known: dict[str, list[Paid]], enough: Enough
) -> None:
    """Add what was kept before, of the addresses that it makes a difference for."""
    for address, earlier in (await repository.last_payments(session, program_id, side, known, enough)).items():
        both = {one.id: one for one in (*earlier, *known[address])}
        known[address] = sorted(both.values(), key=lambda one: one.at)


async def _edges(session: ProgramSession, program_id: UUID, payees: set[str], since: datetime, hops: int) -> list[Edge]:
    """Who was paid by those who were paid, and so on: one statement a hop."""
    found: list[Edge] = []
    asked: set[str] = set()
    reached = payees
    for _ in range(hops):
        asking = sorted(reached - asked)[: max(_MOST_FOLLOWED, len(payees))]
        if not asking:
            break
        asked |= set(asking)
        edges = await repository.paid_by(session, program_id, asking, since)
        found += edges
        reached = {edge.payee for edge in edges}
    return found


async def tell(session: ProgramSession, program_id: UUID) -> None:
    """Raise the alert that payments wait for a look; the last thing of a transaction, for its row is one for all."""
    await raise_alert(
        session,
        REVIEW_WAITS,
        str(program_id),
        severity=Severity.WARNING,
        message="Payments look as if they were made for their points; what they earned is held.",
        remedy="`guerdon settlement flags` shows them with the evidence; approve or reject them.",
        program_id=program_id,
    )


def _words(patterns: Sequence[Found]) -> str:
    return ", ".join(one.pattern.value.replace("_", " ") for one in patterns)
