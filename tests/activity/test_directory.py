"""The directory: bounded, quickly told of changes, never long out of date."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from guerdon.activity import directory as module
from guerdon.activity.directory import Directory
from guerdon.kit.clock import SystemClock
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from guerdon.programs.service import add_domain
from tests.activity.house import RING, a_house
from tests.support.books import NOW


@asynccontextmanager
async def listening(database: Database, *, fresh_seconds: float) -> AsyncIterator[Directory]:
    directory = Directory(database, RING, SystemClock(), fresh_seconds=fresh_seconds)
    stop = asyncio.Event()
    task = asyncio.create_task(directory.run(stop))
    yield directory
    stop.set()
    await task


async def eventually(is_so: Callable[[], Awaitable[bool]], seconds: float = 1.0) -> None:
    deadline = time.monotonic() + seconds
    while not await is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_change_is_told_by_the_transaction_that_makes_it(database: Database) -> None:
    async with a_house(database) as house, listening(database, fresh_seconds=3_600) as directory:

        async def knows_it() -> bool:
            program = await directory.by_brand_id(house.brand_id)
            return program is not None and program.owns("new.example")

        assert not await knows_it()
        # Listening has begun when what was cached before is asked again.
        await eventually(lambda: _is_listening(database))
        async with database.program(house.program_id) as session:
            await add_domain(session, house.program_id, "new.example", NOW, development=False)
        await eventually(knows_it)


async def _is_listening(database: Database) -> bool:
    connection = await database.dedicated()
    found: bool = await connection.fetchval(
        "select count(*) > 0 from pg_stat_activity where datname = current_database() and query ilike 'listen %' and pid <> pg_backend_pid()"
    )
    await connection.close()
    return found


async def test_without_notifications_a_change_is_known_when_the_time_is_over(database: Database) -> None:
    async with a_house(database) as house:
        directory = Directory(database, RING, SystemClock(), fresh_seconds=0.2)
        before = await directory.terms(house.program_id)
        assert await directory.terms(house.program_id) is before
        await house.set_program(automation_enabled=False)

        async def is_off() -> bool:
            return not (await directory.terms(house.program_id)).program.automation_enabled

        await eventually(is_off, 0.5)


async def test_what_did_not_change_is_not_read_again(database: Database) -> None:
    async with a_house(database) as house:
        directory = Directory(database, RING, SystemClock(), fresh_seconds=0)
        assert await directory.by_id(house.program_id) is await directory.by_id(house.program_id)


async def test_a_version_that_is_asked_for_is_read_at_once(database: Database) -> None:
    async with a_house(database) as house:
        directory = Directory(database, RING, SystemClock(), fresh_seconds=3_600)
        before = await directory.terms(house.program_id)
        await house.set_program(automation_enabled=False)
        assert (await directory.terms(house.program_id)).program.automation_enabled
        after = await directory.terms(house.program_id, at_least=before.config_version + 1)
        assert not after.program.automation_enabled


async def test_strangers_are_remembered_and_bounded(
    database: Database, owner: RawConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_STRANGERS", 50)
    directory = Directory(database, RING, SystemClock(), fresh_seconds=3_600)
    for number in range(120):
        assert await directory.by_brand_id(f"0x{number:040x}") is None
    assert len(directory._ids._entries) == 50
    # The last ones are answered from memory.
    asked = 0
    original = directory._id_of

    async def counting(brand_id: str) -> object:
        nonlocal asked
        asked += 1
        return await original(brand_id)

    monkeypatch.setattr(directory, "_id_of", counting)
    for number in range(80, 120):
        assert await directory.by_brand_id(f"0x{number:040x}") is None
    assert asked == 0


async def test_many_who_ask_at_once_ask_the_database_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_house(database) as house:
        directory = Directory(database, RING, SystemClock())
        reads = 0
        original = directory._read

        async def counting(*args: object) -> object:
            nonlocal reads
            reads += 1
            return await original(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(directory, "_read", counting)
        found = await asyncio.gather(*(directory.by_brand_id(house.brand_id) for _ in range(50)))
        assert reads == 1
        assert len({id(program) for program in found}) == 1


async def test_listening_goes_on_after_the_connection_was_lost(
    database: Database, owner: RawConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECONNECT_SECONDS", 0.05)
    async with a_house(database) as house, listening(database, fresh_seconds=3_600) as directory:
        await eventually(lambda: _is_listening(database))
        await owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen %'"
        )
        before = await directory.terms(house.program_id)
        await asyncio.sleep(0.2)
        await eventually(lambda: _is_listening(database))
        await house.set_program(automation_enabled=False)

        async def is_off() -> bool:
            return not (await directory.terms(house.program_id)).program.automation_enabled

        await eventually(is_off)
        assert before.program.automation_enabled
