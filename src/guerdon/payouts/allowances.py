"""What stops every payment of an ERC-20 treasury: allowance, balance, or the token itself (SAFETY S22). Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from guerdon.kit.ids import uuid7
from guerdon.payouts.payments import Payment
from guerdon.payouts.rail import EnvironmentProblem, Refusal


class TokenPayer(Protocol):
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


async def what_stops_all(payer: TokenPayer, payments: Sequence[Payment]) -> EnvironmentProblem | None:
    """What stops even a known-good transfer, the smallest amount from the treasury to itself; None if that works."""
    total = sum(payment.amount_atomic for payment in payments)
    allowance = await payer.allowance()
    if allowance < total:
        return EnvironmentProblem(
            f"allowance missing: the distributor may take {allowance} of the {total} to be paid",
            "The approval is sent by itself; `guerdon key list` tells if the treasury's key can send.",
            allowance_missing=True,
        )
    balance = await payer.balance()
    if balance < total:
        return EnvironmentProblem(
            f"balance short: the treasury holds {balance} of the {total} to be paid",
            "Send the missing tokens to the treasury's address (`guerdon treasury list`); payouts go on by themselves.",
        )
    probe = Payment(payer.treasury_address, min(payment.amount_atomic for payment in payments))
    refusal = await payer.simulate(uuid7().bytes, (), [probe])
    if refusal is None:
        return None
    return EnvironmentProblem(
        f"the token refuses every transfer: {refusal.reason}",
        "Unpause the token, or lift what it holds against the treasury (`guerdon treasury list`); payouts go on by themselves.",
    )
