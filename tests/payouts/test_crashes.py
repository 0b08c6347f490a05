"""Workers killed between any two steps of reserving, freezing, signing, sending, confirming and delivering: nothing is lost, nothing
is paid twice, and it goes on by itself (DESIGN section 12).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import asdict, replace

import pytest

from guerdon.programs import funding
from tests.payouts.house import QUICK_ENGINE, House
from tests.payouts.moody import Mood

EVERY = int(os.environ.get("GUERDON_TEST_KILL_EVERY", "3"))
"""Of the places where a worker can be killed, how many are passed over for each that is tried; 1 tries all."""


async def _worker(house: House, nth: int, when: str) -> asyncio.subprocess.Process:
    told = {
        "database": house.urls.app,
        "rpc": house.node.url,
        "master": house.master.to_text(),
        "deployment": str(house.deployment_id),
        "terms": asdict(house.terms),
        "engine": asdict(replace(QUICK_ENGINE, lease_seconds=1)),
        "nth": nth,
        "when": when,
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.payouts.worker_process", env={**os.environ, "WORKER": json.dumps(told)},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def killed_at(house: House, nth: int, when: str) -> bool:
    """Run a worker up to its nth commit and kill it there; False if it found nothing more to do before."""
    child = await _worker(house, nth, when)
    assert child.stdout is not None
    try:
        async with asyncio.timeout(5):
            while (line := await child.stdout.readline()) and line != b"halt\n":
                pass
    except TimeoutError:
        return False
    else:
        return True
    finally:
        child.send_signal(signal.SIGKILL)
        await child.wait()
        # A claim of a killed worker runs out after half a minute; the tests have no half minutes.
        await house.owner.execute("update work set claimed_until = now() where claimed_until is not null")


@pytest.mark.slow
@pytest.mark.parametrize(("when", "first"), [("before", 3), ("after", 4)])
async def test_s16_killed_at_every_commit_everything_is_paid_once(house: House, when: str, first: int) -> None:
    kills = range(first, 24, EVERY)
    async with house.working():
        program = await house.program(funds=10_000)
    for nth in kills:
        accounts = [await house.account(program) for _ in range(3)]
        await house.owe(program, dict.fromkeys(accounts, nth))
        await killed_at(house, nth, when)
    async with house.working():
        await house.until_states({"final": 3 * len(kills)}, seconds=60)
        await house.until(lambda: house.value("select reserved = 0 from treasuries"))
        owed = await house.wallets_of(program)
        assert sorted(await house.transfers()) == sorted((wallet.lower(), amount) for wallet, amount in owed.items())
        assert sum(owed.values()) == 3 * sum(kills)
        assert await house.findings() == []


@pytest.mark.slow
async def test_s17_killed_while_a_reverted_batch_is_taken_apart_everything_is_paid_once(house: House) -> None:
    asset, token = await house.moody_asset(stock=10_000)
    async with house.working():
        await house.until(lambda: house.value("select count(*) = 2 from intents where kind = 'approve' and state = 'final'"))
    program = await house.stocked_program(asset, 10_000)
    accounts = [await house.account(program) for _ in range(6)]
    wallets = [row["wallet_address"] for row in await house.owner.fetch("select wallet_address from accounts")]
    await token.feel(Mood.REVERTS_IN_BLOCKS, wallets[1])
    await house.owe(program, dict.fromkeys(accounts, 10), asset_id=asset)
    for nth in range(4, 14, EVERY):
        await killed_at(house, nth, "after" if nth % 4 else "before")
    async with house.working():
        await house.until_states({"final": 5, "quarantined": 1}, seconds=60)
        await house.until(lambda: house.value("select reserved = 0 from treasuries where asset_id = $1", asset))
        paid = await house.transfers(token.address)
        assert sorted(paid) == sorted((wallet.lower(), 10) for wallet in wallets if wallet != wallets[1])
        assert await house.findings() == []


@pytest.mark.slow
async def test_s29_killed_while_funding_a_program_is_funded_once(house: House) -> None:
    async with house.working():
        program = await house.program(funds=10)
    kills = range(3, 12, EVERY)
    for nth in kills:
        async with house.database.platform() as session:
            await funding.request_funding(session, funding.FundingRequest(program, 100))
        await killed_at(house, nth, "after" if nth % 4 else "before")
    async with house.working():
        await house.until(lambda: house.value("select bool_and(state = 'booked') from fundings"))
    assert await house.value("select funds from program_balances where program_id = $1", program) == 10 + 100 * len(kills)
    assert await house.balance((await house.treasury()).address) == 10 + 100 * len(kills)
    assert await house.findings() == []
