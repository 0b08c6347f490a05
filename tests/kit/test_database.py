"""The unit of work: scope, commit, rollback, retries."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from guerdon.kit import database as db
from guerdon.kit import driver
from guerdon.kit.database import Database, PlatformSession, ProgramSession, begin_in_program, program_scope
from guerdon.kit.errors import DatabaseUnavailableError
from guerdon.kit.ids import uuid7
from guerdon.kit.models import Scope
from guerdon.tables import tables_in
from tests.support.postgres import Urls

OURS = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
THEIRS = UUID("01890a5d-ac96-774b-bcce-b302099a8058")

pytestmark = pytest.mark.every_database


async def _add(session: ProgramSession | PlatformSession, program_id: UUID, key: bytes = b"k") -> None:
    """One row of a tenant table of the kit's own."""
    await session.execute(
        text(
            "INSERT INTO idempotent_requests (program_id, operation, caller, key_hash, body_hash, status, response) "
            "VALUES (:program_id, 'op', 'caller', :key, '', 200, '')"
        ),
        {"program_id": program_id, "key": key},
    )


async def _count(session: ProgramSession | PlatformSession) -> int:
    return (await session.execute(text("SELECT count(*) FROM idempotent_requests"))).scalar_one()


async def test_s1_a_program_sees_its_own_rows_and_no_others(database: Database) -> None:
    for program_id in (OURS, THEIRS):
        async with database.program(program_id) as session:
            await _add(session, program_id)
    async with database.program(OURS) as session:
        rows = (await session.execute(text("SELECT program_id FROM idempotent_requests"))).scalars().all()
    assert rows == [OURS]


async def test_s1_a_program_cannot_write_rows_of_another(database: Database) -> None:
    with pytest.raises(DBAPIError) as refused:
        async with database.program(OURS) as session:
            await _add(session, THEIRS)
    assert db.sqlstate(refused.value) == "42501"


async def test_s1_a_pooled_connection_without_scope_sees_nothing_after_one_with_scope(database_urls: Urls) -> None:
    database = Database(database_urls.app, pool_size=1)
    async with database.program(OURS) as session:
        await _add(session, OURS)
        first = await db.raw_connection(session)
    async with database.platform() as session:
        assert await db.raw_connection(session) is first, "the test needs the same connection twice"
        assert await _count(session) == 0
    # The connection as the transactions left it: '' and not NULL, which the policy has to read as no program.
    await first.execute("BEGIN")
    assert await first.fetchval("SELECT current_setting('guerdon.program_id', true)") == ""
    assert await first.fetchval("SELECT count(*) FROM idempotent_requests") == 0
    await first.execute("ROLLBACK")
    await database.close()


async def test_s1_every_tenant_table_shows_nothing_without_a_scope(database_urls: Urls, owner: driver.RawConnection) -> None:
    tables = tables_in(Scope.TENANT)
    assert "idempotent_requests" in tables
    connection = await driver.connect(database_urls.app)
    for table in tables:
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
        assert await owner.fetchval("SELECT relrowsecurity FROM pg_class WHERE relname = $1", table), table
        # An empty table shows nothing whatever its policies say: there is one, for everything, and it asks for the scope.
        (policy,) = await owner.fetch("SELECT cmd, permissive, qual, with_check FROM pg_policies WHERE tablename = $1", table)
        assert (policy["cmd"], policy["permissive"]) == ("ALL", "PERMISSIVE"), table
        assert policy["qual"] == policy["with_check"], table
        assert policy["qual"].startswith("(program_id = ( SELECT"), table
        assert "current_setting('guerdon.program_id'" in policy["qual"], table
    await connection.close()


@pytest.mark.parametrize("not_a_uuid", ["x'; DROP TABLE work; --", str(OURS), None, 7])
async def test_s1_the_scope_literal_is_made_from_a_uuid_only(not_a_uuid: object) -> None:
    with pytest.raises(TypeError):
        begin_in_program(not_a_uuid)  # pyright: ignore[reportArgumentType]


async def test_s1_the_scope_is_not_prepared(database: Database) -> None:
    async with database.program(OURS) as session:
        statements = (await session.execute(text("SELECT statement FROM pg_prepared_statements"))).scalars().all()
    assert not [statement for statement in statements if "SET LOCAL" in statement or "BEGIN" in statement]


async def test_s1_a_uuid_that_lies_about_its_text_does_not_get_into_the_literal() -> None:
    class Liar(UUID):
        def __str__(self) -> str:
            return "'; DROP TABLE work; --"

    assert begin_in_program(Liar(int=OURS.int)) == f"BEGIN; SET LOCAL guerdon.program_id = '{OURS}'"


async def test_s1_the_application_role_owns_nothing_and_bypasses_nothing(owner: driver.RawConnection) -> None:
    role = await owner.fetchrow("SELECT rolsuper, rolbypassrls, oid FROM pg_roles WHERE rolname = 'guerdon_app'")
    assert role is not None
    assert (role["rolsuper"], role["rolbypassrls"]) == (False, False)
    assert await owner.fetchval("SELECT count(*) FROM pg_class WHERE relowner = $1", role["oid"]) == 0


async def test_what_a_block_wrote_is_committed_when_it_ends(database: Database) -> None:
    async with database.program(OURS) as session:
        await _add(session, OURS)
    async with database.program(OURS) as session:
        assert await _count(session) == 1


async def test_what_a_block_wrote_is_gone_when_it_raises(database: Database) -> None:
    with pytest.raises(LookupError):
        async with database.program(OURS) as session:
            await _add(session, OURS)
            raise LookupError
    async with database.program(OURS) as session:
        assert await _count(session) == 0


async def test_a_cancelled_block_writes_nothing_and_leaves_a_usable_pool(database_urls: Urls) -> None:
    database = Database(database_urls.app, pool_size=1)
    inside = asyncio.Event()

    async def work() -> None:
        async with database.program(OURS) as session:
            await _add(session, OURS)
            inside.set()
            await session.execute(text("SELECT pg_sleep(30)"))

    task = asyncio.create_task(work())
    await inside.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.program(OURS) as session:
        assert await _count(session) == 0
    await database.close()


async def test_nobody_else_commits_or_rolls_back(database: Database) -> None:
    async with database.program(OURS) as session:
        with pytest.raises(db.ScopeError):
            await session.commit()
        with pytest.raises(db.ScopeError):
            await session.rollback()


async def test_a_swallowed_database_error_does_not_pass_for_a_commit(database: Database) -> None:
    with pytest.raises(db.TransactionLostError):
        async with database.program(OURS) as session:
            with contextlib.suppress(DBAPIError):  # what a careless service would do
                await session.execute(text("SELECT 1/0"))


async def test_a_savepoint_that_fails_leaves_the_rest(database: Database) -> None:
    async with database.program(OURS) as session:
        await _add(session, OURS, b"first")
        with pytest.raises(DBAPIError):
            async with session.begin_nested():
                await _add(session, OURS, b"first")
        await _add(session, OURS, b"second")
    async with database.program(OURS) as session:
        assert await _count(session) == 2


async def test_a_platform_session_acts_for_a_program_only_inside_program_scope(database: Database) -> None:
    async with database.program(OURS) as session:
        await _add(session, OURS)
    async with database.platform() as session:
        assert await _count(session) == 0
        async with program_scope(session, OURS):
            assert await _count(session) == 1
            await _add(session, OURS, b"second")
        async with program_scope(session, THEIRS):
            assert await _count(session) == 0
        assert await _count(session) == 0
    async with database.program(OURS) as session:
        assert await _count(session) == 2


async def test_two_that_deadlock_both_finish(database: Database, owner: driver.RawConnection) -> None:
    await owner.execute("INSERT INTO work (kind, program_id) VALUES ('a', $1), ('b', $1)", OURS)
    both = asyncio.Barrier(2)
    runs = 0

    async def touch(first: str, second: str) -> None:
        async def work(session: ProgramSession) -> None:
            nonlocal runs
            runs += 1
            for kind in (first, second):
                await session.execute(text("UPDATE work SET attempts = attempts + 1 WHERE kind = :kind"), {"kind": kind})
                if kind == first and runs <= 2:
                    await both.wait()

        await db.run_in_program(database, OURS, work)

    await asyncio.gather(touch("a", "b"), touch("b", "a"))
    assert runs > 2, "they never met"
    assert [row["attempts"] for row in await owner.fetch("SELECT attempts FROM work")] == [2, 2]


async def test_an_ordinary_error_is_not_tried_again(database: Database) -> None:
    runs = 0

    async def work(session: ProgramSession) -> None:
        nonlocal runs
        runs += 1
        await session.execute(text("SELECT 1/0"))

    with pytest.raises(DBAPIError):
        await db.run_in_program(database, OURS, work)
    assert runs == 1


async def test_a_connection_that_died_in_the_pool_is_replaced(database: Database, owner: driver.RawConnection) -> None:
    async with database.program(OURS) as session:
        pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    await owner.execute("SELECT pg_terminate_backend($1)", pid)
    await database.ping()


@pytest.mark.parametrize("then", ["SELECT 1", None], ids=["at a statement", "at the commit"])
async def test_a_connection_that_is_lost_in_a_transaction_is_told_as_503(
    database: Database, owner: driver.RawConnection, then: str | None
) -> None:
    with pytest.raises(DatabaseUnavailableError):
        async with database.program(OURS) as session:
            pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await owner.execute("SELECT pg_terminate_backend($1)", pid)
            if then is not None:
                await session.execute(text(then))
    await database.ping()


async def test_what_else_goes_wrong_in_a_transaction_is_told_as_it_is(database: Database) -> None:
    with pytest.raises(FileNotFoundError):
        async with database.program(OURS):
            raise FileNotFoundError


async def test_an_unreachable_database_is_told_as_503(port: int) -> None:
    database = Database(f"postgresql://nobody@127.0.0.1:{port}/none")
    with pytest.raises(DatabaseUnavailableError) as unavailable:
        await database.ping()
    assert (unavailable.value.status, unavailable.value.retry_after) == (503, 1)
    await database.close()


async def test_the_raw_pool_is_the_same_role_and_leaves_no_transaction_open(database: Database) -> None:
    pool = await database.raw()
    async with pool.acquire() as connection:
        await connection.execute(begin_in_program(OURS))
        assert await connection.fetchval("SELECT current_user") == "guerdon_app"
        assert connection.is_in_transaction()
    async with pool.acquire() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT count(*) FROM idempotent_requests") == 0


async def test_time_limits_are_in_force(database: Database) -> None:
    async with database.program(uuid7()) as session:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert (await session.execute(text(f"SHOW {name}"))).scalar_one() != "0"
