"""Which slot it is: a matter of the clock alone, so that slots and blockhashes need no storing and go on over a restart.

A slot's blockhash follows from the genesis and the slot's number. Heights are lower than slots, as on any cluster: whoever takes
one for the other notices.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from hashlib import sha256
from time import time_ns
from typing import Final

from solders.hash import Hash

from guerdon.chains.localsolana.records import Anchor

FIRST_SLOT: Final = 64
"""The slot that has the block of height 1: those before had none."""
CONFIRMED_LAG: Final = 2
FINALIZED_LAG: Final = 32
MAX_AGE: Final = 150
"""Blocks for which a blockhash may be used."""
_ANCHORS: Final = 1_000
COMMITMENTS: Final = ("processed", "confirmed", "finalized")


def unix_ms() -> int:
    """Now, in milliseconds."""
    return time_ns() // 1_000_000


class Slots:
    """The slots of one chain."""

    def __init__(self, genesis_hash: str, anchors: Iterable[Anchor], now_ms: Callable[[], int] = unix_ms) -> None:
        """`anchors` are all that there were, oldest first."""
        self._genesis = genesis_hash.encode()
        self._anchors = deque(anchors, _ANCHORS)
        self._now_ms = now_ms
        self._least = self.anchor.slot
        self._hashes: OrderedDict[str, int] = OrderedDict()
        self._hashed_to = -1

    @property
    def anchor(self) -> Anchor:
        """What slots are counted from now."""
        return self._anchors[-1]

    def head(self) -> int:
        """The newest slot. It never goes back, whatever the clock does."""
        passed = (self._now_ms() - self.anchor.at_ms) // self.anchor.slot_ms
        self._least = max(self._least, self.anchor.slot + passed)
        return self._least

    def at(self, commitment: str) -> int:
        """The newest slot of a commitment."""
        lag = {"processed": 0, "confirmed": CONFIRMED_LAG, "finalized": FINALIZED_LAG}[commitment]
        return max(0, self.head() - lag)

    def raise_to(self, slot: int) -> None:
        """The chain has been at this slot: the clock may have gone back since."""
        self._least = max(self._least, slot)

    def moved(self, slots: int, slot_ms: int | None = None) -> Anchor:
        """Be that many slots further on from now; the anchor to be remembered."""
        self._anchors.append(Anchor(self.head() + slots, self._now_ms(), slot_ms or self.anchor.slot_ms))
        self._least = self.anchor.slot
        return self.anchor

    def time_of(self, slot: int) -> int:
        """When a slot began, in Unix seconds."""
        later: Anchor | None = None
        for anchor in reversed(self._anchors):
            if anchor.slot <= slot or anchor is self._anchors[0]:
                at_ms = anchor.at_ms + (slot - anchor.slot) * anchor.slot_ms
                # Slots that were passed over in no time end where those after them begin.
                return (at_ms if later is None else min(at_ms, later.at_ms)) // 1000
            later = anchor
        raise AssertionError("there is always an anchor")

    def blockhash(self, slot: int) -> Hash:
        """Of the block in a slot."""
        return Hash(sha256(b"%s/%d" % (self._genesis, slot)).digest())

    def slot_of(self, blockhash: str) -> int | None:
        """The slot of a blockhash that may be used at the head, or might have been a moment ago."""
        head = self.head()
        for slot in range(max(self._hashed_to + 1, head - 2 * MAX_AGE, 0), head + 1):
            self._hashes[str(self.blockhash(slot))] = slot
        self._hashed_to = max(self._hashed_to, head)
        while len(self._hashes) > 2 * MAX_AGE + 1:
            self._hashes.popitem(last=False)
        return self._hashes.get(blockhash)


def height(slot: int) -> int:
    """The height of a slot's block."""
    return max(0, slot - FIRST_SLOT + 1)


def has_block(slot: int) -> bool:
    """Has this slot a block, once it is over?"""
    return slot == 0 or slot >= FIRST_SLOT
