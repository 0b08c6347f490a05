"""Payouts: transfers a second and gas a recipient, beside the same engine with one payout a transaction (issue figure 4).

Everybody paid is a new holder, which costs most gas. Blocks come every two seconds.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import httpx

from bench.client import Job
from bench.house import House, Usage, open_house
from bench.load import require_all_accepted, run
from bench.report import BenchError, Figure
from bench.requests import Crowd
from bench.session import Session
from guerdon.local.datadir import LOCAL_NETWORK

_TIMES, _GAS = 5, 0.55
"""The aims beside one payout a transaction: transfers a second at least, and gas at most."""
_MINTED = 10**10
_LINES = 500
_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 600
_BATCH_SIZE = "GUERDON_PAYOUT_BATCH_SIZE"


@dataclass(frozen=True, slots=True)
class Paid:
    """What paying so many people took."""

    payouts: int
    transactions: int
    seconds: float
    """From the treasury's first moment until the last token was confirmed."""
    gas: int
    usage: Usage

    @property
    def rate(self) -> float:
        """Transfers a second."""
        return self.payouts / self.seconds

    @property
    def gas_each(self) -> float:
        """Gas a recipient."""
        return self.gas / self.payouts


async def measure(session: Session) -> None:
    """Both engines, each in a house of its own."""
    session.step("payouts, one a transaction")
    alone = await _paid(requests=1, lines=20 if session.quick else 200, environment={_BATCH_SIZE: "1"})
    session.step("payouts, in batches")
    together = await _paid(requests=1 if session.quick else 40, lines=_LINES, environment={})
    session.add("payouts_one_a_transaction", Figure(alone.rate, "payouts/s"))
    session.add("payouts", Figure(together.rate, "payouts/s", aim=_TIMES * alone.rate))
    session.add("payouts_times_one_a_transaction", Figure(together.rate / alone.rate, "times", aim=_TIMES))
    gas = Figure(together.gas_each, "gas/new holder", alone.gas_each, _GAS * alone.gas_each, lower_is_better=True)
    session.add("payouts_gas", gas)
    session.add("payouts_a_transaction", Figure(together.payouts / together.transactions, "payouts/transaction"))
    for part, used in {"worker": together.usage.worker, "postgres": together.usage.postgres}.items():
        session.add(f"payouts_cpu_{part}", Figure(1e6 * used / together.payouts, "µs/payout", lower_is_better=True))


async def _paid(*, requests: int, lines: int, environment: dict[str, str]) -> Paid:
    """Let so many rewards of new people wait behind a paused treasury, resume it, and wait until all are confirmed."""
    async with open_house(chain=True, environment=environment) as house:
        program = await house.program("Payer", minted=_MINTED)
        await house.cli("treasury", "pause", "LTZ", "--reason", "to begin with all at once")
        reports = Job(
            host="127.0.0.1", port=house.port, connections=2, seconds=300, warm_up_seconds=0, shops=[program.shop],
            crowd=Crowd("paid", 0), requests=requests, lines=lines,
        )  # fmt: skip
        require_all_accepted(await run(house, reports))
        used = await house.usage()
        resuming = asyncio.create_task(house.cli("treasury", "resume", "LTZ"))
        # The pause ends for everybody at once, somewhere in the middle of the command.
        while not resuming.done() and await house.superuser.fetchval("select bool_or(paused_at is not null) from treasuries"):
            await asyncio.sleep(_POLL_SECONDS)
        began = time.monotonic()
        await resuming
        await _until_confirmed(house, requests * lines)
        return Paid(
            payouts=requests * lines,
            transactions=await house.superuser.fetchval("select count(distinct transaction_hash) from deliveries"),
            seconds=time.monotonic() - began,
            gas=await _gas(house),
            usage=(await house.usage()).since(used),
        )


async def _until_confirmed(house: House, payouts: int) -> None:
    gives_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        states = {
            row["state"]: row["n"]
            for row in await house.superuser.fetch("select state, count(*) as n from deliveries group by state")
        }
        if states.get("confirmed", 0) + states.get("final", 0) == payouts == sum(states.values()):
            return
        if time.monotonic() > gives_up:
            raise BenchError(f"after {_PATIENCE_SECONDS} s {payouts} payouts are {states}")
        await asyncio.sleep(_POLL_SECONDS)


async def _gas(house: House) -> int:
    """What the chain says that the transactions of all payouts took."""
    hashes = [row["hash"] for row in await house.superuser.fetch("select distinct transaction_hash as hash from deliveries")]
    url = house.stack.settings.rpc_url(LOCAL_NETWORK)
    async with httpx.AsyncClient(base_url=url or "", timeout=30, trust_env=False) as client:
        calls = [{"jsonrpc": "2.0", "id": one, "method": "eth_getTransactionReceipt", "params": [one]} for one in hashes]
        answers = (await client.post("", json=calls)).json()
    used = [int(answer["result"]["gasUsed"], 16) for answer in answers if int(answer["result"]["status"], 16) == 1]
    if len(used) != len(hashes):
        raise BenchError(f"of {len(hashes)} transactions the chain has {len(used)} that went well")
    return sum(used)
