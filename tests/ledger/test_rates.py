"""What points are worth in tokens: rounded down, and of the points only those that convert (SAFETY S14)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.ledger.rates import Rate

rates = st.builds(Rate, st.integers(1, 10**24), st.integers(1, 10**12))
points = st.integers(1, 2**63 - 1)


@pytest.mark.parametrize(
    ("rate", "asked", "atomic", "converting"),
    [
        (Rate(1), 7, 7, 7),
        (Rate(10**18), 3, 3 * 10**18, 3),
        (Rate(3, 2), 3, 4, 3),
        (Rate(1, 100), 250, 2, 200),
        (Rate(1, 100), 99, 0, 0),
        (Rate(10**6, 100), 1, 10**4, 1),
    ],
)
def test_s14_examples(rate: Rate, asked: int, atomic: int, converting: int) -> None:
    assert (rate.atomic(asked), rate.converting(asked)) == (atomic, converting)


@given(rates, points)
def test_s14_what_converts_is_paid_with_the_same_and_not_a_point_less_is(rate: Rate, asked: int) -> None:
    converting = rate.converting(asked)
    assert converting <= asked
    assert rate.atomic(converting) == rate.atomic(asked)
    assert converting == 0 or rate.atomic(converting - 1) < rate.atomic(asked)


@given(rates, st.lists(st.integers(1, 2**40), min_size=1, max_size=8))
def test_s3_what_is_needed_for_points_covers_them_however_they_are_claimed(rate: Rate, claims: list[int]) -> None:
    assert sum(rate.atomic(claim) for claim in claims) <= rate.needed(sum(claims))


@given(rates, st.integers(0, 2**80))
def test_s3_the_points_that_an_amount_pays_need_no_more_than_it(rate: Rate, atomic: int) -> None:
    assert rate.needed(rate.points(atomic)) <= atomic


@given(rates, rates, points)
def test_rates_are_compared_and_multiplied_exactly(rate: Rate, other: Rate, asked: int) -> None:
    assert (rate.fraction > other.fraction) == (rate.needed(10**60) > other.needed(10**60))
    assert rate.times(other.fraction / rate.fraction).atomic(asked) == other.atomic(asked)
