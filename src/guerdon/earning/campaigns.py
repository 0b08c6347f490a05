"""Does a campaign make sense, and what does a change of it mean? Pure; its use cases are `service_campaigns.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from guerdon.earning.campaign_config import milestones_of
from guerdon.earning.errors import CampaignPromisedError, InvalidCampaignError
from guerdon.earning.volume_terms import SCALE, CampaignState, CampaignType, multiplier_of

_LIMITS = ("max_participants", "max_points_per_account", "conversion_rates")
_SPENDING = (*_LIMITS, "max_budget_points", "max_points_per_payer")
_ACCEPTED: Mapping[CampaignType, tuple[str, ...]] = {
    CampaignType.MULTIPLIER: ("multiplier", "stacking", "threshold_volume", *_SPENDING),
    CampaignType.BONUS: ("bonus_points", "milestones", *_SPENDING),
    CampaignType.THRESHOLD: ("threshold_volume", "threshold_points", "milestones", *_SPENDING),
    CampaignType.POOL: ("pool_points", "threshold_volume", "tier_multipliers", "boosts", "settle_seconds", *_LIMITS),
}
_NEEDED: Mapping[CampaignType, tuple[str, ...]] = {
    CampaignType.MULTIPLIER: ("multiplier",),
    CampaignType.BONUS: (),
    CampaignType.THRESHOLD: ("threshold_volume", "threshold_points"),
    CampaignType.POOL: ("pool_points",),
}


def check(type_: CampaignType, config: Mapping[str, Any], start_at: datetime, end_at: datetime) -> None:
    """Raise `InvalidCampaignError` with everything that is wrong."""
    problems = [*_problems(type_, config), *_problems_of_dates(start_at, end_at)]
    if problems:
        raise InvalidCampaignError(" ".join(f"{p['field']} {p['message']}." for p in problems), details=problems)


def check_promises(
    type_: CampaignType, before: Mapping[str, Any], after: Mapping[str, Any], ends: tuple[datetime, datetime]
) -> None:
    """A published pool keeps what it has promised: accounts earn their weight before anything is paid. `ends`: before, after."""
    if type_ is not CampaignType.POOL:
        return
    worse = [
        name
        for name, sign in (("pool_points", 1), ("threshold_volume", -1), ("max_points_per_account", 1))
        if _is_worse(before.get(name), after.get(name), sign)
    ]
    if ends[1] > ends[0]:
        worse.append("end_at")
    if worse:
        raise CampaignPromisedError(details={"fields": worse})


def is_active(state: str, start_at: datetime, end_at: datetime, now: datetime) -> bool:
    """Published, not paused, and within its dates."""
    return state == CampaignState.PUBLISHED and start_at <= now < end_at


def shown_state(state: str, end_at: datetime, now: datetime) -> CampaignState:
    """A campaign whose end is over has ended, whether or not anybody has said so."""
    known = CampaignState(state)
    return CampaignState.ENDED if known is not CampaignState.DRAFT and end_at <= now else known


def _is_worse(before: object, after: object, sign: int) -> bool:
    """`sign` 1: less is worse, and no limit is best; -1: more is worse, and none is best."""
    if after is None:
        return False
    if before is None:
        return True
    return sign * (int(str(after)) - int(str(before))) < 0


def _problems(type_: CampaignType, config: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    accepted = _ACCEPTED[type_]
    for name in config:
        if name not in accepted:
            yield _problem(name, f"is not of a {type_} campaign, which takes {', '.join(accepted)}")
    missing = [name for name in _NEEDED[type_] if config.get(name) is None]
    for name in missing:
        yield _problem(name, f"is needed for a {type_} campaign")
    if missing:
        return
    rates = config.get("conversion_rates") or ()
    if len({rate["network"] for rate in rates}) < len(rates):
        yield _problem("conversion_rates", "name the same network twice")
    # One that is there for its conversion rates alone multiplies by 1.
    if type_ is CampaignType.MULTIPLIER and multiplier_of(config["multiplier"]) < SCALE + (0 if rates else 1):
        yield _problem("multiplier", "must be above 1, or 1 with conversion_rates: a campaign adds to what is earned")
    if type_ in {CampaignType.BONUS, CampaignType.THRESHOLD}:
        yield from _problems_of_milestones(config)


def _problems_of_milestones(config: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    milestones = milestones_of(config)
    if not milestones:
        yield _problem("milestones", "or bonus_points are needed for a bonus campaign")
        return
    if len({milestone.key for milestone in milestones}) < len(milestones):
        yield _problem("milestones", "name the same volume or count twice")
    least = min(milestone.points for milestone in milestones)
    for name in ("max_budget_points", "max_points_per_account", "max_points_per_payer"):
        if config.get(name) is not None and int(config[name]) < least:
            yield _problem(name, f"({config[name]}) is below the least bonus ({least}): nothing could ever be earned")


def _problems_of_dates(start_at: datetime, end_at: datetime) -> Iterator[dict[str, str]]:
    if end_at <= start_at:
        yield _problem("end_at", "must be after start_at")


def _problem(field: str, message: str) -> dict[str, str]:
    return {"field": field, "message": message}
