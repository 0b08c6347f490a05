"""Why a batch can't be paid: something that stops every payment, or certain recipients (SAFETY S22). Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from guerdon.kit.ids import uuid7
from guerdon.payouts.payments import Payment
from guerdon.payouts.rail import EnvironmentProblem, Refusal


@dataclass(frozen=True, slots=True)
class Culprits:
    """Recipients that can't be paid even alone, with the reason of each."""

    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Inseparable:
    """The list fails and none of its payments does alone: too large for a block, say."""

    reason: str


Finding = EnvironmentProblem | Culprits | Inseparable


class Simulator(Protocol):
    """Of a rail (`rail.py`), what the search asks."""

    async def simulate(self, batch: bytes, supersedes: Sequence[str], payments: Sequence[Payment]) -> Refusal | None:
        """None if the batch could be paid now."""
        ...

    async def environment_problem(self, payments: Sequence[Payment]) -> EnvironmentProblem | None:
        """What stops even a known-good transfer."""
        ...


async def explain(
    rail: Simulator, batch_id: UUID, supersedes: Sequence[str], payments: Sequence[Payment], refusal: Refusal
) -> Finding:
    """What stands in the way of a batch whose simulation was refused."""
    if refusal.is_too_large and len(payments) > 1:
        return Inseparable(refusal.reason)
    problem = await rail.environment_problem(payments)
    if problem is not None:
        return problem
    reasons = await _culprits(rail, batch_id, payments, refusal)
    if reasons:
        return Culprits(reasons)
    if len(payments) == 1:
        # Alone, under another batch id and superseding nothing, it passes: what it supersedes is in the way.
        return EnvironmentProblem(
            refusal.reason,
            f"`guerdon payout list` tells what became of the batches before it: {', '.join(supersedes) or 'none'}.",
        )
    return Inseparable(refusal.reason)


async def _culprits(rail: Simulator, batch_id: UUID, payments: Sequence[Payment], refusal: Refusal) -> dict[str, str]:
    """Recipients that fail alone, found by the index that the contract names, else by halving."""
    reasons: dict[str, str] = {}
    rest: list[Payment] = list(payments)
    found: Refusal | None = refusal
    while found is not None and rest:
        named: Sequence[Payment] = () if found.index is None else rest[found.index : found.index + 1]
        new: dict[str, str] = await _failing_alone(rail, named) or await _failing_alone(rail, await _suspects(rail, rest))
        if not new:
            break
        reasons |= new
        rest = [payment for payment in rest if payment.recipient not in new]
        found = await rail.simulate(batch_id.bytes, (), rest) if rest else None
    return reasons


async def _failing_alone(rail: Simulator, suspects: Sequence[Payment]) -> dict[str, str]:
    refusals = {suspect.recipient: await rail.simulate(uuid7().bytes, (), [suspect]) for suspect in suspects}
    return {recipient: refusal.reason for recipient, refusal in refusals.items() if refusal is not None}


async def _suspects(rail: Simulator, payments: Sequence[Payment]) -> list[Payment]:
    """Payments of a refused list that halving leads to; where both halves pass, none."""
    if len(payments) == 1:
        return list(payments)
    middle = len(payments) // 2
    suspects: list[Payment] = []
    for half in (payments[:middle], payments[middle:]):
        if await rail.simulate(uuid7().bytes, (), half) is not None:
            suspects += await _suspects(rail, half)
    return suspects
