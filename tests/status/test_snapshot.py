"""What `guerdon status` reads: of a real database, with real processes seen in it."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from guerdon.kit import driver, outbox
from guerdon.kit.ids import uuid7
from guerdon.kit.outbox import Severity
from guerdon.kit.presence import Presence
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.status.snapshot import read
from tests.status.rows import put
from tests.support.api import Running


async def seen(api: Running, role: str) -> None:
    async def there() -> bool:
        return any(one.role == role for one in (await read(api.runtime.database)).processes)

    async with asyncio.timeout(10):
        while not await there():
            await asyncio.sleep(0.05)


async def test_a_process_is_seen_while_it_runs_and_goes_in_order(api: Running) -> None:
    await seen(api, "web")
    stop = asyncio.Event()
    worker = asyncio.create_task(Presence(api.runtime.database, "worker", "9.9", counts=lambda: {"booked": 0}).run(stop))
    await seen(api, "worker")
    (found,) = [one for one in (await read(api.runtime.database)).processes if one.role == "worker"]
    assert (found.version, found.ready) == ("9.9", None)
    assert found.resident_bytes is None or found.resident_bytes > 1 << 20
    stop.set()
    await worker
    assert [one.role for one in (await read(api.runtime.database)).processes] == ["web"]


async def test_a_process_that_was_killed_falls_silent(api: Running, owner: driver.RawConnection) -> None:
    await seen(api, "web")
    await owner.execute(
        "insert into processes (id, role, place, version, vitals, seen_at) "
        "values ($1, 'worker', 'here:1', '1', '{}', now() - interval '40 seconds')",
        uuid7(),
    )
    status = await read(api.runtime.database)
    assert "No worker runs, so nobody is paid: start one with `guerdon worker`." in status.next_steps
    assert any("worker process here:1 is silent" in step for step in status.next_steps)


async def test_a_web_process_that_does_not_answer_is_named(api: Running, owner: driver.RawConnection, port: int) -> None:
    await owner.execute(
        "insert into processes (id, role, place, address, version, vitals) values ($1, 'web', 'there:2', $2, '1', '{}')",
        uuid7(), f"http://127.0.0.1:{port}",
    )  # fmt: skip
    status = await read(api.runtime.database)
    assert f"the web process there:2 does not answer at http://127.0.0.1:{port}" in status.unreachable


async def test_reports_are_summed_over_the_web_processes(api: Running, owner: driver.RawConnection) -> None:
    vitals = '{"windowSeconds": 60, "counts": {"booked": 5, "repeated": 1, "COOLDOWN": 2, "UNAVAILABLE": 0}}'
    for _ in range(2):
        await owner.execute(
            "insert into processes (id, role, place, version, vitals) values ($1, 'web', 'x:1', '1', $2)", uuid7(), vitals
        )
    reports = (await read(api.runtime.database)).reports
    assert (reports.booked, reports.repeated, reports.refused) == (10, 2, {"COOLDOWN": 4})


async def test_states_alerts_and_late_work_are_told(api: Running, owner: driver.RawConnection) -> None:
    await put(owner, "deliveries", "quarantined")
    await put(owner, "fundings", "pending")
    await owner.execute("insert into work (kind, program_id, due_at) values ('x.y', $1, now() - interval '1 minute')", uuid7())
    async with api.runtime.database.platform() as session:
        for severity in (Severity.WARNING, Severity.CRITICAL):
            await outbox.raise_alert(session, f"{severity}.kind", "k", severity=severity, message="m", remedy="`guerdon doctor`.")
    status = await read(api.runtime.database)
    assert {(one.what, one.state, one.moved_by) for one in status.states} == {
        ("deliveries", "quarantined", "a person"),
        ("fundings", "pending", "fundings.advance"),
    }
    assert [one.severity for one in status.alerts] == ["critical", "warning"]
    assert status.alerts_count == 2
    assert 59 < status.late_work["x.y"] < 120


@pytest.mark.parametrize(("spent", "is_short"), [(940, False), (960, True)])
async def test_a_program_with_little_left_is_named(api: Running, spent: int, is_short: bool) -> None:
    program = await api.program("Coffee")
    program_id = UUID(program["id"])
    asset_id = UUID((await api.platform("GET", "/api/admin/assets")).json()["items"][0]["id"])
    async with api.runtime.database.program(program_id) as session:
        now = api.runtime.clock.now()
        await ledger.post(session, program_id, [Movement(PostingKind.FUND, uuid7(), asset_id, 1000)], now)
        await ledger.post(session, program_id, [Movement(PostingKind.REWARD, uuid7(), asset_id, spent, uuid7())], now)
    status = await read(api.runtime.database)
    assert [one.name for one in status.short_programs] == (["Coffee"] if is_short else [])
    assert status.short_programs_count == int(is_short)
