"""Which transactions there were, by signature, address and slot. Of each only what lists need is in memory; the rest is read
from the journal. The oldest are forgotten beyond a bound, as nodes prune theirs.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

_SWEEP_EVERY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A transaction that landed."""

    number: int
    """Among all of the chain, from 0."""
    slot: int
    time: int
    signature: bytes
    place: int
    """In the journal."""
    error: Any
    memo: str | None
    price: int
    """What it paid a compute unit, in micro-lamports."""


class History:
    """The newest transactions, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: deque[Entry] = deque()
        self._first = 0
        self._by_signature: dict[bytes, int] = {}
        self._by_address: dict[bytes, array[int]] = {}
        self._by_slot: dict[int, list[int]] = {}
        self.first_slot = 0
        """The first slot that is whole."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def count(self) -> int:
        """All transactions that there ever were."""
        return self._first + len(self._entries)

    def skip(self, transactions: int, first_slot: int) -> None:
        """So many are known to have been before the first one here."""
        self._first, self.first_slot = transactions, first_slot

    def add(self, entry: Entry, addresses: Iterator[bytes]) -> None:
        """The newest transaction, with the accounts that it names."""
        self._entries.append(entry)
        self._by_signature[entry.signature] = entry.number
        self._by_slot.setdefault(entry.slot, []).append(entry.number)
        for address in addresses:
            self._by_address.setdefault(address, array("Q")).append(entry.number)
        if len(self._entries) > self._limit:
            self._forget_oldest()

    def by_signature(self, signature: bytes) -> Entry | None:
        """A transaction, if it is not forgotten."""
        number = self._by_signature.get(signature)
        return None if number is None else self._entries[number - self._first]

    def of_address(self, address: bytes) -> Iterator[Entry]:
        """The transactions that name an account, newest first."""
        for number in reversed(self._by_address.get(address, array("Q"))):
            if number < self._first:
                return
            yield self._entries[number - self._first]

    def of_slot(self, slot: int) -> list[Entry]:
        """The transactions of a block, in their order."""
        return [self._entries[number - self._first] for number in self._by_slot.get(slot, ()) if number >= self._first]

    def all(self) -> Iterator[Entry]:
        """Everything that is not forgotten, oldest first."""
        return iter(self._entries)

    def newest(self) -> Entry | None:
        """The last transaction that landed."""
        return self._entries[-1] if self._entries else None

    def move(self, places: Iterator[int]) -> None:
        """They are elsewhere in the journal now."""
        self._entries = deque(replace(entry, place=place) for entry, place in zip(self._entries, places, strict=True))

    def _forget_oldest(self) -> None:
        oldest = self._entries.popleft()
        self._first += 1
        del self._by_signature[oldest.signature]
        self._by_slot.pop(oldest.slot, None)
        self.first_slot = oldest.slot + 1
        if self._first % _SWEEP_EVERY == 0:
            # Each address's list is shortened now and then instead of with each transaction.
            for address in list(self._by_address):
                kept = array("Q", (number for number in self._by_address[address] if number >= self._first))
                if kept:
                    self._by_address[address] = kept
                else:
                    del self._by_address[address]
