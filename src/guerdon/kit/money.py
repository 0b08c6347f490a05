"""Integer arithmetic for points and tokens: parsing what comes over the wire, and rounding down, always.

No float touches an amount (DESIGN section 4). What an amount means is in the domains.
"""

from __future__ import annotations

LARGEST_JSON_INTEGER = 2**53
"""The largest integer that every JSON reader keeps exact; beyond it an amount has to come as a string."""
LARGEST_POINTS = 2**63 - 1
"""What a `bigint` column holds."""
LARGEST_ATOMIC = 2**256 - 1
"""What a token amount on an EVM chain can be."""

_LONGEST_TEXT = 78


class AmountError(ValueError):
    """What was given is no amount; the message tells what it should be."""


def parse_amount(value: object, *, largest: int = LARGEST_POINTS, smallest: int = 0) -> int:
    """An amount from JSON: a string of decimal digits, or an integer up to 2^53.

    Refuses floats (also whole ones), booleans, signs, spaces, leading zeros and other scripts' digits with `AmountError`.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        message = "an amount is a string of digits, or an integer"
        raise AmountError(message)
    if isinstance(value, str):
        canonical = value.isascii() and value.isdigit() and (value == "0" or not value.startswith("0"))
        if not canonical or len(value) > _LONGEST_TEXT:
            message = "an amount is written in decimal digits, without sign, spaces or leading zeros"
            raise AmountError(message)
        amount = int(value)
    else:
        if abs(value) > LARGEST_JSON_INTEGER:
            message = "an amount above 2^53 is written as a string"
            raise AmountError(message)
        amount = value
    return checked(amount, largest=largest, smallest=smallest)


def checked(amount: int, *, largest: int = LARGEST_POINTS, smallest: int = 0) -> int:
    """The same amount, or `AmountError` if it is out of bounds."""
    if not smallest <= amount <= largest:
        message = f"an amount from {smallest} to {largest} is expected"
        raise AmountError(message)
    return amount


def to_wire(amount: int) -> str:
    """An amount as JSON carries it: a string of digits."""
    return str(amount)
