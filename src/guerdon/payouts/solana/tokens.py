"""SPL tokens as payouts need them: mints and token accounts read from their bytes, and the instructions that pay. Pure.

Token and Token-2022 lay out what they share in the same way; what a mint or an account of the second has on top is told apart by
an allow-list (SAFETY S35): what is not known is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

TOKEN: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 - a program's address
TOKEN_2022: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105
PROGRAMS: Final = (TOKEN, TOKEN_2022)
ASSOCIATED: Final = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MEMO: Final = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
SYSTEM: Final = Pubkey.from_string("11111111111111111111111111111111")
ACCOUNT_RENT: Final = 2_039_280
"""Lamports that a token account of the plain size costs whoever makes it."""
EXTENDED_RENT: Final = 2_500_000
"""At least what one costs whose mint has extensions that this list allows."""
MOST_ATOMIC: Final = 2**64 - 1
_MINT_BYTES: Final = 82
_ACCOUNT_BYTES: Final = 165
_TYPE_AT: Final = 165
_EXTENSIONS_AT: Final = 166
_MINT_TYPE: Final = 1
_ACCOUNT_TYPE: Final = 2
_CREATE_IDEMPOTENT: Final = 1
_TRANSFER_CHECKED: Final = 12
_INITIALIZED: Final = 1
_FROZEN: Final = 2
_REQUIRED_MEMO: Final = 8

_HARMLESS_OF_MINTS: Final = {
    3: "close authority", 18: "metadata pointer", 19: "metadata", 20: "group pointer", 21: "group", 22: "group member pointer",
    23: "group member", 10: "interest-bearing", 25: "scaled amount",
}  # fmt: skip
"""What a mint may have without a transfer of raw units being any different."""
_REFUSED_OF_MINTS: Final = {
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
_HARMLESS_OF_ACCOUNTS: Final = {7: "immutable owner", _REQUIRED_MEMO: "required memo", 11: "guard against CPI"}


class NotATokenError(ValueError):
    """The account is no mint, or no token account, or one that this product does not pay with; says why."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it is at some slot."""

    owner: str
    """The program that it belongs to."""
    lamports: int
    data: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Mint:
    """A token."""

    address: str
    program: str
    decimals: int
    authority: str | None
    """Who may mint."""
    extensions: tuple[int, ...]

    @property
    def problem(self) -> str | None:
        """Why it can't be paid with, for certain; None if it can."""
        for one in self.extensions:
            if one in _REFUSED_OF_MINTS:
                return f"the token has {_REFUSED_OF_MINTS[one]}"
            if one not in _HARMLESS_OF_MINTS:
                return f"the token has an extension (number {one}) that this version does not know"
        return None

    @property
    def account_rent(self) -> int:
        """The most lamports that a token account of it costs."""
        return ACCOUNT_RENT if self.program == TOKEN else EXTENDED_RENT


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """Somebody's tokens of one mint."""

    mint: str
    owner: str
    amount: int
    is_frozen: bool
    needs_memo: bool


def read_mint(address: str, account: Account | None) -> Mint:
    """A mint. Raises `NotATokenError`."""
    if account is None:
        raise NotATokenError(f"there is no token {address} on this network")
    data = account.data
    is_mint = len(data) == _MINT_BYTES or (len(data) > _TYPE_AT and data[_TYPE_AT] == _MINT_TYPE)
    if account.owner not in PROGRAMS or not is_mint or data[45] != 1:
        raise NotATokenError(f"{address} is no token")
    authority = None if data[:4] == b"\0" * 4 else str(Pubkey.from_bytes(data[4:36]))
    return Mint(address, account.owner, data[44], authority, tuple(_extensions(data)))


def read_account(account: Account) -> TokenAccount:
    """A token account. Raises `NotATokenError`."""
    data = account.data
    is_account = len(data) == _ACCOUNT_BYTES or (len(data) > _TYPE_AT and data[_TYPE_AT] == _ACCOUNT_TYPE)
    if account.owner not in PROGRAMS or not is_account or data[108] not in {_INITIALIZED, _FROZEN}:
        raise NotATokenError("it is no token account")
    extensions = _extensions(data)
    unknown = sorted(set(extensions) - set(_HARMLESS_OF_ACCOUNTS))
    if unknown:
        raise NotATokenError(f"the token account has an extension (number {unknown[0]}) that this version does not know")
    return TokenAccount(
        mint=str(Pubkey.from_bytes(data[:32])),
        owner=str(Pubkey.from_bytes(data[32:64])),
        amount=int.from_bytes(data[64:72], "little"),
        is_frozen=data[108] == _FROZEN,
        needs_memo=bool(extensions.get(_REQUIRED_MEMO, b"\0")[0]),
    )


def _extensions(data: bytes) -> Mapping[int, bytes]:
    return dict(_each_extension(data))


def _each_extension(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = _EXTENSIONS_AT
    while at + 4 <= len(data):
        kind, size = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 2 : at + 4], "little")
        if kind == 0:
            return
        if at + 4 + size > len(data):
            raise NotATokenError("its extensions can't be read")
        yield kind, data[at + 4 : at + 4 + size]
        at += 4 + size


def account_address(owner: str, mint: Mint) -> str:
    """Where a wallet's tokens of a mint are."""
    found = get_associated_token_address(
        Pubkey.from_string(owner), Pubkey.from_string(mint.address), Pubkey.from_string(mint.program)
    )
    return str(found)


def is_wallet_address(text: str) -> bool:
    """Is this an address that somebody may have a private key for?"""
    try:
        return Pubkey.from_string(text).is_on_curve()
    except ValueError:
        return False


def creation(payer: str, owner: str, mint: Mint) -> Instruction:
    """Makes a wallet's token account, if it is not there."""
    accounts = [
        AccountMeta(Pubkey.from_string(payer), is_signer=True, is_writable=True),
        AccountMeta(Pubkey.from_string(account_address(owner, mint)), is_signer=False, is_writable=True),
        AccountMeta(Pubkey.from_string(owner), is_signer=False, is_writable=False),
        AccountMeta(Pubkey.from_string(mint.address), is_signer=False, is_writable=False),
        AccountMeta(SYSTEM, is_signer=False, is_writable=False),
        AccountMeta(Pubkey.from_string(mint.program), is_signer=False, is_writable=False),
    ]
    return Instruction(ASSOCIATED, bytes([_CREATE_IDEMPOTENT]), accounts)


def transfer_checked(source_owner: str, owner: str, amount: int, mint: Mint) -> Instruction:
    """Moves tokens from one wallet's account to another's; the program compares mint and decimals with what is said here."""
    if not 0 < amount <= MOST_ATOMIC:
        raise ValueError("an amount of tokens is above zero and below 2^64")
    accounts = [
        AccountMeta(Pubkey.from_string(account_address(source_owner, mint)), is_signer=False, is_writable=True),
        AccountMeta(Pubkey.from_string(mint.address), is_signer=False, is_writable=False),
        AccountMeta(Pubkey.from_string(account_address(owner, mint)), is_signer=False, is_writable=True),
        AccountMeta(Pubkey.from_string(source_owner), is_signer=True, is_writable=False),
    ]
    data = bytes([_TRANSFER_CHECKED]) + amount.to_bytes(8, "little") + bytes([mint.decimals])
    return Instruction(Pubkey.from_string(mint.program), data, accounts)


def memo(text: str) -> Instruction:
    """Says something in a transaction."""
    return Instruction(MEMO, text.encode(), [])
