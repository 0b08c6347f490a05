"""Transactions measured to the byte, packed and taken apart again; and that a marker lets one happen once (SAFETY S18)."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from guerdon.chains.solana import instructions, keys, messages
from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.markers import RENT_LAMPORTS, Marker, is_marker
from guerdon.chains.solana.messages import LARGEST_TRANSACTION
from guerdon.chains.solana.programs import TOKEN, TOKEN_2022
from guerdon.chains.solana.tokens import Mint, associated_address
from guerdon.chains.solana.values import AccountState, Commitment
from tests.support.local_solana import SOL, SolanaInThread, gift, sent
from tests.support.solana_tokens import held, holding, made_mint, seen

PAYER = str(Keypair().pubkey())


def a_mint(program: str = TOKEN) -> Mint:
    return Mint(str(Pubkey.new_unique()), program, 6)


def payment(mint: Mint, *, create: bool) -> list[Instruction]:
    wallet = str(Keypair().pubkey())
    source, to = (associated_address(one, mint) for one in (PAYER, wallet))
    moved = instructions.transfer_checked(source, to, PAYER, mint, 1)
    return [instructions.create_token_account(PAYER, wallet, mint), moved] if create else [moved]


@pytest.mark.parametrize("program", [TOKEN, TOKEN_2022])
@pytest.mark.parametrize(
    ("create", "marked", "memo", "wanted"),
    [
        (False, False, False, 19),
        (False, False, True, 17),
        (True, False, False, 9),
        (False, True, False, 13),
        # The marker is of the Token program: beside Token-2022 that is one account more.
        (True, True, False, {TOKEN: 7, TOKEN_2022: 6}),
    ],
)
def test_so_many_transfers_fit(program: str, create: bool, marked: bool, memo: bool, wanted: Any) -> None:
    wanted = wanted[program] if isinstance(wanted, dict) else wanted
    mint = a_mint(program)
    common = [*(Marker(PAYER, uuid4()).make() if marked else []), *([instructions.memo("x" * 36)] if memo else [])]
    groups = [payment(mint, create=create) for _ in range(wanted + 1)]
    sizes = [
        messages.size_of(PAYER, [*common, *(one for group in groups[:count] for one in group)]) for count in (wanted, wanted + 1)
    ]
    assert sizes[0] <= LARGEST_TRANSACTION < sizes[1]


def test_what_is_packed_is_unpacked_and_the_measured_size_is_that_of_the_signed_bytes() -> None:
    seed, mint = bytes(Keypair().secret()), a_mint()
    payer = keys.address_of(seed)
    source = associated_address(payer, mint)
    paid = [instructions.transfer_checked(source, str(Pubkey.new_unique()), payer, mint, 1) for _ in range(3)]
    chosen = [*Marker(payer, uuid4()).make(), *paid, instructions.memo("hello", payer)]
    packed = messages.pack(payer, chosen)
    again = messages.unpack(packed)
    assert [(one.program_id, one.data) for one in again] == [(one.program_id, one.data) for one in chosen]
    assert messages.pack(payer, again) == packed
    message = messages.compose(payer, again, units=200_000, unit_price=1_000, blockhash=str(Keypair().pubkey()))
    raw = messages.complete(message, keys.sign(seed, message))
    assert len(raw) == len(messages.complete(message, None)) == messages.size_of(payer, chosen)
    transaction = VersionedTransaction.from_bytes(raw)
    assert all(transaction.verify_with_results())
    assert messages.signature_of(raw) == str(transaction.signatures[0])


def test_amounts_out_of_range_are_refused_before_anything_is_signed() -> None:
    for amount in (-1, 0, 2**64):
        with pytest.raises(ValueError, match="above 0 and below"):
            instructions.transfer_checked(PAYER, PAYER, PAYER, a_mint(), amount)
    with pytest.raises(ValueError, match="at most 566 bytes"):
        instructions.memo("x" * 567)


def test_what_a_transaction_costs() -> None:
    assert messages.fee_of(0, 0) == 5_000
    assert messages.fee_of(10_000, 1_000_001) == 5_000 + 10_001


# ---- markers -------------------------------------------------------------------------------------------------------


async def _account(client: SolanaClient, marker: Marker, commitment: Commitment = "processed") -> AccountState | None:
    return (await client.accounts([marker.address], commitment)).found[marker.address]


async def test_s18_a_second_form_of_a_transaction_fails_whatever_its_blockhash(
    solana: SolanaInThread, client: SolanaClient
) -> None:
    treasury, wallet = solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, treasury)
    source = holding(solana, mint, treasury, treasury.pubkey(), 100)
    account = associated_address(str(wallet), mint)
    payer = str(treasury.pubkey())
    marker = Marker(payer, uuid4())
    paid = [
        *marker.make(),
        instructions.create_token_account(payer, str(wallet), mint),
        instructions.transfer_checked(source, account, payer, mint, 7),
    ]
    assert not is_marker(await _account(client, marker), payer)
    for number in range(3):
        signature = solana.send(solana.signed(paid, treasury), skipPreflight=True)
        status = (await client.statuses([signature], search_history=False)).found[signature]
        assert status is not None
        # The allocating instruction finds it there already.
        assert status.error == ({"InstructionError": [1, {"Custom": 0}]} if number else None)
        solana.advance(1)
    assert held(solana, account) == 7
    found = await _account(client, marker)
    assert is_marker(found, payer)
    assert found is not None
    assert found.lamports == RENT_LAMPORTS
    assert not is_marker(await _account(client, marker, "finalized"), payer)
    solana.advance(32)
    assert is_marker(await _account(client, marker, "finalized"), payer)


async def test_s18_closing_a_marker_returns_its_rent_and_lamports_sent_ahead_do_not_jam_it(
    solana: SolanaInThread, client: SolanaClient
) -> None:
    treasury, stranger = solana.funded(), solana.funded()
    payer = str(treasury.pubkey())
    marker = Marker(payer, uuid4())
    solana.run([gift(stranger, Pubkey.from_string(marker.address), SOL)], stranger)
    assert not is_marker(await _account(client, marker), payer)
    for wanted in (marker.make(), [marker.close()]):
        solana.run(wanted, treasury)
        assert is_marker(await _account(client, marker), payer) is (len(wanted) > 1)
    assert seen(solana, payer).lamports == 10 * SOL + SOL - 2 * 5_000


async def test_s18_nobody_else_can_make_or_close_a_marker(solana: SolanaInThread, client: SolanaClient) -> None:
    treasury, thief = solana.funded(), solana.funded()
    owner, payer = str(treasury.pubkey()), str(thief.pubkey())
    marker = Marker(owner, uuid4())
    forged = instructions.allocate_with_seed(marker.address, payer, marker.seed, 165, TOKEN)
    assert "error" in solana.answer("sendTransaction", *sent(solana.signed([forged], thief)))
    solana.run(marker.make(), treasury)
    taken = instructions.close_account(marker.address, payer, payer, TOKEN)
    assert "error" in solana.answer("sendTransaction", *sent(solana.signed([taken], thief)))
    assert is_marker(await _account(client, marker), owner)
    assert not is_marker(await _account(client, marker), payer)


def test_a_marker_follows_from_treasury_and_id_alone() -> None:
    first, second = UUID(int=1), UUID(int=2)
    assert Marker(PAYER, first).address == Marker(PAYER, first).address != Marker(PAYER, second).address
    assert len(Marker(PAYER, first).seed) == 32
