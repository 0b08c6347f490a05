"""The outbox and its alerts."""

from __future__ import annotations

import asyncio

import pytest

from guerdon.kit import driver, outbox
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.kit.outbox import Severity

pytestmark = pytest.mark.every_database

OURS = uuid7()


async def raise_low_balance(database: Database, message: str = "low", severity: Severity = Severity.WARNING) -> bool:
    async with database.platform() as session:
        return await outbox.raise_alert(
            session, "treasury.low", "t-1", severity=severity, message=message, remedy="Fund it.", details={"atomic": "7"}
        )


async def test_what_happened_is_kept_with_the_transaction_that_made_it_happen(
    database: Database, owner: driver.RawConnection
) -> None:
    async with database.program(OURS) as session:
        kept = await outbox.append(session, "event.booked", {"points": 25}, program_id=OURS)
    with pytest.raises(LookupError):
        async with database.program(OURS) as session:
            await outbox.append(session, "event.booked", {"points": 50}, program_id=OURS)
            raise LookupError
    rows = await owner.fetch("SELECT id, program_id, kind, payload->>'points' AS points, severity FROM outbox")
    assert [tuple(row.values()) for row in rows] == [(kept, OURS, "event.booked", "25", None)]


async def test_an_open_alert_is_counted_and_not_repeated(database: Database) -> None:
    assert await raise_low_balance(database)
    assert not await raise_low_balance(database, "lower", Severity.CRITICAL)
    async with database.platform() as session:
        (alert,) = await outbox.open_alerts(session)
        assert (alert.kind, alert.dedupe_key, alert.occurrences, alert.severity) == ("treasury.low", "t-1", 2, "critical")
        assert alert.payload == {"message": "lower", "remedy": "Fund it.", "details": {"atomic": "7"}}
        assert alert.last_seen_at > alert.created_at
        counts = await outbox.count_open_alerts(session)
    assert counts == {Severity.INFO: 0, Severity.WARNING: 0, Severity.CRITICAL: 1}


async def test_a_resolved_alert_opens_anew(database: Database, owner: driver.RawConnection) -> None:
    await raise_low_balance(database)
    async with database.platform() as session:
        assert await outbox.resolve_alert(session, "treasury.low", "t-1")
        assert not await outbox.resolve_alert(session, "treasury.low", "t-1")
        assert await outbox.open_alerts(session) == []
    assert await raise_low_balance(database)
    assert await owner.fetchval("SELECT count(*) FROM outbox") == 2


async def test_many_at_once_open_one_alert(database: Database) -> None:
    opened = await asyncio.gather(*(raise_low_balance(database) for _ in range(10)))
    assert opened.count(True) == 1
    async with database.platform() as session:
        (alert,) = await outbox.open_alerts(session)
    assert alert.occurrences == 10


async def test_happenings_are_no_alerts_and_alerts_come_in_pages(database: Database) -> None:
    async with database.platform() as session:
        await outbox.append(session, "event.booked", {})
        for key in ("a", "b", "c"):
            await outbox.raise_alert(session, "x", key, severity=Severity.INFO, message="m", remedy="r")
        first = await outbox.open_alerts(session, limit=2)
        rest = await outbox.open_alerts(session, limit=2, after=first[-1].id)
    assert [alert.dedupe_key for alert in (*first, *rest)] == ["a", "b", "c"]
