"""Whether a claim may be made, for which tokens, and whether an operator looks at it first. Pure: no I/O, no clock.

What is read for it, and under which locks, is `service.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from guerdon.chains.contracts import MAX_PAYMENT
from guerdon.chains.networks import EIP155
from guerdon.ledger.errors import NotEnoughPointsError
from guerdon.ledger.models import CampaignRate, PayoutOption
from guerdon.ledger.rates import Rate
from guerdon.payouts.claims.errors import (
    ClaimCooldownError,
    ClaimLimitError,
    ClaimsClosedError,
    ClaimTooLargeError,
    ClaimTooSmallError,
    PayoutOptionNotFoundError,
)
from guerdon.payouts.errors import AccountInDebtError

MAX_SOLANA: Final = 2**64 - 1
"""What an SPL transfer can carry (SAFETY S14)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An account as it stands, read under its balance's lock: points, and what it claimed from this option before."""

    available: int
    debt: int
    claimed_in_period: int
    """In the option's period, by claims that were not refused."""
    first_in_period: datetime | None
    last_claim_at: datetime | None
    claimed_in_a_day: int
    """In any token, in the last 24 hours."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An option at the rate that claims are made at now."""

    option: PayoutOption
    campaign: CampaignRate | None = None
    """Whose rate it is; None: the option's own."""

    @property
    def rate(self) -> Rate:
        """What points are worth now."""
        return self.option.rate if self.campaign is None else self.campaign.rate

    @property
    def least(self) -> int:
        """The fewest points that are worth anything."""
        return -(-self.rate.points_denominator // self.rate.atomic_numerator)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a claim is held to: what is offered, and when an operator is asked."""

    offer: Offer
    review_above_points: int | None
    """Of an account's claims in 24 hours together, so that nothing is gained by dividing one; null: nobody is asked."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A claim that may be made. `points` are debited: of those that were asked for, those that convert (SAFETY S14)."""

    points: int
    amount_atomic: int
    review_reason: str | None


def best_offer(option: PayoutOption, rates: Sequence[CampaignRate]) -> Offer:
    """An option at the best rate for the member: of campaigns' rates in force the highest, if it is above the option's own.

    Of equal ones that of the campaign that lasts longest.
    """
    better = [one for one in rates if one.network == option.network and one.rate.fraction > option.rate.fraction]
    return Offer(option, max(better, key=lambda one: (one.rate.fraction, one.ends_at, one.campaign_id), default=None))


def choose_option(options: Sequence[PayoutOption], namespace: str, *, network: str | None, token: str | None) -> PayoutOption:
    """The option that a claim names, or the default of its destination's namespace.

    Raises `ClaimsClosedError` where there is none at all, `PayoutOptionNotFoundError`.
    """
    offered = [option for option in options if option.enabled]
    if not offered:
        raise ClaimsClosedError
    fitting = [
        option
        for option in offered
        if option.namespace == namespace and network in {None, option.network} and _is_token(option, token)
    ]
    if network is None and token is None and len(fitting) > 1:
        fitting = [option for option in fitting if option.is_default]
    if len(fitting) != 1:
        raise PayoutOptionNotFoundError(
            details={
                "options": [
                    {"network": one.network, "token_mint": one.token_address, "namespace": one.namespace} for one in offered
                ]
            }
        )
    return fitting[0]


def _is_token(option: PayoutOption, token: str | None) -> bool:
    if token is None:
        return True
    same = option.token_address == token
    return same or (option.namespace == EIP155 and option.token_address.lower() == token.lower())


def decide(points: int, standing: Standing, terms: Terms, now: datetime) -> Granted:
    """What a claim of so many points becomes.

    Raises `AccountInDebtError` (SAFETY S13), `ClaimTooSmallError`, `ClaimTooLargeError` (S14), `NotEnoughPointsError`,
    `ClaimCooldownError`, `ClaimLimitError`.
    """
    option, rate = terms.offer.option, terms.offer.rate
    if standing.debt:
        message = "The account owes points for a reversal; nothing is claimed until later earnings have repaid them."
        raise AccountInDebtError(message, details={"debt": str(standing.debt)})
    amount, converting = rate.atomic(points), rate.converting(points)
    if points < option.min_points or amount == 0:
        raise ClaimTooSmallError(details={"min_points": str(max(option.min_points, terms.offer.least))})
    largest = MAX_PAYMENT if option.namespace == EIP155 else MAX_SOLANA
    if amount > largest or (option.max_points is not None and points > option.max_points):
        bounds = [one for one in (option.max_points, rate.points(largest)) if one is not None]
        raise ClaimTooLargeError(details={"max_points": str(min(bounds))})
    if converting > standing.available:
        raise NotEnoughPointsError(details={"available": str(standing.available)})
    _within_limits(converting, standing, option, now)
    return Granted(converting, amount, _review_reason(converting, standing, terms))


def _within_limits(points: int, standing: Standing, option: PayoutOption, now: datetime) -> None:
    if standing.last_claim_at is not None and option.cooldown_seconds:
        again = standing.last_claim_at + timedelta(seconds=option.cooldown_seconds)
        if again > now:
            raise ClaimCooldownError(retry_after=_seconds(again - now))
    if option.period_points is None or option.period_seconds is None:
        return
    left = option.period_points - standing.claimed_in_period
    if points > left:
        first = standing.first_in_period or now
        again = first + timedelta(seconds=option.period_seconds)
        raise ClaimLimitError(details={"left": str(max(left, 0))}, retry_after=_seconds(again - now))


def _seconds(wait: timedelta) -> int:
    return max(1, -(-wait // timedelta(seconds=1)))


def _review_reason(points: int, standing: Standing, terms: Terms) -> str | None:
    threshold = terms.review_above_points
    together = points + standing.claimed_in_a_day
    if threshold is None or together <= threshold:
        return None
    return f"{together} points in 24 hours, above {threshold}"
