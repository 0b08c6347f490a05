"""A process that books proven payments of one program by the product's own crediting, a window of them at each word."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from uuid import UUID

import msgspec
import psutil
import uvloop

from bench.payments import around, proven
from guerdon.activity.settlements.crediting import credit_proven
from guerdon.kit.database import Database, transaction_time


class Job(msgspec.Struct, frozen=True, array_like=True):
    """For whom is booked."""

    database_url: str
    program_id: UUID
    accounts: int
    batch: int
    """Payments a transaction."""


class Window(msgspec.Struct, frozen=True, array_like=True):
    """Payments by their numbers."""

    first: int
    count: int


class Done(msgspec.Struct, frozen=True):
    """What came of a window. Payments are made before the time begins; of them, `new` were not there."""

    new: int
    seconds: float
    cpu_seconds: float
    memory: int
    """Of the process, in bytes."""


async def book(database: Database, job: Job, window: Window) -> Done:
    """Book them, one transaction after the other."""
    new, seconds, cpu = 0, 0.0, 0.0
    for start in range(window.first, window.first + window.count, job.batch):
        some = proven(range(start, min(start + job.batch, window.first + window.count)), job.accounts)
        began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        async with database.program(job.program_id) as session:
            new += await credit_proven(session, job.program_id, some, around(await transaction_time(session)))
        seconds += time.perf_counter() - began
        now = resource.getrusage(resource.RUSAGE_SELF)
        cpu += now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return Done(new, seconds, cpu, psutil.Process().memory_info().rss)


def main() -> None:
    """One job, as told on stdin; then its windows."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    database = Database(job.database_url, pool_size=1)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        while line := sys.stdin.buffer.readline():
            done = runner.run(book(database, job, msgspec.json.decode(line, type=Window)))
            sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
            sys.stdout.flush()
        runner.run(database.close())


if __name__ == "__main__":
    main()
