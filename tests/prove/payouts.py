"""The long proof: thousands of payouts under many workers, and whoever holds the treasury's key is killed, again and again.

    python -m tests.prove payouts --count 10000 --workers 8 --seed 1 --report payouts.json

Payouts are made as booking makes them: programs report events in bulk over HTTP. The workers are `guerdon worker` processes
on one treasury. The holder of its key is found in the database by its lease and killed at a random moment of its work; its
lease runs out by itself, and whoever takes it over goes on, and is the next.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from tests.prove.reporter import BULK, Reporter
from tests.prove.site import EVENT_TYPE, Site
from tests.prove.told import Acknowledged

_WORKERS = 8
_PAYOUTS_A_KILL = 500
_LONGEST_AIM_SECONDS = 1.5
"""From seeing the holder at work to its end, at most."""
_LEASE_SECONDS = 60
"""Within so long somebody else has taken over, or it counts as stuck. (A lease runs for 15.)"""
_ANSWER_SECONDS = 120
_BULK_EVENTS = 250
_MOST_POINTS = 50
_QUIET_SECONDS = 300

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be proven."""

    count: int
    workers: int
    kills: int
    seed: int


@dataclass
class Proof:
    """What came of it."""

    seed: int
    payouts: int
    workers: int
    kills: int = 0
    killed_at_work: int = 0
    """Kills while payments of the treasury were signed or in flight."""
    transactions: int = 0
    """Payments that landed."""
    attempts: int = 0
    """Signed forms of them."""
    takeovers: int = 0
    """How often the treasury's key changed hands."""
    seconds: float = 0
    complaints: list[str] = field(default_factory=list[str])


async def prove(plan: Plan, tell: Tell) -> Proof:
    """Report, kill, wait, judge."""
    chance = random.Random(f"payouts {plan.seed}")
    proof = Proof(plan.seed, plan.count, plan.workers)
    async with Site.open(workers=plan.workers) as site:
        began = time.monotonic()
        tell(f"{plan.workers} workers run; reporting {plan.count} payouts")
        for portion in portions(plan):
            sending = asyncio.create_task(report(site, portion, chance))
            if proof.kills < plan.kills:
                await kill_the_holder(site, chance, proof)
            await sending
            tell(f"{proof.kills} of {plan.kills} kills, {portion.stop} of {plan.count} payouts booked")
        stuck = await site.settled(_QUIET_SECONDS)
        proof.seconds = round(time.monotonic() - began, 1)
        proof.complaints += stuck or await site.verdict()
        await count(site, proof)
    return proof


def portions(plan: Plan) -> list[range]:
    """The payouts in one part a kill and one for the end, so that there is work at each of them."""
    parts = plan.kills + 1
    ends = [plan.count * number // parts for number in range(parts + 1)]
    return [range(start, end) for start, end in pairwise(ends)]


async def report(site: Site, numbers: range, chance: random.Random) -> None:
    """One event a payout, each of a person, and so to a wallet, of its own; programs take turns."""
    lines = [(number, chance.randint(1, _MOST_POINTS)) for number in numbers]
    programs = site.programs
    async with httpx.AsyncClient(base_url=site.url, timeout=30, trust_env=False) as client:
        for place, program in enumerate(programs):
            theirs = [line for line in lines if line[0] % len(programs) == place]
            for start in range(0, len(theirs), _BULK_EVENTS):
                await _report_bulk(client, program.reporter, theirs[start : start + _BULK_EVENTS])


async def _report_bulk(client: httpx.AsyncClient, reporter: Reporter, lines: Sequence[tuple[int, int]]) -> None:
    events = [
        {
            "eventType": EVENT_TYPE,
            "userEmail": f"payee-{number}@shop.example",
            "idempotencyKey": f"payout-{number}",
            "metadata": {"cents": points, "n": f"payout-{number}"},
        }
        for number, points in lines
    ]
    names = [event["idempotencyKey"] for event in events]
    body = "\n".join(json.dumps(event) for event in events).encode()
    reporter.told.sent.update(names)
    deadline = time.monotonic() + _ANSWER_SECONDS
    results: list[dict[str, Any]] = []
    # All of it again where anything is open: what was booked before answers as it did then.
    while not results or not all(result["success"] for result in results):
        assert time.monotonic() < deadline, results or "no answer"
        results = await _asked(client, reporter, body)
    reporter.told.acknowledged += [
        Acknowledged(name, result["eventId"], result["rewardAmount"]) for name, result in zip(names, results, strict=True)
    ]


async def _asked(client: httpx.AsyncClient, reporter: Reporter, body: bytes) -> list[dict[str, Any]]:
    """What became of each event; nothing if the answer did not come."""
    try:
        answer = await client.post(BULK, content=body, headers=reporter.signed(body) | {"Content-Type": "application/x-ndjson"})
    except httpx.TransportError:
        return []
    if answer.is_success:
        return answer.json()["results"]
    await asyncio.sleep(0.2)
    return []


async def kill_the_holder(site: Site, chance: random.Random, proof: Proof) -> None:
    """SIGKILL the worker that holds the treasury's key, at a random moment after it was seen at work."""

    async def is_killed() -> bool:
        if await site.lease_holder() is None or not await _is_paying(site):
            return False
        await asyncio.sleep(chance.uniform(0, _LONGEST_AIM_SECONDS))
        at_work, holder = await _is_paying(site), await site.lease_holder()
        if holder is None:
            return False
        holder.kill()
        proof.kills += 1
        proof.killed_at_work += at_work
        return True

    if not await site.until(is_killed, _LEASE_SECONDS):
        proof.complaints.append(f"stuck: {_LEASE_SECONDS} s after kill {proof.kills} nobody works with the treasury's key")


async def _is_paying(site: Site) -> bool:
    is_any = "select exists(select from intents where kind = 'pay' and state not in ('final', 'failed', 'void'))"
    return bool(await site.value(is_any))


async def count(site: Site, proof: Proof) -> None:
    """What it took."""
    proof.transactions = await site.value("select count(*) from intents where kind = 'pay' and state = 'final' and succeeded")
    proof.attempts = await site.value("select count(*) from attempts join intents on id = intent_id where kind = 'pay'")
    proof.takeovers = await site.value("select lease_epoch from keys where purpose = 'treasury'")


def main(arguments: Sequence[str], tell: Tell) -> int:
    """The command; its exit code."""
    asked = _parser().parse_args(arguments)
    kills = max(1, asked.count // _PAYOUTS_A_KILL) if asked.kills is None else asked.kills
    proof = asyncio.run(prove(Plan(asked.count, asked.workers, kills, asked.seed), tell))
    if asked.report is not None:
        asked.report.write_text(json.dumps(asdict(proof), indent=2) + "\n", encoding="utf-8")
    tell(
        f"{proof.payouts} payouts in {proof.transactions} transactions ({proof.attempts} signed forms), "
        f"{proof.kills} kills of the lease holder ({proof.killed_at_work} at work), {proof.seconds} s"
    )
    tell("\n".join(proof.complaints) or "nothing lost, nothing doubled, nothing stuck")
    return 1 if proof.complaints else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make prove ARGS=payouts",
        description="Deliver payouts with many workers, and kill whoever holds the treasury's key, again and again.",
        epilog='Example: make prove ARGS="payouts --count 300 --workers 3"',
    )
    parser.add_argument("--count", type=int, default=10_000, help="payouts, each to a wallet of its own (%(default)s)")
    parser.add_argument("--workers", type=int, default=_WORKERS, help="guerdon worker processes (%(default)s)")
    parser.add_argument("--kills", type=int, help=f"of the lease holder; if not given, one for each {_PAYOUTS_A_KILL} payouts")
    parser.add_argument("--seed", type=int, default=1, help="decides amounts and moments (%(default)s)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where the outcome is written, as JSON")
    return parser
