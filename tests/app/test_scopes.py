"""Who reads and writes which rows: the database's own rules, over all tables of the application, tried as its role (SAFETY S1, S3)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from guerdon.kit import driver
from guerdon.kit.database import Database, begin_in_platform, begin_in_program, sqlstate
from guerdon.kit.ids import uuid7
from guerdon.kit.models import Scope
from guerdon.tables import METADATA, tables_in
from tests.support.postgres import Urls

pytestmark = pytest.mark.every_database

OURS, THEIRS = uuid7(), uuid7()
_ROWS = {
    "admin_keys": "(id, secret_hash, role, program_id, name, created_at) values ($2, '', 'program', $1, 'x', now())",
    "fundings": (
        "(id, program_id, asset_id, kind, state, points, amount_atomic, network, created_at, updated_at) "
        "values ($2, $1, $2, 'mint', 'pending', 5, 5, 'local', now(), now())"
    ),
    "batch_members": "(batch_id, program_id, delivery_id, destination, amount_atomic) values ($2, $1, $2, '0x', 5)",
    "gas_spent": "(program_id, network, day, wei) values ($1, $2::uuid::text, '2026-01-01', 5)",
    "sources": (
        "(id, program_id, name, kind, signers, created_at, updated_at) values ($2, $1, 'x', 'chain', '{}', now(), now())"
    ),
    "drops": (
        "(program_id, id, season_id, number, state, opens_at, closes_at, minimum_points, created_at, updated_at) "
        "values ($1, $2, $2, 1, 'collecting', now(), now(), 1, now(), now())"
    ),
    "drop_seasons": (
        "(program_id, id, asset_id, treasury_id, network, chain_id, contract, token_address, chain_season, atomic_numerator, "
        "points_denominator, state, opens_at, closes_at, created_at, updated_at) "
        "values ($1, $2, $2, $2, 'local', 1, '0x', '0x', '0x', 1, 1, 'preparing', now(), now(), now(), now())"
    ),
    "campaign_rates": (
        "(program_id, campaign_id, network, asset_id, atomic_numerator, points_denominator, starts_at, ends_at) "
        "values ($1, $2, 'local', $2, 1, 1, now(), now())"
    ),
    "outbox": "(id, program_id, kind, payload) values ($2, $1, 'x', '{}')",
    "challenges": (
        "(id, program_id, purpose, account_id, address_id, network, namespace, address, nonce, message, expires_at, created_at) "
        "values ($2, $1, 'link', $2, $2, 'base', 'eip155', '0x', $2::uuid::text, '', now(), now())"
    ),
}


async def _connected(urls: Urls, begin: str) -> driver.RawConnection:
    connection = await driver.connect(urls.app)
    await connection.execute(begin)
    return connection


async def _add(connection: driver.RawConnection, table: str, program_id: UUID) -> None:
    await connection.execute(f"insert into {table} {_ROWS[table]}", program_id, uuid7())


async def _seen(urls: Urls, begin: str, table: str) -> list[UUID]:
    connection = await _connected(urls, begin)
    rows = await connection.fetch(f"select program_id from {table}")
    await connection.close()
    return sorted(row["program_id"] for row in rows)


def test_every_table_that_names_a_program_has_a_policy_for_it() -> None:
    named = {table.name for table in METADATA.tables.values() if "program_id" in table.columns}
    kept = {name for scope in (Scope.TENANT, Scope.REFERENCE, Scope.OWNED, Scope.JOINT) for name in tables_in(scope)}
    # Where work waits is asked over all programs, and says nothing but that; whose accounts are where, sign-in alone (SAFETY S2).
    assert named - kept == {"work", "user_accounts", "sessions"}
    assert {"user_accounts", "sessions"} <= set(tables_in(Scope.SECRET))
    assert set(tables_in(Scope.OWNED)) | set(tables_in(Scope.JOINT)) == set(_ROWS)


@pytest.mark.parametrize("table", sorted(_ROWS))
async def test_s1_s3_what_names_a_program_is_read_by_it_and_the_platform_alone(
    database_urls: Urls, owner: driver.RawConnection, table: str
) -> None:
    await owner.execute("set session_replication_role = replica")
    for program_id in (OURS, THEIRS):
        await _add(owner, table, program_id)
    await owner.execute("reset session_replication_role")
    assert await _seen(database_urls, begin_in_program(OURS), table) == [OURS]
    assert await _seen(database_urls, begin_in_platform(), table) == sorted([OURS, THEIRS])
    assert await _seen(database_urls, "begin", table) == []
    # As a connection is that was used before: '' and not NULL.
    assert await _seen(database_urls, "begin; set local guerdon.program_id = ''; set local guerdon.platform = ''", table) == []


@pytest.mark.parametrize("table", sorted(_ROWS))
async def test_s3_a_program_writes_nothing_of_the_platforms_and_nothing_of_others(database_urls: Urls, table: str) -> None:
    async def refused(program_id: UUID) -> bool:
        connection = await _connected(database_urls, begin_in_program(OURS))
        try:
            await _add(connection, table, program_id)
        except Exception as error:
            if sqlstate(error) != "42501":
                raise
            return True
        finally:
            await connection.close()
        return False

    assert await refused(THEIRS)
    assert await refused(OURS) == (table in tables_in(Scope.OWNED))


async def test_s3_a_program_withdraws_its_own_campaigns_rates_and_no_others(
    database_urls: Urls, owner: driver.RawConnection
) -> None:
    for program_id in (OURS, THEIRS):
        await _add(owner, "campaign_rates", program_id)
    connection = await _connected(database_urls, begin_in_program(OURS))
    await connection.execute("delete from campaign_rates")
    await connection.execute("commit")
    await connection.close()
    assert [row["program_id"] for row in await owner.fetch("select program_id from campaign_rates")] == [THEIRS]


async def test_s1_references_between_tenant_tables_carry_the_program(owner: driver.RawConnection) -> None:
    """A reference by an id alone would take another tenant's row: every one is by program and id."""
    rows = await owner.fetch(
        """
        select conrelid::regclass::text as child, confrelid::regclass::text as parent,
               (select array_agg(attname order by place) from unnest(conkey) with ordinality k(number, place)
                  join pg_attribute on attrelid = conrelid and attnum = number) as columns,
               (select array_agg(attname order by place) from unnest(confkey) with ordinality k(number, place)
                  join pg_attribute on attrelid = confrelid and attnum = number) as referenced
          from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace
        """
    )
    tenants = set(tables_in(Scope.TENANT))
    inner = [row for row in rows if row["parent"] in tenants]
    assert {(row["child"], row["parent"]) for row in inner} >= {("identities", "accounts"), ("reversals", "events")}
    for row in inner:
        assert row["child"] in tenants, row
        assert ("program_id", "program_id") in list(zip(row["columns"], row["referenced"], strict=True)), row
    # What refers to no tenant's row refers to what all programs share.
    assert {row["parent"] for row in rows} - tenants <= set(tables_in(Scope.REFERENCE)) | set(tables_in(Scope.PLATFORM)) | {
        "keys",
        "users",
    }


async def test_s1_another_programs_account_can_not_be_referred_to(database: Database, owner: driver.RawConnection) -> None:
    account = uuid7()
    await owner.execute("set session_replication_role = replica")
    account_row = "insert into accounts (program_id, id, wallet_address, created_at) values ($1, $2, '0x', now())"
    await owner.execute(account_row, THEIRS, account)
    await owner.execute("reset session_replication_role")
    identity: Any = METADATA.tables["identities"].insert()
    with pytest.raises(DBAPIError) as refused:
        async with database.program(OURS) as session:
            row = {"program_id": OURS, "identity": "email:a@example.org", "account_id": account}
            await session.execute(identity.values(**row, created_at=await _now(owner)))
    assert sqlstate(refused.value) == "23503"


async def _now(owner: driver.RawConnection) -> Any:
    return await owner.fetchval("select now()")
