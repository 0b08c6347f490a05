"""What became of the purchases: waiting until every token is final, then comparing each wallet on chain with the books."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from guerdon import verification
from guerdon.app import Runtime
from guerdon.demo import repository
from guerdon.demo.errors import DemoError
from guerdon.demo.replay import EVENT_TYPE
from guerdon.demo.shop import OpenShop
from guerdon.ledger.models import Asset
from guerdon.ledger.repository import program_balance

_POLL_SECONDS = 0.25
_PATIENCE_SECONDS = 600
"""Without any token becoming final."""
_ASKED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """All of it is read from the books and from the chain, nothing from what was sent."""

    purchases: int
    customers: int
    tokens_booked: int
    tokens_on_chain: int
    transactions: int
    consistent: bool
    findings: list[str]
    """Why it is not consistent."""

    def report(self, intake_seconds: float, delivery_seconds: float) -> dict[str, Any]:
        """As it is written to a file; delivery is counted from the first purchase to the last final token."""
        return {
            "purchases": self.purchases,
            "customers": self.customers,
            "tokens_booked": self.tokens_booked,
            "tokens_on_chain": self.tokens_on_chain,
            "transactions": self.transactions,
            "consistent": self.consistent,
            "seconds": {"intake": round(intake_seconds, 2), "delivery": round(delivery_seconds, 2)},
        }


async def delivered(runtime: Runtime, opened: OpenShop) -> tuple[int, int]:
    """Tokens that are final in wallets, and tokens booked that are not there yet."""
    async with runtime.database.program(opened.program_id) as session:
        balance = await program_balance(session, opened.program_id, opened.asset_id)
    return (0, 0) if balance is None else (balance.delivered, balance.owed)


async def wait_until_final(
    runtime: Runtime, opened: OpenShop, intake_done: asyncio.Event, on_delivered: Callable[[int], None]
) -> None:
    """Return when nothing that was booked is undelivered; `on_delivered` is told how much is final. Raises `DemoError`."""
    last, since = -1, time.monotonic()
    while True:
        complete = intake_done.is_set()
        done, owed = await delivered(runtime, opened)
        on_delivered(done)
        if complete and owed == 0:
            return
        if done != last or not complete:
            last, since = done, time.monotonic()
        if time.monotonic() - since > _PATIENCE_SECONDS:
            message = (
                f"{owed} tokens are booked and none became final for {_PATIENCE_SECONDS} s; `guerdon payout list` tells more"
            )
            raise DemoError(message)
        await asyncio.sleep(_POLL_SECONDS)


async def outcome(runtime: Runtime, opened: OpenShop) -> Outcome:
    """Compare wallet by wallet, and verify the books."""
    async with runtime.database.program(opened.program_id) as session:
        purchases, customers = await repository.purchases(session, EVENT_TYPE)
        wallets = await repository.wallets(session, opened.asset_id)
        asset = await session.get_one(Asset, opened.asset_id)
    async with runtime.database.platform() as session:
        transactions = await repository.payments(session)
    worth = asset.atomic_per_point
    on_chain = await _balances(runtime, asset, [wallet.address for wallet in wallets])
    findings = [
        f"wallet {wallet.address} has {on_chain[wallet.address]}; earned {wallet.earned}, delivered {wallet.delivered}"
        for wallet in wallets
        if not on_chain[wallet.address] == wallet.earned * worth == wallet.delivered * worth
    ]
    verified = await verification.verify(runtime)
    findings += [f"{finding.check}: {finding.subject} {finding.detail}" for finding in verified.findings]
    return Outcome(
        purchases=purchases,
        customers=customers,
        tokens_booked=sum(wallet.earned for wallet in wallets),
        tokens_on_chain=sum(on_chain.values()) // worth,
        transactions=transactions,
        consistent=not findings and verified.consistent,
        findings=findings,
    )


async def _balances(runtime: Runtime, asset: Asset, owners: list[str]) -> dict[str, int]:
    """What each wallet holds on chain, at one block."""
    if asset.network is None or asset.token_address is None:
        message = f"{asset.symbol} has no token"
        raise DemoError(message)
    client = await runtime.chain(asset.network)
    block = (await client.head("latest")).number
    found: dict[str, int] = {}
    for start in range(0, len(owners), _ASKED_AT_ONCE):
        found |= await client.token_balances(asset.token_address, owners[start : start + _ASKED_AT_ONCE], block)
    return found
