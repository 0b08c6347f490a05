"""The long proof of claims on a Solana: thousands of them paid on the local one while the worker is killed, again and again.

    python -m tests.prove claims --count 10000 --kills 50 --seed 1 --report claims.json

Members claim points for wallets of their own; one worker with its engine pays them, and is killed (SIGKILL) at a random moment of
its work, and started again. Judged by what the chain's node and the database say, with none of the product's code.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from guerdon.kit import driver
from guerdon.kit.database import Database
from tests.payouts.solana.purse import Purse, a_purse
from tests.support.postgres import embedded_server
from tests.txmanager.solana.scene import SOL, a_scene, running_ledger

_STOCK = 10**15
_POINTS = 10**12
_ATOMIC_A_POINT = 10
_MOST_POINTS = 5_000
_QUIET_SECONDS = 600
_AT_ONCE = 8

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be proven."""

    count: int
    kills: int
    seed: int


@dataclass
class Proof:
    """What came of it."""

    seed: int
    claims: int
    kills: int = 0
    transactions: int = 0
    """Payments that landed."""
    attempts: int = 0
    """Signed forms of them."""
    seconds: float = 0
    complaints: list[str] = field(default_factory=list[str])


async def prove(purse: Purse, plan: Plan, tell: Tell) -> Proof:
    """Claim, kill, wait, judge."""
    chance = random.Random(f"claims {plan.seed}")
    proof, owed = Proof(plan.seed, plan.count), dict[str, int]()
    began = time.monotonic()
    claiming = asyncio.create_task(_claim_all(purse, plan.count, chance, owed))
    share = plan.count / (plan.kills + 1)
    while proof.kills < plan.kills and await _final(purse) < plan.count:
        aim = share * (proof.kills + chance.random())
        async with purse.process() as worker:
            deadline = time.monotonic() + _QUIET_SECONDS
            while await _final(purse) < min(aim, plan.count) and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            await asyncio.sleep(chance.uniform(0, 1.5))
            await worker.kill()
        proof.kills += 1
        tell(f"{proof.kills} of {plan.kills} kills, {await _final(purse)} of {plan.count} claims final")
    await claiming
    async with purse.process():
        last, moved_at = -1, time.monotonic()
        while (final := await _final(purse)) < plan.count and time.monotonic() - moved_at < _QUIET_SECONDS:
            if final != last:
                last, moved_at = final, time.monotonic()
            await asyncio.sleep(0.2)
    proof.seconds = round(time.monotonic() - began, 1)
    proof.transactions = await purse.value("select count(*) from intents where kind = 'pay' and state = 'final' and succeeded")
    proof.attempts = await purse.value("select count(*) from attempts join intents on id = intent_id where kind = 'pay'")
    proof.complaints = await judge(purse, owed)
    return proof


async def _claim_all(purse: Purse, count: int, chance: random.Random, owed: dict[str, int]) -> None:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(points: int) -> None:
        async with room:
            _, wallet = await purse.claim(points)
            owed[wallet] = points * _ATOMIC_A_POINT

    await asyncio.gather(*(one(chance.randint(1, _MOST_POINTS)) for _ in range(count)))


async def _final(purse: Purse) -> int:
    return await purse.value("select count(*) from deliveries where state = 'final'")


async def judge(purse: Purse, owed: dict[str, int]) -> list[str]:
    """What is wrong: by the node's own answers and the database's rows."""
    mint, sender = purse.mint.address, purse.scene.address
    complaints: list[str] = []
    states = await purse.states()
    if states != {"final": len(owed)}:
        complaints.append(f"stuck: {states}")
    paid, times = await _paid(purse)
    complaints += [f"doubled: {wallet} was paid {number} times" for wallet, number in times.items() if number > 1]
    complaints += [
        f"wrong: {wallet} got {paid[wallet]}, is owed {amount}" for wallet, amount in owed.items() if paid[wallet] != amount
    ]
    complaints += [f"wrong: {wallet} got {amount} and is owed nothing" for wallet, amount in paid.items() if wallet not in owed]
    left = await _balance(purse, sender, mint)
    if left != _STOCK - sum(owed.values()):
        complaints.append(f"wrong: the treasury holds {left}, not {_STOCK - sum(owed.values())}")
    booked = await purse.value("select coalesce(sum(claimed), 0) from account_balances")
    if int(booked) * _ATOMIC_A_POINT != sum(paid.values()):
        complaints.append(f"wrong: the ledger has {booked} points as claimed, the chain {sum(paid.values())} atomic units")
    held = await purse.value("select coalesce(sum(held), 0) from account_balances")
    reserved = await purse.value("select reserved from treasuries")
    if held or reserved:
        complaints.append(f"stuck: {held} points are held, {reserved} atomic units reserved")
    return complaints


async def _paid(purse: Purse) -> tuple[Counter[str], Counter[str]]:
    """What each wallet got of the treasury, and in how many transactions."""
    node, mint, sender = purse.node, purse.mint.address, purse.scene.address
    paid, times = Counter[str](), Counter[str]()
    before: str | None = None
    while True:
        page: list[dict[str, Any]] = await node.rpc(
            "getSignaturesForAddress", sender, {"commitment": "confirmed", **({} if before is None else {"before": before})}
        )
        for one in page:
            if one["err"] is None:
                for owner, amount in (await _received(purse, one["signature"], mint)).items():
                    if owner != sender:
                        paid[owner] += amount
                        times[owner] += 1
        if not page:
            break
        before = page[-1]["signature"]
    return paid, times


async def _received(purse: Purse, signature: str, mint: str) -> dict[str, int]:
    told = await purse.node.rpc(
        "getTransaction", signature, {"commitment": "confirmed", "encoding": "json", "maxSupportedTransactionVersion": 0}
    )
    changes = Counter[str]()
    for sign, name in ((-1, "preTokenBalances"), (1, "postTokenBalances")):
        for one in told["meta"][name] or ():
            if one["mint"] == mint:
                changes[one["owner"]] += sign * int(one["uiTokenAmount"]["amount"])
    return {owner: change for owner, change in changes.items() if change}


async def _balance(purse: Purse, owner: str, mint: str) -> int:
    at = get_associated_token_address(Pubkey.from_string(owner), Pubkey.from_string(mint))
    return int((await purse.node.rpc("getTokenAccountBalance", str(at), {"commitment": "processed"}))["value"]["amount"])


async def _alone(pattern: Any, plan: Plan, tell: Tell) -> Proof:
    urls = pattern.urls(await pattern.create_migrated())
    database, owner = Database(urls.app), await driver.connect(urls.superuser)
    try:
        with tempfile.TemporaryDirectory(prefix="claims-") as folder:
            async with running_ledger(Path(folder) / "solana", slot_ms=50) as node, a_scene(database, urls, owner, node) as scene:
                await node.fund(scene.address, 1_000 * SOL)
                async with a_purse(scene, stock=_STOCK, points=_POINTS) as purse:
                    return await prove(purse, plan, tell)
    finally:
        await owner.close()
        await database.close()


def main(arguments: Sequence[str], tell: Tell) -> int:
    """The command; its exit code."""
    asked = _parser().parse_args(arguments)
    with embedded_server() as server:
        proof = asyncio.run(_alone(server, Plan(asked.count, asked.kills, asked.seed), tell))
    if asked.report is not None:
        asked.report.write_text(json.dumps(asdict(proof), indent=2) + "\n", encoding="utf-8")
    tell(
        f"{proof.claims} claims in {proof.transactions} transactions ({proof.attempts} signed forms), {proof.kills} kills, "
        f"{proof.seconds} s"
    )
    tell("\n".join(proof.complaints) or "each paid once; ledger and chain agree to the token")
    return 1 if proof.complaints else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make prove ARGS=claims",
        description="Pay claims on the local Solana, and kill the worker again and again.",
        epilog='Example: make prove ARGS="claims --count 300 --kills 5"',
    )
    parser.add_argument("--count", type=int, default=10_000, help="claims, each to a wallet of its own (%(default)s)")
    parser.add_argument("--kills", type=int, default=50, help="of the worker (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="decides amounts and moments (%(default)s)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where the outcome is written, as JSON")
    return parser
