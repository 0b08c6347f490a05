"""The master secret of wallets: made once, kept wrapped, never changed (SAFETY S6)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from guerdon.accounts.errors import MasterSecretError
from guerdon.accounts.master_secret import open_wallets
from guerdon.kit import driver
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.txmanager.repository_keys import insert_deployment

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = MasterKey(bytes(32)), MasterKey(b"\x01" * 32)
ANNA = "email:anna@example.org"


async def anna_at(database: Database, ring: KeyRing) -> str:
    async with database.platform() as session:
        await insert_deployment(session, uuid7())
        return (await open_wallets(session, ring, NOW)).addresses([ANNA])[0]


async def test_s6_every_process_has_the_same_wallets_whoever_starts_first(database: Database) -> None:
    found = await asyncio.gather(*(anna_at(database, KeyRing(OLD)) for _ in range(8)))
    assert len(set(found)) == 1


async def test_s6_rotating_the_key_wraps_the_secret_anew_and_never_changes_it(
    database: Database, owner: driver.RawConnection
) -> None:
    address = await anna_at(database, KeyRing(OLD))
    before = bytes(await owner.fetchval("select envelope from master_secrets"))
    assert await anna_at(database, KeyRing(NEW, [OLD])) == address
    after = bytes(await owner.fetchval("select envelope from master_secrets"))
    assert after != before
    # From then on the old key is not needed, and does not open it.
    assert await anna_at(database, KeyRing(NEW)) == address
    with pytest.raises(MasterSecretError):
        await anna_at(database, KeyRing(OLD))


async def test_s6_another_key_stops_the_start_and_says_what_to_give_back(database: Database) -> None:
    await anna_at(database, KeyRing(OLD))
    with pytest.raises(MasterSecretError, match="GUERDON_SECRET_KEY"):
        await anna_at(database, KeyRing(NEW))


async def test_s6_a_secret_put_in_place_of_the_one_in_use_stops_the_start(
    database: Database, owner: driver.RawConnection
) -> None:
    address = await anna_at(database, KeyRing(OLD))
    kept = await owner.fetchrow("select * from master_secrets")
    await owner.execute("delete from master_secrets")
    with pytest.raises(MasterSecretError, match="belong together"):
        await anna_at(database, KeyRing(OLD))
    # Refused, it left nothing behind: the right one back in its place, all goes on.
    assert await owner.fetchval("select count(*) from master_secrets") == 0
    assert kept is not None
    await owner.execute(
        "insert into master_secrets values ($1, $2, $3, $4, $5)",
        *(kept[name] for name in ("name", "envelope", "fingerprint", "created_at", "wrapped_at")),
    )
    assert await anna_at(database, KeyRing(OLD)) == address


async def test_the_secret_is_in_no_table_in_the_clear(database: Database, owner: driver.RawConnection) -> None:
    await anna_at(database, KeyRing(OLD))
    [row] = await owner.fetch("select * from master_secrets")
    plain = KeyRing(OLD).decrypt(bytes(row["envelope"]), b"master secret of wallets")
    assert len(plain) == 32
    assert plain not in bytes(row["envelope"])
    assert plain.hex() not in str(dict(row))


async def test_s1_only_the_platforms_scope_reads_it(database: Database) -> None:
    await anna_at(database, KeyRing(OLD))
    from guerdon.accounts.models import MasterSecret

    async with database.program(uuid7()) as session:
        assert await session.get(MasterSecret, "wallets") is None
