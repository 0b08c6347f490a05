"""Alerts end by themselves once their cause is gone, whoever raised them."""

from __future__ import annotations

from uuid import UUID

import pytest

from guerdon.kit import driver, outbox
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, uuid7
from guerdon.kit.outbox import Severity
from guerdon.payouts import advancing, jobs, repository_batches
from guerdon.payouts import alerts as payout_alerts
from guerdon.payouts.advancing import Flight
from guerdon.payouts.models import Work
from guerdon.txmanager import alerts, treasuries
from tests.status.rows import put
from tests.support.api import Running


async def raised(api: Running, kind: str, key: str) -> None:
    async with api.runtime.database.platform() as session:
        await outbox.raise_alert(session, kind, key, severity=Severity.WARNING, message="m", remedy="r")


async def open_kinds(api: Running) -> set[str]:
    async with api.runtime.database.platform() as session:
        return {row.kind for row in await outbox.open_alerts(session)}


async def sweep(api: Running) -> None:
    await jobs.handlers(api.runtime.payout_deps())[Work.SWEEP](PLATFORM_PROGRAM_ID)


@pytest.mark.parametrize("kind", [payout_alerts.TOO_LARGE, alerts.FEE_OVER_CAP, "work.step_failed"])
async def test_what_is_not_seen_again_is_over(api: Running, owner: driver.RawConnection, kind: str) -> None:
    await raised(api, kind, "k")
    await sweep(api)
    assert await open_kinds(api) == {kind}
    await owner.execute("update outbox set last_seen_at = now() - interval '6 minutes'")
    await sweep(api)
    assert await open_kinds(api) == set()


async def test_what_is_no_matter_of_being_seen_stays_open(api: Running, owner: driver.RawConnection) -> None:
    await raised(api, alerts.KEY_PAUSED, "k")
    await owner.execute("update outbox set last_seen_at = now() - interval '1 day'")
    await sweep(api)
    assert await open_kinds(api) == {alerts.KEY_PAUSED}


async def test_a_treasury_that_resumes_can_pay(api: Running, owner: driver.RawConnection) -> None:
    treasury_id = uuid7()
    await owner.execute("set session_replication_role = replica")
    await owner.execute(
        "insert into treasuries (id, network, asset_id, key_id, token_address, token_decimals, address, paused_at, created_at) "
        "values ($1, 'local', $2, $3, '0x1', 0, '0x', now(), now())",
        treasury_id, uuid7(), uuid7(),
    )  # fmt: skip
    await raised(api, treasuries.CANNOT_PAY_ALERT, str(treasury_id))
    async with api.runtime.database.platform() as session:
        await treasuries.resume(session, treasury_id)
    assert await open_kinds(api) == set()


async def test_a_batch_that_was_settled_meanwhile_is_not_told_of_again(api: Running, owner: driver.RawConnection) -> None:
    await put(owner, "batches", "frozen")
    await owner.execute("update intents set state = 'unknown'")
    batch_id: UUID = await owner.fetchval("select id from batches")
    async with api.runtime.database.platform() as session:
        flights = [Flight(batch, intent) for batch, intent in await repository_batches.frozen_batches(session)]
    deps = api.runtime.payout_deps()
    await advancing._tell_operator(deps, flights[0])
    assert await open_kinds(api) == {payout_alerts.UNKNOWN}
    # An operator settles it between the worker's look and its word.
    await owner.execute("update batches set state = 'dissolved' where id = $1", batch_id)
    async with api.runtime.database.platform() as session:
        await outbox.resolve_alert(session, payout_alerts.UNKNOWN, str(batch_id))
    await advancing._tell_operator(deps, flights[0])
    assert await open_kinds(api) == set()


async def test_a_batch_whose_transaction_landed_after_all_is_not_unknown_any_more(
    api: Running, owner: driver.RawConnection
) -> None:
    await put(owner, "batches", "frozen")
    await owner.execute("update intents set state = 'unknown', error = 'in no block'")
    advance = jobs.handlers(api.runtime.payout_deps())[Work.ADVANCE]
    await advance(PLATFORM_PROGRAM_ID)
    assert await open_kinds(api) == {payout_alerts.UNKNOWN}
    await owner.execute("update intents set state = 'included', succeeded = true, block_number = 1")
    await advance(PLATFORM_PROGRAM_ID)
    assert await open_kinds(api) == set()
