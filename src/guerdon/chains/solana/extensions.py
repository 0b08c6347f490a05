"""Token-2022's extensions: which a mint or account has, and what they mean for payments: an allow-list (SAFETY S35)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

BASE_BYTES: Final = 165
"""Behind these, and one byte for the kind of account, extensions begin."""
IS_MINT: Final = 1
IS_ACCOUNT: Final = 2
REQUIRED_MEMO: Final = 8
_HEAD_BYTES: Final = 4

HARMLESS_OF_MINTS: Final = {
    3: "close authority", 10: "interest-bearing", 18: "metadata pointer", 19: "metadata", 20: "group pointer", 21: "group",
    22: "group member pointer", 23: "group member", 25: "scaled amount",
}  # fmt: skip
"""What a mint may have without a transfer of raw units being any different."""
REFUSED_OF_MINTS: Final = {
    1: "a transfer fee: recipients would get less than they are owed",
    4: "confidential transfers",
    6: "accounts that are frozen from the beginning",
    9: "tokens that can't be transferred",
    12: "a permanent delegate, who can take tokens away",
    14: "a transfer hook",
    16: "a confidential transfer fee",
    24: "confidential minting",
    26: "a pause switch",
}
"""What is understood and refused, with the reason that people are told."""
HARMLESS_OF_ACCOUNTS: Final = {7: "immutable owner", REQUIRED_MEMO: "required memo", 11: "guard against CPI"}


def entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of each extension of a mint or account; `ValueError` if they don't hold together."""
    place = BASE_BYTES + 1
    while place + _HEAD_BYTES <= len(data):
        kind = int.from_bytes(data[place : place + 2], "little")
        length = int.from_bytes(data[place + 2 : place + 4], "little")
        place += _HEAD_BYTES
        if kind == 0:
            return
        if place + length > len(data):
            raise ValueError("an extension is longer than its account")
        yield kind, data[place : place + length]
        place += length
