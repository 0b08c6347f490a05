"""Amounts: what is taken from the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.kit.money import AmountError, checked, parse_amount, to_wire


@pytest.mark.parametrize(("given_value", "amount"), [("0", 0), (0, 0), ("9223372036854775807", 2**63 - 1), (2**53, 2**53)])
def test_amounts_are_strings_of_digits_or_integers_json_keeps_exact(given_value: object, amount: int) -> None:
    assert parse_amount(given_value) == amount


@pytest.mark.parametrize(
    "value",
    [1.0, 1e3, True, None, "", " 1", "1 ", "+1", "-1", "01", "1.0", "1e3", "0x10", "1_000", "٣", "²", "9" * 79, -1, 2**53 + 1,
     "9223372036854775808", b"1", [1], {}],
)  # fmt: skip
def test_everything_else_is_no_amount(value: object) -> None:
    with pytest.raises(AmountError):
        parse_amount(value)


@given(st.integers(0, 2**63 - 1))
def test_an_amount_survives_the_wire(amount: int) -> None:
    assert parse_amount(to_wire(amount)) == amount


def test_bounds_can_be_others() -> None:
    assert parse_amount(str(2**256 - 1), largest=2**256 - 1) == 2**256 - 1
    with pytest.raises(AmountError):
        parse_amount("0", smallest=1)
    with pytest.raises(AmountError):
        checked(5, largest=4)
