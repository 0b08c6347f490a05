"""The decision: what one report earns. A pure function of report, terms, state and time; no I/O, no clock, no randomness.

The same function runs live, in bulk and in simulation (DESIGN section 2). What is reported and under which terms is `terms.py`;
limits that are counted are in `caps.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from guerdon.earning.caps import CapUse, cap_uses
from guerdon.earning.terms import UNLIMITED, ProgramTerms, Report, RuleTerms

DUPLICATE_WINDOW = timedelta(seconds=60)
"""A report without an idempotency key that repeats (event type, account) within this is a duplicate."""
POINTS_MAX = 2**63 - 1


class Claims(msgspec.Struct, frozen=True):
    """How often an account was rewarded for an event type, and when last."""

    count: int
    last_at: datetime


@dataclass(slots=True)
class State:
    """What the decision depends on, as loaded; `record` moves it on, so that a batch is decided in order of arrival."""

    claims: dict[tuple[UUID, str], Claims] = field(default_factory=dict[tuple[UUID, str], Claims])
    used: dict[str, int] = field(default_factory=dict[str, int])
    """By cap key."""
    funds: dict[UUID, int] = field(default_factory=dict[UUID, int])
    """By asset: points that the program can still give."""
    debts: dict[tuple[UUID, UUID], int] = field(default_factory=dict[tuple[UUID, UUID], int])
    """By (account, asset): what later earnings repay first."""


class Earned(msgspec.Struct, frozen=True):
    """The report is accepted. `repaid` of its `points` go to an open debt."""

    points: int
    repaid: int
    reasons: tuple[dict[str, Any], ...]
    caps: tuple[CapUse, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The report earns nothing and leaves no trace; `status` is the HTTP status of the answer."""

    status: int
    code: str
    message: str
    retry_after_s: int | None = None
    details: Mapping[str, Any] | None = None


def decide(report: Report, rule: RuleTerms | None, program: ProgramTerms, state: State, now: datetime) -> Earned | Refused:
    """What `report` earns at `now` (UTC) in `state`. Refusals come in the order in which a caller can mend them."""
    if not program.automation_enabled:
        return Refused(403, "AUTOMATION_DISABLED", "Automation is off for this program; its operator can turn it on.")
    if rule is None:
        return Refused(400, "EVENT_TYPE_NOT_CONFIGURED", f"Event type not configured: {report.event_type}")
    refusal = _refused_by_terms(report, rule) or _refused_by_time(report, rule, state, now)
    if refusal is not None:
        return refusal
    points = _reward(report, rule)
    if isinstance(points, Refused):
        return points
    caps = cap_uses(report, rule, program, points, now)
    for cap in caps:
        if state.used.get(cap.key, 0) + cap.amount > cap.limit:
            return _refused_by_cap(cap, now)
    if points > state.funds.get(rule.asset_id, 0):
        return Refused(400, "INSUFFICIENT_BALANCE", "The program has no funds left for this reward; its operator must fund it.")
    repaid = min(points, state.debts.get((report.account_id, rule.asset_id), 0))
    return Earned(points, repaid, (_reason(rule, points, repaid),), caps)


def record(state: State, report: Report, rule: RuleTerms, earned: Earned, now: datetime) -> None:
    """Move `state` to what it is after `earned` was booked."""
    claim = (report.account_id, rule.event_type)
    before = state.claims.get(claim)
    state.claims[claim] = Claims(1 if before is None else before.count + 1, now)
    for cap in earned.caps:
        state.used[cap.key] = state.used.get(cap.key, 0) + cap.amount
    if earned.points:
        # Of what is repaid, the points go back to the funds that they came from.
        state.funds[rule.asset_id] = state.funds.get(rule.asset_id, 0) - earned.points + earned.repaid
    if earned.repaid:
        state.debts[report.account_id, rule.asset_id] -= earned.repaid


def _refused_by_terms(report: Report, rule: RuleTerms) -> Refused | None:
    if not rule.enabled:
        return Refused(403, "EVENT_DISABLED", f"Rewards for {rule.event_type} are switched off.")
    if report.trust.is_public and not rule.open_to_browsers:
        return Refused(403, "NOT_OPEN_TO_BROWSERS", f"{rule.event_type} is accepted from servers only: sign the request.")
    if rule.requires_email and not report.has_email:
        return Refused(400, "EMAIL_REQUIRED", f"{rule.event_type} needs the user's own email address.")
    if rule.channels and report.channel is None:
        return Refused(403, "CHANNEL_REQUIRED", f"{rule.event_type} is limited to channels: name one in channel_id.")
    if rule.channels and _channel_name(report.channel) not in {_channel_name(channel) for channel in rule.channels}:
        return Refused(403, "CHANNEL_NOT_ALLOWED", f"{rule.event_type} earns nothing in this channel.")
    return None


def _refused_by_time(report: Report, rule: RuleTerms, state: State, now: datetime) -> Refused | None:
    claims = state.claims.get((report.account_id, rule.event_type))
    if claims is None:
        return None
    if not report.keyed and now - claims.last_at < DUPLICATE_WINDOW:
        return Refused(409, "DUPLICATE_EVENT", "Duplicate event detected")
    if rule.max_claims_per_user != UNLIMITED and claims.count >= rule.max_claims_per_user:
        details = {"claimCount": claims.count, "maxClaims": rule.max_claims_per_user}
        return Refused(
            429, "CLAIM_LIMIT_REACHED", "This user has claimed this reward as often as its rule allows.", details=details
        )
    ends_at = claims.last_at + timedelta(hours=rule.cooldown_hours)
    if now < ends_at:
        return Refused(
            429,
            "COOLDOWN_ACTIVE",
            f"Too many events from this user: {rule.event_type} earns once in {rule.cooldown_hours} hours.",
            retry_after_s=_whole_seconds_up(ends_at - now),
            details={"cooldownEndsAt": ends_at.isoformat()},
        )
    return None


def _refused_by_cap(cap: CapUse, now: datetime) -> Refused:
    if cap.day is None:
        return Refused(
            429, "CLAIM_LIMIT_REACHED", "This reward has been claimed as often as its rule allows.", details={"cap": cap.name}
        )
    midnight = datetime(cap.day.year, cap.day.month, cap.day.day, tzinfo=now.tzinfo) + timedelta(days=1)
    return Refused(
        429,
        "DAILY_CAP_REACHED",
        "The daily limit of rewards is reached; it starts anew at midnight UTC.",
        retry_after_s=_whole_seconds_up(midnight - now),
        details={"cap": cap.name},
    )


def _reward(report: Report, rule: RuleTerms) -> int | Refused:
    """Points of the rule: fixed, or a rate of two integers on one field of the metadata, rounded down."""
    if rule.unit_field is None or rule.unit_size is None:
        return rule.reward
    value = None if report.metadata is None else report.metadata.get(rule.unit_field)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        field_name = f"metadata.{rule.unit_field}"
        return Refused(400, "INVALID_METADATA", f"{field_name} must be an integer of at least 0.", details={"field": field_name})
    if rule.unit_min is not None and value < rule.unit_min:
        return 0
    if rule.unit_max is not None:
        value = min(value, rule.unit_max)
    points = value * rule.reward // rule.unit_size
    if points > POINTS_MAX:
        field_name = f"metadata.{rule.unit_field}"
        return Refused(400, "INVALID_METADATA", f"{field_name} is too large.", details={"field": field_name})
    return points


def _reason(rule: RuleTerms, points: int, repaid: int) -> dict[str, Any]:
    reason: dict[str, Any] = {"rule": rule.event_type, "version": rule.version, "points": points}
    if rule.unit_field is not None:
        reason["rate"] = {"field": rule.unit_field, "reward": rule.reward, "unit": rule.unit_size}
    if repaid:
        reason["repaid"] = repaid
    return reason


def _channel_name(channel: str | None) -> str | None:
    """`#support` and `support` are one channel; ids stay as they are."""
    return None if channel is None else channel.removeprefix("#").lower()


def _whole_seconds_up(span: timedelta) -> int:
    return -(-span // timedelta(seconds=1))
