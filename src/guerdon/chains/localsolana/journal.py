"""A file of records: each whole or not there, in the order of their writing, on disk before anybody is answered (SAFETY S27).

A record is its length, its checksum, a checksum of these two, and its content. What a kill left half written at the end is cut
off; anything else that does not fit is damage, and nothing is made up for it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from guerdon.chains.anvil_process import LocalChainError
from guerdon.chains.localsolana.records import Record

_LENGTHS: Final = struct.Struct("<II")
_HEAD: Final = struct.Struct("<III")
_MAGIC: Final = b"guerdon-solana-1\n"
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


class Journal:
    """One journal, held by this process until it is closed."""

    def __init__(self, folder: Path) -> None:
        """Raises `LocalChainError` if another process holds the folder's journal."""
        self.path = folder / "journal"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(folder / "journal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise LocalChainError(
                f"another process runs the Solana in {folder}", "stop it, or choose another data directory"
            ) from None
        self._file = self._open()
        self._end = os.fstat(self._file).st_size
        # Counted in records: places change when a shorter journal takes this one's place.
        self._appended = self._durable = 0
        self._syncing: asyncio.Task[None] | None = None

    def _open(self) -> int:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        begins = os.pread(file, len(_MAGIC), 0)
        if begins != _MAGIC:
            # Shorter than its first line: killed while it was made, and nobody has seen anything of it.
            if not _MAGIC.startswith(begins):
                os.close(file)
                raise LocalChainError(f"{self.path} is no journal of a local Solana", "give it back from a copy")
            os.ftruncate(file, 0)
            os.pwrite(file, _MAGIC, 0)
            os.fsync(file)
            self._sync_folder()
        return file

    def records(self) -> Iterator[tuple[int, Record]]:
        """All records with their places, oldest first; half a record at the end is cut off."""
        place = len(_MAGIC)
        while place < self._end:
            length, checksum = self._head(place)
            following = place + _HEAD.size + length
            content = os.pread(self._file, length, place + _HEAD.size)
            if zlib.crc32(content) != checksum or len(content) < length:
                if following < self._end:
                    raise self._damaged(place)
                self._cut(place)
                return
            try:
                yield place, _decoder.decode(content)
            except msgspec.MsgspecError as error:
                raise self._damaged(place) from error
            place = following

    def _head(self, place: int) -> tuple[int, int]:
        """Length and checksum of the record at a place; a length that ends behind the file for one that was never whole."""
        head = os.pread(self._file, _HEAD.size, place)
        if len(head) == _HEAD.size:
            length, checksum, own = _HEAD.unpack(head)
            if zlib.crc32(_LENGTHS.pack(length, checksum)) == own:
                return length, checksum
            # A power cut may leave a file longer than what was written to it.
            if any(os.pread(self._file, self._end - place, place)):
                raise self._damaged(place)
        return self._end, 0

    def _cut(self, place: int) -> None:
        os.ftruncate(self._file, place)
        os.fsync(self._file)
        self._end = place

    def read(self, place: int) -> Record:
        """The record at a place that `append` or `records` told."""
        length, _, _ = _HEAD.unpack(os.pread(self._file, _HEAD.size, place))
        return _decoder.decode(os.pread(self._file, length, place + _HEAD.size))

    def append(self, record: Record) -> int:
        """Write a record, which survives a kill of this process from now on, and a power cut after `sync`; its place."""
        place = self._end
        framed = _framed(record)
        written = os.pwrite(self._file, framed, place)
        while written < len(framed):
            written += os.pwrite(self._file, framed[written:], place + written)
        self._end = place + len(framed)
        self._appended += 1
        return place

    async def sync(self) -> None:
        """Return once everything that was appended until now is on disk. Many wait for one write."""
        wanted = self._appended
        while self._durable < wanted:
            if self._syncing is None or self._syncing.done():
                self._syncing = asyncio.create_task(self._sync_once())
            await asyncio.shield(self._syncing)

    async def _sync_once(self) -> None:
        appended, file = self._appended, os.dup(self._file)
        try:
            await asyncio.to_thread(os.fdatasync, file)
        finally:
            os.close(file)
        self._durable = max(self._durable, appended)

    def sync_now(self) -> None:
        """The same, at once."""
        os.fdatasync(self._file)
        self._durable = self._appended

    def replace(self, records: Iterator[Record]) -> list[int]:
        """Write another journal in place of this one, all at once; the places of its records."""
        beside = self.path.with_name("journal.new")
        places, place = list[int](), len(_MAGIC)
        with beside.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(_MAGIC)
            for record in records:
                framed = _framed(record)
                file.write(framed)
                places.append(place)
                place += len(framed)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        self._sync_folder()
        os.close(self._file)
        self._file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self._end = place
        self._durable = self._appended
        return places

    def close(self) -> None:
        """Let go of the folder."""
        self.sync_now()
        os.close(self._file)
        os.close(self._lock)

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _damaged(self, place: int) -> LocalChainError:
        return LocalChainError(
            f"{self.path} is damaged at byte {place}",
            "give it back from a copy; a new chain would not have what the database knows of this one",
        )


def _framed(record: Record) -> bytes:
    content = _encoder.encode(record)
    lengths = _LENGTHS.pack(len(content), zlib.crc32(content))
    return lengths + zlib.crc32(lengths).to_bytes(4, "little") + content
