"""Which processes run: each writes a row every few seconds, with its vital signs, and takes it back when it ends in order.

For people (`guerdon status`); nothing is decided by it. Who may sign or work is a matter of leases and claims.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from prometheus_client import Gauge
from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.clock import rest
from guerdon.kit.database import Database, PlatformSession
from guerdon.kit.ids import uuid7
from guerdon.kit.models import Base, Scope, Utc, scope

BEAT_SECONDS: Final = 5.0
WINDOW_SECONDS: Final = 60.0
"""What counts in the vital signs are about: the last minute."""
_LAG_EVERY_SECONDS: Final = 0.5
_LAG_SAMPLES: Final = 30
_GONE_AFTER: Final = timedelta(minutes=10)
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")

Counts = Callable[[], Mapping[str, float]]
"""What a process has counted since it began, by name."""

_lag = Gauge("guerdon_event_loop_lag_seconds", "How late the event loop came back at worst in the last 15 s")
log = structlog.get_logger("guerdon.presence")


class ProcessRow(Base):
    """A web or worker process that runs, or did until it was killed."""

    __tablename__ = "processes"
    __table_args__ = (scope(Scope.PLATFORM),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    role: Mapped[str]
    """`web`, `worker`, `web events`, `web admin`."""
    place: Mapped[str]
    """Host and process number."""
    address: Mapped[str | None]
    """Where its `/metrics` is, as it knows it itself."""
    version: Mapped[str]
    vitals: Mapped[dict[str, Any]] = mapped_column(JSONB)
    started_at: Mapped[Utc] = mapped_column(server_default=func.now())
    seen_at: Mapped[Utc] = mapped_column(server_default=func.now())


class Presence:
    """Makes this process seen for as long as `run` runs."""

    def __init__(
        self,
        database: Database,
        role: str,
        version: str,
        *,
        address: str | None = None,
        counts: Counts = dict,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._seconds = seconds
        self._row = {"id": uuid7(), "role": role, "place": f"{socket.gethostname()}:{os.getpid()}", "address": address}
        self._version = version
        self._counts = counts
        self._history: deque[tuple[float, Mapping[str, float]]] = deque()
        self._lags: deque[float] = deque(maxlen=_LAG_SAMPLES)

    async def run(self, stop: asyncio.Event) -> None:
        """Be seen until `stop` is set; a database that is away is waited for."""
        measuring = asyncio.create_task(self._measure())
        try:
            while not stop.is_set():
                await self._try(self._beat)
                await rest(BEAT_SECONDS, stop)
            await self._try(self._leave)
        finally:
            measuring.cancel()
            await asyncio.gather(measuring, return_exceptions=True)

    async def _try(self, work: Callable[[PlatformSession], Any]) -> None:
        try:
            async with asyncio.timeout(BEAT_SECONDS), self._database.platform() as session:
                await work(session)
        except Exception as error:  # noqa: BLE001 - being seen is not worth ending for
            log.debug("presence.not_written", error=type(error).__name__)

    async def _beat(self, session: PlatformSession) -> None:
        row = {**self._row, "version": self._version, "vitals": self._vitals()}
        new = insert(ProcessRow).values(**row)
        changes = {"vitals": new.excluded.vitals, "seen_at": func.now()}
        await session.execute(new.on_conflict_do_update(index_elements=[ProcessRow.id], set_=changes))
        await session.execute(delete(ProcessRow).where(ProcessRow.seen_at < func.now() - _GONE_AFTER))

    async def _leave(self, session: PlatformSession) -> None:
        await session.execute(delete(ProcessRow).where(ProcessRow.id == self._row["id"]))

    def _vitals(self) -> dict[str, Any]:
        now, counts = self._seconds(), dict(self._counts())
        self._history.append((now, counts))
        while now - self._history[0][0] > WINDOW_SECONDS + BEAT_SECONDS / 2:
            self._history.popleft()
        since, before = self._history[0]
        return {
            "loopLagMs": round(max(self._lags, default=0.0) * 1000, 1),
            "residentBytes": resident_bytes(),
            "windowSeconds": round(now - since, 1),
            "counts": {name: round(value - before.get(name, 0)) for name, value in counts.items()},
        }

    async def _measure(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(_LAG_EVERY_SECONDS)
            self._lags.append(max(0.0, time.monotonic() - began - _LAG_EVERY_SECONDS))
            _lag.set(max(self._lags))


def resident_bytes() -> int | None:
    """The memory that this process holds; None where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except OSError:
        return None
