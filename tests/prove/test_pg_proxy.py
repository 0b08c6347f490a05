"""The proxy lets everything through as it is, and springs a trap at exactly the moment that it names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest

from guerdon.kit import driver
from tests.prove.pg_proxy import SOCKET_NAME, Mark, Moment, PgProxy, Trap
from tests.support.postgres import Urls, short_lived_folder

INSERT = "insert into networks (name, chain_id, block_time_ms, created_at) values ($1, 1, 1, now())"


@pytest.fixture
async def proxy(database_urls: Urls) -> AsyncIterator[PgProxy]:
    socket = Path(unquote(urlsplit(database_urls.superuser).query.removeprefix("host="))) / SOCKET_NAME
    with short_lived_folder() as folder:
        async with PgProxy(folder / "pg", socket) as proxy:
            yield proxy


@pytest.fixture
async def client(proxy: PgProxy, database_urls: Urls) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(proxy.url("postgres", urlsplit(database_urls.superuser).path[1:]))
    yield connection
    connection.terminate()


async def names(owner: driver.RawConnection) -> set[str]:
    return {row["name"] for row in await owner.fetch("select name from networks")}


async def insert(client: Any, name: str) -> None:
    """As the product does it: BEGIN and COMMIT by the simple protocol, the rest prepared."""
    await client.execute("BEGIN")
    await client.execute(INSERT, name)
    await client.fetchval("select 1")
    await client.execute("COMMIT")


async def test_everything_goes_through_as_it_is(client: Any, proxy: PgProxy, database_urls: Urls) -> None:
    other = await asyncpg.connect(proxy.url("postgres", urlsplit(database_urls.superuser).path[1:]))
    heard: asyncio.Queue[str] = asyncio.Queue()
    await other.add_listener("news", lambda *arguments: heard.put_nowait(arguments[-1]))
    rows = await client.fetch("select n, repeat('x', 1000) as x from generate_series(1, $1) n", 5_000)
    assert (len(rows), rows[-1]["n"]) == (5_000, 5_000)
    await client.execute("select pg_notify('news', 'it rains')")
    assert await asyncio.wait_for(heard.get(), 5) == "it rains"
    with pytest.raises(asyncpg.UndefinedTableError):
        await client.fetch("select * from nowhere where x = $1", 1)
    assert await client.fetchval("select 2") == 2
    await other.close()


@pytest.mark.parametrize(
    ("moment", "is_there"),
    [(Moment.BEFORE, False), (Moment.AFTER, False), (Moment.BEFORE_COMMIT, False), (Moment.AFTER_COMMIT, True)],
)
async def test_a_process_is_stopped_around_its_statement_and_its_commit(
    client: Any, proxy: PgProxy, owner: driver.RawConnection, moment: Moment, is_there: bool
) -> None:
    sprung: list[Moment] = []
    trap = proxy.add(Trap(Mark("insert into networks", "stop"), moment, lambda: sprung.append(moment)))
    await insert(client, "earlier")
    assert not sprung
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
        await insert(client, "stop-here")
    assert trap.reached.is_set()
    assert await names(owner) == {"earlier"} | ({"stop-here"} if is_there else set())


async def test_after_a_statement_the_server_has_carried_it_out(client: Any, proxy: PgProxy, owner: driver.RawConnection) -> None:
    trap = proxy.add(Trap(Mark("insert into networks"), Moment.AFTER, lambda: None))
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
        # Outside a transaction it commits itself.
        await client.execute(INSERT, "alone")
    assert trap.reached.is_set()
    assert await names(owner) == {"alone"}


@pytest.mark.parametrize("moment", [Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT])
async def test_one_message_may_do_and_commit(client: Any, proxy: PgProxy, owner: driver.RawConnection, moment: Moment) -> None:
    proxy.add(Trap(Mark("insert into networks"), moment, lambda: None))
    await client.execute("BEGIN")
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
        await client.execute(INSERT.replace("$1", "'both'") + ";commit")
    assert await names(owner) == ({"both"} if moment is Moment.AFTER_COMMIT else set())


async def test_a_transaction_that_is_rolled_back_does_not_count(client: Any, proxy: PgProxy, owner: driver.RawConnection) -> None:
    trap = proxy.add(Trap(Mark("insert into networks"), Moment.BEFORE_COMMIT, lambda: None))
    await client.execute("BEGIN")
    await client.execute(INSERT, "given up")
    await client.execute("ROLLBACK")
    await client.execute("BEGIN")
    await client.execute("COMMIT")
    assert not trap.reached.is_set()


async def test_a_trap_waits_for_its_turn_and_springs_once(client: Any, proxy: PgProxy, owner: driver.RawConnection) -> None:
    sprung: list[str] = []
    proxy.add(Trap(Mark("insert into networks"), Moment.AFTER_COMMIT, lambda: sprung.append("now"), skip=2, goes_on=True))
    for number, expected in enumerate([0, 0, 1, 1]):
        await insert(client, f"n{number}")
        assert len(sprung) == expected
    assert len(await names(owner)) == 4


async def test_connections_are_cut_and_kept_away(client: Any, proxy: PgProxy, database_urls: Urls) -> None:
    proxy.is_down = True
    assert proxy.cut() == 1
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
        await client.fetchval("select 1")
    url = proxy.url("postgres", urlsplit(database_urls.superuser).path[1:])
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
        await asyncpg.connect(url)
    proxy.is_down = False
    await (await asyncpg.connect(url)).close()
