"""A campaign run over the past, with the decision that is used live: what it would have cost, and whom it would have paid.

Nothing is written and nothing is asked: what was settled is handed in. The program's other campaigns are left out, its tiers and
caps are not; funds are taken as unlimited.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

from guerdon.earning.pools import shares
from guerdon.earning.volume import decide_settlement, record
from guerdon.earning.volume_state import SettlementEarned, VolumeState
from guerdon.earning.volume_terms import MILLION, Campaign, CampaignState, CampaignTerms, CampaignType, Settled, VolumeTerms
from guerdon.kit.database import ProgramSession

WINNERS: Final = 20
_UNLIMITED: Final = 10**30

SettledHistory = Callable[[ProgramSession, datetime, datetime], AsyncIterator[Sequence[Settled]]]
"""Reads what was settled for accounts of the session's program from one time to another (that excluded), in the order of
`settled_at`, in pieces."""


@dataclass(slots=True)
class Simulated:
    """What came of it; points in whole ones, rounded down."""

    settlements: int = 0
    volume_micro_usd: int = 0
    base_points: int = 0
    cost_points: int = 0
    participants: int = 0
    winners: list[tuple[UUID, int]] = field(default_factory=list[tuple[UUID, int]])
    days: list[tuple[date, int, int, int]] = field(default_factory=list[tuple[date, int, int, int]])
    """(day, points, settlements, new participants)."""


class Simulation:
    """One run: settlements are added in the order of their time, then `result` is asked once."""

    def __init__(self, terms: VolumeTerms, campaign: CampaignTerms, since: datetime, until: datetime) -> None:
        """The campaign counts as published from `since` to `until`, whatever its dates are."""
        as_if = replace(campaign, state=CampaignState.PUBLISHED, effective_from=since, start_at=since, end_at=until)
        self._terms, self._campaign = terms, as_if
        self._state = VolumeState(campaigns=(Campaign(campaign.campaign_id, (as_if,)),), funds=_UNLIMITED)
        self._base = 0
        self._spent: defaultdict[date, int] = defaultdict(int)
        self._joined: Counter[date] = Counter()
        self._settlements: Counter[date] = Counter()
        self._result = Simulated()

    def add(self, settled: Settled) -> None:
        """Decide one settlement; one before the start only counts for tiers."""
        outcome = decide_settlement(settled, self._terms, self._state, settled.settled_at)
        if not isinstance(outcome, SettlementEarned):
            return
        record(self._state, settled, outcome)
        # What a batch adds to a day is for writing.
        self._state.settled.clear()
        if settled.settled_at < self._campaign.start_at:
            return
        day = settled.settled_at.astimezone(UTC).date()
        campaign = sum(use.millionths for use in outcome.uses)
        self._result.settlements += 1
        self._result.volume_micro_usd += settled.volume_micro_usd
        self._base += outcome.millionths - campaign
        self._settlements[day] += 1
        self._spent[day] += campaign
        self._joined[day] += sum(use.joins for use in outcome.uses)

    def result(self) -> Simulated:
        """What the whole of it comes to."""
        result, parts = self._result, self._state.participations
        result.base_points = self._base // MILLION
        if self._campaign.type is CampaignType.POOL:
            given = self._shares()
            result.participants = len(given)
            result.cost_points = sum(given.values())
            paid = {account: points * MILLION for account, points in given.items()}
            if given:
                # A pool is paid at its end.
                self._spent[max(self._settlements)] += result.cost_points * MILLION
        else:
            paid = {account: part.spent for (_, account), part in parts.items() if part.spent}
            result.cost_points = sum(paid.values()) // MILLION
            result.participants = sum(part.joined for part in parts.values())
        first = sorted(paid.items(), key=lambda item: (-item[1], item[0]))[:WINNERS]
        result.winners = [(account, millionths // MILLION) for account, millionths in first]
        result.days = [
            (day, self._spent[day] // MILLION, self._settlements[day], self._joined[day]) for day in sorted(self._settlements)
        ]
        return result

    def _shares(self) -> dict[UUID, int]:
        least = self._campaign.threshold_volume or 0
        weights = {
            account: part.weight for (_, account), part in self._state.participations.items() if part.volume_micro_usd >= least
        }
        return shares(self._campaign.pool_points or 0, weights, self._campaign.account_cap)
