"""Mints and token accounts of Token and Token-2022: what they say, and why one is refused. Pure; `client.py` fetches them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from guerdon.chains.solana.extensions import (
    BASE_BYTES,
    HARMLESS,
    IS_ACCOUNT,
    IS_MINT,
    NEEDS_CONSENT,
    Extension,
    TransferFee,
    entries,
    forbidden,
    transfer_fee,
)
from guerdon.chains.solana.programs import SYSTEM, TOKEN, TOKEN_PROGRAMS
from guerdon.chains.solana.values import AccountState

MINT_BYTES: Final = 82
ACCOUNT_BYTES: Final = BASE_BYTES
_STATE: Final = 108


class NotATokenError(ValueError):
    """This account is no mint, or no token account, of one of the two token programs."""


class Refusal(StrEnum):
    """Why a token account can't be paid."""

    NO_TOKEN_ACCOUNT = "no_token_account"  # noqa: S105 - a reason
    """Something else is at its address."""
    WRONG_OWNER = "wrong_owner"
    """It does not belong to the wallet that is to be paid (SAFETY S35)."""
    WRONG_MINT = "wrong_mint"
    FROZEN = "frozen"
    """Its issuer has frozen it."""
    NOT_A_WALLET = "not_a_wallet"
    """The address is itself a mint or a token account: what is sent to an account of it would be lost."""


@dataclass(frozen=True, slots=True)
class Mint:
    """A token."""

    address: str
    program: str
    """Token or Token-2022: it decides about the addresses of accounts."""
    decimals: int
    supply: int
    mint_authority: str | None
    freeze_authority: str | None
    extensions: tuple[int, ...]
    """Numbers of `Extension`, and any that are not known."""
    fee: TransferFee | None
    forbidden: tuple[str, ...]
    """Why it is never paid out, in words."""

    def refusals(self, allowed: Collection[int] = ()) -> list[str]:
        """Why it is not paid out, in words; none if it may be. `allowed` are the extensions that an operator listed for it."""
        if self.forbidden:
            return list(self.forbidden)
        return [
            f"{why} (extension {Extension(kind).name.lower()}); list the extension for this mint to allow it"
            for kind in self.extensions
            if kind not in allowed and (why := NEEDS_CONSENT.get(Extension(kind)) if kind in set(Extension) else None) is not None
        ]

    def fee_of(self, amount_atomic: int, epoch: int) -> int:
        """What the mint keeps of a transfer."""
        return 0 if self.fee is None else self.fee.of(amount_atomic, epoch)


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """An account that holds a token."""

    address: str
    program: str
    mint: str
    owner: str
    """The wallet that it belongs to."""
    amount_atomic: int
    is_frozen: bool
    is_native: bool
    delegate: str | None
    delegated_atomic: int
    close_authority: str | None
    needs_memo: bool
    """A transfer to it has to follow a memo in the same transaction."""
    extensions: tuple[int, ...]


def associated_address(wallet: str, mint: str, program: str) -> str:
    """The address of a wallet's account for a token; it may be off the curve, a program's. `ValueError` for no address."""
    found = get_associated_token_address(Pubkey.from_string(wallet), Pubkey.from_string(mint), Pubkey.from_string(program))
    return str(found)


def is_on_curve(address: str) -> bool:
    """Can somebody hold a key for this address? One off the curve is a program's, which has to know how to spend."""
    return Pubkey.from_string(address).is_on_curve()


def read_mint(account: AccountState) -> Mint:
    """A mint; `NotATokenError` if it is none."""
    data, found = account.data, list[tuple[int, bytes]]()
    if account.owner not in TOKEN_PROGRAMS or len(data) < MINT_BYTES or not data[45]:
        raise NotATokenError(f"{account.address} is no mint")
    if len(data) != MINT_BYTES:
        if account.owner == TOKEN or len(data) <= BASE_BYTES or data[BASE_BYTES] != IS_MINT:
            raise NotATokenError(f"{account.address} is no mint")
        found = _entries(account)
    fees = [transfer_fee(content) for kind, content in found if kind == Extension.TRANSFER_FEE_CONFIG]
    unknown = [why for kind, content in found if (why := forbidden(kind, content)) is not None]
    odd = [kind for kind, _ in found if kind in set(Extension) and kind not in HARMLESS and not _judged(kind)]
    return Mint(
        address=account.address,
        program=account.owner,
        decimals=data[44],
        supply=int.from_bytes(data[36:44], "little"),
        mint_authority=_optional(data[:36]),
        freeze_authority=_optional(data[46:82]),
        extensions=tuple(kind for kind, _ in found),
        fee=fees[0] if fees else None,
        forbidden=(*unknown, *(f"it has the extension {Extension(kind).name.lower()}, which is no mint's" for kind in odd)),
    )


def read_token_account(account: AccountState) -> TokenAccount:
    """A token account; `NotATokenError` if it is none."""
    data, found = account.data, list[tuple[int, bytes]]()
    if account.owner not in TOKEN_PROGRAMS or len(data) < ACCOUNT_BYTES or not data[_STATE]:
        raise NotATokenError(f"{account.address} is no token account")
    if len(data) != ACCOUNT_BYTES:
        if account.owner == TOKEN or data[BASE_BYTES] != IS_ACCOUNT:
            raise NotATokenError(f"{account.address} is no token account")
        found = _entries(account)
    return TokenAccount(
        address=account.address,
        program=account.owner,
        mint=str(Pubkey(data[:32])),
        owner=str(Pubkey(data[32:64])),
        amount_atomic=int.from_bytes(data[64:72], "little"),
        is_frozen=data[_STATE] == 2,  # noqa: PLR2004 - its number in the program
        is_native=data[109] == 1,
        delegate=_optional(data[72:108]),
        delegated_atomic=int.from_bytes(data[121:129], "little"),
        close_authority=_optional(data[129:165]),
        needs_memo=any(kind == Extension.MEMO_TRANSFER and content[:1] == b"\x01" for kind, content in found),
        extensions=tuple(kind for kind, _ in found),
    )


def refusal(account: AccountState | None, wallet: str, mint: Mint) -> Refusal | None:
    """Why a wallet's account for a token can't be paid; None if it can, or is not there yet and can be made (SAFETY S35).

    `account` is what the chain has at `associated_address`, known to be that: an answer, never an error.
    """
    if account is None or (account.owner == SYSTEM and not account.data):
        return None  # somebody may have sent lamports there; it can be made all the same
    try:
        found = read_token_account(account)
    except NotATokenError:
        return Refusal.NO_TOKEN_ACCOUNT
    if found.mint != mint.address or found.program != mint.program:
        return Refusal.WRONG_MINT
    if found.owner != wallet:
        return Refusal.WRONG_OWNER
    return Refusal.FROZEN if found.is_frozen else None


def wallet_refusal(account: AccountState | None) -> Refusal | None:
    """Why an address can't be a recipient's wallet, by what the chain has there; None if it can."""
    return Refusal.NOT_A_WALLET if account is not None and account.owner in TOKEN_PROGRAMS else None


def _entries(account: AccountState) -> list[tuple[int, bytes]]:
    try:
        return list(entries(account.data))
    except ValueError as error:
        raise NotATokenError(f"{account.address}: {error}") from None


def _judged(kind: int) -> bool:
    judged = {Extension.TRANSFER_HOOK, Extension.NON_TRANSFERABLE, Extension.CONFIDENTIAL_MINT_BURN, *NEEDS_CONSENT}
    return kind in judged


def _optional(data: bytes) -> str | None:
    return str(Pubkey(data[4:36])) if data[0] == 1 else None
