"""Whether an embedded PostgreSQL lives: its process, whether it takes connections, and the one way in which it is dead alive.

Starting and stopping it is `kit/postgres.py`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import quote

from guerdon.kit import driver

SUPERUSER: Final = "postgres"

_LOOK_EVERY_SECONDS: Final = 2
_CONNECT_SECONDS: Final = 5
_CANNOT_CONNECT_NOW: Final = "57P03"


class Watch:
    """Ends a server that has lost its recovery.

    Where the disk is full, the process that recovers may end without PostgreSQL 18 noticing: it goes on refusing connections
    as if it recovered, with nobody left who does, and neither ends nor gets well.
    """

    def __init__(self, data: Path, socket: Path, lost_seconds: float) -> None:
        """`lost_seconds`: for how long it has to be found so; what starts has no such process for a moment either."""
        self._data = data
        self._socket = socket
        self._lost_seconds = lost_seconds
        self._looks_at = 0.0
        self._lost_since: float | None = None

    async def look(self, pid: int) -> None:
        """To be called again and again as long as its process lives; asks no more than every two seconds."""
        if monotonic() < self._looks_at:
            return
        if not await _pretends_to_recover(self._socket) or _recovers(pid):
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = monotonic()
        elif monotonic() - self._lost_since >= self._lost_seconds and is_postmaster(pid, self._data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._looks_at = monotonic() + min(_LOOK_EVERY_SECONDS, self._lost_seconds)


async def answers(socket: Path) -> bool:
    """Does it take connections?"""
    try:
        connection = await driver.connect(socket_dsn(socket, SUPERUSER, "postgres"), timeout=_CONNECT_SECONDS)
    except Exception as error:
        if driver.is_connection_failure(error):
            return False
        raise
    await connection.close()
    return True


def socket_dsn(socket: Path, role: str, database: str) -> str:
    """The URL of a database behind a socket's folder."""
    return f"postgresql://{role}@/{database}?host={quote(str(socket))}"


def postmaster_pid(data: Path) -> int | None:
    """The process that runs on `data`, as its own file says."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
    return None


def is_postmaster(pid: int, data: Path) -> bool:
    """Is `pid` a live PostgreSQL on `data`, and not a process that was given a dead one's number?"""
    process = Path("/proc") / str(pid)
    if Path("/proc/self").exists():
        try:
            # The zombie of a killed server has an empty command line.
            return os.fsencode(data) in (process / "cmdline").read_bytes()
        except OSError:
            return False
    shown = subprocess.run(["ps", "-p", str(pid), "-o", "command="], check=False, capture_output=True)  # noqa: S607
    return os.fsencode(data) in shown.stdout


async def _pretends_to_recover(socket: Path) -> bool:
    """Does it refuse connections until it has recovered? One that stops, or has too many already, does not say so."""
    try:
        connection = await driver.connect(socket_dsn(socket, SUPERUSER, "postgres"), timeout=_CONNECT_SECONDS)
    except Exception as error:
        if getattr(error, "sqlstate", None) == _CANNOT_CONNECT_NOW:
            return "shutting down" not in str(error)
        if driver.is_connection_failure(error):
            return False
        raise
    await connection.close()
    return False


def _recovers(pid: int) -> bool:
    """Has a postmaster a process that recovers (`postgres: startup …`)?"""
    if not Path("/proc/self").exists():
        shown = subprocess.run(["ps", "-A", "-o", "ppid=,command="], check=False, capture_output=True)  # noqa: S607
        found = [line.strip().partition(b" ") for line in shown.stdout.splitlines()]
        return any(parent == str(pid).encode() and b"startup" in title for parent, _, title in found)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The name in brackets may hold anything; the state and the parent follow it.
            parent = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
            if int(parent) == pid and b"startup" in (process / "cmdline").read_bytes():
                return True
    return False
