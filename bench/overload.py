"""Too much: 64, 256 and 1,024 connections, then ten times the rate that was borne, for a minute (the issue's third show).

What can't be taken is to be refused with 503 and Retry-After, memory bounded, nothing accepted lost, and all normal again soon.
"""

from __future__ import annotations

import asyncio

import msgspec

from bench.client import Result
from bench.house import House
from bench.load import require_all_accepted, require_all_booked, run, sender
from bench.report import BenchError, Figure
from bench.session import Session
from bench.singles import job
from guerdon.kit.ids import uuid7

CONNECTIONS = (64, 256, 1_024)
_TIMES = 10
_FLOOD_CONNECTIONS = 4_096
_NORMAL = 0.8
"""Normal again: this part of the rate before."""
_RECOVERY_AIM_SECONDS = 5
_MEMORY_AIM_MIB = 512
_SAMPLE_SECONDS = 0.25


async def measure(session: Session, house: House) -> None:
    """The rates at each number of connections, then the flood and what comes after it."""
    await session.furnish(house)
    borne: dict[int, float] = {}
    for connections in CONNECTIONS:
        session.step(f"{connections} connections")
        load = await run(house, job(house, session, connections, f"o{connections}"))
        require_all_accepted(load)
        borne[connections] = load.rate
        session.add(f"overload_{connections}_connections", Figure(load.rate, "events/s"))
        session.add(f"overload_{connections}_connections_p99", Figure(load.result.p99_ms, "ms", lower_is_better=True))
    session.add("overload_memory_before", Figure(_memory(house), "MiB", lower_is_better=True))
    await _flood(session, house, max(borne.values()), normal=borne[CONNECTIONS[0]])


async def _flood(session: Session, house: House, bearable: float, *, normal: float) -> None:
    seconds = 2.0 if session.quick else 60.0
    plain = job(house, session, _FLOOD_CONNECTIONS, "flood")
    flood = msgspec.structs.replace(
        plain, seconds=seconds, warm_up_seconds=0, rate=_TIMES * bearable, again=True,
        requests=round(2 * bearable * seconds) + 2 * _FLOOD_CONNECTIONS,
    )  # fmt: skip
    session.step("signing what the flood is made of")
    async with sender(flood) as flooding, sender(job(house, session, CONNECTIONS[0], "after")) as after:
        session.step(f"{_TIMES} times what was borne, for {seconds:g} seconds")
        since = uuid7()
        flooding.go()
        memory = await _largest(house, seconds)
        # As soon as nothing more comes, somebody reports as before.
        after.go()
        flooded, calm = await flooding.result(), await after.result()
        await require_all_booked(house, since, [(flooding, flooded), (after, calm)])
    _require_polite(flooded)
    refused = flooded.statuses.get("503", 0)
    session.add("overload_asked", Figure(_TIMES * bearable, "requests/s"))
    session.add("overload_sent", Figure(sum(flooded.statuses.values()) / seconds, "requests/s"))
    session.add("overload_accepted", Figure(flooded.counted / flooded.seconds, "events/s", bearable))
    session.add("overload_refused_503", Figure(refused / seconds, "requests/s"))
    session.add("overload_p99", Figure(flooded.p99_ms, "ms", lower_is_better=True))
    session.add("overload_memory", Figure(memory, "MiB", aim=_MEMORY_AIM_MIB, lower_is_better=True))
    recovered = _seconds_until_normal(calm, normal)
    session.add("overload_recovery", Figure(recovered, "s", aim=_RECOVERY_AIM_SECONDS, lower_is_better=True))


def _require_polite(flooded: Result) -> None:
    """Everything was answered, with 200 or with 503 and when to come again. Raises `BenchError`."""
    others = {status: count for status, count in flooded.statuses.items() if status not in {"200", "503"}}
    if others or flooded.unanswered:
        raise BenchError(f"in the flood {others} were answered, and {flooded.unanswered} requests had no answer")
    if flooded.refused_with_retry_after != flooded.statuses.get("503", 0):
        raise BenchError("requests were refused without Retry-After")


def _seconds_until_normal(calm: Result, normal: float) -> float:
    """After how many seconds the rate of a whole second was that of before."""
    for second, accepted in enumerate(calm.by_second):
        if accepted >= _NORMAL * normal:
            return second
    return len(calm.by_second)


async def _largest(house: House, seconds: float) -> float:
    largest = 0.0
    for _ in range(round(seconds / _SAMPLE_SECONDS)):
        largest = max(largest, _memory(house))
        await asyncio.sleep(_SAMPLE_SECONDS)
    return largest


def _memory(house: House) -> float:
    """What the web process holds, in MiB."""
    web = house.process("web")
    if web is None:
        raise BenchError("the web process has ended")
    return web.memory_info().rss / 2**20
