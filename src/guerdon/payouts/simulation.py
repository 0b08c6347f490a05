"""Why a batch can't be paid: something that stops every payment, or certain recipients (SAFETY S22). Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from guerdon.kit.ids import uuid7
from guerdon.payouts.payments import Payment


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a simulated payment answered. `index` is the place of the payment that failed, where the contract said so."""

    reason: str
    index: int | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentProblem:
    """Not even a known-good transfer works: no recipient is to blame."""

    reason: str
    remedy: str
    allowance_missing: bool = False


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
    """What has to be asked of the chain, from the treasury's point of view."""

    @property
    def treasury_address(self) -> str:
        """Whose tokens are paid."""
        ...

    async def simulate(self, batch: bytes, supersedes: Sequence[str], payments: Sequence[Payment]) -> Refusal | None:
        """None if the batch could be paid now."""
        ...

    async def allowance(self) -> int:
        """What the distributor may take of the treasury's tokens."""
        ...

    async def balance(self) -> int:
        """What the treasury holds at the head."""
        ...


async def explain(
    chain: Simulator, batch_id: UUID, supersedes: Sequence[str], payments: Sequence[Payment], refusal: Refusal
) -> Finding:
    """What stands in the way of a batch whose simulation was refused."""
    problem = await environment_problem(chain, payments)
    if problem is not None:
        return problem
    reasons = await _culprits(chain, batch_id, payments, refusal)
    if reasons:
        return Culprits(reasons)
    if len(payments) == 1:
        # Alone, under another batch id and superseding nothing, it passes: what it supersedes is in the way.
        return EnvironmentProblem(
            refusal.reason,
            f"`guerdon payout list` tells what became of the batches before it: {', '.join(supersedes) or 'none'}.",
        )
    return Inseparable(refusal.reason)


async def environment_problem(chain: Simulator, payments: Sequence[Payment]) -> EnvironmentProblem | None:
    """What stops even a known-good transfer, the smallest amount from the treasury to itself; None if that works."""
    total = sum(payment.amount_atomic for payment in payments)
    allowance = await chain.allowance()
    if allowance < total:
        return EnvironmentProblem(
            f"allowance missing: the distributor may take {allowance} of the {total} to be paid",
            "The approval is sent by itself; `guerdon key list` tells if the treasury's key can send.",
            allowance_missing=True,
        )
    balance = await chain.balance()
    if balance < total:
        return EnvironmentProblem(
            f"balance short: the treasury holds {balance} of the {total} to be paid",
            "Send the missing tokens to the treasury's address (`guerdon treasury list`); payouts go on by themselves.",
        )
    probe = Payment(chain.treasury_address, min(payment.amount_atomic for payment in payments))
    refusal = await chain.simulate(uuid7().bytes, (), [probe])
    if refusal is None:
        return None
    return EnvironmentProblem(
        f"the token refuses every transfer: {refusal.reason}",
        "Unpause the token, or lift what it holds against the treasury (`guerdon treasury list`); payouts go on by themselves.",
    )


async def _culprits(chain: Simulator, batch_id: UUID, payments: Sequence[Payment], refusal: Refusal) -> dict[str, str]:
    """Recipients that fail alone, found by the index that the contract names, else by halving."""
    reasons: dict[str, str] = {}
    rest: list[Payment] = list(payments)
    found: Refusal | None = refusal
    while found is not None and rest:
        named: Sequence[Payment] = () if found.index is None else rest[found.index : found.index + 1]
        new: dict[str, str] = await _failing_alone(chain, named) or await _failing_alone(chain, await _suspects(chain, rest))
        if not new:
            break
        reasons |= new
        rest = [payment for payment in rest if payment.recipient not in new]
        found = await chain.simulate(batch_id.bytes, (), rest) if rest else None
    return reasons


async def _failing_alone(chain: Simulator, suspects: Sequence[Payment]) -> dict[str, str]:
    refusals = {suspect.recipient: await chain.simulate(uuid7().bytes, (), [suspect]) for suspect in suspects}
    return {recipient: refusal.reason for recipient, refusal in refusals.items() if refusal is not None}


async def _suspects(chain: Simulator, payments: Sequence[Payment]) -> list[Payment]:
    """Payments of a refused list that halving leads to; where both halves pass, none."""
    if len(payments) == 1:
        return list(payments)
    middle = len(payments) // 2
    suspects: list[Payment] = []
    for half in (payments[:middle], payments[middle:]):
        if await chain.simulate(uuid7().bytes, (), half) is not None:
            suspects += await _suspects(chain, half)
    return suspects
