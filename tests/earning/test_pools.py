"""A pool is shared out by weight: complete, and never more than there is."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guerdon.earning.pools import shares

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)


@pytest.mark.parametrize(
    ("pool", "weights", "cap", "expected"),
    [
        (100, {A: 1, B: 1}, None, {A: 50, B: 50}),
        (100, {A: 1, B: 1, C: 1}, None, {A: 34, B: 33, C: 33}),
        (1, {A: 1, B: 2}, None, {B: 1}),
        (2, {A: 1, B: 1, C: 1}, None, {A: 1, B: 1}),
        (100, {A: 0, B: 5}, None, {B: 100}),
        (100, {}, None, {}),
        (100, {A: 0}, None, {}),
        (0, {A: 1}, None, {}),
        (100, {A: 98, B: 1, C: 1}, 40, {A: 40, B: 30, C: 30}),
        (100, {A: 97, B: 2, C: 1}, 40, {A: 40, B: 40, C: 20}),
        (100, {A: 1, B: 1}, 10, {A: 10, B: 10}),
    ],
)
def test_shares_are_by_weight_and_the_largest_remainder(
    pool: int, weights: dict[UUID, int], cap: int | None, expected: dict[UUID, int]
) -> None:
    assert shares(pool, weights, cap) == expected


@given(
    pool=st.integers(0, 2**63 - 1),
    weights=st.dictionaries(st.integers(1, 10**6).map(lambda n: UUID(int=n)), st.integers(0, 10**27), max_size=40),
    cap=st.none() | st.integers(1, 2**63 - 1),
)
@settings(max_examples=300, deadline=None)
def test_x402_defect_06_a_pool_is_never_overdrawn_and_given_out_completely(
    pool: int, weights: dict[UUID, int], cap: int | None
) -> None:
    given_out = shares(pool, weights, cap)
    total = sum(given_out.values())
    assert total <= pool
    assert all(points <= (cap or pool) for points in given_out.values())
    heavy = [account for account, weight in weights.items() if weight]
    if heavy and pool and (cap is None or cap * len(heavy) >= pool):
        assert total == pool
    if cap is None and heavy:
        whole = sum(weights.values())
        assert all(abs(given_out.get(account, 0) * whole - pool * weights[account]) < whole for account in heavy)


def test_x402_defect_06_owners_of_half_the_volume_with_twice_the_weight_take_two_thirds_and_not_more_than_the_pool() -> None:
    assert shares(300, {A: 2 * 50, B: 50}) == {A: 200, B: 100}


def test_x402_defect_07_a_pool_without_volume_is_shared_out_to_nobody() -> None:
    assert shares(10**9, {A: 0, B: 0}) == {}


def test_x402_defect_13_the_unit_of_a_pool_is_that_of_the_points_it_pays() -> None:
    assert shares(20_000_000 * 10**9, {A: 1}) == {A: 20_000_000 * 10**9}
