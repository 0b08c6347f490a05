"""PostgreSQL's disk is full: what it could not write it did not promise, and it goes on once there is room.

The cluster is moved to a small disk of its own for the time of the run (a tmpfs, which only root may mount), and back.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import asyncpg

from guerdon.kit.postgres import PostgresError
from tests.prove.faults.base import Fault, NotReachedError
from tests.prove.site import Site

_MIB = 1 << 20
_ROOM_BYTES = 64 * _MIB
_STOP_SECONDS = 30
_LOG_FILES = 40
"""More than the server keeps ready."""


class Full(Fault):
    """Something else takes all the room there is, and gives it back after a while."""

    name = "postgres/full-disk"
    about = "The disk under PostgreSQL is full for some seconds: it stops, and starts again once there is room. (As root only.)"
    strike_seconds = 180.0

    async def strike(self, site: Site, chance: Random) -> str:
        if os.geteuid() != 0:
            raise NotReachedError("left out: only root may mount a small disk")
        await site.load.some(chance)
        async with _small_disk(site) as data:
            await asyncio.sleep(chance.uniform(0.5, 3))
            left = chance.choice([0, 8_192, 200_000, 2 * _MIB])
            ballast = await asyncio.to_thread(_fill, data, left)
            if chance.random() < 0.5:
                await _use_up_the_log(site)
            seconds = chance.uniform(2, 9)
            await asyncio.sleep(seconds)
            survived = await site.postgres.is_alive()
            ballast.unlink()
            if not survived:
                await site.postgres_start()
            await asyncio.sleep(chance.uniform(0, 2))
        return f"{left} bytes were left for {seconds:.1f} s; the server {'bore it' if survived else 'had ended'}"


@asynccontextmanager
async def _small_disk(site: Site) -> AsyncGenerator[Path]:
    """PostgreSQL's data on a disk with little room, inside; on the one where it was, afterwards."""
    data = Path(f"/proc/{site.postgres.pid}/cwd").readlink()
    aside, owner = data.with_name("data.aside"), data.stat()
    await _stopped(site)
    data.rename(aside)
    data.mkdir()
    size = _ROOM_BYTES + sum(path.stat().st_blocks * 512 for path in aside.rglob("*") if path.is_file())
    await _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700,uid={owner.st_uid},gid={owner.st_gid}", "guerdon", str(data))
    try:
        await _run("cp", "--archive", f"{aside}/.", str(data))
        await site.postgres_start()
        yield data
        await _stopped(site)
        await _run("rm", "--recursive", str(aside))
        await _run("cp", "--archive", str(data), str(aside))
    finally:
        await _run("umount", "--lazy", str(data))
        data.rmdir()
        aside.rename(data)
    await site.postgres_start()


async def _stopped(site: Site) -> None:
    """Shut the server down in order; one that is in trouble, at once."""
    pid = site.postgres.pid
    for number in (signal.SIGINT, signal.SIGQUIT):
        site.postgres_kill(number)
        if await site.until(lambda: _is_gone(site, pid), _STOP_SECONDS):
            return
    raise PostgresError("it does not stop")


async def _is_gone(site: Site, pid: int | None) -> bool:
    return site.postgres.pid != pid and not await site.postgres.is_alive()


def _fill(data: Path, left: int) -> Path:
    """A file that takes all the room but so many bytes."""
    ballast, block = data / "ballast", bytes(_MIB)
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(block) == len(block):
            pass
    os.truncate(ballast, max(0, ballast.stat().st_size - left))
    return ballast


async def _use_up_the_log(site: Site) -> None:
    """Have the server need a new file for its log, without which it can't go on."""
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        for _ in range(_LOG_FILES):
            await site.execute("select pg_logical_emit_message(true, 'prove', 'one more')")
            await site.execute("select pg_switch_wal()")


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    assert process.returncode == 0, f"{command}: {output.decode()}"


FAULTS: tuple[Fault, ...] = (Full(),)
