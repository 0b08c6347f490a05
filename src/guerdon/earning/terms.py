"""What a decision is about: one report, how far it is believed, and what program and rule lay down for it. No logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

UNLIMITED: Final = -1
"""As a number of claims: as many as one likes."""


class Trust(StrEnum):
    """How far a report is believed (DESIGN section 7)."""

    SERVER = "server"
    BROWSER = "browser"
    MEMBER = "member"
    OPERATOR = "operator"

    @property
    def is_public(self) -> bool:
        """Whether anyone could have sent it: then it earns only what is open to browsers, within caps."""
        return self is Trust.BROWSER or self is Trust.MEMBER


@dataclass(frozen=True, slots=True)
class ProgramTerms:
    """What a program lays down for all its rules. Caps are points a day; None: no cap."""

    automation_enabled: bool = True
    browser_cap_program: int | None = None
    browser_cap_account: int | None = None
    browser_cap_ip: int | None = None


@dataclass(frozen=True, slots=True)
class RuleTerms:
    """What an event type earns (`earning.models.Rule` has the meaning of each field)."""

    event_type: str
    asset_id: UUID
    delivery: str
    reward: int
    unit_field: str | None = None
    unit_size: int | None = None
    unit_min: int | None = None
    unit_max: int | None = None
    max_claims_per_user: int = UNLIMITED
    max_claims_total: int = UNLIMITED
    cooldown_hours: int = 0
    enabled: bool = True
    open_to_browsers: bool = False
    requires_email: bool = False
    channels: frozenset[str] = frozenset()
    daily_cap_account: int | None = None
    daily_cap_ip: int | None = None
    daily_cap_program: int | None = None
    version: int = 1
    is_capped: bool = field(init=False)
    """Whether any report draws on a counter, whoever sends it."""

    def __post_init__(self) -> None:
        """See `is_capped`: asked several times for each report."""
        caps = (self.daily_cap_program, self.daily_cap_account, self.daily_cap_ip)
        object.__setattr__(self, "is_capped", self.max_claims_total >= 0 or caps != (None, None, None))


class Report(msgspec.Struct, frozen=True):
    """One authenticated report. `client_address` is the reporting browser's, IPv6 by /64; None for servers."""

    account_id: UUID
    event_type: str
    trust: Trust
    keyed: bool = False
    """Whether it carries an idempotency key: then it is no accidental duplicate."""
    has_email: bool = True
    channel: str | None = None
    client_address: str | None = None
    metadata: Mapping[str, Any] | None = None
