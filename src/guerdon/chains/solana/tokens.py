"""Mints and token accounts of Token and Token-2022: what they say, and why one is refused. Pure; `client.py` fetches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from guerdon.chains.solana.extensions import (
    BASE_BYTES,
    HARMLESS_OF_ACCOUNTS,
    HARMLESS_OF_MINTS,
    IS_ACCOUNT,
    IS_MINT,
    REFUSED_OF_MINTS,
    REQUIRED_MEMO,
    entries,
)
from guerdon.chains.solana.programs import SYSTEM, TOKEN, TOKEN_PROGRAMS
from guerdon.chains.solana.values import AccountState

MINT_BYTES: Final = 82
ACCOUNT_BYTES: Final = BASE_BYTES
ACCOUNT_RENT: Final = 2_039_280
"""Lamports that a token account of the plain size costs whoever makes it."""
EXTENDED_RENT: Final = 2_500_000
"""At least what one costs whose mint has extensions that are allowed."""
_THERE_IS_ONE: Final = b"\x01\0\0\0"
_AUTHORITY: Final = 4
_SUPPLY: Final = 36
_STATE: Final = 108
_FROZEN: Final = 2


class NotATokenError(ValueError):
    """This account is no mint, or no token account, of one of the two token programs; says why."""


@dataclass(frozen=True, slots=True)
class Mint:
    """A token."""

    address: str
    program: str
    """Token or Token-2022: it decides about the addresses of accounts."""
    decimals: int
    extensions: tuple[int, ...] = ()
    authority: str | None = None
    """Who may make more of it; None: nobody, for ever."""

    @property
    def problem(self) -> str | None:
        """Why it can't be paid with, for certain; None if it can."""
        for one in self.extensions:
            if one in REFUSED_OF_MINTS:
                return f"the token has {REFUSED_OF_MINTS[one]}"
            if one not in HARMLESS_OF_MINTS:
                return f"the token has an extension (number {one}) that this version does not know"
        return None

    @property
    def account_rent(self) -> int:
        """The most lamports that a token account of it costs."""
        return ACCOUNT_RENT if self.program == TOKEN else EXTENDED_RENT


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """An account that holds a token."""

    program: str
    mint: str
    owner: str
    """The wallet that it belongs to."""
    amount_atomic: int
    is_frozen: bool
    needs_memo: bool
    """A transfer to it has to follow a memo in the same transaction."""
    extensions: tuple[int, ...] = ()

    @property
    def problem(self) -> str | None:
        """Why it can't be paid, for certain; None if it can."""
        if self.is_frozen:
            return "its token account is frozen"
        unknown = [one for one in self.extensions if one not in HARMLESS_OF_ACCOUNTS]
        return f"its token account has an extension (number {unknown[0]}) that this version does not know" if unknown else None


def associated_address(wallet: str, mint: Mint) -> str:
    """The address of a wallet's account for a token; it may be off the curve, a program's. `ValueError` for no address."""
    keys = (Pubkey.from_string(one) for one in (wallet, mint.address, mint.program))
    return str(get_associated_token_address(*keys))


def is_to_be_made(account: AccountState | None) -> bool:
    """Is there no token account, whatever lamports somebody sent to its address ahead?"""
    return account is None or (account.owner == SYSTEM and not account.data)


def read_mint(account: AccountState) -> Mint:
    """A mint; `NotATokenError` if it is none."""
    data = account.data
    if (
        account.owner not in TOKEN_PROGRAMS
        or len(data) < MINT_BYTES
        or data[45] != 1
        or not _is_kind(account, MINT_BYTES, IS_MINT)
    ):
        raise NotATokenError(f"{account.address} is no token")
    authority = str(Pubkey(data[_AUTHORITY:_SUPPLY])) if data[:_AUTHORITY] == _THERE_IS_ONE else None
    return Mint(account.address, account.owner, data[44], tuple(_extensions(account)), authority)


def read_token_account(account: AccountState) -> TokenAccount:
    """A token account; `NotATokenError` if it is none."""
    data = account.data
    is_one = account.owner in TOKEN_PROGRAMS and len(data) >= ACCOUNT_BYTES and data[_STATE] in {1, _FROZEN}
    if not is_one or not _is_kind(account, ACCOUNT_BYTES, IS_ACCOUNT):
        raise NotATokenError(f"{account.address} is no token account")
    extensions = _extensions(account)
    return TokenAccount(
        program=account.owner,
        mint=str(Pubkey(data[:32])),
        owner=str(Pubkey(data[32:64])),
        amount_atomic=int.from_bytes(data[64:72], "little"),
        is_frozen=data[_STATE] == _FROZEN,
        needs_memo=extensions.get(REQUIRED_MEMO, b"")[:1] == b"\x01",
        extensions=tuple(extensions),
    )


def _is_kind(account: AccountState, plain_bytes: int, kind: int) -> bool:
    """Is an account of the plain size, or of Token-2022 and marked as of this kind?"""
    data = account.data
    if len(data) == plain_bytes:
        return True
    return account.owner != TOKEN and len(data) > BASE_BYTES and data[BASE_BYTES] == kind


def _extensions(account: AccountState) -> dict[int, bytes]:
    try:
        return dict(entries(account.data))
    except ValueError as error:
        raise NotATokenError(f"{account.address}: {error}") from None
