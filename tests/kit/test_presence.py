"""A process tells of itself: what it counted in the last minute, and how late its event loop is."""

from __future__ import annotations

import asyncio
import time

from guerdon.kit import presence
from guerdon.kit.database import Database
from guerdon.kit.presence import Presence, resident_bytes


async def test_counts_are_those_of_the_last_minute(database: Database) -> None:
    counts, now = {"booked": 100.0}, 1000.0
    told = Presence(database, "web", "1", counts=lambda: counts, seconds=lambda: now)
    assert told._vitals()["counts"] == {"booked": 0}
    for _ in range(30):
        now += presence.BEAT_SECONDS
        counts["booked"] += 5
        vitals = told._vitals()
    assert vitals["windowSeconds"] == presence.WINDOW_SECONDS
    assert vitals["counts"] == {"booked": 60}
    counts["COOLDOWN"] = 3.0
    assert told._vitals()["counts"]["COOLDOWN"] == 3


async def test_a_loop_that_was_kept_busy_is_told(database: Database) -> None:
    told = Presence(database, "web", "1")
    measuring = asyncio.create_task(told._measure())
    await asyncio.sleep(0.05)
    time.sleep(0.8)  # noqa: ASYNC251 - the whole loop stands
    while not told._lags:
        await asyncio.sleep(0.01)
    measuring.cancel()
    assert told._vitals()["loopLagMs"] > 200


async def test_a_database_that_is_away_does_not_end_it(port: int) -> None:
    database = Database(f"postgresql://guerdon_app@127.0.0.1:{port}/nothing")
    stop = asyncio.Event()
    running = asyncio.create_task(Presence(database, "web", "1").run(stop))
    await asyncio.sleep(0.2)
    assert not running.done()
    stop.set()
    await asyncio.wait_for(running, 30)
    await database.close()


def test_memory_is_told_in_bytes() -> None:
    told = resident_bytes()
    assert told is None or told > 1 << 20
