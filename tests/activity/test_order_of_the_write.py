"""What the one statement that writes a batch promises beside its rows: its order of locks, and whose wallet is paid."""

from __future__ import annotations

import asyncio

import pytest

from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from tests.activity.house import WALLETS, a_house, an_event

pytestmark = pytest.mark.every_database


async def test_s15_booking_waits_for_a_balance_before_it_locks_a_delivery(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        assert (await house.send(an_event(idempotencyKey="a"))).status_code == 200
        await owner.execute("begin")
        await owner.execute("select 1 from account_balances for update")  # as a reversal begins
        booking = asyncio.create_task(house.send(an_event(idempotencyKey="b")))
        await _until_somebody_waits(owner)
        # As it goes on: what booking has locked is skipped.
        free = await owner.fetch("select 1 from deliveries where state = 'approved' for update skip locked")
        await owner.execute("rollback")
        response = await booking
    assert len(free) == 1, "booking holds the delivery while it waits for the balance"
    assert response.status_code == 200


async def test_s6_a_newcomer_is_never_paid_to_another_wallet_than_the_stored_one(
    database: Database, owner: RawConnection
) -> None:
    async with a_house(database) as house:
        await owner.execute(
            "insert into wallets (identity_hash, namespace, address, provider, derivation, created_at) "
            "values ($1, 'eip155', '0x1111111111111111111111111111111111111111', 'builtin', 1, now())",
            WALLETS.identity_hash("email:stranger@example.org"),
        )
        response = await house.send(an_event(userEmail="stranger@example.org", idempotencyKey="a"))
        assert (response.status_code, response.json()["code"]) == (503, "BOOKING_FAILED")
        assert await owner.fetchval("select count(*) from accounts") == 0
        assert (await house.send(an_event(userEmail="friend@example.org", idempotencyKey="b"))).status_code == 200


async def _until_somebody_waits(owner: RawConnection) -> None:
    for _ in range(200):
        waiting = await owner.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        if waiting:
            return
        await asyncio.sleep(0.02)
    pytest.fail("booking did not wait for the balance")
