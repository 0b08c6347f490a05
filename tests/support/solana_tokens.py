"""Tokens on a local Solana: mints with and without extensions, wallets with token accounts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account

from guerdon.chains.solana import instructions
from guerdon.chains.solana.programs import SYSTEM, TOKEN, TOKEN_2022
from guerdon.chains.solana.tokens import Mint, associated_address, read_mint
from guerdon.chains.solana.values import AccountState
from tests.support.local_solana import SolanaInThread

NO_KEY = bytes(32)


@dataclass(frozen=True)
class Extending:
    """An extension of a mint: how many bytes it takes, and the instruction that initializes it."""

    size: int
    data: bytes


def transfer_fee(basis_points: int, most: int) -> Extending:
    return Extending(4 + 108, b"\x1a\x00" + b"\0" + b"\0" + basis_points.to_bytes(2, "little") + most.to_bytes(8, "little"))


def default_state(state: int) -> Extending:
    return Extending(4 + 1, b"\x1c\x00" + bytes([state]))


def permanent_delegate(who: Pubkey) -> Extending:
    return Extending(4 + 32, b"\x23" + bytes(who))


def transfer_hook(program: Pubkey) -> Extending:
    return Extending(4 + 64, b"\x24\x00" + NO_KEY + bytes(program))


def metadata_pointer(to: Pubkey) -> Extending:
    return Extending(4 + 64, b"\x27\x00" + NO_KEY + bytes(to))


NON_TRANSFERABLE = Extending(4, b"\x20")


def made_mint(
    solana: SolanaInThread, authority: Keypair, *, decimals: int = 6, program: str = TOKEN, extending: Sequence[Extending] = ()
) -> Mint:
    """A new token; `authority` may mint and freeze."""
    mint = Keypair()
    size = 82 if not extending else 166 + sum(one.size for one in extending)
    size += 2 if size == 355 else 0
    made = create_account(
        CreateAccountParams(
            from_pubkey=authority.pubkey(),
            to_pubkey=mint.pubkey(),
            lamports=solana.ask("getMinimumBalanceForRentExemption", size),
            space=size,
            owner=Pubkey.from_string(program),
        )
    )
    key = bytes(authority.pubkey())
    named = [AccountMeta(mint.pubkey(), is_signer=False, is_writable=True)]
    extensions = [Instruction(Pubkey.from_string(program), one.data, named) for one in extending]
    initialize = Instruction(Pubkey.from_string(program), b"\x14" + bytes([decimals]) + key + b"\x01" + key, named)
    solana.run([made, *extensions, initialize], authority, mint)
    return read_mint(seen(solana, str(mint.pubkey())))


def holding(solana: SolanaInThread, mint: Mint, authority: Keypair, wallet: Pubkey, amount: int = 0) -> str:
    """The wallet's token account, with so much of the token in it."""
    account = associated_address(str(wallet), mint)
    payer = str(authority.pubkey())
    wanted = [instructions.create_token_account(payer, str(wallet), mint)]
    if amount:
        wanted.append(mint_to(mint, account, authority, amount))
    solana.run(wanted, authority)
    return account


def mint_to(mint: Mint, account: str, authority: Keypair, amount: int) -> Instruction:
    """Make tokens in a token account."""
    return instructions.mint_to_checked(account, str(authority.pubkey()), mint, amount)


def transfer_with_fee(source: str, destination: str, owner: str, mint: Mint, amount: int, fee: int) -> Instruction:
    """A transfer that fails unless the mint's fee is exactly that (Token-2022)."""
    plain = instructions.transfer_checked(source, destination, owner, mint, amount)
    data = b"\x1a\x01" + bytes(plain.data)[1:] + fee.to_bytes(8, "little")
    return Instruction(plain.program_id, data, plain.accounts)


def seen(solana: SolanaInThread, address: str) -> AccountState:
    """An account at the head; it exists."""
    found = solana.ask("getAccountInfo", address, {"encoding": "base64", "commitment": "processed"})["value"]
    data = base64.b64decode(found["data"][0])
    return AccountState(address, found["lamports"], found["owner"], data, found["executable"])


def held(solana: SolanaInThread, account: str) -> int:
    """What a token account holds at the head."""
    return int(solana.ask("getTokenAccountBalance", account, {"commitment": "processed"})["value"]["amount"])


def set_account_flag(program: str, account: str, owner: Keypair, *, data: bytes) -> Instruction:
    """An instruction on an account that its owner signs, such as to require memos."""
    accounts = [
        AccountMeta(Pubkey.from_string(account), is_signer=False, is_writable=True),
        AccountMeta(owner.pubkey(), is_signer=True, is_writable=False),
    ]
    return Instruction(Pubkey.from_string(program), data, accounts)


def require_memo(account: str, owner: Keypair) -> list[Instruction]:
    """The account grows, and takes transfers only behind a memo (Token-2022)."""
    demanded = set_account_flag(TOKEN_2022, account, owner, data=b"\x1e\x00")
    named, signs = demanded.accounts
    paid = [
        AccountMeta(owner.pubkey(), is_signer=True, is_writable=True),
        AccountMeta(Pubkey.from_string(SYSTEM), is_signer=False, is_writable=False),
    ]
    return [Instruction(demanded.program_id, b"\x1d\x08\x00", [named, *paid, signs]), demanded]


def freeze(mint: Mint, account: str, authority: Keypair) -> Instruction:
    """Freeze a token account."""
    accounts = [
        AccountMeta(Pubkey.from_string(account), is_signer=False, is_writable=True),
        AccountMeta(Pubkey.from_string(mint.address), is_signer=False, is_writable=False),
        AccountMeta(authority.pubkey(), is_signer=True, is_writable=False),
    ]
    return Instruction(Pubkey.from_string(mint.program), b"\x0a", accounts)


PROGRAMS = (TOKEN, TOKEN_2022)
