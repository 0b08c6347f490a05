"""The list that a batch pays: which members become which transfers, in which order, and how a list is split. Pure.

How a list is written for the chain is `chains/contracts.py`; who is in a batch is decided in `reserving.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from guerdon.chains.contracts import MAX_PAYMENT

MAX_ATOMIC: Final = MAX_PAYMENT
"""What one transfer of the distributor can carry, and so the most that a whole batch may sum up to."""


@dataclass(frozen=True, slots=True)
class Member:
    """One payout of a batch. `amount_atomic` is in the token's smallest unit."""

    program_id: UUID
    delivery_id: UUID
    destination: str
    amount_atomic: int


@dataclass(frozen=True, slots=True)
class Payment:
    """One transfer of a batch."""

    recipient: str
    amount_atomic: int


def merged(members: Iterable[Member]) -> list[Payment]:
    """One transfer for each wallet, whatever number of programs pay it (DESIGN section 6, rule 7), in the wallets' order.

    The order is part of what the batch's id on chain stands for, so it depends on nothing but the members.
    """
    sums: dict[str, int] = {}
    for member in members:
        sums[member.destination] = sums.get(member.destination, 0) + member.amount_atomic
    return [Payment(recipient, sums[recipient]) for recipient in sorted(sums, key=str.lower)]


def halves(members: Sequence[Member]) -> tuple[list[Member], list[Member]]:
    """The members of a batch in two parts of about as many wallets each; the second is empty if there is but one wallet."""
    recipients = sorted({member.destination for member in members}, key=str.lower)
    first = frozenset(recipients[: (len(recipients) + 1) // 2])
    return [m for m in members if m.destination in first], [m for m in members if m.destination not in first]


def child_batch_id(parent: UUID, part: int) -> UUID:
    """The id of the batch that takes over a part of another one: the same however often it is made."""
    return uuid5(parent, f"part {part}")


def by_program(members: Iterable[Member]) -> Mapping[UUID, list[Member]]:
    """The members of each program, programs in order of their ids (each is a transaction of its own, SAFETY S2)."""
    grouped: dict[UUID, list[Member]] = {}
    for member in sorted(members, key=lambda m: (m.program_id, m.delivery_id)):
        grouped.setdefault(member.program_id, []).append(member)
    return grouped


def gas_day(moment: datetime) -> str:
    """The UTC day that a cost counts for."""
    return moment.strftime("%Y-%m-%d")


def shared_cost(cost_wei: int, members: int, batch_size: int) -> int:
    """What `members` of a batch of `batch_size` bear of its cost, in wei, rounded up: a budget is never undercounted."""
    return -(-cost_wei * members // batch_size) if batch_size else 0
