"""What transactions of ours do, instruction by instruction. Pure. Addresses are texts, amounts in the smallest unit."""

from __future__ import annotations

from typing import Final

from solders import system_program
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from guerdon.chains.solana.programs import ASSOCIATED_TOKEN, MEMO, SYSTEM
from guerdon.chains.solana.tokens import Mint, associated_address

LARGEST_AMOUNT: Final = 2**64 - 1
_CREATE_IDEMPOTENT: Final = b"\x01"
_TRANSFER_CHECKED: Final = 12
CLOSE_ACCOUNT: Final = b"\x09"
"""The whole of the instruction's data."""
_MINT_TO_CHECKED: Final = 14
_INITIALIZE_ACCOUNT3: Final = 18
_MOST_MEMO: Final = 566
"""Bytes that the memo program takes with one signer."""


def create_token_account(payer: str, wallet: str, mint: Mint) -> Instruction:
    """Make a wallet's account for a token, if it is not there; the payer pays its rent. Nothing happens if it is there."""
    account = associated_address(wallet, mint)
    accounts = [
        _writable(payer, signs=True),
        _writable(account),
        _readable(wallet),
        _readable(mint.address),
        _readable(SYSTEM),
        _readable(mint.program),
    ]
    return Instruction(Pubkey.from_string(ASSOCIATED_TOKEN), _CREATE_IDEMPOTENT, accounts)


def transfer_checked(source: str, destination: str, owner: str, mint: Mint, amount_atomic: int) -> Instruction:
    """Move tokens from one token account to another, both of the mint; the owner of the source signs."""
    if not 0 < amount_atomic <= LARGEST_AMOUNT:
        raise ValueError(f"an amount of tokens is above 0 and below 2^64, not {amount_atomic}")
    accounts = [_writable(source), _readable(mint.address), _writable(destination), _readable(owner, signs=True)]
    data = bytes([_TRANSFER_CHECKED]) + amount_atomic.to_bytes(8, "little") + bytes([mint.decimals])
    return Instruction(Pubkey.from_string(mint.program), data, accounts)


def mint_to_checked(account: str, authority: str, mint: Mint, amount_atomic: int) -> Instruction:
    """Make tokens in a token account of the mint; whoever may make more of it signs."""
    if not 0 < amount_atomic <= LARGEST_AMOUNT:
        raise ValueError(f"an amount of tokens is above 0 and below 2^64, not {amount_atomic}")
    accounts = [_writable(mint.address), _writable(account), _readable(authority, signs=True)]
    data = bytes([_MINT_TO_CHECKED]) + amount_atomic.to_bytes(8, "little") + bytes([mint.decimals])
    return Instruction(Pubkey.from_string(mint.program), data, accounts)


def close_account(account: str, to: str, owner: str, program: str) -> Instruction:
    """Close a token account that is empty, or one of native SOL; its lamports go to `to`, the owner signs."""
    accounts = [_writable(account), _writable(to), _readable(owner, signs=True)]
    return Instruction(Pubkey.from_string(program), CLOSE_ACCOUNT, accounts)


def initialize_account(account: str, mint: str, owner: str, program: str) -> Instruction:
    """Make an account of the program's that is allocated a token account of an owner's (InitializeAccount3)."""
    data = bytes([_INITIALIZE_ACCOUNT3]) + bytes(Pubkey.from_string(owner))
    return Instruction(Pubkey.from_string(program), data, [_writable(account), _readable(mint)])


def allocate_with_seed(account: str, base: str, seed: str, size: int, program: str) -> Instruction:
    """Give an address that follows from a base and a seed its size and program; the base signs. Fails if that was done before."""
    return system_program.allocate_with_seed(
        system_program.AllocateWithSeedParams(
            address=Pubkey.from_string(account),
            base=Pubkey.from_string(base),
            seed=seed,
            space=size,
            owner=Pubkey.from_string(program),
        )
    )


def transfer_lamports(source: str, destination: str, lamports: int) -> Instruction:
    """Move lamports."""
    return system_program.transfer(
        system_program.TransferParams(
            from_pubkey=Pubkey.from_string(source), to_pubkey=Pubkey.from_string(destination), lamports=lamports
        )
    )


def memo(text: str, *signers: str) -> Instruction:
    """Say something in the transaction; the signers, if any are given, sign that they say it."""
    said = text.encode()
    if len(said) > _MOST_MEMO:
        raise ValueError(f"a memo has at most {_MOST_MEMO} bytes")
    return Instruction(Pubkey.from_string(MEMO), said, [_readable(one, signs=True) for one in signers])


def _writable(address: str, *, signs: bool = False) -> AccountMeta:
    return AccountMeta(Pubkey.from_string(address), is_signer=signs, is_writable=True)


def _readable(address: str, *, signs: bool = False) -> AccountMeta:
    return AccountMeta(Pubkey.from_string(address), is_signer=signs, is_writable=False)
