"""What a claim becomes, as a table (SAFETY S13, S14)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from guerdon.kit.errors import GuerdonError
from guerdon.kit.ids import uuid7
from guerdon.ledger.models import CampaignRate, PayoutOption
from guerdon.ledger.rates import Rate
from guerdon.payouts.claims.decision import Granted, Offer, Standing, Terms, best_offer, choose_option, decide

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RICH = Standing(2**62, 0, 0, None, None, 0)


def option(**changes: Any) -> PayoutOption:
    values: dict[str, Any] = {
        "asset_id": uuid7(), "network": "base", "namespace": "eip155", "token_address": "0x" + "Aa" * 20, "token_decimals": 6,
        "atomic_numerator": 10_000, "points_denominator": 1, "mintable": False, "min_points": 1, "cooldown_seconds": 0,
        "is_default": True, "enabled": True,
    }  # fmt: skip
    return PayoutOption(**{**values, **changes})


def decided(points: int, standing: Standing = RICH, *, review_above: int | None = None, **changes: Any) -> Granted:
    return decide(points, standing, Terms(Offer(option(**changes)), review_above), NOW)


def refused(points: int, standing: Standing = RICH, **changes: Any) -> GuerdonError:
    with pytest.raises(GuerdonError) as caught:
        decided(points, standing, **changes)
    return caught.value


def test_points_are_paid_at_the_options_rate() -> None:
    assert decided(100) == Granted(100, 1_000_000, None)


def test_s14_only_the_points_that_convert_are_debited() -> None:
    assert decided(250, atomic_numerator=1, points_denominator=100) == Granted(200, 2, None)


def test_s14_a_claim_that_is_worth_no_token_is_refused() -> None:
    error = refused(99, atomic_numerator=1, points_denominator=100)
    assert (error.code, error.details) == ("CLAIM_TOO_SMALL", {"min_points": "100"})


@pytest.mark.parametrize(("namespace", "largest"), [("solana", 2**64 - 1), ("eip155", 2**96 - 1)])
def test_s14_more_than_the_chain_can_carry_is_refused(namespace: str, largest: int) -> None:
    rate = {"namespace": namespace, "atomic_numerator": largest // 3, "points_denominator": 1}
    assert decided(3, **rate).amount_atomic == 3 * (largest // 3)
    error = refused(4, **rate)
    assert (error.code, error.details) == ("CLAIM_TOO_LARGE", {"max_points": "3"})


def test_s13_with_open_debt_nothing_is_claimed() -> None:
    assert refused(1, replace(RICH, available=0, debt=1)).code == "ACCOUNT_IN_DEBT"


def test_no_more_is_claimed_than_is_available() -> None:
    assert decided(10, replace(RICH, available=10)).points == 10
    error = refused(11, replace(RICH, available=10))
    assert (error.code, error.details) == ("NOT_ENOUGH_POINTS", {"available": "10"})


@pytest.mark.parametrize(("points", "code"), [(4, "CLAIM_TOO_SMALL"), (5, None), (9, None), (10, "CLAIM_TOO_LARGE")])
def test_a_claim_keeps_between_the_options_bounds(points: int, code: str | None) -> None:
    if code is None:
        assert decided(points, min_points=5, max_points=9).points == points
    else:
        assert refused(points, min_points=5, max_points=9).code == code


def test_an_account_claims_no_more_in_a_period_than_it_may() -> None:
    limit = {"period_points": 100, "period_seconds": 3600}
    before = replace(RICH, claimed_in_period=70, first_in_period=NOW - timedelta(minutes=50))
    assert decided(30, before, **limit).points == 30
    error = refused(31, before, **limit)
    assert (error.code, error.details, error.retry_after) == ("CLAIM_LIMIT", {"left": "30"}, 600)


def test_between_two_claims_an_account_waits() -> None:
    before = replace(RICH, last_claim_at=NOW - timedelta(seconds=59.5))
    assert refused(1, before, cooldown_seconds=60).retry_after == 1
    assert decided(1, before, cooldown_seconds=59).points == 1


def test_above_the_threshold_of_a_day_an_operator_is_asked_however_the_points_are_divided() -> None:
    assert decided(100, review_above=100).review_reason is None
    assert decided(101, review_above=100).review_reason is not None
    assert decided(1, replace(RICH, claimed_in_a_day=100), review_above=100).review_reason is not None


BASE, MAIN = option(), option(network="ethereum", is_default=False, token_address="0x" + "bb" * 20)
SOL = option(network="solana", namespace="solana", token_address="So1", is_default=True)
OFF = option(network="soneium", enabled=False, is_default=False)


@pytest.mark.parametrize(
    ("namespace", "network", "token", "chosen"),
    [
        ("eip155", None, None, BASE),
        ("solana", None, None, SOL),
        ("eip155", "ethereum", None, MAIN),
        ("eip155", None, "0x" + "BB" * 20, MAIN),
        ("eip155", "base", "0x" + "aa" * 20, BASE),
        ("solana", None, "So1", SOL),
        ("solana", None, "so1", None),
        ("eip155", "base", "0x" + "bb" * 20, None),
        ("eip155", "solana", None, None),
        ("eip155", "soneium", None, None),
    ],
)
def test_the_option_is_the_one_that_is_named_or_the_default_of_the_destinations_chain(
    namespace: str, network: str | None, token: str | None, chosen: PayoutOption | None
) -> None:
    options = [BASE, MAIN, SOL, OFF]
    if chosen is None:
        with pytest.raises(GuerdonError) as caught:
            choose_option(options, namespace, network=network, token=token)
        assert caught.value.code == "PAYOUT_OPTION_NOT_FOUND"
    else:
        assert choose_option(options, namespace, network=network, token=token) is chosen


def test_where_no_token_is_offered_nothing_is_claimed() -> None:
    with pytest.raises(GuerdonError) as caught:
        choose_option([OFF], "eip155", network=None, token=None)
    assert caught.value.code == "CLAIMS_CLOSED"


def a_rate(atomic: int, points: int = 1, *, network: str = "base", hours: int = 1, campaign: int = 1) -> CampaignRate:
    return CampaignRate(
        network=network, atomic_numerator=atomic, points_denominator=points, ends_at=NOW + timedelta(hours=hours),
        campaign_id=UUID(int=campaign),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        ([], None),
        ([a_rate(10_001)], 0),
        # At the option's own rate, or below it, it is the option's.
        ([a_rate(10_000), a_rate(9_999), a_rate(100_000, 11)], None),
        ([a_rate(20_000, 3), a_rate(20_001, 2), a_rate(10_000, 1)], 1),
        ([a_rate(30_000, network="ethereum")], None),
        # Of equal ones what lasts longest; then it is any, but always the same.
        ([a_rate(20_000, 1, hours=2), a_rate(40_000, 2, hours=3), a_rate(20_000, 1)], 1),
        ([a_rate(20_000, campaign=5), a_rate(20_000, campaign=6), a_rate(20_000, campaign=4)], 1),
    ],
)
def test_claims_are_made_at_the_best_rate_for_the_member(rates: list[CampaignRate], best: int | None) -> None:
    offer = best_offer(option(), rates)
    assert offer.campaign is (None if best is None else rates[best])
    assert offer.rate == (Rate(10_000) if best is None else rates[best].rate)
