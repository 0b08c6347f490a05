"""Where the time comes from: injected, so that a decision never asks for it. UTC only.

What several processes judge alike is of the database's clock instead (`transaction_time` in `kit/database.py`; SAFETY S10, S19).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present, in UTC."""
        return datetime.now(UTC)


class FixedClock:
    """Stands still until it is moved: for tests, simulation and back-fill."""

    def __init__(self, at: datetime) -> None:
        """`at` has to be aware of its time zone."""
        self._now = to_utc(at)

    def now(self) -> datetime:
        """The time it was set to, in UTC."""
        return self._now

    def set(self, at: datetime) -> None:
        """Move to another time, earlier or later."""
        self._now = to_utc(at)

    def advance(self, by: timedelta) -> datetime:
        """Move on, and return the new time."""
        self._now += by
        return self._now


def to_utc(at: datetime) -> datetime:
    """The same instant in UTC; a time without a zone is refused, because nobody knows which it is."""
    if at.tzinfo is None:
        message = "a time without a time zone"
        raise ValueError(message)
    return at.astimezone(UTC)


async def rest(seconds: float, until: asyncio.Event) -> None:
    """Do nothing for so long, or until the event is set."""
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        return
