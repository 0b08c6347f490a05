"""The long proof of claims on a Solana: thousands of them paid on the local one while the worker is killed, again and again.

    python -m tests.prove claims --count 10000 --kills 50 --seed 1 --report claims.json

Members claim points for wallets of their own; one worker with its engine pays them, closes the markers behind it, and is killed
(SIGKILL) at a random moment of its work and started again. Chain, worker and prover are processes of their own. Judged by what the
chain's node and the database say, with none of the product's code.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from guerdon.kit import driver
from guerdon.kit.database import Database
from tests.payouts.solana.purse import Purse, a_purse
from tests.support.postgres import embedded_server
from tests.support.services import free_port
from tests.txmanager.solana.scene import QUICK, SOL, Ledger, a_scene

_STOCK = 10**15
_POINTS = 10**12
_ATOMIC_A_POINT = 10
_MOST_POINTS = 5_000
_SLOT_MS = 50
_TERMS = replace(QUICK, close_markers_seconds=5)
_QUIET_SECONDS = 300
"""Without any claim becoming final for so long, it counts as stuck."""
_LONGEST_AIM_SECONDS = 1.5
"""From seeing the worker at work to its end, at most."""
_WAITED_OUT = 10
"""After one kill of so many, what the dead worker held (a lease, claims of work for 30 s) is left to run out by itself."""
_AT_ONCE = 8
_TOLD_SECONDS = 15
_ACCOUNTS_A_CALL = 100
_AMOUNT = slice(64, 72)
"""Of a token account."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be proven."""

    count: int
    kills: int
    seed: int
    minutes: float = 60


@dataclass
class Proof:
    """What came of it."""

    seed: int
    claims: int
    kills: int = 0
    killed_at_work: int = 0
    """Kills while payments were signed or in flight."""
    waited_out: int = 0
    """Kills after which nobody was told that the worker is dead."""
    transactions: int = 0
    """Payments that landed."""
    attempts: int = 0
    """Signed forms of them."""
    markers_closed: int = 0
    seconds_claiming: float = 0
    """Until the last claim was made; paying began before."""
    seconds: float = 0
    """Until the last one was final."""
    seconds_judging: float = 0
    complaints: list[str] = field(default_factory=list[str])


class _Progress:
    """How many claims are final, told every now and then; raises `TimeoutError` when nothing moves, or time is up."""

    def __init__(self, purse: Purse, plan: Plan, tell: Tell) -> None:
        self._purse, self._plan, self._tell = purse, plan, tell
        self.began = time.monotonic()
        self._final, self._moved_at, self._told_at = 0, self.began, self.began

    async def look(self) -> int:
        final: int = await self._purse.value("select count(*) from deliveries where state = 'final'")
        now = time.monotonic()
        if final != self._final:
            self._final, self._moved_at = final, now
        if now > self._told_at + _TOLD_SECONDS:
            self._told_at = now
            self._tell(f"{now - self.began:.0f} s: {final} of {self._plan.count} claims final")
        if now > self._moved_at + _QUIET_SECONDS or now > self.began + 60 * self._plan.minutes:
            raise TimeoutError
        return final

    async def until(self, number: int) -> None:
        """Wait until so many are final."""
        while await self.look() < min(number, self._plan.count):
            await asyncio.sleep(0.1)


async def prove(purse: Purse, plan: Plan, tell: Tell) -> Proof:
    """Claim, kill, wait, judge."""
    chance = random.Random(f"claims {plan.seed}")
    proof, owed, progress = Proof(plan.seed, plan.count), dict[str, int](), _Progress(purse, plan, tell)
    claiming = asyncio.create_task(_claim_all(purse, plan.count, random.Random(f"amounts {plan.seed}"), owed))
    claiming.add_done_callback(lambda _: setattr(proof, "seconds_claiming", round(time.monotonic() - progress.began, 1)))
    try:
        for number in range(plan.kills):
            await _work_and_die(purse, progress, plan.count * (number + chance.random()) / plan.kills, chance, proof)
            tell(f"{proof.kills} of {plan.kills} kills, {await progress.look()} of {plan.count} claims final")
        await claiming
        async with purse.process(_TERMS, url=purse.node.url):
            await progress.until(plan.count)
            proof.seconds = round(time.monotonic() - progress.began, 1)
    except TimeoutError:
        proof.complaints.append(f"stuck: {await purse.situation()}")
        await claiming
    began = time.monotonic()
    proof.transactions = await purse.value("select count(*) from intents where kind = 'pay' and state = 'final' and succeeded")
    proof.attempts = await purse.value("select count(*) from attempts join intents on id = intent_id where kind = 'pay'")
    proof.markers_closed = await purse.value("select count(*) from intents where kind = 'pay' and marker_closed_at is not null")
    proof.complaints += await judge(purse, owed)
    proof.seconds_judging = round(time.monotonic() - began, 1)
    return proof


async def _work_and_die(purse: Purse, progress: _Progress, aim: float, chance: random.Random, proof: Proof) -> None:
    """A worker's life: until so many claims are final and some are being paid, and a moment more."""
    epoch = await purse.value("select lease_epoch from keys")
    async with purse.process(_TERMS, url=purse.node.url) as worker:
        await progress.until(int(aim))
        while not await _is_paying(purse) or await purse.value("select lease_epoch from keys") == epoch:
            if await progress.look() >= proof.claims:
                break  # nothing is left to be paid: the kill counts, though not as one at work
            await asyncio.sleep(0.02)
        await asyncio.sleep(chance.uniform(0, _LONGEST_AIM_SECONDS))
        at_work = await _is_paying(purse)
        await worker.kill()
    proof.kills += 1
    proof.killed_at_work += at_work
    if proof.kills % _WAITED_OUT == 0:
        proof.waited_out += 1
        return
    await purse.value("with _ as (update work set claimed_until = now() where claimed_until > now()) select 1")
    await purse.value("update keys set lease_until = clock_timestamp() where lease_until > clock_timestamp() returning 1")


async def _is_paying(purse: Purse) -> bool:
    is_any = "select exists(select from intents where kind = 'pay' and state not in ('final', 'failed', 'void'))"
    return bool(await purse.value(is_any))


async def _claim_all(purse: Purse, count: int, chance: random.Random, owed: dict[str, int]) -> None:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(points: int) -> None:
        async with room:
            _, wallet = await purse.claim(points)
            owed[wallet] = points * _ATOMIC_A_POINT

    await asyncio.gather(*(one(chance.randint(1, _MOST_POINTS)) for _ in range(count)))


async def judge(purse: Purse, owed: dict[str, int]) -> list[str]:
    """What is wrong: by the node's own answers and the database's rows."""
    sender = purse.scene.address
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
    held = await _held(purse, [sender, *owed])
    left = held.pop(sender)
    complaints += [
        f"wrong: {wallet} holds {amount}, is owed {owed[wallet]}" for wallet, amount in held.items() if amount != owed[wallet]
    ]
    if left != _STOCK - sum(owed.values()):
        complaints.append(f"wrong: the treasury holds {left}, not {_STOCK - sum(owed.values())}")
    booked = await purse.value("select coalesce(sum(claimed), 0) from account_balances")
    if int(booked) * _ATOMIC_A_POINT != sum(paid.values()):
        complaints.append(f"wrong: the ledger has {booked} points as claimed, the chain {sum(paid.values())} atomic units")
    on_hold = await purse.value("select coalesce(sum(held), 0) from account_balances")
    reserved = await purse.value("select reserved from treasuries")
    if on_hold or reserved:
        complaints.append(f"stuck: {on_hold} points are held, {reserved} atomic units reserved")
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


async def _held(purse: Purse, owners: Sequence[str]) -> dict[str, int]:
    """What each wallet's token account holds, by its bytes; 0 where there is none."""
    mint, held = Pubkey.from_string(purse.mint.address), dict[str, int]()
    for start in range(0, len(owners), _ACCOUNTS_A_CALL):
        part = owners[start : start + _ACCOUNTS_A_CALL]
        at = [str(get_associated_token_address(Pubkey.from_string(one), mint)) for one in part]
        told = await purse.node.rpc("getMultipleAccounts", at, {"commitment": "processed", "encoding": "base64"})
        for owner, account in zip(part, told["value"], strict=True):
            data = b"" if account is None else base64.b64decode(account["data"][0])
            held[owner] = int.from_bytes(data[_AMOUNT], "little")
    return held


@asynccontextmanager
async def _chain_process(folder: Path) -> AsyncIterator[Ledger]:
    """A local Solana as `guerdon up` starts it."""
    port = free_port()
    options = ("--folder", str(folder), "--port", str(port), "--slot-ms", str(_SLOT_MS))
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "guerdon.local.solana", *options)
    ledger = Ledger(f"http://127.0.0.1:{port}")
    try:
        while True:
            try:
                await ledger.rpc("getGenesisHash")
                break
            except httpx.TransportError:
                if child.returncode is not None:
                    raise
                await asyncio.sleep(0.1)
        yield ledger
    finally:
        await ledger.close()
        child.terminate()
        await child.wait()


async def _alone(pattern: Any, plan: Plan, tell: Tell) -> Proof:
    urls = pattern.urls(await pattern.create_migrated())
    database, owner = Database(urls.app), await driver.connect(urls.superuser)
    try:
        with tempfile.TemporaryDirectory(prefix="claims-") as folder:
            async with _chain_process(Path(folder)) as node, a_scene(database, urls, owner, node, slot_ms=_SLOT_MS) as scene:
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
        proof = asyncio.run(_alone(server, Plan(asked.count, asked.kills, asked.seed, asked.minutes), tell))
    if asked.report is not None:
        asked.report.write_text(json.dumps(asdict(proof), indent=2) + "\n", encoding="utf-8")
    tell(
        f"{proof.claims} claims in {proof.transactions} transactions ({proof.attempts} signed forms), {proof.kills} kills "
        f"({proof.killed_at_work} at work), {proof.markers_closed} markers closed; {proof.seconds} s, "
        f"judged in {proof.seconds_judging} s"
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
    parser.add_argument("--minutes", type=float, default=60, help="after which it counts as stuck (%(default)s)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where the outcome is written, as JSON")
    return parser
