"""What a treasury may still pay in its period, what comes back to which period, and approvals that do not help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from guerdon.kit.ids import uuid7
from guerdon.ledger.models import Asset
from guerdon.txmanager import treasuries
from guerdon.txmanager.models import Contract, IntentState, Treasury
from tests.txmanager.scene import NETWORK, Scene

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_treasury(*, held: int = 1_000, limit: int | None = 100) -> Treasury:
    return Treasury(
        id=uuid7(), network="local", asset_id=uuid7(), key_id=uuid7(), token_address="0x1", token_decimals=0, address="0x", low_balance=0, balance_final=held,
        balance_block=1, reserved=0, period_limit=limit, period_seconds=None if limit is None else 3600, period_started_at=None,
        period_reserved=0, created_at=NOON,
    )  # fmt: skip


def test_a_period_begins_with_its_first_payout_and_ends_when_its_time_is_over() -> None:
    treasury = a_treasury()
    treasuries.reserve(treasury, 70, NOON)
    assert treasuries.spendable(treasury, NOON + HOUR - timedelta(seconds=1)) == 30
    assert treasuries.spendable(treasury, NOON + HOUR) == 100
    treasuries.reserve(treasury, 100, NOON + HOUR)
    assert (treasury.reserved, treasury.period_reserved, treasury.period_started_at) == (170, 100, NOON + HOUR)


def test_without_a_limit_a_treasury_pays_what_it_holds() -> None:
    treasury = a_treasury(held=50, limit=None)
    treasuries.reserve(treasury, 20, NOON)
    assert treasuries.spendable(treasury, NOON) == 30


@pytest.mark.parametrize(
    ("reserved_at", "released_at", "left"),
    [
        (NOON, NOON + HOUR / 2, 100),
        # Reserved an hour before the period that runs now, which had 60 reserved of its own by then.
        (NOON - HOUR, NOON + HOUR / 2, 40),
    ],
)
def test_an_amount_comes_back_to_the_period_that_it_was_reserved_in_only(
    reserved_at: datetime, released_at: datetime, left: int
) -> None:
    treasury = a_treasury()
    treasuries.reserve(treasury, 60, reserved_at)
    if reserved_at < NOON:
        treasuries.reserve(treasury, 60, NOON)
    treasuries.release(treasury, 60, reserved_since=reserved_at, now=released_at)
    assert treasuries.spendable(treasury, released_at) == left
    assert treasury.reserved == (60 if reserved_at < NOON else 0)


async def test_an_approval_that_does_not_help_is_not_repeated_at_once(scene: Scene) -> None:
    """The second is sent at once, each further one waits twice as long as the one before, whoever asks how often."""
    asset_id = uuid7()

    async def ask() -> UUID:
        async with scene.database.platform() as session:
            treasury = await session.get_one(Treasury, treasury_id)
            return (await treasuries.ensure_approval(session, treasury)).id

    async def count() -> int:
        found: int = await scene.owner.fetchval("select count(*) from intents where kind = 'approve'")
        return found

    async with scene.database.platform() as session:
        token = f"0x{'22' * 20}"
        session.add(
            Asset(
                id=asset_id, symbol="LTZ", decimals=0, delivery="automatic", network=NETWORK, token_address=token, mintable=False,
                created_at=NOON,
            )
        )  # fmt: skip
        session.add(Contract(network=NETWORK, name="RewardDistributor", address=f"0x{'33' * 20}", created_at=NOON))
        await session.flush()
        asset = await session.get_one(Asset, asset_id)
        treasury_id = (await treasuries.create_treasury(session, scene.ring, asset, key_id=scene.key_id, now=NOON)).id
    first = await ask()
    assert (await ask(), await count()) == (first, 1)
    for number, minutes in ((2, 1), (3, 2), (4, 4)):
        await scene.owner.execute("update intents set state = $1, updated_at = now() where kind = 'approve'", IntentState.VOID)
        if number > 2:
            known = await ask()
            assert (await ask(), await count()) == (known, number - 1)
            await scene.owner.execute(f"update intents set updated_at = now() - interval '{minutes // 2} minutes'")
        await ask()
        assert await count() == number
