"""The decision: what one settled payment earns. A pure function of settlement, terms, state and time; no I/O, no clock.

The same function runs live, in batch, in back-fill and in simulation (DESIGN section 2). What is decided about is
`volume_terms.py`, what the decision rests on `volume_state.py`, what campaigns add `campaigning.py`.

base = volume * points_per_unit * tier / unit, in millionths of a point, rounded down a settlement; a campaign's part likewise.
What is left of a whole point is the account's fraction, so the total is the same in any order.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from guerdon.earning.campaigning import Allowance, campaign_parts
from guerdon.earning.decision import POINTS_MAX
from guerdon.earning.tiers import tier_at
from guerdon.earning.volume_state import NothingEarned, Participation, SettlementEarned, Spending, VolumeState
from guerdon.earning.volume_terms import (
    LARGEST_VOLUME,
    MILLION,
    SCALE,
    Held,
    Settled,
    Tier,
    VolumeTerms,
    dollars_text,
    multiplier_text,
    points_text,
)

NO_VOLUME = "no volume"
TOO_SMALL = "below the least volume of the program"
TOO_LARGE = "more volume, or more points, than can be"
NO_FUNDS = "the program has no funds left for it"


def decide_settlement(
    settled: Settled, terms: VolumeTerms, state: VolumeState, now: datetime
) -> SettlementEarned | NothingEarned:
    """What `settled` earns in `state`; dates of campaigns, versions and caps are compared with its block's time."""
    volume = settled.volume_micro_usd
    if volume <= 0:
        return NothingEarned(NO_VOLUME)
    if volume > LARGEST_VOLUME:
        return NothingEarned(TOO_LARGE)
    if volume < terms.min_volume_micro_usd:
        return NothingEarned(TOO_SMALL)
    day = settled.settled_at.astimezone(UTC).date()
    tier = tier_at(terms, state.volumes_of(settled.account_id), day)
    plain = volume * terms.points_per_unit * MILLION // terms.unit_micro_usd
    asked = volume * terms.points_per_unit * MILLION * tier.multiplier // (terms.unit_micro_usd * SCALE)
    allowance = Allowance.of_day(settled, terms, state, day)
    base = allowance.take(asked)
    reasons = [_rate(settled, terms, plain)]
    if tier.multiplier != SCALE:
        reasons.append(_tier(tier, asked - plain))
    if base < asked:
        reasons.append({"kind": "cap", "points": points_text(base - asked), "text": f"No more today: {allowance.name}."})
    parts = campaign_parts(settled, tier, base, state, allowance)
    reasons += parts.reasons
    millionths = base + sum(use.millionths for use in parts.uses)
    fraction = state.fractions.get(settled.account_id, 0) + millionths
    # A fraction below zero is what a reversal could not take; it is made good first.
    points = max(fraction, 0) // MILLION
    if points > POINTS_MAX:
        return NothingEarned(TOO_LARGE)
    if points > state.funds:
        return NothingEarned(NO_FUNDS, waits=True)
    if points * MILLION != millionths:
        reasons.append(_carried(points, fraction - points * MILLION))
    held_for, held_until = _held(settled, terms, now)
    if held_for is Held.REVIEW:
        reasons.append({"kind": "review", "text": f"Held for review: {settled.review}"})
    return SettlementEarned(
        points=points,
        millionths=millionths,
        fraction=fraction - points * MILLION,
        held_for=held_for,
        held_until=held_until,
        reasons=tuple(reasons),
        uses=tuple(parts.uses),
        capped=tuple((whose, allowance.taken) for whose in allowance.counted) if allowance.taken else (),
    )


def record(state: VolumeState, settled: Settled, earned: SettlementEarned) -> None:
    """Move `state` to what it is after `earned` was booked."""
    account, day = settled.account_id, settled.settled_at.astimezone(UTC).date()
    if settled.review is None:
        volumes = state.volumes.setdefault(account, {})
        volumes[day] = volumes.get(day, 0) + settled.volume_micro_usd
    added = state.settled[account, day]
    added[0] += settled.volume_micro_usd
    added[1] += 1
    state.fractions[account] = earned.fraction
    state.funds -= earned.points
    for whose, millionths in earned.capped:
        state.days[day, whose] = state.days.get((day, whose), 0) + millionths
    for use in earned.uses:
        spending = state.spending.setdefault(use.campaign_id, Spending())
        spending.spent += use.millionths
        spending.participants += use.joins
        part = state.participations.setdefault((use.campaign_id, account), Participation())
        part.spent += use.millionths
        part.volume_micro_usd += settled.volume_micro_usd
        part.settlements += 1
        if settled.review is not None:
            part.in_review = (part.in_review[0] + settled.volume_micro_usd, part.in_review[1] + 1)
        part.weight += use.weight
        part.joined = part.joined or use.joins
        part.reached |= {key: settled.id for key, _ in use.milestones}
        if use.millionths:
            payer = (use.campaign_id, settled.payer)
            state.payers[payer] = state.payers.get(payer, 0) + use.millionths


def _held(settled: Settled, terms: VolumeTerms, now: datetime) -> tuple[Held | None, datetime | None]:
    until = settled.settled_at + timedelta(seconds=terms.holding_seconds) if terms.holding_seconds else None
    if settled.review is not None:
        return Held.REVIEW, until
    if not settled.is_final:
        return Held.FINALITY, until
    return (Held.HOLDING, until) if until is not None and until > now else (None, None)


def _rate(settled: Settled, terms: VolumeTerms, plain: int) -> dict[str, Any]:
    volume, unit = dollars_text(settled.volume_micro_usd), dollars_text(terms.unit_micro_usd)
    points = "1 point" if terms.points_per_unit == 1 else f"{terms.points_per_unit} points"
    return {
        "kind": "rate",
        "version": terms.version,
        "volume_micro_usd": str(settled.volume_micro_usd),
        "payer": settled.payer,
        "points": points_text(plain),
        "text": f"{points} per {unit} USD, for {volume} USD.",
    }


def _tier(tier: Tier, more: int) -> dict[str, Any]:
    times = multiplier_text(tier.multiplier)
    return {
        "kind": "tier",
        "tier": tier.name,
        "multiplier": times,
        "points": points_text(more),
        "text": f"Tier {tier.name}: {times} times.",
    }


def _carried(points: int, fraction: int) -> dict[str, Any]:
    return {
        "kind": "carried",
        "points": str(points),
        "fraction": points_text(fraction),
        "text": f"{points} whole with what was left before; {points_text(fraction)} is left for the next.",
    }
