"""A process that books rewards of one program by the product's ledger service, batch after batch, for some seconds."""

from __future__ import annotations

import random
import resource
import sys
import time
from uuid import UUID

import msgspec
import uvloop

from guerdon.kit.clock import SystemClock
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7_batch
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement


class Job(msgspec.Struct, frozen=True, array_like=True):
    """What is to be booked."""

    database_url: str
    program_id: UUID
    asset_id: UUID
    accounts: int
    batch: int
    seconds: float
    seed: int


class Done(msgspec.Struct, frozen=True):
    """What was booked: in all, and in what time. The first batches open connections and are part of both."""

    postings: int
    seconds: float
    cpu_seconds: float


async def post(job: Job) -> Done:
    """Book until the time is over."""
    database = Database(job.database_url, pool_size=1)
    chance, clock = random.Random(job.seed), SystemClock()
    began = time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_SELF)
    posted = 0
    while time.perf_counter() - began < job.seconds:
        movements = [
            Movement(PostingKind.REWARD, ref, job.asset_id, 1 + posted % 9, UUID(int=(0x7 << 76) | (0x8 << 60) | number))
            for ref, number in zip(uuid7_batch(job.batch), chance.choices(range(job.accounts), k=job.batch), strict=True)
        ]
        async with database.program(job.program_id) as session:
            posted += await ledger.post(session, job.program_id, movements, clock.now())
    seconds = time.perf_counter() - began
    now = resource.getrusage(resource.RUSAGE_SELF)
    await database.close()
    return Done(posted, seconds, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)


def main() -> None:
    """One job, as told on stdin."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if sys.stdin.buffer.readline():
        sys.stdout.write(msgspec.json.encode(uvloop.run(post(job))).decode() + "\n")


if __name__ == "__main__":
    main()
