"""What one settled payment earns: a table of examples beside the pure function, and what holds for any sequence of payments."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guerdon.earning.volume import decide_settlement, record
from guerdon.earning.volume_state import NothingEarned, SettlementEarned, VolumeState
from guerdon.earning.volume_terms import (
    DEFAULT_TIERS,
    LARGEST_VOLUME,
    MILLION,
    Campaign,
    CampaignState,
    CampaignTerms,
    CampaignType,
    Held,
    Milestone,
    Settled,
    Stacking,
    Tier,
    VolumeTerms,
    multiplier_of,
    multiplier_text,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ANN, BOB = UUID(int=11), UUID(int=12)
FLAT = VolumeTerms(asset_id=UUID(int=1), tiers=(Tier("bronze", 0),))
TIERED = replace(FLAT, tiers=DEFAULT_TIERS)
RICH = 10**15


def paid(usd: str | int, at: datetime = NOW, account: UUID = ANN, number: int | None = None, **fields: Any) -> Settled:
    micro = usd if isinstance(usd, int) else multiplier_of(usd) * 100
    return Settled(
        id=UUID(int=number if number is not None else random.getrandbits(100)),
        account_id=account,
        payer=fields.pop("payer", "eip155:0xaa"),
        volume_micro_usd=micro,
        settled_at=at,
        is_final=fields.pop("is_final", True),
        **fields,
    )


def a_campaign(number: int = 1, **fields: Any) -> Campaign:
    terms = CampaignTerms(
        campaign_id=UUID(int=number),
        version=1,
        name=f"Campaign {number}",
        type=fields.pop("type", CampaignType.MULTIPLIER),
        state=CampaignState.PUBLISHED,
        effective_from=NOW - 30 * DAY,
        start_at=fields.pop("start_at", NOW - 30 * DAY),
        end_at=fields.pop("end_at", NOW + 30 * DAY),
        **fields,
    )
    return Campaign(terms.campaign_id, (terms,))


def run(state: VolumeState, payments: Sequence[Settled], terms: VolumeTerms = FLAT) -> list[SettlementEarned | NothingEarned]:
    outcomes: list[SettlementEarned | NothingEarned] = []
    for payment in payments:
        outcome = decide_settlement(payment, terms, state, NOW)
        if isinstance(outcome, SettlementEarned):
            record(state, payment, outcome)
        outcomes.append(outcome)
    return outcomes


def rich(*campaigns: Campaign, **fields: Any) -> VolumeState:
    return VolumeState(campaigns=campaigns, funds=RICH, **fields)


def earned(payment: Settled, state: VolumeState | None = None, terms: VolumeTerms = FLAT) -> SettlementEarned:
    outcome = decide_settlement(payment, terms, state or rich(), NOW)
    assert isinstance(outcome, SettlementEarned), outcome
    return outcome


@pytest.mark.parametrize(
    ("micro_usd", "points_per_unit", "unit", "points", "fraction"),
    [
        (10_000, 1, 10_000, 1, 0),  # 0.01 USD is a point
        (1_000, 1, 10_000, 0, 100_000),  # a typical payment is a tenth of one
        (9_999, 1, 10_000, 0, 999_900),
        (1, 1, 3_000_000, 0, 0),  # less than a millionth is nothing
        (2, 1, 3_000_000, 0, 0),
        (1, 1, 3, 0, 333_333),  # rounded down
        (1_000_000, 7, 10_000, 700, 0),
        (5_000_000, 0, 10_000, 0, 0),
        (LARGEST_VOLUME, 1, 10_000, 10**11, 0),
    ],
)
def test_volume_earns_by_the_rate_and_what_is_less_than_a_point_is_carried(
    micro_usd: int, points_per_unit: int, unit: int, points: int, fraction: int
) -> None:
    terms = replace(FLAT, points_per_unit=points_per_unit, unit_micro_usd=unit)
    outcome = earned(paid(micro_usd), terms=terms)
    assert (outcome.points, outcome.fraction) == (points, fraction)


@pytest.mark.parametrize(
    ("micro_usd", "reason"),
    [
        (0, "no volume"),
        (-5, "no volume"),
        (LARGEST_VOLUME + 1, "more volume, or more points, than can be"),
        (2**200, "more volume, or more points, than can be"),
    ],
)
def test_volume_that_cannot_be_earns_nothing(micro_usd: int, reason: str) -> None:
    assert decide_settlement(paid(micro_usd), FLAT, rich(), NOW) == NothingEarned(reason)


def test_more_points_than_a_bigint_holds_earn_nothing() -> None:
    terms = replace(FLAT, points_per_unit=2**62, unit_micro_usd=1)
    assert decide_settlement(paid("1"), terms, VolumeState(funds=2**63 - 1), NOW) == NothingEarned(
        "more volume, or more points, than can be"
    )


def test_what_the_program_has_no_funds_for_waits_and_a_fraction_needs_none() -> None:
    outcome = decide_settlement(paid("1"), FLAT, VolumeState(funds=99), NOW)
    assert outcome == NothingEarned("the program has no funds left for it", waits=True)
    assert earned(paid("0.001"), VolumeState()).points == 0


def test_below_the_least_volume_nothing_is_earned() -> None:
    assert isinstance(decide_settlement(paid(999), replace(FLAT, min_volume_micro_usd=1000), rich(), NOW), NothingEarned)
    assert earned(paid(1000), terms=replace(FLAT, min_volume_micro_usd=1000)).millionths == 100_000


@pytest.mark.parametrize(
    ("is_final", "review", "holding_seconds", "held_for"),
    [
        (True, None, 0, None),
        (False, None, 0, Held.FINALITY),
        (False, None, 60, Held.FINALITY),
        (True, None, 60, Held.HOLDING),
        (True, "pays itself", 0, Held.REVIEW),
        (False, "pays itself", 60, Held.REVIEW),
    ],
)
def test_s34_points_are_held_until_final_and_for_the_holding_time(
    is_final: bool, review: str | None, holding_seconds: int, held_for: Held | None
) -> None:
    outcome = earned(paid("1", is_final=is_final, review=review), terms=replace(FLAT, holding_seconds=holding_seconds))
    assert outcome.held_for is held_for


def test_a_holding_time_that_is_over_holds_nothing() -> None:
    assert earned(paid("1", at=NOW - DAY), terms=replace(FLAT, holding_seconds=3600)).held_for is None


@given(
    volumes=st.lists(st.integers(1, 3_000_000), min_size=1, max_size=40),
    multiplier=st.integers(10_001, 50_000),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_the_total_is_the_same_in_any_order(volumes: list[int], multiplier: int, seed: int) -> None:
    terms = replace(FLAT, points_per_unit=3, unit_micro_usd=70_001)
    campaigns = (
        a_campaign(1, multiplier=multiplier),
        a_campaign(2, type=CampaignType.BONUS, milestones=(Milestone("count:3", 7, count=3),)),
        a_campaign(3, type=CampaignType.THRESHOLD, milestones=(Milestone("volume:1000000", 11, volume=1_000_000),)),
    )
    totals: set[tuple[int, int]] = set()
    for shuffled in (False, True, True):
        order = list(enumerate(volumes))
        if shuffled:
            random.Random(seed).shuffle(order)
        state = rich(*campaigns)
        outcomes = run(state, [paid(volume, number=number + 1) for number, volume in order], terms)
        points = sum(outcome.points for outcome in outcomes if isinstance(outcome, SettlementEarned))
        totals.add((points, state.fractions[ANN]))
        assert 0 <= state.fractions[ANN] < MILLION
        seed += 1
    assert len(totals) == 1


@given(
    payments=st.lists(st.tuples(st.integers(1, 5_000_000), st.sampled_from([ANN, BOB]), st.sampled_from("ab")), max_size=40),
    budget=st.integers(0, 200),
    account_cap=st.none() | st.integers(1, 100),
    payer_cap=st.none() | st.integers(1, 100),
    places=st.none() | st.integers(1, 2),
    kind=st.sampled_from(["multiplier", "bonus"]),
)
@settings(max_examples=200, deadline=None)
def test_a_budget_a_cap_and_the_places_of_a_campaign_are_never_overdrawn(
    payments: list[tuple[int, UUID, str]],
    budget: int,
    account_cap: int | None,
    payer_cap: int | None,
    places: int | None,
    kind: str,
) -> None:
    limits = {"budget": budget, "account_cap": account_cap, "payer_cap": payer_cap, "max_participants": places}
    campaign = (
        a_campaign(multiplier=30_000, **limits)
        if kind == "multiplier"
        else a_campaign(
            type=CampaignType.BONUS, milestones=tuple(Milestone(f"count:{n}", 9, count=n) for n in (1, 2, 3)), **limits
        )
    )
    state = rich(campaign)
    run(state, [paid(volume, account=account, payer=payer) for volume, account, payer in payments])
    spending = state.spending.get(campaign.id)
    if spending is None:
        return
    assert spending.spent <= budget * MILLION
    assert spending.spent == sum(part.spent for part in state.participations.values()) == sum(state.payers.values())
    assert all(part.spent <= (account_cap or 10**9) * MILLION for part in state.participations.values())
    assert all(spent <= (payer_cap or 10**9) * MILLION for spent in state.payers.values())
    assert spending.participants == sum(part.joined for part in state.participations.values()) <= (places or 2)


@given(volumes=st.lists(st.integers(1, 5_000_000), max_size=30), cap=st.integers(1, 300))
@settings(max_examples=100, deadline=None)
def test_the_cap_of_a_day_is_never_exceeded(volumes: list[int], cap: int) -> None:
    state = rich(
        a_campaign(multiplier=20_000), a_campaign(2, type=CampaignType.BONUS, milestones=(Milestone("count:1", 50, count=1),))
    )
    outcomes = run(
        state, [paid(volume) for volume in volumes], replace(FLAT, cap_account=cap, cap_payer=cap * 2, cap_program=cap * 3)
    )
    assert sum(one.points for one in outcomes if isinstance(one, SettlementEarned)) <= cap


@pytest.mark.parametrize(
    ("stackings", "points"),
    [
        # 1 USD is 100 points; the campaigns are 2x, 3x and 1.5x.
        (("best", "best", "best"), 300),
        (("add", "add", "add"), 450),  # 100 + 100 + 200 + 50
        (("multiply", "multiply", "multiply"), 900),
        (("best", "best", "multiply"), 450),
        (("best", "add", "multiply"), 600),  # (100 + 100 + 200) * 1.5
        (("add", "best", "best"), 400),
    ],
)
def test_multipliers_go_together_by_their_stacking_rules(stackings: tuple[str, ...], points: int) -> None:
    campaigns = [
        a_campaign(number, multiplier=multiplier, stacking=Stacking(stacking))
        for number, (multiplier, stacking) in enumerate(zip((20_000, 30_000, 15_000), stackings, strict=True), 1)
    ]
    assert earned(paid("1"), rich(*campaigns)).points == points


def test_flat_points_are_multiplied_by_nothing() -> None:
    gold = {NOW.date(): 10_000 * MILLION}
    state = rich(
        a_campaign(1, multiplier=20_000),
        a_campaign(2, type=CampaignType.BONUS, milestones=(Milestone("count:1", 500, count=1),)),
        volumes={ANN: gold},
    )
    assert earned(paid("1"), state, TIERED).points == 250 + 500


def test_a_bonus_is_for_the_first_payment_and_for_milestones_and_each_is_paid_once() -> None:
    milestones = (
        Milestone("count:1", 50, count=1),
        Milestone("count:3", 30, count=3),
        Milestone("volume:5000000", 70, volume=5 * MILLION),
    )
    state = rich(a_campaign(type=CampaignType.BONUS, milestones=milestones))
    outcomes = run(state, [paid("1"), paid("1"), paid("1"), paid("2"), paid("9")])
    assert [one.points for one in outcomes if isinstance(one, SettlementEarned)] == [150, 100, 130, 270, 900]


def test_a_milestone_without_budget_is_paid_later_once_there_is_some() -> None:
    state = rich(a_campaign(type=CampaignType.BONUS, budget=60, milestones=(Milestone("count:1", 50, count=1),)))
    run(state, [paid("1"), paid("1", account=BOB)])
    assert state.participation(UUID(int=1), BOB).reached == {}
    state.spending[UUID(int=1)].spent = 0  # a reversal gave it back
    assert earned(paid("1", account=BOB), state).points == 150


def test_x402_defect_05_what_was_settled_before_the_start_or_after_the_end_counts_for_nothing() -> None:
    campaign = a_campaign(start_at=NOW - DAY, end_at=NOW, multiplier=20_000)
    times = (NOW - DAY - timedelta(microseconds=1), NOW - DAY, NOW - timedelta(microseconds=1), NOW)
    assert [earned(paid("1", at=at), rich(campaign)).points for at in times] == [100, 200, 200, 100]


def test_x402_defect_15_a_change_has_effect_from_now_on_by_the_time_of_the_block() -> None:
    first = a_campaign(multiplier=20_000).versions[0]
    second = replace(first, version=2, multiplier=30_000, effective_from=NOW)
    paused = replace(second, version=3, state=CampaignState.PAUSED, effective_from=NOW + DAY)
    campaign = Campaign(first.campaign_id, (first, second, paused))
    points = [earned(paid("1", at=at), rich(campaign)).points for at in (NOW - DAY, NOW, NOW + DAY)]
    assert points == [200, 300, 100]


def test_before_it_was_published_a_campaign_says_nothing() -> None:
    assert earned(paid("1", at=NOW - 31 * DAY), rich(a_campaign(start_at=NOW - 60 * DAY, multiplier=20_000))).points == 100


@pytest.mark.parametrize(
    ("bound_to", "points"), [(None, 200), (str(UUID(int=7)), 200), ("fac_1", 200), ("fac_2", 100), (str(UUID(int=8)), 100)]
)
def test_a_campaign_of_one_source_counts_no_other(bound_to: str | None, points: int) -> None:
    payment = paid("1", source_id=UUID(int=7), facilitator_id="fac_1")
    assert earned(payment, rich(a_campaign(multiplier=20_000, facilitator_id=bound_to))).points == points


def test_x402_defect_09_a_boost_is_for_the_volume_of_its_source_and_not_for_all_of_the_account() -> None:
    campaign = a_campaign(type=CampaignType.POOL, pool_points=1000, tier_multipliers=False, boosts=(("own", 20_000),))
    state = rich(campaign)
    run(state, [paid("1", facilitator_id="own"), paid("1", facilitator_id="other")])
    scale = 10**8
    assert state.participation(campaign.id, ANN).weight == 3 * MILLION * scale


def test_x402_defect_10_one_settlement_counts_once_for_its_account() -> None:
    state = rich(a_campaign(1, multiplier=20_000), a_campaign(2, type=CampaignType.POOL, pool_points=10))
    run(state, [paid("1")])
    assert state.volumes[ANN] == {NOW.date(): MILLION}
    assert {part.volume_micro_usd for part in state.participations.values()} == {MILLION}


def test_a_frozen_pool_counts_nothing_more() -> None:
    pool = a_campaign(type=CampaignType.POOL, pool_points=10)
    assert earned(paid("1"), rich(Campaign(pool.id, pool.versions, frozen=True))).uses == ()


def test_a_fraction_below_zero_is_made_good_first() -> None:
    outcome = earned(paid("0.01"), rich(fractions={ANN: -400_000}))
    assert (outcome.points, outcome.fraction) == (0, 600_000)
    outcome = earned(paid("0.001"), rich(fractions={ANN: -400_000}))
    assert (outcome.points, outcome.fraction) == (0, -300_000)


def test_x402_defect_17_a_multiplier_is_a_fraction_of_integers_and_large_amounts_stay_exact() -> None:
    assert [multiplier_of(value) for value in (2, 2.0, "1.25", 1.1, "1.0001")] == [20_000, 20_000, 12_500, 11_000, 10_001]
    for wrong in ("1.00001", 0, -1, "nan", "inf", "1e9", True, None, "two", 1001):
        with pytest.raises(ValueError):
            multiplier_of(wrong)
    state = VolumeState(campaigns=(a_campaign(multiplier=11_000),), funds=2**63 - 1)
    terms = replace(FLAT, points_per_unit=900, unit_micro_usd=1)
    # 1.1 as a float would be off by more than a hundred points here.
    assert earned(paid(10**15), state, terms).points == 990_000_000_000_000_000


@given(st.integers(1, 10**7))
def test_what_is_shown_of_a_multiplier_is_what_it_is(multiplier: int) -> None:
    assert multiplier_of(multiplier_text(multiplier)) == multiplier


def test_every_accrual_says_why_it_is_what_it_is() -> None:
    state = rich(a_campaign(multiplier=20_000, budget=1), volumes={ANN: {NOW.date(): 1_000 * MILLION}})
    reasons = earned(paid("0.015", review="pays itself"), state, TIERED).reasons
    assert [reason["text"] for reason in reasons] == [
        "1 point per 0.01 USD, for 0.015 USD.",
        "Tier silver: 1.1 times.",
        "Campaign 1: 2 times, but its budget, or a limit of it, is used up.",
        "2 whole with what was left before; 0.65 is left for the next.",
        "Held for review: pays itself",
    ]
    assert msgspec.json.decode(msgspec.json.encode(reasons)) == list(reasons)
