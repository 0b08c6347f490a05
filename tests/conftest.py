"""Fixtures every test may use. The servers are real (DESIGN section 12) and start when a test first asks for one.

`database` is a scoped unit of work on an empty, migrated database of the embedded PostgreSQL; a test marked
`every_database` gets it once more on the machine's own PostgreSQL, where there is one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from guerdon.kit import driver
from guerdon.kit.database import Database
from tests.support import postgres
from tests.support.services import free_port, missing

# Tests run in several processes at once (pytest-xdist: gw0, gw1 and so on), each on a Redis database of its own.
PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
REDIS_URL = os.environ.get("GUERDON_TEST_REDIS", f"redis://127.0.0.1:6379/{15 - PROCESS}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "postgres_server" in metafunc.fixturenames:
        everywhere = metafunc.definition.get_closest_marker("every_database") is not None
        metafunc.parametrize("postgres_server", ["embedded", "machine"] if everywhere else ["embedded"], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # An id that says "embedded" on most tests says nothing; those on both keep it.
    for item in items:
        if "[embedded]" in item.name and item.get_closest_marker("every_database") is None:
            item.name = item.name.replace("[embedded]", "")


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[postgres.Server]:
    with postgres.embedded_server() as server:
        yield server


@pytest.fixture(scope="session")
def machine_server() -> Iterator[postgres.Server | None]:
    with postgres.machine_server() as server:
        yield server


@pytest.fixture
def postgres_server(request: pytest.FixtureRequest) -> postgres.Server:
    """The server that this test runs on."""
    server: postgres.Server | None = request.getfixturevalue(f"{request.param}_server")
    if server is None:
        missing(f"a PostgreSQL at {postgres.MACHINE_URL}")
    return server


@pytest.fixture(scope="session")
def migrated_databases() -> Iterator[dict[str, tuple[postgres.Server, str]]]:
    """The migrated database of each server in use; dropped at the end of the session."""
    made: dict[str, tuple[postgres.Server, str]] = {}
    yield made
    for server, name in made.values():
        if server.name != "embedded":  # that one goes with its folder
            asyncio.run(server.drop(name))


@pytest.fixture
async def database_urls(
    postgres_server: postgres.Server, migrated_databases: dict[str, tuple[postgres.Server, str]]
) -> AsyncIterator[postgres.Urls]:
    """The URLs of a migrated database without rows, emptied again after the test."""
    if postgres_server.name not in migrated_databases:
        migrated_databases[postgres_server.name] = (postgres_server, await postgres_server.create_migrated())
    urls = postgres_server.urls(migrated_databases[postgres_server.name][1])
    yield urls
    await postgres.empty(urls)


@pytest.fixture
async def database(database_urls: postgres.Urls) -> AsyncIterator[Database]:
    """The unit of work, as the application's role."""
    opened = Database(database_urls.app)
    yield opened
    await opened.close()


@pytest.fixture
async def owner(database_urls: postgres.Urls) -> AsyncIterator[driver.RawConnection]:
    """A connection as the superuser, which sees every row: to arrange what the application may not, and to look behind it."""
    connection = await driver.connect(database_urls.superuser)
    yield connection
    await connection.close()


@pytest.fixture
async def blank_database_urls(postgres_server: postgres.Server) -> AsyncIterator[postgres.Urls]:
    """The URLs of a new database without tables, for one test."""
    name = await postgres_server.create()
    yield postgres_server.urls(name)
    await postgres_server.drop(name)


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A Redis database of the tests' own, emptied before and after."""
    client: Any = redis.Redis.from_url(REDIS_URL, socket_connect_timeout=1)
    try:
        client.flushdb()
    except redis.RedisError:
        missing(f"a Redis at {REDIS_URL}")
    yield REDIS_URL
    client.flushdb()
    client.close()


@pytest.fixture
def port() -> int:
    """A free TCP port."""
    return free_port()
