"""What a rule looks like over the wire, and what makes sense of one. Every refusal says what would be accepted."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from guerdon.earning.terms import UNLIMITED
from guerdon.kit.api import BIGINT_MAX, Line, Prose, Wire, storable
from guerdon.programs.schemas import BrandId

UNLIMITED_SPELLED: Final = 999_999
"""Existing clients write this for unlimited; it is stored as -1."""
MAX_COOLDOWN_HOURS: Final = 24 * 366 * 10
MAX_DETECTION_BYTES: Final = 8192


class Category(StrEnum):
    """What an event type belongs to, for reports and lists."""

    ACCOUNT = "Account"
    COMMERCE = "Commerce"
    ENGAGEMENT = "Engagement"
    FEEDBACK = "Feedback"
    CUSTOM = "Custom"


class DetectionMethod(StrEnum):
    """How the SDK, or a bot, notices the event."""

    WEBHOOK = "webhook"
    DISCORD_INTERACTION = "discord_interaction"
    URL_PATTERN = "url_pattern"
    FORM_SUBMISSION = "form_submission"
    CSS_SELECTOR = "css_selector"


def _other_spelling(value: object) -> object:
    return DetectionMethod.FORM_SUBMISSION.value if value == "form_submit" else value


def _limit(value: int) -> int:
    if value in {UNLIMITED, UNLIMITED_SPELLED}:
        return UNLIMITED
    if value < 1:
        message = f"must be at least 1, or {UNLIMITED} (or {UNLIMITED_SPELLED}) for unlimited"
        raise ValueError(message)
    return value


def _small_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(value, allow_nan=False).encode("utf-8"))
    except (ValueError, RecursionError) as error:
        message = "must be plain JSON"
        raise ValueError(message) from error
    if size > MAX_DETECTION_BYTES:
        message = f"has {size} bytes; {MAX_DETECTION_BYTES} are accepted"
        raise ValueError(message)
    return value


EventType = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,50}$")]
"""1 to 50 letters, digits or underscores."""
ClaimLimit = Annotated[int, Field(ge=UNLIMITED, le=BIGINT_MAX), AfterValidator(_limit)]
PointsIn = Annotated[int, Field(ge=0, le=BIGINT_MAX)]
Cap = Annotated[int, Field(ge=1, le=BIGINT_MAX)]
RuleName = Annotated[Line, Field(min_length=3)]
RuleDescription = Annotated[Prose, Field(min_length=10)]


class PerUnit(Wire):
    """A rate: `reward` points for each whole `unit` of the integer `metadata[field]`, rounded down. For servers only."""

    field: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$")]
    unit: Annotated[int, Field(ge=1, le=BIGINT_MAX)]
    reward: PointsIn
    min: Annotated[PointsIn | None, Field(description="A smaller value earns nothing.")] = None
    max: Annotated[PointsIn | None, Field(description="A larger value counts as this.")] = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"min ({self.min}) is above max ({self.max}): nothing could be earned"
            raise ValueError(message)
        return self


class Detection(Wire):
    """One way to detect the event in a page or a bot."""

    method: Annotated[DetectionMethod, BeforeValidator(_other_spelling)]
    config: Annotated[dict[str, Any], AfterValidator(_small_json), AfterValidator(storable)] = Field(default_factory=dict)


class RuleFields(Wire):
    """What can be said of a rule; what is left out keeps its value, or takes its default in a new rule."""

    brand_id: Annotated[BrandId | None, Field(description="The program, where neither key nor header names it.")] = None
    name: RuleName | None = None
    description: RuleDescription | None = None
    category: Category | None = None
    reward: Annotated[PointsIn | PerUnit | None, Field(description="Points an event, or a rate on a field of its metadata.")] = (
        None
    )
    asset: Annotated[Line | None, Field(description="Symbol; the program's own asset where left out.")] = None
    max_claims_per_user: ClaimLimit | None = None
    max_claims_total: ClaimLimit | None = None
    cooldown_hours: Annotated[int, Field(ge=0, le=MAX_COOLDOWN_HOURS)] | None = None
    enabled: bool | None = None
    open_to_browsers: bool | None = None
    requires_email: bool | None = None
    channels: Annotated[list[Annotated[Line, Field(min_length=1)]], Field(max_length=100)] | None = None
    detection: Annotated[list[Detection], Field(max_length=20)] | None = None
    daily_cap_account: Annotated[Cap | None, Field(description="Points a day; null: no cap.")] = None
    daily_cap_ip: Cap | None = None
    daily_cap_program: Cap | None = None


class NewRule(RuleFields):
    """A rule to be made. Without `eventType` it gets an id of its own, `custom_…`."""

    event_type: EventType | None = None


class RuleView(Wire):
    """A rule as it stands."""

    event_type: str
    name: str
    description: str
    category: str
    reward: int | PerUnit
    asset: str
    max_claims_per_user: int
    max_claims_total: int
    cooldown_hours: int
    enabled: bool
    open_to_browsers: bool
    requires_email: bool
    channels: list[str]
    detection: list[Detection]
    daily_cap_account: int | None
    daily_cap_ip: int | None
    daily_cap_program: int | None
    is_custom: bool
    version: int
    created_at: datetime
    updated_at: datetime
