"""Processes are killed while events come in and tokens go out. Afterwards every acknowledged event is there once, every wallet
equals the ledger, and nothing is stuck; nobody did anything but wait (DESIGN sections 6 and 12, SAFETY S27).
"""

from __future__ import annotations

import asyncio
import random

import pytest
from solders.keypair import Keypair

from tests.prove.reporter import Reporter
from tests.support.local_solana import SolanaInThread
from tests.system.conftest import settled, verdict
from tests.system.house import House

pytestmark = pytest.mark.slow


async def test_all_is_well_when_nothing_is_killed(house: House, reporter: Reporter) -> None:
    await reporter.report([f"quiet-{number}" for number in range(60)])
    assert await verdict(house, reporter) == []
    assert sum(one.name.startswith("quiet-") for one in reporter.acknowledged) == 60


@pytest.mark.parametrize(("victim", "times"), [("web", 3), ("worker", 4), ("chain", 2), ("solana", 2), ("postgres", 2)])
async def test_s27_a_process_that_is_killed_costs_nothing(house: House, reporter: Reporter, victim: str, times: int) -> None:
    chance = random.Random(f"{victim} 1")
    names = [f"{victim}-{number}" for number in range(250)]
    sending = asyncio.create_task(reporter.report(names, pause=0.2))
    pids = set()
    for _ in range(times):
        # At a random point of the two seconds between blocks, while events come in.
        await asyncio.sleep(chance.uniform(0.7, 2.7))
        pids.add(await asyncio.to_thread(house.kill_process, victim))
    await sending
    assert len(pids) == times
    assert await verdict(house, reporter) == []
    # The same again, as a client does that lost the answers: nothing new is booked, and each gets its first answer.
    await reporter.report(names[:50])
    assert await verdict(house, reporter) == []
    assert f"{victim} was ended by" in house.said() or f"{victim} ended" in house.said()


async def test_s27_everything_killed_at_once_goes_on_from_where_it_was(house: House, reporter: Reporter) -> None:
    names = [f"all-{number}" for number in range(200)]
    sending = asyncio.create_task(reporter.report(names, pause=0.2, seconds=240))
    genesis = await asyncio.to_thread(house_genesis, house)
    await asyncio.sleep(2.4)
    house.kill()
    await asyncio.to_thread(house.start)
    await asyncio.sleep(1.1)
    await asyncio.to_thread(house.kill_process, "postgres")
    house.kill()
    await asyncio.to_thread(house.start)
    await sending
    assert await verdict(house, reporter) == []
    assert await asyncio.to_thread(house_genesis, house) == genesis


async def test_s27_the_local_solana_goes_on_after_a_kill_of_everything(house: House) -> None:
    wallet = str(Keypair().pubkey())
    solana = SolanaInThread(house.told()["solana"])
    before = solana.ask("getGenesisHash"), solana.ask("requestAirdrop", wallet, 10**9)
    slot = solana.ask("getSlot", {"commitment": "processed"})
    solana.close()
    house.kill()
    await asyncio.to_thread(house.start)
    solana = SolanaInThread(house.told()["solana"])
    assert solana.ask("getGenesisHash") == before[0]
    assert solana.ask("getBalance", wallet, {"commitment": "processed"})["value"] == 10**9
    assert solana.ask("getSignatureStatuses", [before[1]])["value"][0]["err"] is None
    assert solana.ask("getSlot", {"commitment": "processed"}) > slot
    solana.close()


async def test_a_clean_stop_and_start_goes_on_too(house: House, reporter: Reporter) -> None:
    await reporter.report([f"stop-{number}" for number in range(30)])
    assert await asyncio.to_thread(house.stop) == 0
    assert house.said().rstrip().endswith("stopped")
    assert [name for name in ("web", "worker", "chain", "solana", "postgres") if house.pid(name) is not None] == []
    await asyncio.to_thread(house.start)
    assert "Platform admin key" not in house.said()
    assert await verdict(house, reporter) == []


async def test_s27_a_second_up_on_the_same_data_is_refused_with_a_remedy(house: House) -> None:
    await settled(house)
    second = House(house.data_dir)
    second.output = house.data_dir.parent / "second.out"
    with pytest.raises(AssertionError, match=r"error: process [0-9]+ runs on"):
        await asyncio.to_thread(second.start)
    assert "what to do: stop it" in second.said()


def house_genesis(house: House) -> str:
    from tests.prove.judge import Chain

    genesis: str = Chain(house.rpc).call("eth_getBlockByNumber", "0x0", False)["hash"]
    return genesis
