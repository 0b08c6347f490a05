"""Token-2022's extensions: which a mint or account has, what they mean for payments, and which are taken (SAFETY S35)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

BASE_BYTES: Final = 165
"""Behind these, and one byte for the kind of account, extensions begin."""
IS_MINT: Final = 1
IS_ACCOUNT: Final = 2
_HEAD_BYTES: Final = 4
_BASIS_POINTS: Final = 10_000
_FEE_CONFIG_BYTES: Final = 108
_KEY_BYTES: Final = 32
_FROZEN: Final = 2


class Extension(IntEnum):
    """The types that are known, by their numbers."""

    TRANSFER_FEE_CONFIG = 1
    TRANSFER_FEE_AMOUNT = 2
    MINT_CLOSE_AUTHORITY = 3
    CONFIDENTIAL_TRANSFER_MINT = 4
    CONFIDENTIAL_TRANSFER_ACCOUNT = 5
    DEFAULT_ACCOUNT_STATE = 6
    IMMUTABLE_OWNER = 7
    MEMO_TRANSFER = 8
    NON_TRANSFERABLE = 9
    INTEREST_BEARING = 10
    CPI_GUARD = 11
    PERMANENT_DELEGATE = 12
    NON_TRANSFERABLE_ACCOUNT = 13
    TRANSFER_HOOK = 14
    TRANSFER_HOOK_ACCOUNT = 15
    CONFIDENTIAL_TRANSFER_FEE_CONFIG = 16
    CONFIDENTIAL_TRANSFER_FEE_AMOUNT = 17
    METADATA_POINTER = 18
    TOKEN_METADATA = 19
    GROUP_POINTER = 20
    TOKEN_GROUP = 21
    GROUP_MEMBER_POINTER = 22
    TOKEN_GROUP_MEMBER = 23
    CONFIDENTIAL_MINT_BURN = 24
    SCALED_UI_AMOUNT = 25
    PAUSABLE = 26
    PAUSABLE_ACCOUNT = 27


HARMLESS: Final = frozenset(
    {
        Extension.METADATA_POINTER,
        Extension.TOKEN_METADATA,
        Extension.GROUP_POINTER,
        Extension.TOKEN_GROUP,
        Extension.GROUP_MEMBER_POINTER,
        Extension.TOKEN_GROUP_MEMBER,
        Extension.CONFIDENTIAL_TRANSFER_MINT,
        Extension.CONFIDENTIAL_TRANSFER_FEE_CONFIG,
    }
)
"""Extensions of a mint that change nothing about ordinary transfers."""

NEEDS_CONSENT: Final = {
    Extension.TRANSFER_FEE_CONFIG: "it takes a fee of each transfer, so that less arrives than is sent",
    Extension.MINT_CLOSE_AUTHORITY: "it can be closed and made anew with other rules",
    Extension.DEFAULT_ACCOUNT_STATE: "its issuer may decide that new accounts are frozen",
    Extension.INTEREST_BEARING: "what people see of an amount changes with time",
    Extension.SCALED_UI_AMOUNT: "what people see of an amount can be changed",
    Extension.PERMANENT_DELEGATE: "its issuer can take tokens out of every account",
    Extension.PAUSABLE: "its issuer can stop all transfers",
}
"""Extensions that an operator has to list for a mint, with what they mean."""


@dataclass(frozen=True, slots=True)
class TransferFee:
    """What a mint takes of each transfer."""

    authority: str | None
    older: tuple[int, int, int]
    """Epoch from which it holds, most in the smallest unit, basis points."""
    newer: tuple[int, int, int]

    def of(self, amount_atomic: int, epoch: int) -> int:
        """The fee of a transfer in an epoch, rounded up, in the smallest unit."""
        since, most, basis_points = self.newer
        if epoch < since:
            _, most, basis_points = self.older
        return min(most, -(-amount_atomic * basis_points // _BASIS_POINTS))


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


def transfer_fee(content: bytes) -> TransferFee:
    """The transfer fee of a mint."""
    if len(content) < _FEE_CONFIG_BYTES:
        raise ValueError("a transfer fee is incomplete")
    from solders.pubkey import Pubkey  # noqa: PLC0415 - the rest of this module is plain bytes

    older, newer = (
        (
            int.from_bytes(content[at : at + 8], "little"),
            int.from_bytes(content[at + 8 : at + 16], "little"),
            int.from_bytes(content[at + 16 : at + 18], "little"),
        )
        for at in (72, 90)
    )
    authority = content[:_KEY_BYTES]
    return TransferFee(str(Pubkey(authority)) if any(authority) else None, older, newer)


def forbidden(kind: int, content: bytes) -> str | None:
    """Why a mint with this extension is never paid out, whatever an operator says; None if it may be."""
    if kind == Extension.TRANSFER_HOOK and any(content[_KEY_BYTES : 2 * _KEY_BYTES]):
        return "another program decides about each transfer, and wants accounts that nobody here knows"
    if kind == Extension.NON_TRANSFERABLE:
        return "it can't be transferred"
    if kind == Extension.DEFAULT_ACCOUNT_STATE and content[:1] == bytes([_FROZEN]):
        return "new accounts are frozen until its issuer thaws them"
    if kind == Extension.PAUSABLE and content[_KEY_BYTES : _KEY_BYTES + 1] == b"\x01":
        return "its issuer has stopped all transfers"
    if kind == Extension.CONFIDENTIAL_MINT_BURN:
        return "its supply is confidential"
    if kind not in set(Extension):
        return f"it has an extension of type {kind}, which is not known"
    return None
