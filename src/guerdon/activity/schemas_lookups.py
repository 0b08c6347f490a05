"""What look-ups of the event handler answer over the wire; reports are `schemas.py`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from guerdon.kit.api import Wire


class EventConfig(Wire):
    """What one event type earns, and how the SDK detects it."""

    event_id: str
    event_type: str
    name: str
    description: str
    category: str
    reward_amount: int
    max_claims: int = Field(description="-1: unlimited.")
    cooldown_hours: int
    detection_method: str | None
    detection_config: dict[str, Any]
    detection_methods: list[dict[str, Any]]
    requires_email: bool
    open_to_browsers: bool
    is_custom: bool


class EventConfigs(Wire):
    """All that a program rewards."""

    success: bool = True
    brand_id: str
    events: list[EventConfig]
    count: int


class Eligibility(Wire):
    """Whether a report of this event would be rewarded now."""

    eligible: bool
    reason: str | None = None
    code: str | None = None
    cooldown_ends_at: str | None = None
    claim_count: int
    max_claims: int = Field(description="-1: unlimited.")
    reward_amount: int


class HistoryEntry(Wire):
    """One reward."""

    transaction_hash: str | None
    event_type: str
    amount: int
    timestamp: datetime


class UserBalance(Wire):
    """What a person has: on chain, and booked but not there yet."""

    balance: int = Field(description="`onChain` and `pending`.")
    on_chain: int | None = Field(description="Whole points in the wallet; null if the chain could not be asked.")
    pending: int
    ltz_balance: int = Field(description="`balance`, under the name that SDKs read.")
    wallet_address: str
    history: list[HistoryEntry] | None = None


class Health(Wire):
    """Whether events are taken."""

    status: str
    timestamp: datetime
    services: dict[str, str]


class Debug(Wire):
    """What an operator wants to know first."""

    version: str
    roles: list[str]
    timestamp: datetime
    schema_version: str | None
    waiting_events: int
    lags_seconds: dict[str, float]
