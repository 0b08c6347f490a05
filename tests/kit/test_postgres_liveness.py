"""A PostgreSQL that refuses everybody as if it recovered: waited for while something recovers, ended where nothing does.

What stands in for it says on its socket what the real one said after its disk had been full; real is the one that follows.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guerdon.kit import driver, postgres_host
from guerdon.kit.postgres import EmbeddedPostgres
from tests.support.postgres import short_lived_folder

SMALL = {"shared_buffers": "16MB"}
LOST_SECONDS = 0.4
SAYS_NO = """
import os, socket, struct, subprocess, sys

data, path, recovers = sys.argv[1], sys.argv[2], sys.argv[3] == "recovers"
fields = b"SFATAL\\0VFATAL\\0C57P03\\0Mthe database system is not yet accepting connections\\0\\0"
refusal = b"E" + struct.pack("!i", len(fields) + 4) + fields
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o777)
listener.listen(50)
if recovers:
    waits = "import sys; sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", waits, "postgres: startup recovering"], stdin=subprocess.PIPE)
with open(os.path.join(data, "postmaster.pid"), "w") as file:
    file.write(f"{os.getpid()}\\n{data}\\n")
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    connection.recv(10_000)
    connection.sendall(refusal)
    connection.close()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_lived_folder() as path:
        yield path / "postgres"


@contextmanager
def one_that_says_no(folder: Path, *, recovers: bool) -> Iterator[subprocess.Popen[str]]:
    place = postgres_host.choose_place(folder)
    socket = postgres_host.socket_folder(place) / postgres_host.SOCKET_NAME
    command = [sys.executable, "-c", SAYS_NO, str(place.data), str(socket), "recovers" if recovers else "is lost"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        # It is nobody's child here: what is killed has to be gone, and a zombie is not.
        try:
            yield process
        finally:
            process.kill()


async def with_a_row(folder: Path) -> None:
    server = EmbeddedPostgres(folder, settings=SMALL)
    await server.start()
    connection = await driver.connect(server.superuser_dsn())
    await connection.execute("create table kept as select 1 as n")
    await connection.close()
    await server.stop()


async def kept(server: EmbeddedPostgres) -> int:
    connection = await driver.connect(server.superuser_dsn())
    try:
        return await connection.fetchval("select n from kept")
    finally:
        await connection.close()


async def test_a_server_that_lost_its_recovery_is_ended_and_another_goes_on_with_its_data(folder: Path) -> None:
    await with_a_row(folder)
    with one_that_says_no(folder, recovers=False) as lost:
        server = EmbeddedPostgres(folder, settings=SMALL, lost_seconds=LOST_SECONDS)
        await asyncio.wait_for(server.start(), 60)
        try:
            assert lost.wait(5) < 0
            assert await kept(server) == 1
        finally:
            await server.stop()


async def test_a_server_that_recovers_is_waited_for_however_long_it_takes(folder: Path) -> None:
    await with_a_row(folder)
    with one_that_says_no(folder, recovers=True) as recovering:
        server = EmbeddedPostgres(folder, settings=SMALL, lost_seconds=LOST_SECONDS)
        starting = asyncio.create_task(server.start())
        await asyncio.sleep(5 * LOST_SECONDS)
        assert recovering.poll() is None
        assert not starting.done()
        recovering.kill()
        recovering.wait()
        await asyncio.wait_for(starting, 60)
        await server.stop()


async def test_a_running_server_is_waited_for_until_it_ends(folder: Path) -> None:
    await with_a_row(folder)
    server = EmbeddedPostgres(folder, settings=SMALL, lost_seconds=LOST_SECONDS)
    await server.start()
    waiting = asyncio.create_task(server.wait())
    await asyncio.sleep(3 * LOST_SECONDS)
    assert not waiting.done()
    await server.stop()
    await asyncio.wait_for(waiting, 10)
