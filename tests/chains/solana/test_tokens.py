"""What mints and token accounts say of themselves on the real programs, and which are refused (SAFETY S35)."""

from __future__ import annotations

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token.instructions import get_associated_token_address

from guerdon.chains.solana import instructions, tokens
from guerdon.chains.solana.extensions import Extension, TransferFee
from guerdon.chains.solana.programs import NATIVE_MINT, SYSTEM, TOKEN, TOKEN_2022
from guerdon.chains.solana.tokens import NotATokenError, Refusal, associated_address, read_mint, read_token_account
from guerdon.chains.solana.values import AccountState
from tests.support.local_solana import SolanaInThread, gift, sent
from tests.support.solana_tokens import (
    NON_TRANSFERABLE,
    PROGRAMS,
    default_state,
    freeze,
    held,
    holding,
    made_mint,
    metadata_pointer,
    permanent_delegate,
    seen,
    set_account_flag,
    transfer_fee,
    transfer_hook,
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_plain_mint_and_its_accounts_are_read(solana: SolanaInThread, program: str) -> None:
    authority, wallet = solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, authority, decimals=9, program=program)
    assert (mint.program, mint.decimals, mint.supply, mint.refusals()) == (program, 9, 0, [])
    assert mint.mint_authority == mint.freeze_authority == str(authority.pubkey())
    account = holding(solana, mint, authority, wallet, 77)
    found = read_token_account(seen(solana, account))
    assert (found.mint, found.owner, found.amount_atomic, found.program) == (mint.address, str(wallet), 77, program)
    assert (found.is_frozen, found.is_native, found.needs_memo, found.delegate, found.close_authority) == (
        False,
        False,
        False,
        None,
        None,
    )
    assert tokens.refusal(seen(solana, account), str(wallet), mint) is None
    assert read_mint(seen(solana, mint.address)).supply == 77


@pytest.mark.parametrize("program", PROGRAMS)
def test_addresses_of_token_accounts_are_those_of_the_ordinary_library(program: str) -> None:
    mint = Pubkey.new_unique()
    off_curve, _ = Pubkey.find_program_address([b"vault"], Pubkey.from_string(TOKEN))
    for wallet in (Keypair().pubkey(), off_curve):
        wanted = get_associated_token_address(wallet, mint, Pubkey.from_string(program))
        assert associated_address(str(wallet), str(mint), program) == str(wanted)
    assert not tokens.is_on_curve(str(off_curve))
    assert tokens.is_on_curve(str(Keypair().pubkey()))


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
    account = associated_address(str(wallet), mint.address, mint.program)
    solana.run([gift(authority, Pubkey.from_string(account), 5_000_000)], authority)
    assert tokens.refusal(seen(solana, account), str(wallet), mint) is None
    assert held(solana, holding(solana, mint, authority, wallet, 5)) == 5


def test_s35_an_account_that_belongs_to_somebody_else_is_refused(solana: SolanaInThread) -> None:
    authority, wallet, thief = solana.funded(), solana.funded(), Keypair().pubkey()
    mint, other = made_mint(solana, authority), made_mint(solana, authority)
    account = holding(solana, mint, authority, wallet.pubkey(), 5)
    assert tokens.refusal(seen(solana, account), str(thief), mint) == Refusal.WRONG_OWNER
    assert tokens.refusal(seen(solana, account), str(wallet.pubkey()), other) == Refusal.WRONG_MINT
    # The address is still the wallet's, and the account is not.
    handed_on = b"\x06\x02\x01" + bytes(thief)
    solana.run([set_account_flag(TOKEN, account, wallet, data=handed_on)], wallet)
    assert account == associated_address(str(wallet.pubkey()), mint.address, mint.program)
    assert tokens.refusal(seen(solana, account), str(wallet.pubkey()), mint) == Refusal.WRONG_OWNER


def test_s35_a_frozen_account_is_refused(solana: SolanaInThread) -> None:
    authority, wallet = solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, authority)
    account = holding(solana, mint, authority, wallet, 5)
    solana.run([freeze(mint, account, authority)], authority)
    assert read_token_account(seen(solana, account)).is_frozen
    assert tokens.refusal(seen(solana, account), str(wallet), mint) == Refusal.FROZEN


def test_an_account_that_wants_a_memo_says_so_and_takes_a_transfer_with_one(solana: SolanaInThread) -> None:
    authority, wallet = solana.funded(), solana.funded()
    mint = made_mint(solana, authority, program=TOKEN_2022)
    source = holding(solana, mint, authority, authority.pubkey(), 10)
    account = holding(solana, mint, authority, wallet.pubkey())
    grown = set_account_flag(TOKEN_2022, account, wallet, data=b"\x1d\x08\x00")
    accounts = [grown.accounts[0], *_payer(wallet), *grown.accounts[1:]]
    grown = type(grown)(grown.program_id, grown.data, accounts)
    solana.run([grown, set_account_flag(TOKEN_2022, account, wallet, data=b"\x1e\x00")], wallet)
    assert read_token_account(seen(solana, account)).needs_memo
    assert tokens.refusal(seen(solana, account), str(wallet.pubkey()), mint) is None
    moved = instructions.transfer_checked(source, account, str(authority.pubkey()), mint, 4)
    refused = solana.answer("sendTransaction", *sent(solana.signed([moved], authority)))
    assert refused["error"]["data"]["err"] == {"InstructionError": [0, {"Custom": 36}]}
    solana.run([instructions.memo("here you are"), moved], authority)
    assert held(solana, account) == 4


def _payer(wallet: Keypair) -> list[object]:
    from solders.instruction import AccountMeta

    return [
        AccountMeta(wallet.pubkey(), is_signer=True, is_writable=True),
        AccountMeta(Pubkey.from_string(SYSTEM), is_signer=False, is_writable=False),
    ]


def test_s35_a_transfer_fee_has_to_be_allowed_and_is_known_to_the_unit(solana: SolanaInThread) -> None:
    authority, wallet = solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, authority, program=TOKEN_2022, extending=[transfer_fee(150, 1_000)])
    (why,) = mint.refusals()
    assert "takes a fee of each transfer" in why
    assert mint.refusals(allowed={Extension.TRANSFER_FEE_CONFIG}) == []
    source = holding(solana, mint, authority, authority.pubkey(), 10**9)
    account = holding(solana, mint, authority, wallet)
    for amount, fee in ((1_001, 16), (10**6, 1_000)):
        assert mint.fee_of(amount, epoch=0) == fee
        before = held(solana, account)
        solana.run([instructions.transfer_checked(source, account, str(authority.pubkey()), mint, amount)], authority)
        assert held(solana, account) - before == amount - fee
    named = instructions.transfer_checked(source, account, str(authority.pubkey()), mint, 2_000, fee_atomic=30)
    solana.run([named], authority)
    wrong = instructions.transfer_checked(source, account, str(authority.pubkey()), mint, 2_000, fee_atomic=29)
    assert "error" in solana.answer("sendTransaction", *sent(solana.signed([wrong], authority)))


def test_a_fee_changes_with_the_epoch() -> None:
    fee = TransferFee(None, older=(0, 2**64 - 1, 100), newer=(7, 5, 1_000))
    assert [fee.of(1_000, epoch) for epoch in (0, 6, 7, 8)] == [10, 10, 5, 5]
    assert fee.of(1, 0) == 1


@pytest.mark.parametrize(
    ("extending", "words", "consent"),
    [
        (default_state(2), "new accounts are frozen", None),
        (default_state(1), "may decide that new accounts are frozen", Extension.DEFAULT_ACCOUNT_STATE),
        (permanent_delegate(Pubkey.new_unique()), "can take tokens out of every account", Extension.PERMANENT_DELEGATE),
        (transfer_hook(Pubkey.new_unique()), "another program decides about each transfer", None),
        (NON_TRANSFERABLE, "can't be transferred", None),
    ],
)
def test_s35_extensions_are_refused_with_the_reason(
    solana: SolanaInThread, extending: object, words: str, consent: Extension | None
) -> None:
    mint = made_mint(solana, solana.funded(), program=TOKEN_2022, extending=[extending])  # type: ignore[list-item]
    (why,) = mint.refusals()
    assert words in why
    allowed = mint.refusals(allowed=set(Extension))
    assert allowed == ([] if consent is not None else [why])


def test_a_pointer_to_metadata_is_harmless(solana: SolanaInThread) -> None:
    mint = made_mint(solana, solana.funded(), program=TOKEN_2022, extending=[metadata_pointer(Pubkey.new_unique())])
    assert (mint.refusals(), mint.extensions) == ([], (Extension.METADATA_POINTER,))


def test_s35_an_extension_that_nobody_knows_is_refused() -> None:
    base = bytes(44) + bytes([6, 1]) + bytes(119) + b"\x01"
    account = AccountState("mint", 1, TOKEN_2022, base + b"\x63\x00\x02\x00ab", executable=False)
    assert read_mint(account).refusals(allowed=set(Extension) | {99}) == ["it has an extension of type 99, which is not known"]
    with pytest.raises(NotATokenError, match="longer than its account"):
        read_mint(AccountState("mint", 1, TOKEN_2022, base + b"\x63\x00\x09\x00ab", executable=False))


@pytest.mark.parametrize(
    ("owner", "size"), [(SYSTEM, 0), (SYSTEM, 165), (TOKEN, 82), (TOKEN, 165), (TOKEN, 164), (TOKEN, 355), (TOKEN_2022, 166)]
)
def test_other_accounts_are_no_tokens(owner: str, size: int) -> None:
    account = AccountState("it", 1, owner, bytes(size), executable=False)
    for read in (read_mint, read_token_account):
        with pytest.raises(NotATokenError):
            read(account)


def test_a_mint_or_token_account_is_no_wallet(solana: SolanaInThread) -> None:
    authority = solana.funded()
    mint = made_mint(solana, authority)
    account = holding(solana, mint, authority, authority.pubkey(), 1)
    assert tokens.wallet_refusal(seen(solana, mint.address)) == Refusal.NOT_A_WALLET
    assert tokens.wallet_refusal(seen(solana, account)) == Refusal.NOT_A_WALLET
    assert tokens.wallet_refusal(seen(solana, str(authority.pubkey()))) is None
    assert tokens.wallet_refusal(None) is None


def test_wrapped_sol_is_native(solana: SolanaInThread) -> None:
    authority = solana.funded()
    native = read_mint(seen(solana, NATIVE_MINT))
    account = associated_address(str(authority.pubkey()), native.address, native.program)
    payer = str(authority.pubkey())
    solana.run([instructions.create_token_account(payer, payer, native)], authority)
    assert read_token_account(seen(solana, account)).is_native
    solana.run([instructions.close_account(account, payer, payer, TOKEN)], authority)
