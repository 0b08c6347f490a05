"""The log of the demo is the published one, and its dollars become cents without a float in between."""

from __future__ import annotations

from decimal import Decimal

import pytest

from guerdon.demo.purchases import TOTAL, BrokenLogError, Purchase, parse_cents, read_purchases


def test_the_log_is_whole() -> None:
    purchases = list(read_purchases())
    assert len(purchases) == TOTAL == 69_659
    assert len({purchase.customer for purchase in purchases}) == 23_570
    assert [purchase.row for purchase in purchases] == list(range(1, TOTAL + 1))
    assert (purchases[0].date, purchases[-1].date) == ("1997-01-01", "1998-06-30")
    assert any(purchase.amount_cents == 0 for purchase in purchases)


def test_a_limit_gives_the_first_purchases() -> None:
    assert list(read_purchases(2)) == [
        Purchase(1, "00001", "1997-01-01", 1, 1177),
        Purchase(2, "00004", "1997-01-01", 2, 2933),
    ]


def test_each_purchase_is_rounded_down_by_itself() -> None:
    purchases = list(read_purchases(3000))
    exact = sum(Decimal(purchase.amount_cents) / 100 for purchase in purchases)
    assert sum(purchase.tokens for purchase in purchases) < exact
    assert all(0 <= Decimal(purchase.amount_cents) / 100 - purchase.tokens < 1 for purchase in purchases)


@pytest.mark.parametrize(("text", "cents"), [("0.00", 0), ("0.07", 7), ("19.99", 1999), ("1286.01", 128601)])
def test_dollars_become_cents(text: str, cents: int) -> None:
    assert parse_cents(text) == cents


@pytest.mark.parametrize("text", ["", "1", "1.5", "1.999", "-1.00", "1e2.00", "1.00 ", "١.٠٠"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BrokenLogError):
        parse_cents(text)
