"""Which payouts a payment has paid: never more than it came to, and as much of it as can be (SAFETY S21)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.payouts import matching
from guerdon.payouts.matching import match

AMOUNTS = st.lists(st.integers(min_value=1, max_value=60), max_size=12)


def test_s21_the_oldest_payouts_of_the_right_sum_are_taken() -> None:
    assert match([30, 5, 30], 30) == matching.Match((0,), 0)
    assert match([40, 5, 30], 35) == matching.Match((1, 2), 0)
    assert match([40], 35) == matching.Match((), 35)
    assert match([20, 12], 35) == matching.Match((0, 1), 3)


@given(AMOUNTS, st.integers(min_value=1, max_value=400))
def test_s21_no_more_is_matched_than_was_paid_and_no_subset_comes_nearer(amounts: list[int], paid: int) -> None:
    found = match(amounts, paid)
    total = sum(amounts[place] for place in found.whole)
    assert len(set(found.whole)) == len(found.whole)
    assert total + found.left_atomic == paid
    sums = {0}
    for amount in amounts:
        sums |= {one + amount for one in sums}
    assert total == max(one for one in sums if one <= paid)


def test_s21_a_wallet_with_too_many_payouts_is_matched_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_MOST_SUMS", 4)
    assert match([1, 2, 4, 8, 16], 27) == matching.Match((0, 1, 2, 3), 12)
