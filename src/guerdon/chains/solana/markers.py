"""The marker of a transaction: an account that it makes, so that a second form of it fails (SAFETY S18). Pure.

Its address follows from the treasury and the transaction's id, so that whoever looks for it needs no record. It is a token
account of native SOL that belongs to the treasury, which can close it: what an account holds that belongs to no program could
never be taken away. Lamports that somebody sends to the address before do no harm: they come back when it is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from guerdon.chains.solana.instructions import allocate_with_seed, close_account, initialize_account, transfer_lamports
from guerdon.chains.solana.programs import NATIVE_MINT, SYSTEM, TOKEN
from guerdon.chains.solana.tokens import ACCOUNT_BYTES, NotATokenError, read_token_account
from guerdon.chains.solana.transfers import ChainTransaction
from guerdon.chains.solana.values import AccountState

RENT_LAMPORTS: Final = 2_039_280
"""What a marker holds until it is closed."""
_ALLOCATE_WITH_SEED: Final = (9).to_bytes(4, "little")
_BASE: Final = slice(4, 36)
_SEED: Final = slice(44, 76)
"""Behind its length, in eight bytes."""


@dataclass(frozen=True, slots=True)
class Marker:
    """The marker of one transaction of one treasury."""

    treasury: str
    id: UUID

    @property
    def seed(self) -> str:
        """32 characters: the id in hexadecimal."""
        return self.id.hex

    @property
    def address(self) -> str:
        """Where it is, or would be."""
        return str(Pubkey.create_with_seed(Pubkey.from_string(self.treasury), self.seed, Pubkey.from_string(TOKEN)))

    def make(self, rent_lamports: int = RENT_LAMPORTS) -> list[Instruction]:
        """The instructions that make it; the treasury signs and pays. They fail if it is there."""
        return [
            transfer_lamports(self.treasury, self.address, rent_lamports),
            allocate_with_seed(self.address, self.treasury, self.seed, ACCOUNT_BYTES, TOKEN),
            initialize_account(self.address, NATIVE_MINT, self.treasury, TOKEN),
        ]

    def close(self) -> Instruction:
        """The instruction that closes it; all lamports go back to the treasury."""
        return close_account(self.address, self.treasury, self.treasury, TOKEN)


def is_marker(account: AccountState | None, treasury: str) -> bool:
    """Is this account a marker of a treasury? Lamports alone at its address are none: anybody can send those."""
    if account is None:
        return False
    try:
        return read_token_account(account).owner == treasury
    except NotATokenError:
        return False


def marker_made_by(transaction: ChainTransaction, treasury: str) -> Marker | None:
    """The marker of a treasury that a transaction made, whoever remembers its id: the seed tells it. None if it made none."""
    for one in transaction.instructions if transaction.succeeded else ():
        is_ours = one.data[_BASE] == bytes(Pubkey.from_string(treasury))
        if one.program == SYSTEM and one.data[:4] == _ALLOCATE_WITH_SEED and is_ours:
            try:
                made = Marker(treasury, UUID(hex=one.data[_SEED].decode()))
            except ValueError:
                continue
            if one.accounts[:1] == (made.address,):
                return made
    return None
