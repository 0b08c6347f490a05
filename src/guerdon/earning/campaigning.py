"""What campaigns add to one settlement, within their budgets, caps and places. Pure; part of the decision in `volume.py`.

Campaigns apply in the order of their ids: of the multipliers the best of those that don't add up, then what adds, then what
multiplies, each rounded down; then flat points of milestones, which nothing multiplies; pools only note what counts for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from guerdon.earning.volume_state import CampaignUse, VolumeState
from guerdon.earning.volume_terms import (
    MILLION,
    SCALE,
    CampaignTerms,
    CampaignType,
    Milestone,
    Settled,
    Stacking,
    Tier,
    VolumeTerms,
    dollars_text,
    multiplier_text,
    points_text,
)

NO_BUDGET = "its budget, or a limit of it, is used up"
NO_PLACE = "all its places are taken"


@dataclass(slots=True)
class Allowance:
    """What the caps of a day leave for one settlement, in millionths (None: no cap), and what it took."""

    left: int | None
    name: str
    """The narrowest cap, for the reader."""
    counted: tuple[str, ...]
    taken: int = 0

    @classmethod
    def of_day(cls, settled: Settled, terms: VolumeTerms, state: VolumeState, day: date) -> Allowance:
        """What is left of the program's caps on that day."""
        caps = [(cap * MILLION - state.days.get((day, whose), 0), name, whose) for cap, name, whose in day_caps(settled, terms)]
        narrowest = min(caps, default=None)
        if narrowest is None:
            return cls(None, "", ())
        return cls(max(narrowest[0], 0), narrowest[1], tuple(whose for _, _, whose in caps))

    def take(self, asked: int) -> int:
        """As much of it as the caps leave."""
        granted = asked if self.left is None else min(asked, self.left)
        self.taken += granted
        if self.left is not None:
            self.left -= granted
        return granted

    def has(self, asked: int) -> bool:
        """Whether all of it is left."""
        return self.left is None or asked <= self.left


def day_caps(settled: Settled, terms: VolumeTerms) -> Iterator[tuple[int, str, str]]:
    """The program's caps that a settlement draws on: points, name, whose counter."""
    if terms.cap_account is not None:
        yield terms.cap_account, "the cap of an account a day", f"account/{settled.account_id}"
    if terms.cap_payer is not None:
        yield terms.cap_payer, "the cap of a payer a day", f"payer/{settled.payer}"
    if terms.cap_program is not None:
        yield terms.cap_program, "the cap of the program a day", "program"


@dataclass(slots=True)
class Parts:
    """What all campaigns add."""

    uses: list[CampaignUse] = field(default_factory=list[CampaignUse])
    reasons: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def campaign_parts(settled: Settled, tier: Tier, base: int, state: VolumeState, allowance: Allowance) -> Parts:
    """What every campaign that covers the settlement adds to `base` millionths."""
    covering = [
        terms
        for campaign in state.campaigns
        if not campaign.frozen and (terms := campaign.at(settled.settled_at)) is not None and terms.covers(settled)
    ]
    parts = Parts()
    if covering:
        _multipliers(
            settled, [terms for terms in covering if terms.type is CampaignType.MULTIPLIER], base, state, allowance, parts
        )
        for terms in covering:
            if terms.type is CampaignType.POOL:
                _pool(settled, tier, terms, state, parts)
            elif terms.type is not CampaignType.MULTIPLIER:
                _milestones(settled, terms, state, allowance, parts)
    return parts


def _multipliers(
    settled: Settled, covering: list[CampaignTerms], base: int, state: VolumeState, allowance: Allowance, parts: Parts
) -> None:
    applying = [terms for terms in covering if _applies(settled, terms, state)]
    best = _best([terms for terms in applying if terms.stacking is Stacking.BEST], settled, base, state)
    running = base
    for terms in covering:
        if terms.stacking is Stacking.MULTIPLY:
            continue
        if terms not in applying or (terms.stacking is Stacking.BEST and terms is not best):
            why = "another one gives more" if terms in applying else f"from {_usd(terms.threshold_volume)} on"
            parts.uses.append(CampaignUse(terms.campaign_id, terms.version))
            parts.reasons.append(_reason(terms, 0, f"counted, {why}"))
            continue
        running += _multiplied(settled, terms, base, state, allowance, parts)
    for terms in covering:
        if terms.stacking is not Stacking.MULTIPLY:
            continue
        if terms in applying:
            running += _multiplied(settled, terms, running, state, allowance, parts)
        else:
            parts.uses.append(CampaignUse(terms.campaign_id, terms.version))
            parts.reasons.append(_reason(terms, 0, f"counted, from {_usd(terms.threshold_volume)} on"))


def _applies(settled: Settled, terms: CampaignTerms, state: VolumeState) -> bool:
    before, _ = state.participation(terms.campaign_id, settled.account_id).before(settled)
    return before >= (terms.threshold_volume or 0)


def _best(candidates: list[CampaignTerms], settled: Settled, base: int, state: VolumeState) -> CampaignTerms | None:
    """The one that can really give most; of equal ones the first."""
    return max(candidates, key=lambda terms: min(_more(terms, base), _left(settled, terms, state)), default=None)


def _more(terms: CampaignTerms, amount: int) -> int:
    return amount * ((terms.multiplier or SCALE) - SCALE) // SCALE


def _multiplied(
    settled: Settled, terms: CampaignTerms, amount: int, state: VolumeState, allowance: Allowance, parts: Parts
) -> int:
    asked = _more(terms, amount)
    granted = allowance.take(min(asked, _left(settled, terms, state)))
    times = f"{multiplier_text(terms.multiplier or SCALE)} times"
    if granted < asked:
        # Where nothing at all is left, either the places or the points are gone.
        why = NO_PLACE if not granted and _has_no_place(settled, terms, state) else NO_BUDGET
        times = f"{times}, but {why}"
    parts.uses.append(_use(settled, terms, state, granted))
    parts.reasons.append(_reason(terms, granted, times))
    return granted


def _milestones(settled: Settled, terms: CampaignTerms, state: VolumeState, allowance: Allowance, parts: Parts) -> None:
    part = state.participation(terms.campaign_id, settled.account_id)
    before = part.before(settled)
    volume, settlements = before[0] + settled.volume_micro_usd, before[1] + 1
    left = _left(settled, terms, state)
    paid: list[Milestone] = []
    refused = False
    for milestone in terms.milestones:
        if milestone.key in part.reached or not milestone.is_reached(volume, settlements):
            continue
        # All of a milestone's points or none: what can't be paid now is paid by a later settlement, if points are left then.
        cost = milestone.points * MILLION
        if cost <= left and allowance.has(cost):
            left -= allowance.take(cost)
            paid.append(milestone)
        else:
            refused = True
    granted = sum(milestone.points for milestone in paid) * MILLION
    parts.uses.append(_use(settled, terms, state, granted, tuple((milestone.key, milestone.points) for milestone in paid)))
    told = [_told(milestone) for milestone in paid]
    if refused:
        told.append(f"reached, but {NO_PLACE if _has_no_place(settled, terms, state) else NO_BUDGET}")
    if not told:
        told.append(f"counted: {_usd(volume)} in {settlements}")
    parts.reasons.append(_reason(terms, granted, ", ".join(told)))


def _pool(settled: Settled, tier: Tier, terms: CampaignTerms, state: VolumeState, parts: Parts) -> None:
    part = state.participation(terms.campaign_id, settled.account_id)
    if not part.joined and _is_full(terms, state):
        parts.reasons.append(_reason(terms, 0, NO_PLACE))
        return
    boost = max((times for name, times in terms.boosts if name in settled.named), default=SCALE)
    weight = settled.volume_micro_usd * (tier.multiplier if terms.tier_multipliers else SCALE) * boost
    parts.uses.append(CampaignUse(terms.campaign_id, terms.version, joins=not part.joined, weight=weight))
    parts.reasons.append(_reason(terms, 0, "counts for a share of the pool"))


def _left(settled: Settled, terms: CampaignTerms, state: VolumeState) -> int:
    """Millionths that the campaign can still give for this settlement."""
    if _has_no_place(settled, terms, state):
        return 0
    part = state.participation(terms.campaign_id, settled.account_id)
    spending = state.spending.get(terms.campaign_id)
    limits = (
        (terms.budget, 0 if spending is None else spending.spent),
        (terms.account_cap, part.spent),
        (terms.payer_cap, state.payers.get((terms.campaign_id, settled.payer), 0)),
    )
    return max(min((limit * MILLION - spent for limit, spent in limits if limit is not None), default=10**30), 0)


def _has_no_place(settled: Settled, terms: CampaignTerms, state: VolumeState) -> bool:
    return not state.participation(terms.campaign_id, settled.account_id).joined and _is_full(terms, state)


def _is_full(terms: CampaignTerms, state: VolumeState) -> bool:
    spending = state.spending.get(terms.campaign_id)
    return terms.max_participants is not None and spending is not None and spending.participants >= terms.max_participants


def _use(
    settled: Settled, terms: CampaignTerms, state: VolumeState, granted: int, milestones: tuple[tuple[str, int], ...] = ()
) -> CampaignUse:
    joins = granted > 0 and not state.participation(terms.campaign_id, settled.account_id).joined
    return CampaignUse(terms.campaign_id, terms.version, granted, joins=joins, milestones=milestones)


def _reason(terms: CampaignTerms, millionths: int, told: str) -> dict[str, Any]:
    return {
        "kind": "campaign",
        "campaign": str(terms.campaign_id),
        "version": terms.version,
        "name": terms.name,
        "type": terms.type.value,
        "points": points_text(millionths),
        "text": f"{terms.name}: {told}.",
    }


def _told(milestone: Milestone) -> str:
    if milestone.count is not None:
        return "first payment" if milestone.count == 1 else f"{milestone.count} payments"
    return f"{_usd(milestone.volume)} of volume"


def _usd(micro_usd: int | None) -> str:
    return f"{dollars_text(micro_usd or 0)} USD"
