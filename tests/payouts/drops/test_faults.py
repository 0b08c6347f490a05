"""What goes wrong around a drop: crashes between any two steps, reorganised claims, nodes that tell too little, tokens in a mood."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from guerdon.chains.drop_contract import CLOSED_TOPIC
from guerdon.chains.jsonrpc import Call
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.payouts import drops_jobs
from guerdon.payouts.deps import PayoutDeps
from tests.payouts.drops.season import CrashError, CrashingDatabase, Stage, a_stage, deps_of
from tests.payouts.house import QUICK_DROPS, House
from tests.payouts.moody import Mood


async def _until_it_dies(house: House, nth: int, *, after: bool) -> bool:
    """Move drops on with a process that dies at its nth commit; False if it lived to see nothing more to do."""
    database = CrashingDatabase(house.urls.app, nth, after=after)
    try:
        with suppress(CrashError, BaseExceptionGroup):
            for _ in range(12):
                await drops_jobs.advance(deps_of(house, database), QUICK_DROPS)
                await asyncio.sleep(0.15)
        return database.left <= 0
    finally:
        await database.close()


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after it"])
async def test_s31_killed_between_any_two_steps_everything_is_published_claimed_and_returned_once(
    house: House, after: bool
) -> None:
    async with house.working():
        stage = await a_stage(house)
        accounts = [await stage.account(100 + n) for n in range(7)]
    drop = await stage.drop()
    died = 0
    async with house.engine():
        # Each process comes one commit further than the one before, for as long as there is something to do.
        for nth in (1, 2, 1, 1, 2, 1, 1, 1):
            died += await _until_it_dies(house, nth, after=after)
        async with house.working():
            await stage.until(drop, "published")
    async with house.engine():
        for account in accounts[:4]:
            await stage.claim(drop, account)
        for nth in (1, 1, 1):
            died += await _until_it_dies(house, nth, after=after)
        await stage.pass_days(31)
        for nth in (1, 1, 1, 2, 1):
            died += await _until_it_dies(house, nth, after=after)
    async with house.working():
        await stage.until_season(drop, "closed")
        await house.until(lambda: house.value("select reserved = 0 from treasuries"))
        await stage.all_is_well()
    assert died >= 10
    assert await stage.fates(drop) == {"claimed": 4, "returned": 3}
    assert await house.value("select count(*) from intents where kind = 'publish_drop'") == 1
    assert [await house.balance(stage.wallets[one]) for one in accounts] == [100, 101, 102, 103, 0, 0, 0]
    assert [(await stage.balance(one))["available"] for one in accounts] == [0, 0, 0, 0, 104, 105, 106]


async def test_s24_a_reorganised_claim_is_delivered_when_it_is_final_and_not_before(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        account = await stage.account(100)
        drop = await stage.published()
        found = await stage.proof(drop, account)
        house.may_mine.clear()
        await asyncio.sleep(0.3)
        await house.node.mine()
        before = await house.node.rpc("evm_snapshot")
        sent = {"from": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "to": found.season.contract,
                "data": f"0x{found.call.hex()}", "gas": hex(500_000)}  # fmt: skip
        await house.node.rpc("eth_sendTransaction", sent)
        await house.node.mine()
        assert await house.balance(stage.wallets[account]) == 100
        await asyncio.sleep(0.6)
        assert (await stage.balance(account))["held"] == 100
        await house.node.rpc("evm_revert", before)
        house.may_mine.set()
        await asyncio.sleep(1.5)
        assert await house.balance(stage.wallets[account]) == 0
        assert await stage.balance(account) == {"available": 0, "held": 100, "claimed": 0, "debt": 0}
        await stage.all_is_well()
        await stage.claim(drop, account)
        await house.until(lambda: house.value("select claimed_atomic = 100 from drop_seasons"))
        assert (await stage.balance(account))["claimed"] == 100
        await stage.all_is_well()


class _ForgetfulNode:
    """Tells of no logs, as a node does that lags or pruned them."""

    def __init__(self, rpc: Any) -> None:
        self._rpc = rpc

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        found = await self._rpc.batch(calls)
        return [[] if call[0] == "eth_getLogs" else answer for call, answer in zip(calls, found, strict=True)]


class _HastyNode:
    """Tells that every season is closed."""

    def __init__(self, rpc: Any) -> None:
        self._rpc = rpc

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        return [
            [self._closed(*call[1])] if call[0] == "eth_getLogs" else answer
            for call, answer in zip(calls, await self._rpc.batch(calls), strict=True)
        ]

    @staticmethod
    def _closed(query: Any) -> dict[str, Any]:
        return {
            "address": query["address"], "topics": [CLOSED_TOPIC, query["topics"][1]], "data": "0x" + "00" * 32,
            "blockNumber": query["toBlock"], "transactionHash": "0x" + "cd" * 32, "blockHash": "0x" + "ab" * 32, "logIndex": "0x0",
            "transactionIndex": "0x0", "removed": False,
        }  # fmt: skip


async def test_s31_a_node_that_tells_of_no_claims_or_of_a_close_that_was_none_is_not_believed(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        ann, bob = [await stage.account(100) for _ in range(2)]
        drop = await stage.published()

    async def hasty(_network: str, /) -> Any:
        return _HastyNode(house.rpc)

    async def is_told() -> bool:
        await house.node.mine()
        await drops_jobs.advance(PayoutDeps(house.database, hasty, house.terms), QUICK_DROPS)
        return await house.value("select count(*) = 1 from outbox where kind = 'drop.claims_differ' and resolved_at is null")

    await house.until(is_told)
    assert await stage.season_state(drop) == "open"

    async def forgetful(_network: str, /) -> Any:
        return _ForgetfulNode(house.rpc)

    async with house.engine():
        await stage.claim(drop, ann)
        await stage.pass_days(31)
        assert (await stage.close_by_hand(drop))["status"] == "0x1"
        await asyncio.sleep(0.5)
        for _ in range(3):
            await drops_jobs.advance(PayoutDeps(house.database, forgetful, house.terms), QUICK_DROPS)
    # Not a point is given back that the chain has paid.
    assert (await stage.balance(ann))["held"] == (await stage.balance(bob))["held"] == 100
    assert await house.value("select count(*) from outbox where kind = 'drop.claims_differ' and resolved_at is null") == 1
    async with house.working():
        await stage.until_season(drop, "closed")
        assert (await stage.balance(ann))["claimed"] == 100
        assert (await stage.balance(bob))["available"] == 100
        assert await house.value("select count(*) from outbox where kind = 'drop.claims_differ' and resolved_at is null") == 0
        await stage.all_is_well()


async def test_s31_a_root_that_fails_on_chain_is_made_anew_and_taken_once(house: House) -> None:
    async with house.working():
        asset, token = await house.moody_asset(stock=1_000)
        program = await house.stocked_program(asset, 1_000)
        stage = Stage(house, program)
        account = await house.account(program)
        stage.wallets[account] = await house.value("select wallet_address from accounts where id = $1", account)
        async with house.database.program(program) as session:
            reward = Movement(PostingKind.REWARD, uuid7(), asset, 100, account)
            await ledger.post(session, program, [reward], house.clock.now())
        contract = str(await house.value("select address from contracts where name = 'MerkleDrop'"))
        await token.feel(Mood.REVERTS_IN_BLOCKS, contract)
        house.asset_id = asset
        drop = await stage.drop()
        await house.until(
            lambda: house.value("select count(*) > 0 from intents where kind = 'publish_drop' and state = 'failed'")
        )
        await token.feel(Mood.KIND, contract)
        await stage.until(drop, "published")
        assert await house.balance(contract, token.address) == 100
        assert await house.value("select count(*) from intents where kind = 'publish_drop' and state = 'final'") == 1
        await house.until(lambda: house.value("select reserved = 0 from treasuries where asset_id = $1", asset))
        # A claim that the token refuses stays claimable, and a season that can't be closed tells why and is closed later.
        await token.pause()
        assert (await stage.submit(await stage.proof(drop, account)))["status"] == "0x0"
        await stage.pass_days(31)
        await stage.until_season(drop, "closing")
        await token.pause(False)
        await stage.until_season(drop, "closed")
        assert (await stage.balance(account))["available"] == 100
        assert await house.balance(contract, token.address) == 0
        await stage.all_is_well()


async def test_s17_a_root_is_published_once_whatever_is_sent(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        await stage.account(100)
        await stage.published()
        row = await house.owner.fetchrow("select to_address, data, key_id from intents where kind = 'publish_drop'")
        assert row is not None
        sender = await house.value("select address from keys where id = $1", row["key_id"])
        call = {"from": sender, "to": row["to_address"], "data": f"0x{row['data'].hex()}"}
        with pytest.raises(AssertionError, match="revert"):
            await house.node.rpc("eth_call", call, "latest")
