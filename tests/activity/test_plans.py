"""How PostgreSQL carries out the hot statements when it planned them while the tables were empty: by whole keys.

A cached plan of a plain join, made then, reads every row of the program for each event.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from guerdon.activity import repository_booking, repository_intake
from guerdon.kit import driver
from guerdon.kit.database import Database, begin_in_program
from guerdon.kit.ids import uuid7
from tests.support.postgres import Server

pytestmark = pytest.mark.every_database


@pytest.fixture(params=["never looked at", "known to be empty"])
async def fresh(postgres_server: Server, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A database as it is after the migration, without a row; with statistics that say so, a table is read whole if it may be."""
    name = await postgres_server.create_migrated()
    if request.param == "known to be empty":
        owner = await driver.connect(postgres_server.urls(name).superuser)
        await owner.execute("vacuum analyze")
        await owner.close()
    database = Database(postgres_server.urls(name).app)
    yield database
    await database.close()
    await postgres_server.drop(name)


async def generic_plan(database: Database, statement: str) -> str:
    parameters = max(int(number) for number in re.findall(r"\$(\d+)", statement))
    async with (await database.raw()).acquire() as connection:
        await connection.execute(begin_in_program(uuid7()))
        await connection.execute(f"prepare hot as {statement}")
        rows = await connection.fetch(f"explain (costs off) execute hot({', '.join(['null'] * parameters)})")
        await connection.execute("deallocate hot")
        await connection.execute("rollback")
    return "\n".join(str(row[0]) for row in rows)


def conditions(plan: str, table: str) -> list[str]:
    """The index conditions under which a table is read."""
    return re.findall(rf"Index (?:Only )?Scan using \w+ on {table}\b.*\n\s+Index Cond: (.*)", plan)


LOOKUPS = [
    (repository_intake._LOAD, "identities", "identity"),
    (repository_intake._LOAD, "accounts", "id"),
    (repository_intake._LOAD, "claim_counters", "event_type"),
    (repository_intake._LOAD, "account_balances", "account_id"),
    (repository_intake._LOAD, "event_keys", "key_hash"),
    (repository_intake._LOAD_CAPS, "cap_counters", "cap_key"),
    (repository_intake._ANSWERS, "events", "id"),
    (repository_intake._ANSWERS, "accruals", "id"),
    (repository_intake._ANSWERS, "deliveries", "id"),
]


@pytest.mark.parametrize(("statement", "table", "column"), LOOKUPS, ids=[table for _, table, _ in LOOKUPS])
async def test_every_look_up_is_by_the_whole_key(
    fresh: Database, statement: str, table: str, column: str, request: pytest.FixtureRequest
) -> None:
    plan = await generic_plan(fresh, statement)
    assert "Seq Scan" not in plan
    found = conditions(plan, table)
    assert len(found) == 1
    assert "program_id = $1" in found[0]
    # Of two indexes that begin with the program either will do for a table that is known to be empty, until it is analyzed anew.
    if table != "identities" or "known to be empty" not in request.node.name:
        assert re.search(rf"\b{column} = ", found[0]) is not None


async def test_the_write_reads_nothing_but_newcomers_wallets(fresh: Database) -> None:
    plan = await generic_plan(fresh, repository_booking._WRITE)
    assert "Seq Scan" not in plan
    assert re.findall(r"Index (?:Only )?Scan using \w+ on (\w+)", plan) == ["wallets"]
    assert "identity_hash = " in conditions(plan, "wallets")[0]
    assert plan.count("Insert on ") == 12


async def test_s15_the_write_locks_balances_then_deliveries_then_counters(fresh: Database) -> None:
    plan = await generic_plan(fresh, repository_booking._WRITE)
    # The parts of the final select, in the order in which they are carried out, follow the definitions.
    parts = re.findall(r"CTE Scan on (\w+)", plan[plan.rindex("CTE told") :])
    order = [parts.index(part) for part in ("people", "names", "books", "slots", "counted", "capped", "bound")]
    assert order == sorted(order)


def test_the_hot_statements_fit_the_drivers_cache() -> None:
    """asyncpg prepares anew, each time, what is longer than this."""
    assert len(repository_booking._WRITE) < 15_360
    assert len(repository_intake._LOAD) < 15_360
