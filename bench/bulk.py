"""Bulk reports: NDJSON of 10,000 events a request, by one program and by several at once (issue figure 2)."""

from __future__ import annotations

from bench.client import Job
from bench.house import House, Program
from bench.limits import limit
from bench.load import Load
from bench.requests import Crowd
from bench.session import Session

_SEVERAL = 3
_AT_ONCE = {1: 2, _SEVERAL: 4}
"""Requests by number of programs: while one is decided and booked, the next is read; 40,000 events may wait in a web process."""
_ONE_AIM, _SEVERAL_AIM = 25_000, 40_000


async def measure(session: Session, house: House) -> None:
    """The figures of bulk reports."""
    await session.furnish(house, programs=_SEVERAL)
    await limit(session, house, "bulk")
    for name, count, aim in (("bulk_one_program", 1, _ONE_AIM), ("bulk_several_programs", _SEVERAL, _SEVERAL_AIM)):
        session.add_load(name, await middle(house, session, house.known[:count]), limit="bulk", aim=aim)


async def middle(house: House, session: Session, programs: list[Program], *, name: str = "b") -> Load:
    """The middle one of several runs."""
    what = f"bulk reports of {len(programs)} programs"
    return await session.middle(house, what, lambda run: job(house, session, programs, f"{name}-{len(programs)}-{run}"))


def job(house: House, session: Session, programs: list[Program], name: str) -> Job:
    """One run: a fixed number of requests, timed from the first byte to the last answer."""
    lines = 500 if session.quick else 10_000
    return Job(
        host="127.0.0.1", port=house.port, connections=_AT_ONCE[len(programs)], seconds=300, warm_up_seconds=0,
        shops=[program.shop for program in programs], crowd=Crowd(f"{name}-{session.tag}", house.members),
        requests=(2 if session.quick else 12) * _AT_ONCE[len(programs)], lines=lines,
    )  # fmt: skip
