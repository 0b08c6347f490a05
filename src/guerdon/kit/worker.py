"""The worker: claims due rows of the table `work` and runs their handlers, beside any number of other workers.

How work comes into the table is `kit/jobs.py`.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram

from guerdon.kit import driver, outbox
from guerdon.kit.clock import rest
from guerdon.kit.database import LOCK_NOT_AVAILABLE, Database, sqlstate
from guerdon.kit.errors import DatabaseUnavailableError
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.jobs import CHANNEL

Handler = Callable[[UUID], Awaitable[datetime | timedelta | None]]
"""Does what there is to do for one program, in transactions of its own, and tells when it wants to run again: at a time,
after a time, or (None) when it is woken. It may be stopped anywhere and run again, and may run with nothing to do."""

CLAIM = timedelta(seconds=30)
"""How long a claim lasts without renewal: how long the work of a killed worker lies idle."""
LONGEST_BACKOFF = timedelta(minutes=5)
ALERT_AFTER_ATTEMPTS = 5
_FIRST_BACKOFF = timedelta(milliseconds=200)
_LONGEST_SLEEP = 5.0
_LISTENER_RETRY = 1.0

_runs = Counter("guerdon_work_runs", "Handlers that ran, by how they ended", ["kind", "outcome"])
_seconds = Histogram("guerdon_work_seconds", "How long handlers took", ["kind"])
_lag = Histogram(
    "guerdon_work_lag_seconds",
    "From when work was due to when it was done",
    ["kind"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600),
)
_log = structlog.stdlib.get_logger("guerdon.worker")

# What is due, or whose claim ran out (its worker was killed); the look takes no lock.
_CLAIMABLE = """
    kind = ANY($1::text[]) AND coalesce(not_before, '-infinity') <= now()
    AND ((due_at <= now() AND coalesce(claimed_until, '-infinity') <= now()) OR claimed_until <= now())
"""
_LOOK = f"""
SELECT kind, program_id, extract(epoch FROM now() - greatest(least(due_at, claimed_until), not_before))::float8 AS late
FROM work WHERE {_CLAIMABLE}
ORDER BY least(due_at, claimed_until) LIMIT $2
"""  # noqa: S608 - constants
_TAKE = f"""
UPDATE work SET due_at = NULL, claim = claim + 1, attempts = attempts + 1, claimed_by = $4,
    claimed_until = now() + $5::interval, updated_at = now()
WHERE kind = $2 AND program_id = $3 AND {_CLAIMABLE}
RETURNING claim, attempts
"""  # noqa: S608 - constants
_SKIP_IF_LOCKED = "SELECT 1 FROM work WHERE kind = $1 AND program_id = $2 FOR UPDATE SKIP LOCKED"
_RENEW = """
UPDATE work SET claimed_until = now() + $4::interval WHERE kind = $1 AND program_id = $2 AND claim = $3 RETURNING claim
"""
_DONE = """
UPDATE work SET due_at = least(due_at, coalesce($4::timestamptz, now() + $5::interval)),
    not_before = NULL, claimed_until = NULL, claimed_by = NULL, attempts = 0, last_error = NULL, updated_at = now()
WHERE kind = $1 AND program_id = $2 AND claim = $3
RETURNING due_at <= now() AS due
"""
_FAILED = """
UPDATE work SET due_at = now() + $4::interval, not_before = now() + $4::interval,
    claimed_until = NULL, claimed_by = NULL, last_error = $5, updated_at = now()
WHERE kind = $1 AND program_id = $2 AND claim = $3
"""
# Stopped in the middle by a shutdown: not an error, and due at once for whoever comes next.
_GIVEN_BACK = """
UPDATE work SET due_at = now(), claimed_until = NULL, claimed_by = NULL, attempts = greatest(attempts - 1, 0), updated_at = now()
WHERE kind = $1 AND program_id = $2 AND claim = $3
"""
_NEXT = """
SELECT extract(epoch FROM min(greatest(least(due_at, claimed_until), coalesce(not_before, '-infinity'),
    CASE WHEN due_at IS NULL OR claimed_until > now() THEN claimed_until END)) - now())::float8
FROM work WHERE kind = ANY($1::text[]) AND (due_at IS NOT NULL OR claimed_until IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class _Claim:
    kind: str
    program_id: UUID
    number: int
    attempts: int
    due_at: float
    """When it was due, by the loop's clock."""


class Worker:
    """Runs the handlers of some kinds, at most `concurrency` at a time and one at a time for each kind and program."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Handler],
        *,
        name: str | None = None,
        concurrency: int = 4,
        drain_seconds: float = 20,
    ) -> None:
        """`drain_seconds`: how long handlers may go on after a stop before they are cancelled and given back."""
        self._database = database
        self._handlers = dict(handlers)
        self._kinds = sorted(handlers)
        self._name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._concurrency = concurrency
        self._drain_seconds = drain_seconds
        self._woken = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], _Claim] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then let what runs finish. Survives a database that goes away and comes back."""
        listener = asyncio.create_task(self._listen())
        stopper = asyncio.create_task(self._wake_on(stop))
        try:
            while not stop.is_set():
                self._woken.clear()
                try:
                    sleep = await self._fill()
                except Exception as error:
                    if not isinstance(error, DatabaseUnavailableError) and not driver.is_connection_failure(error):
                        raise
                    _log.warning("worker.database_unavailable", error=str(error))
                    sleep = _LISTENER_RETRY
                if sleep > 0:
                    await rest(sleep, self._woken)
        finally:
            for helper in (listener, stopper):
                helper.cancel()
            await asyncio.gather(listener, stopper, return_exceptions=True)
            await self._drain()

    async def _fill(self) -> float:
        """Start what is due as far as there is room; return how many seconds there is nothing to do."""
        room = self._concurrency - len(self._tasks)
        if room <= 0:
            return _LONGEST_SLEEP  # a task that ends wakes us
        pool = await self._database.raw()
        async with pool.acquire() as connection:
            found = await connection.fetch(_LOOK, self._kinds, room)
            skipped: list[tuple[str, UUID, float]] = []
            taken = 0
            for row in found:
                claim = await self._claim(connection, row["kind"], row["program_id"], late=row["late"], wait=False)
                if claim is None:
                    skipped.append((row["kind"], row["program_id"], row["late"]))
                else:
                    taken += 1
                    self._start(claim)
            if not taken and skipped:
                # Somebody holds the row: another worker, or a stream of transactions that wake it one after the other and
                # would never let SKIP LOCKED find it free. Standing in line for it ends both.
                kind, program_id, late = skipped[0]
                claim = await self._claim(connection, kind, program_id, late=late, wait=True)
                if claim is not None:
                    self._start(claim)
                return 0
            if found:
                return 0
            seconds = await connection.fetchval(_NEXT, self._kinds)
        return _LONGEST_SLEEP if seconds is None else min(max(float(seconds), 0.005), _LONGEST_SLEEP)

    async def _claim(
        self, connection: driver.RawConnection, kind: str, program_id: UUID, *, late: float, wait: bool
    ) -> _Claim | None:
        due_at = time.monotonic() - late
        # In line only for a moment: other kinds of work wait behind this.
        await connection.execute("BEGIN; SET LOCAL lock_timeout = '100ms'")
        try:
            free = wait or await connection.fetchval(_SKIP_IF_LOCKED, kind, program_id) is not None
            arguments = ([kind], kind, program_id, self._name, CLAIM)
            row = await connection.fetchrow(_TAKE, *arguments) if free else None
        except BaseException as error:
            await connection.execute("ROLLBACK")
            if sqlstate(error) == LOCK_NOT_AVAILABLE:
                return None
            raise
        await connection.execute("COMMIT")
        return None if row is None else _Claim(kind, program_id, row["claim"], row["attempts"], due_at)

    def _start(self, claim: _Claim) -> None:
        task = asyncio.create_task(self._carry_out(claim), name=f"{claim.kind}:{claim.program_id}")
        self._tasks[task] = claim
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Recording the outcome failed; the claim runs out, and the work is done again.
            _log.warning("worker.outcome_not_recorded", work=task.get_name(), error=str(error))

    async def _carry_out(self, claim: _Claim) -> None:
        renewal = asyncio.create_task(self._renew(claim))
        try:
            with _seconds.labels(claim.kind).time():
                again = await self._handlers[claim.kind](claim.program_id)
        except asyncio.CancelledError:
            renewal.cancel()
            await self._execute(_GIVEN_BACK, claim)
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, the work is tried again
            renewal.cancel()
            _runs.labels(claim.kind, "failed").inc()
            await self._failed(claim, error)
            return
        renewal.cancel()
        _runs.labels(claim.kind, "done").inc()
        _lag.labels(claim.kind).observe(time.monotonic() - claim.due_at)
        at = again.astimezone(UTC) if isinstance(again, datetime) else None
        after = again if isinstance(again, timedelta) else None
        await self._execute(_DONE, claim, at, after)
        if claim.attempts > ALERT_AFTER_ATTEMPTS:
            async with self._database.platform() as session:
                await outbox.resolve_alert(session, "work.failing", _alert_key(claim))

    async def _failed(self, claim: _Claim, error: Exception) -> None:
        exponent = min(claim.attempts - 1, 20)
        backoff = min(_FIRST_BACKOFF * 2**exponent, LONGEST_BACKOFF) * random.uniform(0.75, 1)  # noqa: S311 - jitter
        described = f"{type(error).__name__}: {error}"[:1000].replace("\x00", "")
        _log.exception(
            "worker.handler_failed",
            kind=claim.kind,
            program_id=str(claim.program_id),
            attempts=claim.attempts,
            retry_in_seconds=round(backoff.total_seconds(), 1),
        )
        await self._execute(_FAILED, claim, backoff, described)
        if claim.attempts >= ALERT_AFTER_ATTEMPTS:
            async with self._database.platform() as session:
                await outbox.raise_alert(
                    session,
                    "work.failing",
                    _alert_key(claim),
                    severity=outbox.Severity.WARNING,
                    message=f"{claim.kind} has failed {claim.attempts} times in a row: {described}",
                    remedy="`guerdon doctor` says what is missing; the worker's log has the whole error. "
                    "It is tried again by itself, at least every five minutes.",
                    program_id=None if claim.program_id == PLATFORM_PROGRAM_ID else claim.program_id,
                )

    async def _renew(self, claim: _Claim) -> None:
        while True:
            await asyncio.sleep(CLAIM.total_seconds() / 3)
            try:
                await self._execute(_RENEW, claim, CLAIM)
            except Exception as error:  # noqa: BLE001 - the next renewal, or another worker after the claim, goes on
                _log.warning("worker.claim_not_renewed", kind=claim.kind, error=str(error))

    async def _execute(self, statement: str, claim: _Claim, *arguments: object) -> None:
        # A lost connection is tried again: otherwise the work would lie idle until the claim runs out. Each statement names
        # the claim, so that one which took effect before the connection broke changes nothing the second time.
        for pause in (0.1, 0.5, 2.0, None):
            try:
                pool = await self._database.raw()
                async with pool.acquire() as connection:
                    await connection.execute(statement, claim.kind, claim.program_id, claim.number, *arguments)
            except Exception as error:
                if pause is None or not driver.is_connection_failure(error):
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _listen(self) -> None:
        """Keep a connection that is told of new work; without it the worker polls."""
        while True:
            try:
                connection = await self._database.dedicated()
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _connection, lost=lost: lost.set())
                try:
                    await connection.add_listener(CHANNEL, self._notified)
                    self._woken.set()  # what came before we listened
                    await lost.wait()
                finally:
                    await connection.close(timeout=2)
            except Exception as error:
                if not driver.is_connection_failure(error):
                    raise
            await asyncio.sleep(_LISTENER_RETRY)

    def _notified(self, _connection: driver.RawConnection, _pid: int, _channel: str, kind: str) -> None:
        if kind in self._handlers:
            self._woken.set()

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()

    async def _drain(self) -> None:
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=self._drain_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _alert_key(claim: _Claim) -> str:
    return f"{claim.kind}:{claim.program_id}"
