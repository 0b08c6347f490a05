"""The outbox forgets what happened long ago, and nothing that anybody has to look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from guerdon.kit.ids import first_of, uuid7
from guerdon.notices.jobs import forget_turn

DAYS = 7


def an_id(age: timedelta) -> UUID:
    return UUID(int=first_of(datetime.now(UTC) - age).int | (uuid7().int & (1 << 80) - 1))


async def happened(owner: RawConnection, age: timedelta, *, count: int = 1) -> None:
    await owner.executemany(
        "insert into outbox (id, kind, payload) values ($1, 'events.accepted', '{}')", [(an_id(age),) for _ in range(count)]
    )


async def alert(owner: RawConnection, key: str, age: timedelta, closed: timedelta | None) -> None:
    await owner.execute(
        "insert into outbox (id, kind, payload, severity, dedupe_key, resolved_at) values ($1, 'k', '{}', 'warning', $2, now() - $3::interval)",
        an_id(age),
        key,
        closed,
    )


async def test_what_is_old_goes_and_open_alerts_stay(database: Database, owner: RawConnection) -> None:
    old, young = timedelta(days=DAYS + 1), timedelta(days=DAYS - 1)
    await happened(owner, old, count=3)
    await happened(owner, young)
    await alert(owner, "open", old, None)
    await alert(owner, "closed long ago", timedelta(days=30), old)
    await alert(owner, "closed just now", old, young)
    assert await forget_turn(database, DAYS) == timedelta(hours=1)
    left = await owner.fetch("select kind, dedupe_key from outbox order by dedupe_key")
    assert [row["dedupe_key"] or row["kind"] for row in left] == ["closed just now", "open", "events.accepted"]


async def test_a_turn_is_bounded_and_comes_again_at_once(database: Database, owner: RawConnection) -> None:
    await owner.execute(
        "insert into outbox (id, kind, payload)"
        " select overlay(gen_random_uuid()::text placing '00000000-0000' from 1 for 13)::uuid, 'k', '{}'"
        " from generate_series(1, 50001)"
    )
    assert await forget_turn(database, DAYS) == timedelta(0)
    assert await owner.fetchval("select count(*) from outbox") == 1
    assert await forget_turn(database, DAYS) == timedelta(hours=1)
    assert await owner.fetchval("select count(*) from outbox") == 0
