"""A tier is computed from the volume of a window, whatever came before or comes later."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guerdon.earning.schemas_volume import MAX_DAYS, MAX_GRACE_DAYS, MAX_TIERS
from guerdon.earning.tiers import standing, tier_at, volume_in
from guerdon.earning.volume_state import SettlementEarned
from guerdon.earning.volume_terms import DEFAULT_TIERS, MILLION, Downgrade, Tier, VolumeTerms, lookback_days
from tests.earning.test_volume import ANN, DAY, NOW, paid, rich, run

TIERED = VolumeTerms(asset_id=UUID(int=1), tiers=DEFAULT_TIERS)


@pytest.mark.parametrize(
    ("days", "terms", "tier", "to_next"),
    [
        ({}, TIERED, "bronze", 1_000),
        ({0: 999}, TIERED, "bronze", 1),
        ({0: 1_000}, TIERED, "silver", 9_000),
        ({89: 1_000}, TIERED, "silver", 9_000),  # the first day of the window
        ({90: 1_000}, TIERED, "bronze", 1_000),
        ({90: 1_000}, replace(TIERED, grace_days=1), "silver", 10_000),
        ({91: 1_000}, replace(TIERED, grace_days=1), "bronze", 1_000),
        ({0: 250_000}, TIERED, "platinum", 0),
        ({90: 100_000}, replace(TIERED, downgrade=Downgrade.ONE_STEP), "gold", 100_000),
        ({91: 100_000}, replace(TIERED, downgrade=Downgrade.ONE_STEP), "silver", 10_000),
        ({92: 100_000}, replace(TIERED, downgrade=Downgrade.ONE_STEP), "bronze", 1_000),
        ({100: 100_000}, replace(TIERED, downgrade=Downgrade.ONE_STEP, grace_days=10), "gold", 100_000),
        ({99: 100_000}, replace(TIERED, downgrade=Downgrade.ONE_STEP, grace_days=10), "platinum", 0),
        ({110: 100_000}, replace(TIERED, downgrade=Downgrade.ONE_STEP, grace_days=10), "silver", 10_000),
        ({-1: 100_000}, TIERED, "bronze", 1_000),  # what comes later is not looked at
    ],
)
def test_a_tier_is_what_the_volume_of_the_window_makes(days: dict[int, int], terms: VolumeTerms, tier: str, to_next: int) -> None:
    volumes = {(NOW - ago * DAY).date(): usd * MILLION for ago, usd in days.items()}
    stands = standing(terms, volumes, NOW.date())
    assert (stands.tier.name, stands.volume_to_next) == (tier, to_next * MILLION)


def test_x402_defect_04_volume_is_the_sum_of_what_each_day_brought() -> None:
    state = rich()
    run(state, [paid("100", at=NOW - ago * DAY) for ago in range(30)], TIERED)
    assert standing(TIERED, state.volumes[ANN], NOW.date()).volume_micro_usd == 3_000 * MILLION


def test_a_tier_multiplies_from_the_next_payment_on() -> None:
    terms = replace(TIERED, tiers=(Tier("bronze", 0), Tier("gold", MILLION, 20_000)))
    outcomes = run(rich(), [paid("1"), paid("1")], terms)
    assert [one.points for one in outcomes if isinstance(one, SettlementEarned)] == [100, 200]


@given(
    volumes=st.dictionaries(st.integers(0, 120), st.integers(1, 60_000), max_size=12),
    grace=st.integers(0, 12),
    window=st.integers(1, 40),
    policy=st.sampled_from(list(Downgrade)),
)
@settings(max_examples=200, deadline=None)
def test_a_tier_is_the_best_of_every_day_less_what_was_lost_since(
    volumes: dict[int, int], grace: int, window: int, policy: Downgrade
) -> None:
    terms = replace(TIERED, grace_days=grace, window_days=window, downgrade=policy)
    today, by_day = NOW.date(), {(NOW - ago * DAY).date(): usd * MILLION for ago, usd in volumes.items()}

    def plain(at: date) -> int:
        volume = volume_in(by_day, at, window)
        return sum(volume >= tier.volume_micro_usd for tier in terms.tiers) - 1

    # Every day one by one, as far back as any can count.
    expected = 0
    for ago in range(grace + 4 * max(grace, 1) + 1):
        over = ago - grace
        lost = 0 if over <= 0 else -(-over // max(grace, 1)) if policy is Downgrade.ONE_STEP else 99
        expected = max(expected, plain(today - ago * DAY) - lost)
    assert tier_at(terms, by_day, today) == terms.tiers[expected]


def test_the_longest_terms_that_are_accepted_look_back_no_further_than_the_calendar() -> None:
    tiers = tuple(Tier(f"tier{number}", number) for number in range(MAX_TIERS))
    terms = replace(TIERED, tiers=tiers, window_days=MAX_DAYS, grace_days=MAX_GRACE_DAYS, downgrade=Downgrade.ONE_STEP)
    assert NOW.date() - lookback_days(terms) * DAY > date.min
    assert tier_at(terms, {NOW.date(): 1}, NOW.date()) == tiers[1]
