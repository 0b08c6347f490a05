"""Which tier volume makes: computed from the days of a window, never stored. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate

from guerdon.earning.volume_terms import SCALE, Downgrade, Tier, VolumeTerms, lookback_days


@dataclass(frozen=True, slots=True)
class Standing:
    """An account's tier, and what is missing to the next one (None at the top)."""

    tier: Tier
    volume_micro_usd: int
    """In the window that ends today."""
    next_tier: Tier | None
    volume_to_next: int


def volume_in(volumes: Mapping[date, int], day: date, days: int) -> int:
    """Volume of the `days` days that end with `day`; what came later is not looked at."""
    first = day - timedelta(days=days - 1)
    return sum(volume for at, volume in volumes.items() if first <= at <= day)


def tier_at(terms: VolumeTerms, volumes: Mapping[date, int], day: date) -> Tier:
    """The tier on that day, with grace and by the downgrade policy."""
    if len(terms.tiers) == 1 or not volumes:
        return terms.tiers[0]
    steps = len(terms.tiers) - 1 if terms.downgrade is Downgrade.ONE_STEP else 0
    if not terms.grace_days and not steps:
        return terms.tiers[_index(terms, volume_in(volumes, day, terms.window_days))]
    step = max(terms.grace_days, 1)
    earliest = day - timedelta(days=terms.grace_days + step * steps)
    days = sorted(volumes)
    sums = list(accumulate((volumes[at] for at in days), initial=0))
    # The volume of a window falls from day to day but where something was settled: its peak is there, or where a period begins.
    looked_at = {day, *days[bisect_left(days, earliest) : bisect_right(days, day)]}
    looked_at.update(day - timedelta(days=terms.grace_days + step * lost) for lost in range(steps + 1))
    best = 0
    for at in looked_at:
        window = at - timedelta(days=terms.window_days - 1)
        index = _index(terms, sums[bisect_right(days, at)] - sums[bisect_left(days, window)])
        over = (day - at).days - terms.grace_days
        best = max(best, index - (0 if over <= 0 else -(-over // step)))
    return terms.tiers[best]


def standing(terms: VolumeTerms, volumes: Mapping[date, int], day: date) -> Standing:
    """The tier on that day, and the way to the next one."""
    tier = tier_at(terms, volumes, day)
    volume = volume_in(volumes, day, terms.window_days)
    following = next((one for one in terms.tiers if one.volume_micro_usd > tier.volume_micro_usd), None)
    missing = 0 if following is None else max(following.volume_micro_usd - volume, 0)
    return Standing(tier, volume, following, missing)


def multiplies(terms: VolumeTerms) -> bool:
    """Whether any tier changes what is earned: else nobody's volume has to be looked at."""
    return any(tier.multiplier != SCALE for tier in terms.tiers) and lookback_days(terms) > 0


def _index(terms: VolumeTerms, volume: int) -> int:
    return max(index for index, tier in enumerate(terms.tiers) if volume >= tier.volume_micro_usd)
