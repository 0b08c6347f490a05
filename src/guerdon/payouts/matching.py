"""Which payouts a payment to one wallet has paid, where only its sum is known (SAFETY S21). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MOST_SUMS: Final = 20_000
"""A wallet with more payouts than these sums can tell apart is matched oldest first."""


@dataclass(frozen=True, slots=True)
class Match:
    """Places of the payouts that were paid in whole, and what a payment came to besides."""

    whole: tuple[int, ...]
    left_atomic: int


def match(amounts: Sequence[int], paid_atomic: int) -> Match:
    """The payouts, oldest first, whose sum comes nearest to what was paid without exceeding it.

    As much as possible is taken for paid: what was paid and is not matched would be paid a second time.
    """
    best: dict[int, tuple[int, ...]] = {0: ()}
    for place, amount in enumerate(amounts):
        if paid_atomic in best or len(best) > _MOST_SUMS:
            break
        for total, places in list(best.items()):
            if total + amount <= paid_atomic:
                best.setdefault(total + amount, (*places, place))
    nearest = max(best)
    if nearest == paid_atomic or len(best) <= _MOST_SUMS:
        return Match(best[nearest], paid_atomic - nearest)
    return _oldest_first(amounts, paid_atomic)


def _oldest_first(amounts: Sequence[int], paid_atomic: int) -> Match:
    chosen: list[int] = []
    for place, amount in enumerate(amounts):
        if amount <= paid_atomic:
            chosen.append(place)
            paid_atomic -= amount
    return Match(tuple(chosen), paid_atomic)
