"""Points expire oldest first, when they were warned of, and never what is newer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from guerdon.earning import repository_volume
from guerdon.earning.expiry import expire_page
from guerdon.earning.jobs import expire_all
from guerdon.earning.volume_life import approve
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from tests.earning.house import ANN, BOB, DAY, NOW, House, a_house, paid


async def earned(house: House, points: int, days_ago: int, account: UUID = ANN, **fields: Any) -> None:
    at = NOW - days_ago * DAY
    await house.credit(paid(points * 10_000, account, at=at, **fields), now=at)


async def run(house: House, days_later: int = 0) -> None:
    async with house.database.program(house.program_id) as session:
        terms = await repository_volume.terms_of(session, house.program_id)
        assert terms is not None
        assert await expire_page(session, house.program_id, terms, None, NOW + days_later * DAY) is None


async def told(house: House, kind: str) -> list[str]:
    async with house.database.program(house.program_id) as session:
        rows = await session.execute(
            text("select payload ->> 'points' from outbox where kind = :kind order by id"), {"kind": kind}
        )
        return [row[0] for row in rows]


async def test_what_is_older_expires_and_what_was_spent_was_spent_of_the_oldest(database: Database) -> None:
    house = await a_house(database, expire_after_days=30)
    for points, days_ago in ((10, 40), (20, 31), (30, 29), (5, 1)):
        await earned(house, points, days_ago)
    async with database.program(house.program_id) as session:
        await ledger.post(session, house.program_id, [Movement(PostingKind.HOLD, uuid7(), house.asset_id, 12, ANN)], NOW)
    await run(house)
    assert await house.points() == (35, 12, 0)
    await run(house)
    assert await house.points() == (35, 12, 0)
    assert await told(house, "points.expired") == ["18"]
    await run(house, 2)
    assert await house.points() == (5, 12, 0)


async def test_points_that_are_held_do_not_expire_and_keep_nothing_alive(database: Database) -> None:
    house = await a_house(database, expire_after_days=30)
    await earned(house, 10, 40)
    await earned(house, 50, 40, is_final=False)
    await run(house)
    assert await house.points() == (0, 50, 0)
    assert await house.findings() == []


async def test_nothing_expires_that_was_not_warned_of_in_time(database: Database) -> None:
    house = await a_house(database, expire_after_days=30, warn_days=7)
    await earned(house, 10, 40)  # older than the setting
    await earned(house, 20, 25)
    await earned(house, 40, 1)
    await run(house)
    assert await told(house, "points.expiring") == ["30"]
    assert await house.points() == (70, 0, 0)
    await run(house, 6)
    assert await house.points() == (70, 0, 0)
    await run(house, 7)
    assert await house.points() == (40, 0, 0)
    assert await told(house, "points.expired") == ["30"]
    await run(house, 22)
    assert await told(house, "points.expiring") == ["30", "40"]
    await run(house, 28)
    assert await house.points() == (40, 0, 0)
    await run(house, 29)
    assert await house.points() == (0, 0, 0)
    assert await told(house, "points.expiring") == ["30", "40"]


async def test_without_activity_all_of_it_expires_and_a_payment_begins_the_time_anew(database: Database) -> None:
    house = await a_house(database, expire_idle_days=30, warn_days=5)
    await earned(house, 10, 26)
    await earned(house, 10, 26, BOB)
    await run(house)
    assert await told(house, "points.expiring") == ["10", "10"]
    await earned(house, 1, -1, BOB)
    await run(house, 5)
    assert [await house.points(account) for account in (ANN, BOB)] == [(0, 0, 0), (11, 0, 0)]
    assert await house.findings() == []


async def test_a_program_whose_points_do_not_expire_is_left_alone(database: Database) -> None:
    house = await a_house(database)
    await earned(house, 10, 400)
    assert await expire_all(database, house.program_id) is None
    await house.terms(expire_after_days=30)
    assert await expire_all(database, house.program_id) == timedelta(hours=6)
    assert await house.points() == (0, 0, 0)
    assert await house.findings() == []


async def test_the_age_of_what_was_held_begins_when_it_can_be_spent(database: Database) -> None:
    house = await a_house(database, expire_after_days=30)
    payment = paid(100_000, at=NOW - 60 * DAY, review="a loop")
    await house.credit(payment, now=NOW - 60 * DAY)
    async with database.program(house.program_id) as session:
        await approve(session, house.program_id, [payment.id], NOW - DAY)
    await run(house)
    assert await house.points() == (10, 0, 0)
    await run(house, 30)
    assert await house.points() == (0, 0, 0)
