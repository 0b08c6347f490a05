"""A drop from points to tokens: published once, claimed by anyone's hand, accounted for, closed, and the rest returned (S31)."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID

import pytest

from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.payouts import drops
from guerdon.payouts.drops import whole
from guerdon.payouts.errors_drops import (
    DropNotFoundError,
    DropOnItsWayError,
    DropProofNotFoundError,
    DropSeasonBusyError,
    DropWindowError,
)
from tests.payouts.drops.season import Stage, a_stage
from tests.payouts.house import House, a_wallet


@pytest.mark.parametrize(
    ("points", "rate", "expected"),
    [
        (7, (1, 1), (7, 7)),
        (7, (10, 1), (7, 70)),
        (7, (1, 5), (5, 1)),
        (4, (1, 5), (0, 0)),
        (10, (3, 4), (10, 7)),
        (9, (3, 4), (8, 6)),
    ],
)
def test_only_points_that_convert_are_debited(points: int, rate: tuple[int, int], expected: tuple[int, int]) -> None:
    assert whole(points, *rate) == expected


async def test_s31_a_season_from_points_to_tokens_and_back(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        accounts = [await stage.account(100 + n) for n in range(8)]
        poor = await stage.account(5)
        drop = await stage.published(minimum_points=10)
        treasury = (await house.treasury()).address
        assert await stage.fates(drop) == {"waiting": 8}
        assert await stage.balance(accounts[3]) == {"available": 0, "held": 103, "claimed": 0, "debt": 0}
        assert await stage.balance(poor) == {"available": 5, "held": 0, "claimed": 0, "debt": 0}
        assert await house.balance(treasury) == 100_000 - sum(range(100, 108))
        await stage.all_is_well()
        for account in accounts[:5]:
            # By somebody else's hand: only the leaf's account is paid.
            await stage.claim(drop, account)
            assert await house.balance(stage.wallets[account]) == 100 + accounts.index(account)
        await house.until(lambda: house.value("select count(*) = 5 from drop_leaves where fate = 'claimed'"))
        assert await stage.balance(accounts[0]) == {"available": 0, "held": 0, "claimed": 100, "debt": 0}
        await stage.all_is_well()
        await stage.pass_days(31)
        await stage.until_season(drop, "closed")
        assert await stage.fates(drop) == {"claimed": 5, "returned": 3}
        assert await stage.balance(accounts[7]) == {"available": 107, "held": 0, "claimed": 0, "debt": 0}
        assert await house.balance(treasury) == 100_000 - sum(range(100, 105))
        await house.until(lambda: house.value("select reserved = 0 from treasuries"))
        await stage.all_is_well()


async def test_s31_points_return_only_when_the_close_is_final(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        account = await stage.account(100)
        drop = await stage.published()
        await stage.pass_days(31)
        await house.until(
            lambda: house.value("select count(*) = 1 from intents where kind = 'close_drop' and state = 'included'")
        )
        if await house.value("select state = 'included' from intents where kind = 'close_drop'"):
            assert (await stage.balance(account))["available"] == 0
        await stage.until_season(drop, "closed")
        assert await stage.balance(account) == {"available": 100, "held": 0, "claimed": 0, "debt": 0}


async def test_s31_somebody_else_may_close(house: House) -> None:
    async with AsyncExitStack() as first:
        await first.enter_async_context(house.working())
        stage = await a_stage(house)
        await stage.account(100)
        drop = await stage.published()
    await stage.pass_days(31)
    assert (await stage.close_by_hand(drop))["status"] == "0x1"
    async with house.working():
        await stage.until_season(drop, "closed")
        await stage.all_is_well()
    assert await house.value("select count(*) from intents where kind = 'close_drop' and state = 'final'") == 0


async def test_s31_a_second_root_pays_only_the_difference(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        ann, bob, eve = [await stage.account(points) for points in (100, 50, 0)]
        first = await stage.published()
        await stage.claim(first, ann)
        await stage.earn(ann, 30)
        await stage.earn(eve, 7)
        second = await stage.published(season_id=first.season_id, days=60)
        assert second.number == 2
        assert await stage.fates(second) == {"waiting": 2, "carried": 1}
        await stage.all_is_well()
        for account, expected in ((ann, 130), (bob, 50), (eve, 7)):
            await stage.claim(second, account)
            assert await house.balance(stage.wallets[account]) == expected
        await house.until(lambda: house.value("select claimed_atomic = 187 from drop_seasons"))
        for account, expected in ((ann, 130), (bob, 50), (eve, 7)):
            assert await stage.balance(account) == {"available": 0, "held": 0, "claimed": expected, "debt": 0}
        await stage.all_is_well()
        await stage.pass_days(61)
        await stage.until_season(first, "closed")
        await stage.all_is_well()


async def test_s31_without_funds_a_drop_waits_and_goes_on_once_funded(house: House) -> None:
    async with house.working():
        stage = await a_stage(house, funds=1_000)
        await stage.account(500)
        await house.owner.execute("update treasuries set period_limit = 100, period_seconds = 86400")
        drop = await stage.drop()
        await stage.until(drop, "committed")
        await house.until(lambda: house.value("select count(*) > 0 from outbox where kind = 'drop.cannot_publish'"))
        assert await house.value("select count(*) from intents where kind = 'publish_drop'") == 0
        await stage.all_is_well()
        # Nor does it take what backs others' points.
        other = await house.stocked_program(house.asset_id, 7)
        await house.owner.execute("update treasuries set period_limit = null, period_seconds = null")
        await house.until(lambda: house.value("select reason like '%too little for 7 of the points%' from drops"))
        async with house.database.program(other) as session:
            defund = Movement(PostingKind.DEFUND, uuid7(), house.asset_id, 7)
            await ledger.post(session, other, [defund], house.clock.now())
        await stage.until(drop, "published")
        assert await house.value("select count(*) = 0 from outbox where kind = 'drop.cannot_publish' and resolved_at is null")
        await stage.all_is_well()


async def test_s31_what_is_not_on_chain_is_cancelled_and_its_points_go_back(house: House) -> None:
    async with house.working():
        stage = await a_stage(house, funds=1_000)
        accounts = [await stage.account(100) for _ in range(4)]
        await house.owner.execute("update treasuries set period_limit = 100, period_seconds = 86400")
        drop = await stage.drop()
        await stage.until(drop, "committed")
        # One of them is taken back meanwhile: what returns repays the debt first.
        await stage.post(PostingKind.OWE, accounts[0], 30)
        await drops.cancel(house.deps, stage.program, drop.id, "changed our mind")
        await stage.until(drop, "cancelled")
        assert await stage.season_state(drop) == "cancelled"
        assert await stage.balance(accounts[0]) == {"available": 70, "held": 0, "claimed": 0, "debt": 0}
        assert await stage.balance(accounts[1]) == {"available": 100, "held": 0, "claimed": 0, "debt": 0}
        await stage.all_is_well()
        await drops.cancel(house.deps, stage.program, drop.id, "again")


async def test_s31_what_is_on_chain_can_not_be_cancelled(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        await stage.account(100)
        drop = await stage.published()
        with pytest.raises(DropOnItsWayError):
            await drops.cancel(house.deps, stage.program, drop.id, "too late")
        # Nor by books that were restored from before it was published (SAFETY S21): the chain is asked.
        await house.owner.execute("update drops set state = 'committed', published_at = null")
        with pytest.raises(DropOnItsWayError):
            await drops.cancel(house.deps, stage.program, drop.id, "too late")


async def test_s31_a_drop_that_nobody_is_in_comes_to_nothing(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        await stage.account(5)
        drop = await stage.drop(minimum_points=10)
        await stage.until(drop, "cancelled")
        assert await stage.season_state(drop) == "cancelled"
        await stage.all_is_well()


async def test_a_drop_is_for_the_accounts_that_it_names(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        ann, bob, eve = [await stage.account(100) for _ in range(3)]
        chosen = [(ann, 40), (bob, None), (eve, 1_000)]
        drop = await stage.published(accounts=chosen)
        assert await stage.fates(drop) == {"waiting": 2}
        assert await stage.balance(ann) == {"available": 60, "held": 40, "claimed": 0, "debt": 0}
        assert await stage.balance(bob) == {"available": 0, "held": 100, "claimed": 0, "debt": 0}
        assert await stage.balance(eve) == {"available": 100, "held": 0, "claimed": 0, "debt": 0}


async def test_s31_an_address_is_one_leaf_whoever_is_paid_there(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        ann = await stage.account(100)
        twin = await stage.account(50, wallet=stage.wallets[ann])
        drop = await stage.published()
        assert await stage.fates(drop) == {"waiting": 1}
        assert (await stage.balance(twin))["available"] == 50
        await stage.claim(drop, ann)
        await house.until(lambda: house.value("select claimed_atomic = 100 from drop_seasons"))
        await stage.all_is_well()


async def test_what_makes_no_sense_is_refused(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        await stage.account(100)
        for days in (-1, 0.01, 800):
            with pytest.raises(DropWindowError):
                await stage.drop(days=days)
        drop = await stage.drop(opens=timedelta(days=1))
        with pytest.raises(DropSeasonBusyError):
            await stage.drop(season_id=drop.season_id)
        with pytest.raises(DropNotFoundError):
            await stage.drop(season_id=drop.id)
        with pytest.raises(DropProofNotFoundError):
            await stage.proof_at(drop, "0x" + "ab" * 20)
        await stage.until(drop, "published")
        with pytest.raises(DropWindowError):
            await stage.drop(season_id=drop.season_id, days=DAYS_LESS)
        account = next(iter(stage.wallets))
        assert (await stage.submit(await stage.proof(drop, account)))["status"] == "0x0"


DAYS_LESS = 29


async def _prove(stage: Stage, account: UUID, address: str, *, waits: str = "0 hours", method: str = "eip191") -> None:
    """An address that the account prefers, as the registry would have it."""
    address_id = uuid7()
    await stage.house.owner.execute(
        "insert into addresses (program_id, id, account_id, network, namespace, address, verified_at, proof_method, usable_from,"
        " created_at) values ($1, $2, $3, 'local', 'eip155', $4, now(), $5, now() + $6::text::interval, now())",
        stage.program, address_id, account, address.lower(), method, waits,
    )  # fmt: skip
    await stage.house.owner.execute("update accounts set primary_address_id = $2 where id = $1", account, address_id)


async def test_s5_tokens_go_to_proven_addresses_that_do_not_wait_or_to_the_built_in_wallet(house: House) -> None:
    async with house.working():
        stage = await a_stage(house)
        proven, waits, contract = [await stage.account(100) for _ in range(3)]
        places = [a_wallet() for _ in range(3)]
        await _prove(stage, proven, places[0])
        await _prove(stage, waits, places[1], waits="24 hours")
        await _prove(stage, contract, places[2], method="eip1271")
        drop = await stage.published()
        rows = await house.owner.fetch("select account_id, address from drop_leaves where drop_id = $1", drop.id)
        found = {row["account_id"]: row["address"] for row in rows}
    assert found == {
        proven: places[0].lower(), waits: stage.wallets[waits].lower(), contract: stage.wallets[contract].lower(),
    }  # fmt: skip


async def test_s5_who_lost_an_address_or_is_denied_meanwhile_is_left_out_and_keeps_the_points(house: House) -> None:
    async with house.working():
        stage = await a_stage(house, funds=1_000)
        ann, lost, denied = [await stage.account(100) for _ in range(3)]
        await _prove(stage, lost, a_wallet())
        await house.owner.execute("update treasuries set period_limit = 10, period_seconds = 86400")
        drop = await stage.drop()
        await stage.until(drop, "committed")
        root = await house.value("select root from drops")
        await house.owner.execute("update addresses set removed_at = now(), ended = 'removed'")
        await house.owner.execute(
            "insert into denied_addresses (program_id, address, reason, created_at) values ($1, $2, 'stolen', now())",
            stage.program, stage.wallets[denied].lower(),
        )  # fmt: skip
        await house.owner.execute("update treasuries set period_limit = null, period_seconds = null")
        await stage.until(drop, "published")
        assert await house.value("select root from drops") != root
        assert await stage.fates(drop) == {"waiting": 1, "returned": 2}
        assert [(await stage.balance(one))["available"] for one in (ann, lost, denied)] == [0, 100, 100]
        await stage.claim(drop, ann)
        await house.until(lambda: house.value("select claimed_atomic = 100 from drop_seasons"))
        await stage.all_is_well()
        # A later root repeats what was promised, and not what was left out.
        await stage.earn(ann, 5)
        later = await stage.published(season_id=drop.season_id, accounts=[(ann, None)], days=60)
        assert await stage.fates(later) == {"waiting": 1}
        await stage.claim(later, ann)
        assert await house.balance(stage.wallets[ann]) == 105
        await house.until(lambda: house.value("select claimed_atomic = 105 from drop_seasons"))
        await stage.all_is_well()
