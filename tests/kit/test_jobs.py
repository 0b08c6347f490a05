"""The work queue: waking in a transaction, claiming, what is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from guerdon.kit import driver, jobs, worker
from guerdon.kit.database import Database, ScopeError, begin_in_program
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, uuid7
from guerdon.kit.worker import Handler, Worker
from tests.support.postgres import Urls

pytestmark = pytest.mark.every_database

OURS = uuid7()
THEIRS = uuid7()
KIND = "test.kind"
SOON = 5.0


@asynccontextmanager
async def working(database: Database, handler: Handler, **options: float) -> AsyncIterator[Worker]:
    """A worker for the time of a block."""
    stop = asyncio.Event()
    started = Worker(database, {KIND: handler}, name="test", **options)  # pyright: ignore[reportArgumentType]
    task = asyncio.create_task(started.run(stop))
    try:
        yield started
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


async def wake(database: Database, program_id: UUID = OURS, due_at: datetime | None = None) -> None:
    async with database.program(program_id) as session:
        await jobs.wake(session, KIND, program_id, due_at)


class Recorder:
    """A handler that writes down for whom it ran."""

    def __init__(self, *, takes: float = 0, again: timedelta | datetime | None = None, fails: int = 0) -> None:
        self.ran: list[UUID] = []
        self.at_once = 0
        self.most_at_once = 0
        self.changed = asyncio.Event()
        self.takes, self.again, self.fails = takes, again, fails

    async def __call__(self, program_id: UUID) -> timedelta | datetime | None:
        self.ran.append(program_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.changed.set()
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.at_once -= 1
        if len(self.ran) <= self.fails:
            message = "the chain does not answer"
            raise ConnectionRefusedError(message)
        return self.again

    async def times(self, count: int, within: float = SOON) -> None:
        async with asyncio.timeout(within):
            while len(self.ran) < count:
                self.changed.clear()
                await self.changed.wait()


async def settled(owner: driver.RawConnection) -> None:
    """Until nothing is claimed or due."""
    async with asyncio.timeout(SOON):
        while await owner.fetchval("SELECT count(*) FROM work WHERE claimed_until IS NOT NULL OR due_at <= now()"):
            await asyncio.sleep(0.01)


async def test_what_a_transaction_wakes_runs_after_its_commit(database: Database) -> None:
    handler = Recorder()
    async with working(database, handler):
        async with database.program(OURS) as session:
            await jobs.wake(session, KIND, OURS)
            await asyncio.sleep(0.2)
            assert handler.ran == []
        await handler.times(1, within=1)
    assert handler.ran == [OURS]


async def test_what_is_rolled_back_wakes_nobody(database: Database, owner: driver.RawConnection) -> None:
    with pytest.raises(LookupError):
        async with database.program(OURS) as session:
            await jobs.wake(session, KIND, OURS)
            raise LookupError
    assert await owner.fetchval("SELECT count(*) FROM work") == 0


async def test_waking_outside_a_transaction_is_refused(database_urls: Urls) -> None:
    connection = await driver.connect(database_urls.app)
    with pytest.raises(ScopeError):
        await jobs.wake(connection, KIND, OURS)
    await connection.execute(begin_in_program(OURS))
    await jobs.wake(connection, KIND, OURS)
    await connection.execute("COMMIT")
    await connection.close()


async def test_s2_a_handler_takes_its_program_from_the_row(database: Database, owner: driver.RawConnection) -> None:
    handler = Recorder()
    async with working(database, handler):
        await asyncio.gather(wake(database, OURS), wake(database, THEIRS), wake(database, PLATFORM_PROGRAM_ID))
        await handler.times(3)
    assert sorted(handler.ran) == sorted([OURS, THEIRS, PLATFORM_PROGRAM_ID])
    assert await owner.fetchval("SELECT count(*) FROM work") == 3


async def test_the_earliest_time_wins(database: Database, owner: driver.RawConnection) -> None:
    later = datetime.now(UTC) + timedelta(hours=2)
    for due in (later, later - timedelta(hours=1), later + timedelta(hours=1)):
        await wake(database, due_at=due)
    assert await owner.fetchval("SELECT due_at FROM work") == later - timedelta(hours=1)


async def test_many_wakes_before_a_run_are_one_run(database: Database, owner: driver.RawConnection) -> None:
    for _ in range(20):
        await wake(database)
    handler = Recorder()
    async with working(database, handler):
        await handler.times(1)
        await settled(owner)
    assert len(handler.ran) == 1


async def test_a_wake_while_the_handler_runs_runs_it_again_afterwards(database: Database, owner: driver.RawConnection) -> None:
    handler = Recorder(takes=0.3)
    async with working(database, handler):
        await wake(database)
        await handler.times(1)
        await wake(database)
        await handler.times(2)
        await settled(owner)
    assert len(handler.ran) == 2
    assert handler.most_at_once == 1


async def test_no_wake_is_lost_under_a_stream_of_them(database_urls: Urls, owner: driver.RawConnection) -> None:
    """Each transaction writes something and wakes; a run takes all it sees; in the end nothing may be left."""
    makers, worker_database = Database(database_urls.app, pool_size=8), Database(database_urls.app)
    taken = 0

    async def take(program_id: UUID) -> None:
        nonlocal taken
        async with worker_database.program(program_id) as session:
            connection = await jobs.raw_connection(session)
            taken += len(await connection.fetch("DELETE FROM cap_counters WHERE program_id = $1 RETURNING 1", OURS))

    async def make(number: int) -> None:
        for step in range(25):
            async with makers.program(OURS) as session:
                connection = await jobs.raw_connection(session)
                await connection.execute(
                    "INSERT INTO cap_counters (program_id, cap_key, used) VALUES ($1, $2, 1)", OURS, f"{number}.{step}"
                )
                await jobs.wake(session, KIND, OURS)

    async with working(worker_database, take):
        await asyncio.gather(*(make(number) for number in range(8)))
        await settled(owner)
    assert taken == 200
    assert await owner.fetchval("SELECT count(*) FROM cap_counters") == 0
    await makers.close()
    await worker_database.close()


async def test_a_handler_that_wants_to_runs_again(database: Database) -> None:
    handler = Recorder(again=timedelta(milliseconds=30))
    async with working(database, handler):
        await wake(database)
        await handler.times(4)


async def test_a_handler_may_name_the_time(database: Database, owner: driver.RawConnection) -> None:
    at = datetime.now(UTC) + timedelta(hours=3)
    handler = Recorder(again=at)
    async with working(database, handler):
        await wake(database)
        await handler.times(1)
        await settled(owner)
    assert await owner.fetchval("SELECT due_at FROM work") == at


async def test_work_that_is_due_later_runs_then(database: Database, owner: driver.RawConnection) -> None:
    handler = Recorder()
    soon = await owner.fetchval("SELECT now() + interval '300 milliseconds'")
    async with working(database, handler):
        await wake(database, due_at=soon)
        await handler.times(1, within=2)
    assert await owner.fetchval("SELECT updated_at >= $1 FROM work", soon)


async def test_a_failure_is_tried_again_later_and_is_told(
    database: Database, owner: driver.RawConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_FIRST_BACKOFF", timedelta(seconds=1))
    handler = Recorder(fails=2)
    async with working(database, handler):
        await wake(database)
        await handler.times(1)
        while not await owner.fetchval("SELECT last_error FROM work"):
            await asyncio.sleep(0.01)
        row = await owner.fetchrow("SELECT * FROM work")
        assert row is not None
        assert row["last_error"] == "ConnectionRefusedError: the chain does not answer"
        assert row["not_before"] > row["updated_at"]
        await wake(database)  # does not shorten the back-off
        assert await owner.fetchval("SELECT not_before FROM work") == row["not_before"]
        await handler.times(3)
        await settled(owner)
    row = await owner.fetchrow("SELECT * FROM work")
    assert row is not None
    assert (row["attempts"], row["last_error"], row["not_before"]) == (0, None, None)


async def test_many_failures_open_one_alert_and_success_closes_it(
    database: Database, owner: driver.RawConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LONGEST_BACKOFF", timedelta(milliseconds=20))
    handler = Recorder(fails=worker.ALERT_AFTER_ATTEMPTS + 2)
    async with working(database, handler):
        await wake(database)
        await handler.times(handler.fails)
        await asyncio.sleep(0.01)
        alerts = await owner.fetch("SELECT * FROM outbox WHERE severity IS NOT NULL")
        assert [(alert["kind"], alert["program_id"]) for alert in alerts] == [("work.failing", OURS)]
        await handler.times(handler.fails + 1)
        await settled(owner)
        await asyncio.sleep(0.1)
    assert await owner.fetchval("SELECT resolved_at IS NOT NULL FROM outbox")


async def test_the_work_of_a_killed_worker_is_taken_up(database: Database, owner: driver.RawConnection) -> None:
    await owner.execute(
        "INSERT INTO work (kind, program_id, claimed_until, claimed_by, claim, attempts) "
        "VALUES ($1, $2, now() + interval '200 milliseconds', 'killed', 1, 1)",
        KIND,
        OURS,
    )
    handler = Recorder()
    async with working(database, handler):
        await asyncio.sleep(0.1)
        assert handler.ran == [], "its claim still stands"
        await handler.times(1, within=2)


async def test_a_worker_whose_claim_was_taken_cannot_finish_it(database: Database, owner: driver.RawConnection) -> None:
    handler = Recorder(takes=0.2)
    async with working(database, handler):
        await wake(database)
        await handler.times(1)
        await owner.execute("UPDATE work SET claim = claim + 1, claimed_by = 'another', claimed_until = now() + interval '1 h'")
        await asyncio.sleep(0.4)
    assert await owner.fetchval("SELECT claimed_by FROM work") == "another"


async def test_several_workers_share_the_work_and_never_run_one_row_at_once(
    database_urls: Urls, owner: driver.RawConnection
) -> None:
    handler = Recorder(takes=0.02)
    databases = [Database(database_urls.app) for _ in range(3)]
    programs = [uuid7() for _ in range(30)]
    async with working(databases[0], handler), working(databases[1], handler), working(databases[2], handler):
        await asyncio.gather(*(wake(databases[0], program) for program in programs))
        await handler.times(30)
        await settled(owner)
    assert sorted(handler.ran) == programs
    assert 1 < handler.most_at_once <= 12
    for database in databases:
        await database.close()


async def test_stopping_lets_handlers_finish(database: Database, owner: driver.RawConnection) -> None:
    handler = Recorder(takes=0.5)
    async with working(database, handler):
        await wake(database)
        await handler.times(1)
    row = await owner.fetchrow("SELECT * FROM work")
    assert row is not None
    assert (row["claimed_until"], row["due_at"], row["attempts"]) == (None, None, 0)


async def test_stopping_gives_back_what_takes_too_long(database: Database, owner: driver.RawConnection) -> None:
    handler = Recorder(takes=30)
    async with working(database, handler, drain_seconds=0.1):
        await wake(database)
        await handler.times(1)
    assert await owner.fetchval("SELECT claimed_until IS NULL AND due_at <= now() AND attempts = 0 FROM work")


async def test_a_worker_outlives_its_connections(database: Database, owner: driver.RawConnection) -> None:
    handler = Recorder()
    async with working(database, handler):
        await wake(database)
        await handler.times(1)
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guerdon_app' AND datname = current_database()"
        )
        await asyncio.sleep(0.1)
        await wake(database)
        await handler.times(2, within=10)


async def test_a_periodic_kind_is_scheduled_once(database: Database, owner: driver.RawConnection) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    await wake(database, due_at=later)
    async with database.platform() as session:
        await jobs.ensure_scheduled(session, KIND, OURS)
        await jobs.ensure_scheduled(session, KIND, THEIRS)
    due = {row["program_id"]: row["due_at"] for row in await owner.fetch("SELECT program_id, due_at FROM work")}
    assert due[OURS] == later
    assert due[THEIRS] < later


async def test_a_notification_is_sent_only_when_work_becomes_due_earlier(database: Database, database_urls: Urls) -> None:
    heard: list[str] = []
    listener = await driver.connect(database_urls.app)
    await listener.add_listener(jobs.CHANNEL, lambda _connection, _pid, _channel, kind: heard.append(kind))
    for _ in range(5):
        await wake(database)
    await listener.execute("SELECT 1")
    assert heard == [KIND]
    await listener.close()
