"""What payout options look like over the wire."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from guerdon.kit.api import BIGINT_MAX, AtomicInput, AtomicText, Line, Wire
from guerdon.ledger.models import Asset, PayoutOption
from guerdon.ledger.rates import Rate
from guerdon.txmanager.options import Limits, NewOption

Points = Annotated[int, Field(ge=1, le=BIGINT_MAX)]
Seconds = Annotated[int, Field(ge=1, le=366 * 86_400)]


class PayoutOptionInput(Wire):
    """A payout option as it is to be. `pointsDenominator` points are `atomicNumerator` of the token's smallest unit."""

    token_address: Annotated[Line, Field(min_length=1)]
    token_decimals: Annotated[int | None, Field(ge=0, le=36, description="Has to be those of the token; needed on Solana.")] = (
        None
    )
    atomic_numerator: Annotated[AtomicInput, Field(gt=0)]
    points_denominator: Points = 1
    mintable: Annotated[bool, Field(description="Fund programs by minting; else its treasury is stocked.")] = False
    min_points: Points = 1
    max_points: Points | None = None
    period_points: Annotated[Points | None, Field(description="What an account may claim in `periodSeconds`.")] = None
    period_seconds: Seconds | None = None
    cooldown_seconds: Annotated[int, Field(ge=0, le=366 * 86_400, description="Between two claims of an account.")] = 0
    is_default: Annotated[bool, Field(description="For destinations of its kind of chain; the first one is.")] = False
    enabled: bool = True

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.period_points is None) != (self.period_seconds is None):
            message = "a limit is periodPoints in periodSeconds: give both, or neither"
            raise ValueError(message)
        if self.max_points is not None and self.max_points < self.min_points:
            message = "maxPoints is at least minPoints"
            raise ValueError(message)
        return self

    def option(self, network: str) -> NewOption:
        """As the service takes it."""
        limits = Limits(self.min_points, self.max_points, self.period_points, self.period_seconds, self.cooldown_seconds)
        return NewOption(
            network, self.token_address, Rate(self.atomic_numerator, self.points_denominator), limits, self.mintable,
            self.is_default, self.enabled,
        )  # fmt: skip


class PayoutOptionView(Wire):
    """A payout option. `tokensForAThousandPoints` is the rate in whole tokens, for people."""

    asset: str
    network: str
    namespace: str
    token_address: str
    token_decimals: int
    atomic_numerator: AtomicText
    points_denominator: int
    tokens_for_a_thousand_points: str
    mintable: bool
    min_points: int
    max_points: int | None
    period_points: int | None
    period_seconds: int | None
    cooldown_seconds: int
    is_default: bool
    enabled: bool


def whole_tokens(atomic: int, decimals: int) -> str:
    """An amount in whole tokens, as people write it: exact, without an exponent."""
    text = format(Decimal(atomic).scaleb(-decimals), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def option_view(option: PayoutOption, asset: Asset) -> PayoutOptionView:
    """A payout option as it is shown."""
    columns = set(PayoutOptionView.model_fields) - {"asset", "tokens_for_a_thousand_points"}
    return PayoutOptionView.model_validate(
        {
            **{name: getattr(option, name) for name in columns},
            "asset": asset.symbol,
            "tokens_for_a_thousand_points": whole_tokens(option.rate.atomic(1000), option.token_decimals),
        }
    )
