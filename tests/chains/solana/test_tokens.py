"""What mints and token accounts say of themselves on the real programs, and which are refused (SAFETY S35)."""

from __future__ import annotations

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token.instructions import get_associated_token_address

from guerdon.chains.solana import instructions
from guerdon.chains.solana.keys import is_on_curve
from guerdon.chains.solana.programs import SYSTEM, TOKEN, TOKEN_2022
from guerdon.chains.solana.tokens import Mint, NotATokenError, associated_address, read_mint, read_token_account
from guerdon.chains.solana.values import AccountState
from tests.support.local_solana import SolanaInThread, gift, sent
from tests.support.solana_tokens import (
    NON_TRANSFERABLE,
    PROGRAMS,
    Extending,
    default_state,
    freeze,
    held,
    holding,
    made_mint,
    metadata_pointer,
    permanent_delegate,
    require_memo,
    seen,
    set_account_flag,
    transfer_fee,
    transfer_hook,
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_plain_mint_and_its_accounts_are_read(solana: SolanaInThread, program: str) -> None:
    authority, wallet = solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, authority, decimals=9, program=program)
    assert (mint.program, mint.decimals, mint.problem, mint.authority) == (program, 9, None, str(authority.pubkey()))
    found = read_token_account(seen(solana, holding(solana, mint, authority, wallet, 77)))
    assert (found.mint, found.owner, found.amount_atomic, found.program) == (mint.address, str(wallet), 77, program)
    assert (found.is_frozen, found.needs_memo, found.problem) == (False, False, None)


@pytest.mark.parametrize("program", PROGRAMS)
def test_addresses_of_token_accounts_are_those_of_the_ordinary_library(program: str) -> None:
    mint = Mint(str(Pubkey.new_unique()), program, 6)
    off_curve, _ = Pubkey.find_program_address([b"vault"], Pubkey.from_string(TOKEN))
    for wallet in (Keypair().pubkey(), off_curve):
        wanted = get_associated_token_address(wallet, Pubkey.from_string(mint.address), Pubkey.from_string(program))
        assert associated_address(str(wallet), mint) == str(wanted)
    assert not is_on_curve(str(off_curve))
    assert is_on_curve(str(Keypair().pubkey()))


def test_an_account_of_a_program_can_be_paid_too(solana: SolanaInThread) -> None:
    authority = solana.funded()
    mint = made_mint(solana, authority)
    vault, _ = Pubkey.find_program_address([b"vault", bytes(authority.pubkey())], Pubkey.from_string(TOKEN))
    assert held(solana, holding(solana, mint, authority, vault, 5)) == 5


def test_making_an_account_again_changes_nothing(solana: SolanaInThread) -> None:
    authority, wallet = solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, authority)
    account = holding(solana, mint, authority, wallet, 5)
    solana.advance(1)
    assert holding(solana, mint, authority, wallet) == account
    assert held(solana, account) == 5


def test_s35_lamports_sent_ahead_do_not_keep_an_account_from_being_made(solana: SolanaInThread) -> None:
    authority, wallet = solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, authority, program=TOKEN_2022)
    account = associated_address(str(wallet), mint)
    solana.run([gift(authority, Pubkey.from_string(account), 5_000_000)], authority)
    assert held(solana, holding(solana, mint, authority, wallet, 5)) == 5


def test_s35_an_account_that_was_handed_on_tells_its_new_owner_at_the_old_ones_address(solana: SolanaInThread) -> None:
    authority, wallet, thief = solana.funded(), solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, authority)
    account = holding(solana, mint, authority, wallet.pubkey(), 5)
    handed_on = b"\x06\x02\x01" + bytes(thief)
    solana.run([set_account_flag(TOKEN, account, wallet, data=handed_on)], wallet)
    assert account == associated_address(str(wallet.pubkey()), mint)
    assert read_token_account(seen(solana, account)).owner == str(thief)


def test_s35_a_frozen_account_says_so(solana: SolanaInThread) -> None:
    authority, wallet = solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, authority)
    account = holding(solana, mint, authority, wallet, 5)
    solana.run([freeze(mint, account, authority)], authority)
    assert read_token_account(seen(solana, account)).problem == "its token account is frozen"


def test_an_account_that_wants_a_memo_says_so_and_takes_a_transfer_with_one(solana: SolanaInThread) -> None:
    authority, wallet = solana.funded(), solana.funded()
    mint = made_mint(solana, authority, program=TOKEN_2022)
    source = holding(solana, mint, authority, authority.pubkey(), 10)
    account = holding(solana, mint, authority, wallet.pubkey())
    solana.run(require_memo(account, wallet), wallet)
    found = read_token_account(seen(solana, account))
    assert (found.needs_memo, found.problem) == (True, None)
    moved = instructions.transfer_checked(source, account, str(authority.pubkey()), mint, 4)
    refused = solana.answer("sendTransaction", *sent(solana.signed([moved], authority)))
    assert refused["error"]["data"]["err"] == {"InstructionError": [0, {"Custom": 36}]}
    solana.run([instructions.memo("here you are"), moved], authority)
    assert held(solana, account) == 4


@pytest.mark.parametrize(
    ("extending", "words"),
    [
        (transfer_fee(150, 1_000), "a transfer fee"),
        (default_state(2), "frozen from the beginning"),
        (default_state(1), "frozen from the beginning"),
        (permanent_delegate(Pubkey.new_unique()), "a permanent delegate"),
        (transfer_hook(Pubkey.new_unique()), "a transfer hook"),
        (NON_TRANSFERABLE, "can't be transferred"),
    ],
)
def test_s35_extensions_are_refused_with_the_reason(solana: SolanaInThread, extending: Extending, words: str) -> None:
    mint = made_mint(solana, solana.funded(), program=TOKEN_2022, extending=[extending])
    assert words in str(mint.problem)


def test_a_pointer_to_metadata_is_harmless(solana: SolanaInThread) -> None:
    mint = made_mint(solana, solana.funded(), program=TOKEN_2022, extending=[metadata_pointer(Pubkey.new_unique())])
    assert (mint.problem, mint.extensions) == (None, (18,))


def test_s35_an_extension_that_nobody_knows_is_refused() -> None:
    base = bytes(44) + bytes([6, 1]) + bytes(119) + b"\x01"
    account = AccountState("mint", 1, TOKEN_2022, base + b"\x63\x00\x02\x00ab", executable=False)
    assert "(number 99) that this version does not know" in str(read_mint(account).problem)
    with pytest.raises(NotATokenError, match="longer than its account"):
        read_mint(AccountState("mint", 1, TOKEN_2022, base + b"\x63\x00\x09\x00ab", executable=False))
    opened = bytes(108) + b"\x01" + bytes(56) + b"\x02"
    holder = AccountState("account", 1, TOKEN_2022, opened + b"\x63\x00\x02\x00ab", executable=False)
    assert "(number 99) that this version does not know" in str(read_token_account(holder).problem)


@pytest.mark.parametrize(
    ("owner", "size"), [(SYSTEM, 0), (SYSTEM, 165), (TOKEN, 82), (TOKEN, 165), (TOKEN, 164), (TOKEN, 355), (TOKEN_2022, 166)]
)
def test_other_accounts_are_no_tokens(owner: str, size: int) -> None:
    account = AccountState("it", 1, owner, bytes(size), executable=False)
    for read in (read_mint, read_token_account):
        with pytest.raises(NotATokenError):
            read(account)
