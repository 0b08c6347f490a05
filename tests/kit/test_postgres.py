"""The embedded PostgreSQL: started, killed, left behind, adopted, stopped. Every kill here is a SIGKILL of a real process."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from guerdon.kit import driver, postgres_host
from guerdon.kit.postgres import AlreadyRunningError, EmbeddedPostgres, PostgresError, embedded_postgres
from guerdon.kit.postgres_roles import ensure_database, ensure_roles
from tests.support.postgres import MACHINE_URL, short_lived_folder
from tests.support.services import listens, missing

AS_PARENT = """
import asyncio, sys
from pathlib import Path
from guerdon.kit.postgres import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]), settings={"shared_buffers": "16MB"})
    await server.start(lambda message: print("progress:", message, flush=True))
    print("ready", server.pid, server.app_dsn(), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
SMALL = {"shared_buffers": "16MB"}


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_lived_folder() as path:
        yield path / "postgres"


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    started = EmbeddedPostgres(folder, settings=SMALL)
    await started.start()
    yield started
    await started.stop()


async def execute(dsn: str, statement: str) -> None:
    connection = await driver.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def value(dsn: str, query: str) -> object:
    connection = await driver.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def start_parent(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Another process that starts the server; returns it and the postmaster's id."""
    parent = subprocess.Popen([sys.executable, "-c", AS_PARENT, str(folder)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    for line in parent.stdout:
        if line.startswith("ready"):
            return parent, int(line.split()[1])
    raise AssertionError("it ended before it was ready")


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


async def test_nothing_listens_on_the_network_and_only_we_reach_the_socket(server: EmbeddedPostgres, folder: Path) -> None:
    assert server.pid is not None
    postmaster = psutil.Process(server.pid)
    assert list(postmaster.net_connections("inet")) == []
    socket = folder / "run"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700
    assert postmaster.uids().real != 0
    assert await value(server.superuser_dsn(), "SHOW listen_addresses") == ""


async def test_the_two_roles_are_what_they_have_to_be(server: EmbeddedPostgres) -> None:
    query = "SELECT rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    assert await value(server.app_dsn(), query) is False
    assert await value(server.owner_dsn(), query) is False
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert await value(server.app_dsn(), owner) == "guerdon_owner"
    with pytest.raises(Exception, match="permission denied"):
        await execute(server.app_dsn(), "CREATE TABLE mine (id int)")
    await execute(server.owner_dsn(), "CREATE TABLE ours (id int)")


async def test_it_is_tuned_and_durable(server: EmbeddedPostgres) -> None:
    for name, expected in {
        "fsync": "on",
        "synchronous_commit": "on",
        "jit": "off",
        "wal_compression": "off",
        "max_wal_size": "4GB",
    }.items():
        assert await value(server.superuser_dsn(), f"SHOW {name}") == expected


async def test_a_second_start_on_the_same_directory_is_refused_and_names_the_process(
    server: EmbeddedPostgres, folder: Path
) -> None:
    with pytest.raises(AlreadyRunningError, match=str(os.getpid())):
        await EmbeddedPostgres(folder).start()
    assert await server.is_alive()


async def test_stopped_and_started_it_has_its_data(folder: Path) -> None:
    async with embedded_postgres(folder) as server:
        await execute(server.owner_dsn(), "CREATE TABLE kept AS SELECT 7 AS n")
        pid = server.pid
        assert pid is not None
    assert not psutil.pid_exists(pid)
    async with embedded_postgres(folder) as server:
        assert await value(server.owner_dsn(), "SELECT n FROM kept") == 7


async def test_killed_it_is_seen_to_be_dead_and_starts_again_with_what_was_committed(server: EmbeddedPostgres) -> None:
    await execute(server.owner_dsn(), "CREATE TABLE kept AS SELECT 7 AS n")
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(5):
        while await server.is_alive():
            await asyncio.sleep(0.01)
    await server.start()
    assert server.pid != first
    assert await value(server.owner_dsn(), "SELECT n FROM kept") == 7


async def test_the_server_of_a_killed_parent_is_adopted(folder: Path) -> None:
    parent, pid = start_parent(folder)
    kill(parent)
    progress: list[str] = []
    server = EmbeddedPostgres(folder, settings=SMALL)
    await server.start(progress.append)
    assert server.pid == pid
    assert progress == ["going on with the PostgreSQL that was left running"]
    await server.stop()
    with pytest.raises(OSError, match=r"."):
        await value(f"postgresql://postgres@/postgres?host={folder}/run", "SELECT 1")


async def test_parent_and_server_killed_at_once_start_again(folder: Path) -> None:
    parent, pid = start_parent(folder)
    await execute(f"postgresql://guerdon_owner@/guerdon?host={folder}/run", "CREATE TABLE kept AS SELECT 7 AS n")
    os.kill(pid, signal.SIGKILL)
    kill(parent)
    async with embedded_postgres(folder) as server:
        assert server.pid != pid
        assert await value(server.owner_dsn(), "SELECT n FROM kept") == 7


async def test_the_number_of_a_dead_server_given_to_another_process_does_not_stop_it(folder: Path) -> None:
    async with embedded_postgres(folder) as server:
        await execute(server.owner_dsn(), "CREATE TABLE kept AS SELECT 7 AS n")
        remembered = (folder / "data" / "postmaster.pid").read_text()
    other = subprocess.Popen(["sleep", "60"])
    try:
        lines = remembered.splitlines()
        (folder / "data" / "postmaster.pid").write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        async with embedded_postgres(folder) as server:
            assert await value(server.owner_dsn(), "SELECT n FROM kept") == 7
        assert other.poll() is None, "it must not be taken for the server and stopped"
    finally:
        other.kill()
        other.wait()


async def test_killed_in_the_middle_of_initdb_it_begins_anew(folder: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", AS_PARENT, str(folder)], stdout=subprocess.PIPE, text=True)
    async with asyncio.timeout(20):
        while not (folder / "data.new" / "PG_VERSION").exists():
            await asyncio.sleep(0.002)
    kill(parent)
    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in " ".join(process.info["cmdline"] or []):
            process.kill()
    assert not (folder / "data").exists()
    async with embedded_postgres(folder) as server:
        assert await value(server.app_dsn(), "SELECT 1") == 1


async def test_a_long_path_gets_a_short_private_socket_folder() -> None:
    with short_lived_folder() as short:
        folder = short / ("long-" * 16) / "postgres"
        folder.parent.mkdir(mode=0o711)
        async with embedded_postgres(folder) as server:
            assert await value(server.app_dsn(), "SELECT 1") == 1
            socket = Path(server.app_dsn().partition("host=")[2])
            assert not socket.is_relative_to(folder)
            assert stat.S_IMODE(socket.lstat().st_mode) == 0o700
        shutil.rmtree(socket, ignore_errors=True)


def test_a_socket_folder_that_somebody_else_prepared_is_refused(tmp_path: Path) -> None:
    user = postgres_host.ServiceUser(os.geteuid(), os.getegid(), switch=False)
    place = postgres_host.Place(tmp_path / ("long-" * 20), user)
    theirs = postgres_host.socket_folder(place)
    try:
        theirs.chmod(0o777)
        with pytest.raises(postgres_host.HostError, match="not a folder of ours alone"):
            postgres_host.socket_folder(place)
        theirs.rmdir()
        theirs.symlink_to(tmp_path)
        with pytest.raises(postgres_host.HostError, match="not a folder of ours alone"):
            postgres_host.socket_folder(place)
        theirs.unlink()
    finally:
        shutil.rmtree(theirs, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to be somebody else for PostgreSQL")
async def test_root_may_keep_its_data_where_nobody_else_may_enter(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    folder = private / "postgres"
    async with embedded_postgres(folder) as server:
        await execute(server.owner_dsn(), "CREATE TABLE kept AS SELECT 7 AS n")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700, "a parent folder's mode is not ours to change"
    elsewhere = Path((folder / "location").read_text().strip())
    try:
        async with embedded_postgres(folder) as server:
            assert await value(server.owner_dsn(), "SELECT n FROM kept") == 7
        # A new directory in the same place never finds the data of the old one.
        shutil.rmtree(folder)
        async with embedded_postgres(folder) as server:
            assert await value(server.owner_dsn(), "SELECT to_regclass('kept') IS NULL")
    finally:
        shutil.rmtree(Path((folder / "location").read_text().strip()))
        shutil.rmtree(elsewhere)


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")
async def test_an_ordinary_user_runs_it_as_itself() -> None:
    # A user namespace, in which root is user 1000: the same files, no privileges.
    unshare = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine gives no user namespaces")
    with short_lived_folder() as short:
        parent = subprocess.Popen(
            [*unshare, sys.executable, "-c", AS_PARENT, str(short / "postgres")], stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout is not None
        lines = [parent.stdout.readline().split() for _ in range(2)]
        assert lines[1][0] == "ready", lines
        assert await value(lines[1][2], "SELECT current_user::text") == "guerdon_app"
        assert stat.S_IMODE((short / "postgres").stat().st_mode) == 0o700
        kill(parent)
        os.kill(int(lines[1][1]), signal.SIGINT)
        async with asyncio.timeout(20):
            while (short / "postgres" / "data" / "postmaster.pid").exists():
                await asyncio.sleep(0.02)


async def test_a_server_that_does_not_start_says_why(folder: Path) -> None:
    server = EmbeddedPostgres(folder, settings={"wal_compression": "lz4"})
    with pytest.raises(PostgresError, match="wal_compression"):
        await server.start()
    async with embedded_postgres(folder) as mended:
        assert await mended.is_alive()


async def test_data_of_another_release_are_left_alone_with_a_remedy(folder: Path) -> None:
    async with embedded_postgres(folder):
        pass
    (folder / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(postgres_host.HostError, match="PostgreSQL 12"):
        await EmbeddedPostgres(folder).start()


def test_the_binaries_are_copied_where_their_user_may_not_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has to be somebody else for PostgreSQL")
    monkeypatch.setattr(postgres_host, "_SYSTEM_FOLDER", tmp_path / "system")
    user = postgres_host.service_user()
    where_it_is = postgres_host.binaries(tmp_path, user)
    monkeypatch.setattr(postgres_host, "may_enter", lambda _path, _user: False)
    copied = postgres_host.binaries(tmp_path, user)
    assert copied.is_relative_to(tmp_path / "system")
    assert postgres_host.binaries(tmp_path, user) == copied
    for folder in (where_it_is, copied):
        assert subprocess.check_output([folder / "postgres", "--version"]).startswith(b"postgres (PostgreSQL)")


async def test_roles_and_databases_are_made_on_any_server() -> None:
    if not listens("127.0.0.1", 5432):
        missing("a PostgreSQL of the machine")
    name = f"guerdon_test_{os.getpid()}_roles"
    await asyncio.gather(*(ensure_roles(MACHINE_URL) for _ in range(4)))
    await asyncio.gather(*(ensure_database(MACHINE_URL, name) for _ in range(4)))
    try:
        public = "SELECT has_database_privilege('public', current_database(), 'CONNECT')"
        assert await value(MACHINE_URL.rpartition("/")[0] + f"/{name}", public) is False
    finally:
        await execute(MACHINE_URL, f"DROP DATABASE {name} WITH (FORCE)")
    with pytest.raises(ValueError, match="plain"):
        await ensure_database(MACHINE_URL, 'x"; DROP DATABASE postgres; --')
