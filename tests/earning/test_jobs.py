"""Work of settled volume: woken when it is due, found when everybody forgot it, and seen in the gauges meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from guerdon.earning import pool_payout
from guerdon.earning.jobs import SWEEP, handlers, share_out_pools
from guerdon.earning.service_campaigns import FREEZE
from guerdon.earning.service_volume import EXPIRE
from guerdon.earning.volume_booking import MATURE
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.status.gauges import waiting
from tests.earning.house import ANN, BOB, CID, DAY, House, a_house, paid

NOW = datetime.now(UTC)


async def due(owner: RawConnection, kind: str) -> datetime | None:
    return await owner.fetchval("select due_at from work where kind = $1 and program_id <> $2", kind, PLATFORM_PROGRAM_ID)


async def gauges(database: Database) -> dict[tuple[str, str], int]:
    async with database.platform() as session:
        return {(one.gauge, one.label): one.items for one in await waiting(session)}


async def test_holding_is_woken_for_its_end_and_ends(database: Database, owner: RawConnection) -> None:
    house = await a_house(database, holding_seconds=3600)
    late = NOW - timedelta(minutes=30)
    await house.credit(paid(10_000, at=late), now=NOW)
    assert await due(owner, MATURE) == late + timedelta(hours=1)
    assert (await gauges(database))["accruals_held", "holding"] == 1
    assert await handlers(database)[MATURE](house.program_id) == late + timedelta(hours=1)
    assert await house.points() == (0, 1, 0)
    await owner.execute("update accruals set held_until = now() - interval '1 second'")
    assert await handlers(database)[MATURE](house.program_id) is None
    assert await house.points() == (1, 0, 0)
    assert ("accruals_held", "holding") not in await gauges(database)


async def test_s23_what_everybody_forgot_is_woken(database: Database, owner: RawConnection) -> None:
    house = await a_house(database, holding_seconds=3600, expire_after_days=10)
    await house.campaign("pool", pool_points="5", start_at=NOW - 9 * DAY, end_at=NOW - DAY)
    await house.credit(paid(10_000, at=NOW), now=NOW)
    await owner.execute("update accruals set held_until = now() - interval '1 second'")
    await owner.execute("delete from work")
    assert (await gauges(database))["pools", "ended"] == 1
    assert await handlers(database)[SWEEP](PLATFORM_PROGRAM_ID) == timedelta(minutes=1)
    for kind in (MATURE, FREEZE, EXPIRE):
        at = await due(owner, kind)
        assert at is not None
        assert at <= datetime.now(UTC)


@pytest.mark.parametrize("after", ["freeze", "write", "mark_paid", "note_paid", "post_new"])
async def test_a_pool_is_paid_once_wherever_the_worker_dies(
    database: Database, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    house = await a_house(database)
    pool = await house.campaign("pool", pool_points="1000", start_at=NOW - 9 * DAY, end_at=NOW - DAY, settle_seconds=0)
    await house.credit(*(paid(10_000, account, at=NOW - 2 * DAY) for account in (ANN, BOB, CID)))
    monkeypatch.setattr(pool_payout, "SHARES_A_TRANSACTION", 2)
    await _dying(house, monkeypatch, after)
    assert await share_out_pools(database, house.program_id) is None
    await share_out_pools(database, house.program_id)
    assert sorted([(await house.points(account))[0] for account in (ANN, BOB, CID)]) == [334, 334, 335]
    assert await house.spending(pool) == (1000, 3)
    assert await house.findings() == []


async def _dying(house: House, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    """Share out, but die once, in the second transaction that comes to that step, after it was done."""
    modules: dict[str, Any] = {
        "freeze": pool_payout.repository, "mark_paid": pool_payout.repository, "note_paid": pool_payout.repository,
        "write": pool_payout.writing, "post_new": pool_payout.ledger,
    }  # fmt: skip
    name = {"freeze": "update_campaign"}.get(after, after)
    step, died = getattr(modules[after], name), False

    async def once(*arguments: Any, **options: Any) -> Any:
        nonlocal died
        result = await step(*arguments, **options)
        if not died:
            died = True
            raise InterruptedError
        return result

    with monkeypatch.context() as patched:
        patched.setattr(modules[after], name, once)
        with pytest.raises(InterruptedError):
            await share_out_pools(house.database, house.program_id)
    assert died
