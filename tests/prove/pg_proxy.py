"""A PostgreSQL proxy in front of one process: it sees each statement, and springs a trap at a named one, from outside.

    async with PgProxy(folder, server_socket) as proxy:
        proxy.add(Trap(Mark("insert into attempts"), Moment.BEFORE_COMMIT, act=process.kill))
        DATABASE_URL = proxy.url("guerdon_app", "guerdon")

It speaks as much of the wire protocol as tells statements and transactions apart: simple queries, prepared ones and their
parameters, and the server's `ReadyForQuery`.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tests.support import connections

SOCKET_NAME = ".s.PGSQL.5432"
_CHUNK = 65_536
_SPACES = re.compile(r"\s+")
_ENDS = re.compile(r"(^|;) ?(commit|end)( transaction)? ?;?$")


class Moment(StrEnum):
    """When, seen from the server."""

    BEFORE = "before"
    """It never hears of the statement."""
    AFTER = "after"
    """It has carried the statement out; the process does not know, and nothing is committed."""
    BEFORE_COMMIT = "before-commit"
    """It never hears of the commit of the transaction that the statement was in."""
    AFTER_COMMIT = "after-commit"
    """It has committed, and the process does not know."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells a statement: words that are in it (lower case, single spaces) and a value among its parameters."""

    words: str
    value: str = ""
    also: str = ""
    """More words, if the first are not enough."""

    def fits(self, statement: str, parameters: bytes) -> bool:
        return self.words in statement and self.also in statement and self.value.encode() in parameters


@dataclass
class Trap:
    """Springs once, at a moment of the statement that the mark tells, after `skip` others of the same kind."""

    mark: Mark
    moment: Moment
    act: Callable[[], None]
    skip: int = 0
    goes_on: bool = False
    """After `act` the message goes its way (to a process that was only stopped, say); else the connection ends."""
    is_sprung: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def is_due(self) -> bool:
        """Is it this time?"""
        if self.is_sprung:
            return False
        self.skip -= 1
        self.is_sprung = self.skip < 0
        return self.is_sprung

    def spring(self) -> None:
        self.act()
        self.reached.set()


class PgProxy:
    """The proxy: a Unix socket in a folder of its own, before the server's."""

    def __init__(self, folder: Path, server: Path) -> None:
        """`folder` is made; `server` is the socket behind."""
        self._folder = folder
        self._server_socket = server
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._links: set[_Link] = set()
        self.traps: list[Trap] = []
        self.is_down = False
        """While set, nobody gets a connection."""

    def url(self, role: str, database: str) -> str:
        """Where a process finds it."""
        return f"postgresql://{role}@/{database}?host={quote(str(self._folder), safe='')}"

    def add(self, trap: Trap) -> Trap:
        self.traps.append(trap)
        return trap

    def clear(self) -> None:
        """Forget every trap, and let everybody in."""
        self.traps.clear()
        self.is_down = False

    def cut(self) -> int:
        """End every connection, in the middle of whatever it is; how many there were."""
        for link in self._links:
            link.abort()
        return len(self._links)

    async def __aenter__(self) -> Self:
        self._folder.mkdir(mode=0o700)
        self._server = await asyncio.start_unix_server(self._connected, self._folder / SOCKET_NAME)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.is_down = True
        await connections.end(self._server, self._connections)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self.is_down:
                await self._link(reader, writer)
        except (OSError, asyncio.CancelledError):
            # No server behind; or `__aexit__`. The streams' own callback would print it as an error.
            pass
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_unix_connection(self._server_socket)
        link = _Link(self.traps, (reader, writer), behind)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)
            link.abort()


class _Link:
    """One connection, both ways."""

    def __init__(
        self,
        traps: list[Trap],
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._traps = traps
        self._client_reader, self._client_writer = client
        self._server_reader, self._server_writer = server
        self._statements: dict[bytes, str] = {}
        """Prepared ones, by name."""
        self._touched: list[Trap] = []
        """Traps whose statement is in the present transaction, and that wait for its end."""
        self._after: Trap | None = None
        """Springs when the server has carried out what it was asked last."""
        self._is_in_transaction = False

    def abort(self) -> None:
        self._client_writer.transport.abort()
        self._server_writer.transport.abort()

    async def run(self) -> None:
        """Until either side ends."""
        pumps = [asyncio.create_task(self._from_client()), asyncio.create_task(self._from_server())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _from_client(self) -> None:
        frames = _Frames(typed=False)
        while chunk := await self._client_reader.read(_CHUNK):
            for kind, frame in frames.split(chunk):
                trap = self._look(kind, frame)
                if trap is not None:
                    trap.spring()
                    if not trap.goes_on:
                        return
                self._server_writer.write(frame)
            await self._server_writer.drain()

    async def _from_server(self) -> None:
        frames = _Frames(typed=True)
        while chunk := await self._server_reader.read(_CHUNK):
            held: list[bytes] = []
            for kind, frame in frames.split(chunk):
                held.append(frame)
                if kind == b"Z":
                    if not self._is_over(frame):
                        return
                    self._client_writer.writelines(held)
                    held.clear()
            if self._after is None:
                self._client_writer.writelines(held)
            else:
                frames.put_back(held)
            await self._client_writer.drain()

    def _is_over(self, ready: bytes) -> bool:
        """The server has done what it was asked; False if the connection ends here."""
        self._is_in_transaction = ready[5:6] != b"I"
        if not self._is_in_transaction:
            self._touched.clear()
        trap, self._after = self._after, None
        if trap is not None:
            trap.spring()
        return trap is None or trap.goes_on

    def _look(self, kind: bytes, frame: bytes) -> Trap | None:
        """The trap that springs before the server hears of this message."""
        if kind == b"Q":
            return self._asked(_folded(frame[5:-1]), b"")
        if kind == b"P":
            name, query, _ = frame[5:].split(b"\0", 2)
            self._statements[name] = _folded(query)
        elif kind == b"B":
            _, name, parameters = frame[5:].split(b"\0", 2)
            return self._asked(self._statements.get(name, ""), parameters)
        elif kind == b"C" and frame[5:6] == b"S":
            self._statements.pop(frame[6:-1], None)
        return None

    def _asked(self, statement: str, parameters: bytes) -> Trap | None:
        if statement == "rollback":
            self._touched.clear()
        for trap in self._traps:
            if trap.is_sprung or not trap.mark.fits(statement, parameters):
                continue
            if trap.moment in {Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT}:
                if trap not in self._touched:
                    self._touched.append(trap)
            elif trap.is_due():
                if trap.moment is Moment.BEFORE:
                    return trap
                self._after = trap
        if _ENDS.search(statement) or not (self._is_in_transaction or statement.startswith("begin")):
            return self._commits()
        return None

    def _commits(self) -> Trap | None:
        touched, self._touched = self._touched, []
        for trap in touched:
            if trap.is_due():
                if trap.moment is Moment.BEFORE_COMMIT:
                    return trap
                self._after = trap
        return None


class _Frames:
    """Takes a stream apart into messages. A client's first one has no type."""

    def __init__(self, *, typed: bool) -> None:
        self._rest = b""
        self._typed = typed

    def put_back(self, frames: list[bytes]) -> None:
        """To be split off once more with the next chunk."""
        self._rest = b"".join(frames) + self._rest

    def split(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        data = self._rest + chunk
        place = 0
        while True:
            head = 1 if self._typed else 0
            if len(data) - place < head + 4:
                break
            (length,) = struct.unpack_from("!I", data, place + head)
            end = place + head + length
            if len(data) < end:
                break
            self._typed = True
            yield data[place : place + head], data[place:end]
            place = end
        self._rest = data[place:]


@lru_cache(maxsize=2_000)
def _folded(query: bytes) -> str:
    return _SPACES.sub(" ", query.decode(errors="replace")).strip().lower()
