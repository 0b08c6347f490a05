"""Fees: examples, and what holds for all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guerdon.txmanager.fees import Fees, capped, replacement, suggested

WEI = st.integers(min_value=0, max_value=10**13)
CAPS = st.none() | st.integers(min_value=1, max_value=10**13)


def test_a_suggestion_leaves_room_for_a_rising_base_fee() -> None:
    assert suggested(100, 5, None) == Fees(205, 5)


def test_a_suggestion_stops_at_the_cap_as_long_as_the_next_block_is_affordable() -> None:
    assert suggested(100, 5, 150) == Fees(150, 5)
    assert suggested(100, 5, 104) is None


def test_a_replacement_raises_both_by_an_eighth_rounded_up() -> None:
    assert replacement(Fees(1001, 0), 0, 0, None) == Fees(1127, 1)


@given(base=WEI, tip=WEI, cap=CAPS)
def test_no_suggestion_is_above_the_cap(base: int, tip: int, cap: int | None) -> None:
    for fees in (suggested(base, tip, cap), capped(base, tip, cap)):
        if fees is not None:
            assert cap is None or fees.max_fee_per_gas <= cap
            assert fees.max_priority_fee_per_gas <= fees.max_fee_per_gas


@given(old=st.tuples(WEI, WEI), base=WEI, tip=WEI, cap=CAPS)
def test_a_replacement_is_what_the_strictest_pool_takes_or_none(
    old: tuple[int, int], base: int, tip: int, cap: int | None
) -> None:
    before = Fees(max(old), min(old))
    after = replacement(before, base, tip, cap)
    if after is None:
        assert cap is not None
        return
    assert after.max_fee_per_gas * 8 >= before.max_fee_per_gas * 9
    assert after.max_priority_fee_per_gas * 8 >= before.max_priority_fee_per_gas * 9
    assert after.max_fee_per_gas > before.max_fee_per_gas
    assert after.max_priority_fee_per_gas > before.max_priority_fee_per_gas
    assert after.max_priority_fee_per_gas <= after.max_fee_per_gas
    assert after.max_fee_per_gas >= base + tip
    assert cap is None or after.max_fee_per_gas <= cap
