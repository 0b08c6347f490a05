"""Transactions measured to the byte, signed, and taken apart again; and that a marker lets one happen once (SAFETY S18)."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from guerdon.chains.solana import instructions, messages
from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.markers import RENT_LAMPORTS, Marker
from guerdon.chains.solana.messages import LARGEST_TRANSACTION
from guerdon.chains.solana.programs import TOKEN, TOKEN_2022
from guerdon.chains.solana.tokens import Mint, associated_address
from guerdon.chains.solana.values import SendOutcome
from tests.support.local_solana import SOL, SolanaInThread, gift
from tests.support.solana_tokens import held, holding, made_mint, seen

PAYER = str(Keypair().pubkey())
BUDGET = [instructions.compute_limit(200_000), instructions.compute_price(1_000)]


def a_mint(program: str = TOKEN) -> Mint:
    return Mint(str(Pubkey.new_unique()), program, 6, 0, None, None, (), None, ())


def payment(mint: Mint, *, create: bool) -> list[Instruction]:
    wallet = str(Keypair().pubkey())
    source, to = (associated_address(one, mint.address, mint.program) for one in (PAYER, wallet))
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
    common = [*BUDGET, *(Marker(PAYER, uuid4()).make() if marked else [])]
    common += [instructions.memo("x" * 36)] if memo else []
    groups = [payment(mint, create=create) for _ in range(30)]
    assert messages.how_many_fit(PAYER, common, groups) == wanted
    chosen = [*common, *(one for group in groups[:wanted] for one in group)]
    size = messages.size_of(PAYER, chosen)
    assert size <= LARGEST_TRANSACTION < messages.size_of(PAYER, [*chosen, *groups[wanted]])
    assert messages.fits(PAYER, chosen)


def test_the_measured_size_is_that_of_the_signed_bytes() -> None:
    key, mint = bytes(Keypair().secret()), a_mint()
    payer = messages.address_of(key)
    chosen = [*BUDGET, instructions.transfer_lamports(payer, PAYER, 5), instructions.memo("hello", payer)]
    raw, signature = messages.sign([key], chosen, str(Keypair().pubkey()))
    assert len(raw) == messages.size_of(payer, chosen) == len(messages.unsigned(payer, chosen))
    assert messages.signature_of(raw) == signature
    with pytest.raises(ValueError, match="1232 are the most"):
        messages.sign([key], _of(payer, mint, 25), str(Keypair().pubkey()))


def _of(payer: str, mint: Mint, count: int) -> list[Instruction]:
    source = associated_address(payer, mint.address, mint.program)
    return [instructions.transfer_checked(source, str(Pubkey.new_unique()), payer, mint, 1) for _ in range(count)]


def test_what_is_packed_is_unpacked_and_what_is_signed_is_read_again() -> None:
    key = bytes(Keypair().secret())
    payer, mint = messages.address_of(key), a_mint()
    chosen = [*BUDGET, *Marker(payer, uuid4()).make(), *_of(payer, mint, 3)]
    packed = messages.pack(payer, chosen)
    again = messages.unpack(packed)
    assert again[0] == payer
    assert [(one.program_id, one.data) for one in again[1]] == [(one.program_id, one.data) for one in chosen]
    assert messages.pack(*again) == packed
    blockhash = str(Keypair().pubkey())
    raw, signature = messages.sign([key], chosen, blockhash)
    assert messages.sign([key], chosen, blockhash) == (raw, signature)
    found = messages.decode_transaction(raw)
    assert (found.signature, found.fee_payer, found.signers, found.blockhash) == (signature, payer, (payer,), blockhash)
    assert messages.pack(payer, found.instructions) == packed
    with pytest.raises(ValueError, match="not a signed transaction"):
        messages.decode_transaction(raw[:1] + bytes(64) + raw[65:])


def test_exactly_the_keys_that_have_to_sign_are_wanted() -> None:
    key, other = (bytes(Keypair().secret()) for _ in range(2))
    payer = messages.address_of(key)
    moved = [instructions.transfer_lamports(messages.address_of(other), payer, 5)]
    raw, _ = messages.sign([key, other], moved, str(Keypair().pubkey()))
    assert messages.decode_transaction(raw).signers == (payer, messages.address_of(other))
    for keys in ([key], [key, other, bytes(Keypair().secret())]):
        with pytest.raises(ValueError, match="have to sign"):
            messages.sign(keys, moved, str(Keypair().pubkey()))
    with pytest.raises(ValueError, match="not a private key"):
        messages.address_of(b"short")


def test_amounts_out_of_range_are_refused_before_anything_is_signed() -> None:
    for amount in (-1, 2**64):
        with pytest.raises(ValueError, match="between 0 and"):
            instructions.transfer_checked(PAYER, PAYER, PAYER, a_mint(), amount)
    with pytest.raises(ValueError, match="at most 566 bytes"):
        instructions.memo("x" * 567)


def test_what_a_transaction_costs() -> None:
    assert messages.fee_of(1, 0, 0) == 5_000
    assert messages.fee_of(2, 10_000, 1_000_001) == 10_000 + 10_001


# ---- markers -------------------------------------------------------------------------------------------------------


async def test_s18_a_second_form_of_a_transaction_fails_whatever_its_blockhash(
    solana: SolanaInThread, client: SolanaClient
) -> None:
    treasury, wallet = solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, treasury)
    source = holding(solana, mint, treasury, treasury.pubkey(), 100)
    account = associated_address(str(wallet), mint.address, mint.program)
    payer, key = str(treasury.pubkey()), bytes(treasury.secret())
    marker = Marker(payer, uuid4())
    paid = [
        *BUDGET,
        *marker.make(await client.rent(165)),
        instructions.create_token_account(payer, str(wallet), mint),
        instructions.transfer_checked(source, account, payer, mint, 7),
    ]
    assert not marker.is_made(await client.account(marker.address, "processed"))
    for number in range(3):
        raw, signature = messages.sign([key], paid, (await client.latest_blockhash("processed")).blockhash)
        sent = await client.send(raw, preflight=None)
        assert (sent.outcome, sent.words) == (SendOutcome.ACCEPTED, signature)
        status = (await client.statuses([signature], search_history=False)).found[signature]
        assert status is not None
        assert messages.is_repeat(status.error, 3) is (number > 0)
        assert status.succeeded is (number == 0)
        solana.advance(1)
    assert held(solana, account) == 7
    found = await client.account(marker.address, "processed")
    assert marker.is_made(found)
    assert found is not None
    assert found.lamports == RENT_LAMPORTS
    assert not marker.is_made(await client.account(marker.address, "finalized"))
    solana.advance(32)
    assert marker.is_made(await client.account(marker.address, "finalized"))


async def test_s18_closing_a_marker_returns_its_rent_and_lamports_sent_ahead_do_not_jam_it(
    solana: SolanaInThread, client: SolanaClient
) -> None:
    treasury, stranger = solana.funded(), solana.funded()
    payer, key = str(treasury.pubkey()), bytes(treasury.secret())
    marker = Marker(payer, uuid4())
    solana.run([gift(stranger, Pubkey.from_string(marker.address), SOL)], stranger)
    assert not marker.is_made(await client.account(marker.address, "processed"))
    for wanted in (marker.make(), [marker.close()]):
        raw, _ = messages.sign([key], wanted, (await client.latest_blockhash("processed")).blockhash)
        assert (await client.send(raw, preflight="processed")).outcome == SendOutcome.ACCEPTED
        assert marker.is_made(await client.account(marker.address, "processed")) is (len(wanted) > 1)
    assert seen(solana, payer).lamports == 10 * SOL + SOL - 2 * 5_000


async def test_s18_nobody_else_can_make_or_close_a_marker(solana: SolanaInThread, client: SolanaClient) -> None:
    treasury, thief = solana.funded(), solana.funded()
    marker = Marker(str(treasury.pubkey()), uuid4())
    blockhash = (await client.latest_blockhash("processed")).blockhash
    payer = str(thief.pubkey())
    forged = instructions.allocate_with_seed(marker.address, payer, marker.seed, 165, TOKEN)
    raw, _ = messages.sign([bytes(thief.secret())], [forged], blockhash)
    assert (await client.send(raw, preflight="processed")).outcome == SendOutcome.SIMULATION_FAILED
    solana.run(marker.make(), treasury)
    taken = instructions.close_account(marker.address, payer, payer, TOKEN)
    raw, _ = messages.sign([bytes(thief.secret())], [taken], blockhash)
    assert (await client.send(raw, preflight="processed")).outcome == SendOutcome.SIMULATION_FAILED
    assert marker.is_made(await client.account(marker.address, "processed"))


def test_a_marker_follows_from_treasury_and_id_alone() -> None:
    first, second = UUID(int=1), UUID(int=2)
    assert Marker(PAYER, first).address == Marker(PAYER, first).address != Marker(PAYER, second).address
    assert len(Marker(PAYER, first).seed) == 32
