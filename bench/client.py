"""The load client: a process of its own that sends signed requests over kept connections and spends as little as it can.

It shares the machine with what it measures, so it is a bare loop over `epoll`: requests are made before the time that is
measured, of an answer only the status, the length and the first bytes are looked at, the rest is reckoned up afterwards.
Told what to do by a line of JSON on stdin; says `ready`, waits for `go`, and answers with a line of JSON.
"""

from __future__ import annotations

import gc
import re
import resource
import select
import socket
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from uuid import UUID

import msgspec

from bench.requests import BULK, SINGLE, Crowd, Shop, events, members_event, signed

_KEPT = 160
"""Bytes of an answer's body that are kept: the event's id and its reward are in them."""
_DECIDED = re.compile(rb'"eventId":"([0-9a-f-]{36})".*?"rewardAmount":(\d+)')
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_RETRY = re.compile(rb"(?i)\r\nretry-after: *\d+")
_PATIENCE_SECONDS = 15
"""How long the last answers may take after the end."""
_RECEIVED = 262_144


class Job(msgspec.Struct, frozen=True):
    """What one client does."""

    host: str
    port: int
    connections: int
    seconds: float
    """Measured, after `warm_up_seconds` that are not."""
    shops: list[Shop]
    crowd: Crowd
    requests: int
    """Made beforehand; when they run out the run ends early and says so."""
    warm_up_seconds: float = 1
    lines: int = 0
    """Events a request: 0 for single events, else NDJSON."""
    joining: bool = False
    """Make the known members: the first `requests * lines` of them, in the first shop."""
    rate: float = 0
    """Requests a second, sent when they are due; 0: each connection sends its next one when it is answered."""
    again: bool = False
    """Send what was refused with 503 again, as a client does."""
    noop: bool = False
    """Ask for nothing: what the server answers by itself, without a decision or a row."""
    decided: str = ""
    """A file for what the answers said: a line an event, its id and its points."""


class Result(msgspec.Struct):
    """What came of it."""

    seconds: float
    """Measured."""
    counted: int
    """Events that were accepted within them."""
    accepted: int
    """Events that were accepted in all, warm-up and last answers included."""
    points: int
    """What they earned, by the answers."""
    statuses: dict[str, int]
    """Requests by the status of their answer."""
    unanswered: int
    refused_with_retry_after: int
    behind: int
    """Requests that were due and could not be sent because every connection waited for an answer."""
    ran_out: bool
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_seconds: float
    """Of this process while it sent."""
    by_second: list[int]
    """Requests answered with 200 in each second since the first was sent."""


class _Connection:
    """One kept connection, and the request that it waits for."""

    __slots__ = ("number", "part", "request", "socket", "started", "unsent")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.number = self.socket.fileno()
        self.request = -1
        self.started = 0.0
        self.part = b""
        self.unsent: memoryview | None = None


class Client:
    """Sends the requests of one job. `run` is the hot loop; the rest prepares it or reckons up."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.requests = make_requests(job)
        self.waiting: deque[int] = deque(range(len(self.requests)))
        self.kept: list[bytes] = []
        self.statuses: Counter[bytes] = Counter()
        self.by_second: Counter[int] = Counter()
        self.latencies = array("d")
        self.accepted_in_time = 0
        self.retry_after = 0
        self.unanswered = 0
        self.behind = 0
        self.ran_out = False
        self.sent = 0
        self.began = self.measured_from = self.ends = self.last_answer = 0.0
        self.poller = select.epoll()
        self.connections: dict[int, _Connection] = {}
        self.free: deque[_Connection] = deque()
        for _ in range(job.connections):
            self._connect()

    def close(self) -> None:
        """Give the connections up."""
        for connection in self.connections.values():
            connection.socket.close()
        self.poller.close()

    def _connect(self) -> None:
        connection = _Connection((self.job.host, self.job.port))
        self.connections[connection.number] = connection
        self.poller.register(connection.number, select.EPOLLIN)
        self.free.append(connection)

    def _lost(self, connection: _Connection) -> None:
        """The server closed it: whatever it waited for has no answer."""
        self.unanswered += connection.request >= 0
        del self.connections[connection.number]
        connection.socket.close()
        self._connect()

    def _send(self, connection: _Connection) -> bool:
        """Send the next request on a free connection; False, and it stays free, where there is none left."""
        if not self.waiting:
            self.ran_out = True
            self.free.append(connection)
            return False
        connection.request = self.waiting.popleft()
        request = self.requests[connection.request]
        connection.started = time.perf_counter()
        try:
            sent = connection.socket.send(request)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lost(connection)
            return True
        if sent < len(request):
            connection.unsent = memoryview(request)[sent:]
            self.poller.modify(connection.number, select.EPOLLIN | select.EPOLLOUT)
        return True

    def _send_rest(self, connection: _Connection, unsent: memoryview) -> None:
        connection.unsent = unsent[connection.socket.send(unsent) :]
        if not connection.unsent:
            connection.unsent = None
            self.poller.modify(connection.number, select.EPOLLIN)

    def run(self) -> Result:
        """Send until the time is over, then wait for the answers that are still out."""
        job, poll = self.job, self.poller.poll
        used = _cpu_seconds()
        self.began = time.perf_counter()
        self.measured_from = self.began + job.warm_up_seconds
        self.ends = self.measured_from + job.seconds
        while self._goes_on(time.perf_counter()):
            for number, happened in poll(0.001 if job.rate else 0.05):
                connection = self.connections[number]
                if happened & select.EPOLLOUT and connection.unsent is not None:
                    self._send_rest(connection, connection.unsent)
                if happened & ~select.EPOLLOUT:
                    self._receive(connection)
        self.unanswered += len(self.connections) - len(self.free)
        measured_to = self.last_answer if self.ran_out and not job.again else self.ends
        return self._result(max(0.001, min(measured_to, self.ends) - self.measured_from), _cpu_seconds() - used)

    def _goes_on(self, now: float) -> bool:
        """Send what is due on free connections; False once the time is over and everything is answered."""
        if now >= self.ends or (self.ran_out and not self.job.again):
            waits = len(self.free) < len(self.connections)
            return waits and now < max(self.ends, self.last_answer) + _PATIENCE_SECONDS
        if not self.job.rate:
            while self.free and self._send(self.free.popleft()):
                pass
            return True
        due = int((now - self.began) * self.job.rate)
        while self.sent < due and self.free and self._send(self.free.popleft()):
            self.sent += 1
        if self.sent < due and not self.free:
            # Whoever was to be served now is not; nobody catches up later.
            self.behind += due - self.sent
            self.sent = due
        return True

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(_RECEIVED)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if connection.request < 0:
                self.free.remove(connection)
            self._lost(connection)
            return
        if connection.part:
            data = connection.part + data
        head = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data) if head >= 0 else None
        if length is None or len(data) < head + 4 + int(length[1]):
            connection.part = data
            return
        connection.part = b""
        self._count(connection, data, head)
        connection.request = -1
        if self.job.rate or self.last_answer >= self.ends:
            self.free.append(connection)
        else:
            self._send(connection)

    def _count(self, connection: _Connection, data: bytes, head: int) -> None:
        """Note a whole answer; its head ends at `head`."""
        now = self.last_answer = time.perf_counter()
        status = data[9:12]
        self.statuses[status] += 1
        if status == b"200":
            self.kept.append(data[head + 4 :] if self.job.lines else data[head + 4 : head + 4 + _KEPT])
            self.by_second[int(now - self.began)] += 1
        elif status == b"503":
            self.retry_after += _RETRY.search(data, 0, head + 2) is not None
            if self.job.again:
                self.waiting.append(connection.request)
        if self.measured_from <= now <= self.ends:
            self.latencies.append(now - connection.started)
            if status == b"200":
                self.accepted_in_time += 1 if not self.job.lines else data.count(b'"success":true', head)

    def _result(self, seconds: float, cpu_seconds: float) -> Result:
        decided = [found for kept in self.kept for found in _DECIDED.findall(kept)]
        if self.job.decided:
            Path(self.job.decided).write_bytes(b"".join(b"%b %b\n" % one for one in decided))
        ordered = sorted(self.latencies)
        return Result(
            seconds=seconds,
            counted=len(self.latencies) if self.job.noop else self.accepted_in_time,
            accepted=len(decided),
            points=sum(int(points) for _, points in decided),
            statuses={status.decode(): count for status, count in sorted(self.statuses.items())},
            unanswered=self.unanswered,
            refused_with_retry_after=self.retry_after,
            behind=self.behind,
            ran_out=self.ran_out,
            p50_ms=1000 * percentile(ordered, 0.5),
            p99_ms=1000 * percentile(ordered, 0.99),
            max_ms=1000 * percentile(ordered, 1),
            cpu_seconds=cpu_seconds,
            by_second=[self.by_second[second] for second in range(max(self.by_second, default=-1) + 1)],
        )


def percentile(ordered: Sequence[float], part: float) -> float:
    """The value that this part of them does not exceed; 0 where there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def make_requests(job: Job) -> list[bytes]:
    """All that the job may send, in order, in turn for each of its shops."""
    host = f"{job.host}:{job.port}"
    if job.noop:
        return [f"GET {SINGLE} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()] * job.requests
    lines = max(1, job.lines)
    made = (
        (members_event(number) for number in range(job.requests * lines))
        if job.joining
        else events(job.crowd, job.requests * lines, seed=0)
    )
    path = BULK if job.lines else SINGLE
    requests: list[bytes] = []
    for number in range(job.requests):
        body = b"\n".join(islice(made, lines))
        requests.append(signed(job.shops[number % len(job.shops)], path, body, host=host))
    return requests


def read_decided(path: Path) -> list[tuple[UUID, int]]:
    """What the answers said: the id of each event, and its points."""
    return [(UUID(event_id), int(points)) for event_id, points in map(str.split, path.read_text().splitlines())]


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """One job, as told on stdin."""
    client = Client(msgspec.json.decode(sys.stdin.buffer.readline(), type=Job))
    # What was made for the run is no garbage, and looking through it in the middle would show.
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if sys.stdin.buffer.readline():
        sys.stdout.write(msgspec.json.encode(client.run()).decode() + "\n")
    client.close()


if __name__ == "__main__":
    main()
