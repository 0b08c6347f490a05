"""Sharing a fixed pool out by weight: the same multipliers on both sides of the fraction, and never above the pool. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID


def shares(pool: int, weights: Mapping[UUID, int], cap: int | None = None) -> dict[UUID, int]:
    """Points of each account that has any, by largest remainder; what is equal goes to the lower id.

    Their sum is the pool exactly, unless nobody has weight or everybody is at the cap. What the cap takes from one is shared
    among the others.
    """
    open_weights = {account: weight for account, weight in weights.items() if weight > 0}
    left, given = pool, dict[UUID, int]()
    while open_weights and left > 0:
        total = sum(open_weights.values())
        over = [] if cap is None else [account for account, weight in open_weights.items() if left * weight > cap * total]
        if cap is None or not over:
            given |= _largest_remainder(left, open_weights, total, cap)
            break
        for account in over:
            given[account] = cap
            del open_weights[account]
        left = pool - sum(given.values())
    return {account: points for account, points in given.items() if points}


def _largest_remainder(pool: int, weights: Mapping[UUID, int], total: int, cap: int | None) -> dict[UUID, int]:
    parts = {account: divmod(pool * weight, total) for account, weight in weights.items()}
    given = {account: whole for account, (whole, _) in parts.items()}
    left = pool - sum(given.values())
    for account, (_, rest) in sorted(parts.items(), key=lambda part: (-part[1][1], part[0])):
        if left == 0:
            break
        if rest and (cap is None or given[account] < cap):
            given[account] += 1
            left -= 1
    return given
