"""What a program lays down for settled volume, over the wire, under the seed's names."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from guerdon.earning.schemas_campaigns import Amount, AmountText, Multiplier
from guerdon.earning.volume_terms import Credit, Downgrade
from guerdon.kit.api import BIGINT_MAX, AtomicInput, AtomicText, Line, SnakeWire
from guerdon.programs.schemas import BrandId

MAX_TIERS = 20
MAX_DAYS = 36_500
MAX_GRACE_DAYS = 3_650
"""With as many tiers as there may be, a tier still looks back three centuries and not before the calendar."""
_Days = Annotated[int, Field(ge=1, le=MAX_DAYS)]


class TierConfig(SnakeWire):
    """From so much volume in the window on, base points are multiplied."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    volume_micro_usd: AtomicInput
    multiplier: Multiplier = "1"


class VolumeTermsFields(SnakeWire):
    """What can be said of settled volume; what is left out keeps its value. A cap or expiry that is null is taken away."""

    brand_id: Annotated[BrandId | None, Field(description="The program, where neither key nor header names it.")] = None
    asset: Annotated[Line | None, Field(description="Symbol of what is earned; it has to be claimed.")] = None
    points_per_unit: Annotated[Amount | None, Field(description="Points for each `unit_micro_usd` of volume.")] = None
    unit_micro_usd: Amount | None = None
    credit: Annotated[Credit | None, Field(description="Whose account is credited.")] = None
    backdate_days: Annotated[
        int | None, Field(ge=0, le=MAX_DAYS, description="Payments that an address made so long before it was proven count.")
    ] = None
    holding_seconds: Annotated[int | None, Field(ge=0, le=MAX_DAYS * 86_400)] = None
    min_volume_micro_usd: Annotated[AtomicInput | None, Field(description="A smaller payment earns and counts nothing.")] = None
    tiers: Annotated[list[TierConfig], Field(min_length=1, max_length=MAX_TIERS)] | None = None
    window_days: _Days | None = None
    grace_days: Annotated[int | None, Field(ge=0, le=MAX_GRACE_DAYS)] = None
    downgrade: Downgrade | None = None
    cap_account: Annotated[Amount | None, Field(description="Points a day.")] = None
    cap_payer: Amount | None = None
    cap_program: Amount | None = None
    expire_after_days: _Days | None = None
    expire_idle_days: _Days | None = None
    warn_days: Annotated[int | None, Field(ge=0, le=3_650)] = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.min_volume_micro_usd is not None and self.min_volume_micro_usd > BIGINT_MAX:
            message = f"min_volume_micro_usd is at most {BIGINT_MAX}"
            raise ValueError(message)
        return self


class VolumeTermsView(SnakeWire):
    """What settled volume earns in a program."""

    asset: str
    points_per_unit: AmountText
    unit_micro_usd: AmountText
    credit: Credit
    backdate_days: int
    holding_seconds: int
    min_volume_micro_usd: AtomicText
    tiers: list[TierConfig]
    window_days: int
    grace_days: int
    downgrade: Downgrade
    cap_account: AmountText | None
    cap_payer: AmountText | None
    cap_program: AmountText | None
    expire_after_days: int | None
    expire_idle_days: int | None
    warn_days: int
    version: int
    """0: the defaults."""
    updated_at: datetime | None
