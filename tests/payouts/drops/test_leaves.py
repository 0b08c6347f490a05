"""Whose points are in a drop and whose are not, of an asset that is claimed; by rows alone (SAFETY S3, S5, S13, S31)."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from guerdon.accounts import denials
from guerdon.chains.drop_contract import CLAIMED_TOPIC
from guerdon.chains.port import Log
from guerdon.kit import driver
from guerdon.kit.database import Database, run_in_platform
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.rates import Rate
from guerdon.payouts import drops, drops_claims, drops_collecting
from guerdon.payouts.drops import NewDrop
from guerdon.payouts.errors_drops import DropProofNotFoundError
from guerdon.payouts.models_drops import Drop, DropSeason
from guerdon.payouts.terms_drops import DropTerms
from tests.payouts.claims.bank import Bank, a_bank_on_paper
from tests.support.postgres import Urls


@pytest.fixture
async def bank(database: Database, database_urls: Urls, owner: driver.RawConnection) -> Bank:
    return await a_bank_on_paper(database, database_urls, owner)


async def collected(bank: Bank, **changes: Any) -> Drop:
    """A drop for everybody, or as the changes say, whose points are held."""
    now = bank.house.clock.now()
    async with bank.house.database.platform() as session:
        drop = await drops.create(session, NewDrop(bank.program, bank.points, now, now + timedelta(days=30), **changes))
    await drops_collecting.collect(bank.house.deps, DropTerms(), drop)
    return await found(bank, drop.id)


async def found(bank: Bank, drop_id: UUID) -> Drop:
    async with bank.house.database.platform() as session:
        return await session.get_one(Drop, (bank.program, drop_id), populate_existing=True)


async def test_s3_what_a_drop_is_to_pay_at_its_rate_backs_no_other_points_at_a_lower_one(bank: Bank) -> None:
    await bank.account(100)
    await collected(bank)
    await bank.set_option(Rate(5))
    # 1,000 in the treasury, all of it for the 100 points of the drop, at 10 each.
    assert await bank.missing() == 0
    assert await bank.missing(1) == 1


async def test_s13_s31_who_owes_by_the_time_of_the_root_is_left_out_and_repays(bank: Bank) -> None:
    ann, bob = await bank.account(60), await bank.account(40)
    drop = await collected(bank)
    async with bank.house.database.program(bank.program) as session:
        owed = [Movement(PostingKind.OWE, uuid7(), bank.points, 25, ann)]
        await ledger.post(session, bank.program, owed, bank.house.clock.now())
    await drops_collecting.commit_root(bank.house.deps, DropTerms(), drop)
    assert await bank.balance(ann) == (35, 0, 0, 0)
    assert await bank.balance(bob) == (0, 40, 0, 0)
    committed = await found(bank, drop.id)
    assert (committed.state, committed.leaves, committed.added_atomic) == ("committed", 1, 400)


async def test_s31_a_root_has_no_leaf_that_was_left_out_while_it_was_built(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers at once: the tree of the slower one would pay out points that the other has given back."""
    ann, bob = await bank.account(60), await bank.account(40)
    drop, build = await collected(bank), drops_collecting._build
    is_building, may_build = threading.Event(), threading.Event()

    def slowly(*given: Any) -> Any:
        is_building.set()
        assert may_build.wait(10)
        return build(*given)

    monkeypatch.setattr(drops_collecting, "_build", slowly)
    slower = asyncio.create_task(drops_collecting.commit_root(bank.house.deps, DropTerms(), drop))
    assert await asyncio.to_thread(is_building.wait, 10)
    async with bank.house.database.program(bank.program) as session:
        await denials.deny(session, bank.program, await bank.wallet(ann), "stolen", bank.house.clock.now())
    await drops_collecting.leave_stale_out(bank.house.deps, DropTerms(), drop)
    may_build.set()
    await slower
    assert await bank.balance(ann) == (60, 0, 0, 0)
    await drops_collecting.commit_root(bank.house.deps, DropTerms(), drop)
    committed = await found(bank, drop.id)
    assert (committed.state, committed.leaves, committed.total_atomic) == ("committed", 1, 400)
    assert await bank.balance(bob) == (0, 40, 0, 0)


async def test_s3_tokens_that_somebody_may_have_returned_from_a_drop_are_counted_once(bank: Bank) -> None:
    await bank.account(40)
    await collected(bank)
    await bank.house.owner.execute(
        """
        update drop_seasons set state = 'open', published_block = 1, scanned_block = 5, total_atomic = 400,
            opens_at = now() - interval '2 days', closes_at = now() - interval '1 day';
        update treasuries set balance_block = 10;
        """
    )
    # At block 10 the treasury holds all 1,000: the season was closed after block 5, by whomever.
    assert await bank.missing() == 0
    # At block 10 it was still open, and 400 lie in it.
    await bank.house.owner.execute("update drop_seasons set scanned_block = 10; update treasuries set balance_final = 600")
    assert await bank.missing() == 0


async def test_s5_who_is_denied_has_too_little_or_asks_for_too_much_is_in_no_drop(bank: Bank) -> None:
    ann, bob, eve, dan = [await bank.account(points) for points in (30, 30, 30, 10)]
    async with bank.house.database.program(bank.program) as session:
        await denials.deny(session, bank.program, (await bank.wallet(bob)).lower(), "stolen", bank.house.clock.now())
    chosen = [(ann, 20), (bob, 20), (eve, 31), (dan, 10)]
    drop = await collected(bank, accounts=chosen, minimum_points=20)
    assert [await bank.balance(one) for one in (ann, bob, eve, dan)] == [
        (10, 20, 0, 0), (30, 0, 0, 0), (30, 0, 0, 0), (10, 0, 0, 0),
    ]  # fmt: skip
    assert drop.state == "collected"


async def opened(bank: Bank) -> DropSeason:
    """The season of a drop for everybody, as it is once its root is final."""
    drop = await collected(bank)
    await drops_collecting.commit_root(bank.house.deps, DropTerms(), drop)
    await bank.house.owner.execute(
        """
        update drops set state = 'published', published_at = now();
        update drop_seasons set state = 'open', published_block = 1, scanned_block = 1, total_atomic = 1000;
        """
    )
    async with bank.house.database.platform() as session:
        return await session.get_one(DropSeason, (bank.program, drop.season_id), populate_existing=True)


def claimed(season: DropSeason, wallet: str, cumulative: int, amount: int) -> Log:
    """What the contract logs when it pays somebody."""
    data = cumulative.to_bytes(32) + amount.to_bytes(32)
    topics = (CLAIMED_TOPIC, season.chain_season, "0x" + wallet[2:].lower().rjust(64, "0"))
    return Log(season.contract, topics, data, 0, 0, "0x" + "cd" * 32, 3, "0x" + "ab" * 32)


async def test_s31_a_range_is_delivered_once_and_only_as_the_leaves_say(bank: Bank) -> None:
    ann, bob = await bank.account(60), await bank.account(40)
    season = await opened(bank)

    async def read(last: int, *logs: Log) -> bool:
        return await run_in_platform(bank.house.database, drops_claims._Range(season, 1, last, logs, None, None))

    for wrong in (claimed(season, await bank.wallet(ann), 600, 599), claimed(season, await bank.wallet(bob), 500, 500)):
        with pytest.raises(drops_claims.ClaimsDifferError):
            await read(5, wrong)
    right = claimed(season, await bank.wallet(ann), 600, 600)
    assert await read(5, right)
    assert not await read(9, right, claimed(season, await bank.wallet(bob), 400, 400))
    assert (await bank.balance(ann), await bank.balance(bob)) == ((0, 0, 60, 0), (0, 40, 0, 0))
    assert await bank.house.value("select (claimed_atomic, scanned_block) = (600, 5) from drop_seasons")
    # What is given back by now is delivered no more.
    await bank.house.owner.execute("update drop_seasons set state = 'returning', scanned_block = 1")
    assert not await read(5, claimed(season, await bank.wallet(bob), 400, 400))


async def test_s13_what_comes_back_of_several_roots_repays_a_debt_once(bank: Bank) -> None:
    ann = await bank.account(40)
    season = await opened(bank)
    await bank.earn(ann, 10)
    drop = await collected(bank, season_id=season.id)
    if drop.state == "collecting":
        await drops_collecting.collect(bank.house.deps, DropTerms(), drop)
    assert await bank.balance(ann) == (0, 50, 0, 0)
    async with bank.house.database.program(bank.program) as session:
        owed = [Movement(PostingKind.OWE, uuid7(), bank.points, 45, ann)]
        await ledger.post(session, bank.program, owed, bank.house.clock.now())
    await bank.house.owner.execute("update drop_seasons set state = 'returning'")
    assert not await drops_collecting.give_back(bank.house.deps, DropTerms(), season, None)
    assert await bank.balance(ann) == (5, 0, 0, 0)


async def test_s24_a_root_whose_transaction_failed_in_a_block_proves_nothing(bank: Bank) -> None:
    ann = await bank.account(40)
    season, intent = await opened(bank), uuid7()
    await bank.house.owner.execute(
        f"""
        insert into intents (id, key_id, network, kind, data, value_wei, state, nonce, block_number, succeeded, created_at, updated_at)
            select '{intent}', id, network, 'publish_drop', '', 0, 'included', 1, 7, false, now(), now() from keys;
        update drops set state = 'publishing', intent_id = '{intent}', reserved_at = now();
        """
    )
    async with bank.house.database.program(bank.program) as session:
        with pytest.raises(DropProofNotFoundError):
            await drops.proof(session, bank.program, season.id, await bank.wallet(ann))
        await bank.house.owner.execute("update intents set succeeded = true")
        shown = await drops.proof(session, bank.program, season.id, await bank.wallet(ann))
    assert shown.cumulative_atomic == 400
