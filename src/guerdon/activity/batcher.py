"""Which reports make a batch, and when: two batches of a program in flight, of about the same size, so that Python and PostgreSQL
work at once. Nothing waits for company: what comes first flies alone, and what comes meanwhile goes with the next.

In this process a person or a key is in at most one batch in flight (each submission's `lanes`); between processes the
write checks it. What can't be booked soon is refused at the door instead of piling up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

from prometheus_client import Gauge

from guerdon.activity.counts import count_booked
from guerdon.activity.submissions import Outcome, Submission
from guerdon.kit.errors import UnavailableError

FLIGHTS_PER_PROGRAM: Final = 2
FLIGHTS: Final = 4
"""Batches in flight in this process; each has a connection of its own."""
MAX_WAITING: Final = 4_096
MAX_WAITING_PER_PROGRAM: Final = 2_048
MAX_WAITING_BULK: Final = 40_000
_LARGEST_IN_A_FLOOD: Final = 1_000
_LOOK_AHEAD: Final = 1_024
"""How many reports that have to wait for a flight are passed over in search of others."""

waiting_gauge = Gauge("guerdon_intake_waiting", "Reports that wait for a batch.", ["queue"])

Settle = Callable[[Outcome], None]


class Books(Protocol):
    """What books a batch."""

    async def book(self, program_id: UUID, submissions: Sequence[Submission]) -> list[Outcome]:
        """The outcome of each report, in order; never raises."""
        ...


@dataclass(slots=True, eq=False)
class _Line:
    """Reports of one kind that wait for one program, and how many of them are in flight."""

    smallest: int
    """Reports a batch that are not worth dividing."""
    largest: int
    """Reports a batch: with many more, Python and PostgreSQL work in turns instead of at once."""
    waiting: deque[tuple[Submission, Settle]] = field(default_factory=deque[tuple[Submission, Settle]])
    flying: int = 0
    flights: int = 0

    @property
    def may_fly(self) -> bool:
        """Whether as many wait as fly: a second flight that leaves with the first few keeps all others waiting."""
        return bool(self.waiting) and len(self.waiting) >= self.flying

    @property
    def share(self) -> int:
        """Reports of the next batch: half of all there are, so that there are as many for the other flight.

        In a flood, each message of a batch waits until all connections were looked at: then larger ones get more done.
        """
        most = max(self.largest, min(_LARGEST_IN_A_FLOOD, len(self.waiting) // 4))
        return min(most, max(self.smallest, (len(self.waiting) + self.flying + 1) // 2))


def _single_reports() -> _Line:
    return _Line(smallest=16, largest=128)


def _bulk_reports() -> _Line:
    return _Line(smallest=250, largest=1_000)


@dataclass(slots=True, eq=False)
class _Queue:
    """What waits for one program, and what of it is in flight."""

    program_id: UUID
    singles: _Line = field(default_factory=_single_reports)
    bulk: _Line = field(default_factory=_bulk_reports)
    lanes: set[str | bytes] = field(default_factory=set[str | bytes])
    """Of the batches in flight."""
    has_turn: bool = False
    """Whether it waits for a writer."""
    stuck: set[str | bytes] | None = None
    """The lanes of everything that waits, while nothing of it may fly before a flight has landed."""

    def must_wait(self, submission: Submission) -> bool:
        """Whether a new report has to wait for a flight to land. Spares looking through all that waits, once a report."""
        if self.stuck is None:
            return False
        lanes = submission.lanes
        if self.stuck.isdisjoint(lanes) and self.lanes.isdisjoint(lanes):
            return False
        self.stuck.update(lanes)
        return True

    @property
    def flights(self) -> int:
        """Batches of this program in flight."""
        return self.singles.flights + self.bulk.flights

    @property
    def may_fly(self) -> bool:
        """Whether a batch may leave now."""
        return self.flights < FLIGHTS_PER_PROGRAM and (self.singles.may_fly or self.bulk.may_fly)

    def take(self) -> tuple[_Line, list[tuple[Submission, Settle]]]:
        """The next batch and its line. Single reports first, except while they have a flight already."""
        # Of two flights one is left to those who wait for their answer one by one.
        bulk_first = self.bulk.flights == 0 and self.flights > 0
        blocked: set[str | bytes] = set()
        for line in (self.bulk, self.singles) if bulk_first else (self.singles, self.bulk):
            batch = _take(line.waiting, line.share, self.lanes, blocked) if line.may_fly else []
            if batch:
                return line, batch
        self.stuck = blocked
        return self.singles, []


def _take(
    waiting: deque[tuple[Submission, Settle]], limit: int, in_flight: set[str | bytes], blocked: set[str | bytes]
) -> list[tuple[Submission, Settle]]:
    """Up to `limit` reports that share no lane with what is in flight, nor with an earlier one that has to wait.

    Adds the lanes of those that have to wait to `blocked`.
    """
    taken: list[tuple[Submission, Settle]] = []
    passed: list[tuple[Submission, Settle]] = []
    while waiting and len(taken) < limit and len(passed) < _LOOK_AHEAD:
        entry = waiting.popleft()
        lanes = entry[0].lanes
        if any(lane in in_flight or lane in blocked for lane in lanes):
            blocked.update(lanes)
            passed.append(entry)
        else:
            taken.append(entry)
    waiting.extendleft(reversed(passed))
    return taken


class Batcher:
    """Takes reports one by one or in bulk and settles each when its batch is committed or refused."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._queues: dict[UUID, _Queue] = {}
        self._turn: deque[_Queue] = deque()
        """Programs that have something to send and wait for a writer, each once, in turn."""
        self._flights = 0
        self._waiting = 0
        self._waiting_bulk = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def room(self) -> int:
        """How many more single reports would be taken now."""
        return 0 if self._closed else max(0, MAX_WAITING - self._waiting)

    @property
    def waiting(self) -> int:
        """How many reports wait or are being booked."""
        return self._waiting + self._waiting_bulk

    def is_full(self, program_id: UUID) -> bool:
        """Whether a report of this program would be refused now."""
        queue = self._queues.get(program_id)
        return self.room == 0 or (queue is not None and len(queue.singles.waiting) >= MAX_WAITING_PER_PROGRAM)

    def submit(self, program_id: UUID, submission: Submission, settle: Settle) -> None:
        """Have one report booked. Raises `UnavailableError` if too many are waiting, or while shutting down."""
        if self.is_full(program_id):
            raise UnavailableError(retry_after=1)
        queue = self._queue(program_id)
        queue.singles.waiting.append((submission, settle))
        self._waiting += 1
        if not queue.must_wait(submission):
            self._start(queue)

    def reserve_bulk(self, count: int) -> None:
        """Keep room for a bulk of `count` reports, all of it or none. Raises `UnavailableError`."""
        if self._closed or self._waiting_bulk + count > MAX_WAITING_BULK:
            raise UnavailableError(retry_after=2)
        self._waiting_bulk += count

    def release_bulk(self, count: int) -> None:
        """Give back room that was kept and is not used."""
        self._waiting_bulk -= count

    def submit_bulk(self, program_id: UUID, entries: Sequence[tuple[Submission, Settle]]) -> None:
        """Have reports of a bulk booked, for which room was kept."""
        queue = self._queue(program_id)
        queue.bulk.waiting.extend(entries)
        self._start(queue)

    async def drain(self) -> None:
        """Take nothing more, and return when everything taken is settled."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _queue(self, program_id: UUID) -> _Queue:
        queue = self._queues.get(program_id)
        if queue is None:
            queue = self._queues[program_id] = _Queue(program_id)
        return queue

    def _start(self, queue: _Queue) -> None:
        """Send a batch of this program off, now or when a writer is free."""
        if queue.has_turn or not queue.may_fly:
            return
        queue.has_turn = True
        queue.stuck = None
        self._turn.append(queue)
        if self._flights < FLIGHTS:
            self._flights += 1
            # A task begins in the next turn of the loop: what arrives in this one goes along.
            task = asyncio.create_task(self._write())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write(self) -> None:
        """One writer: batches of the programs in turn, until nothing waits that may fly."""
        try:
            while self._turn:
                queue = self._turn.popleft()
                queue.has_turn = False
                line, batch = queue.take()
                if batch:
                    await self._fly(queue, line, batch)
        finally:
            self._flights -= 1

    async def _fly(self, queue: _Queue, line: _Line, batch: list[tuple[Submission, Settle]]) -> None:
        lanes = {lane for submission, _ in batch for lane in submission.lanes}
        queue.lanes |= lanes
        line.flying += len(batch)
        line.flights += 1
        self._start(queue)
        try:
            outcomes = await self._books.book(queue.program_id, [submission for submission, _ in batch])
        finally:
            queue.lanes -= lanes
            line.flying -= len(batch)
            line.flights -= 1
            if line is queue.bulk:
                self._waiting_bulk -= len(batch)
            else:
                self._waiting -= len(batch)
        waiting_gauge.labels("single").set(self._waiting)
        waiting_gauge.labels("bulk").set(self._waiting_bulk)
        count_booked(outcomes)
        for (_, settle), outcome in zip(batch, outcomes, strict=True):
            settle(outcome)
        if queue.singles.waiting or queue.bulk.waiting:
            self._start(queue)
        elif not queue.flights:
            self._queues.pop(queue.program_id, None)
