"""Base 58, for bytes of any length: solders knows that of addresses, signatures and hashes only."""

from __future__ import annotations

from typing import Final

ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS: Final = {character: value for value, character in enumerate(ALPHABET)}
_LONGEST: Final = 4_000
"""Characters: an instruction has far fewer, and the work grows with their square."""


def base58(data: bytes) -> str:
    """Bytes in base 58."""
    number, shown = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        shown = ALPHABET[digit] + shown
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + shown


def from_base58(text: str) -> bytes | None:
    """The bytes of a text in base 58; None if it is none, or longer than anything of a transaction."""
    if len(text) > _LONGEST or any(character not in _DIGITS for character in text):
        return None
    number = 0
    for character in text:
        number = number * 58 + _DIGITS[character]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
