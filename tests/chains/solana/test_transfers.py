"""Which tokens a transaction moved, read from real ones; and from bytes where no program here makes them (SAFETY S33, S34)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from guerdon.chains.port import BadAnswerError
from guerdon.chains.solana import instructions
from guerdon.chains.solana.base58 import base58
from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.programs import NATIVE_MINT, TOKEN, TOKEN_2022
from guerdon.chains.solana.tokens import Mint, associated_address
from guerdon.chains.solana.transfers import ChainTransaction, Place, read_transaction, token_transfers
from tests.support.local_solana import SOL, SolanaInThread
from tests.support.solana_tokens import PROGRAMS, holding, made_mint, mint_to, seen, transfer_fee, transfer_with_fee


async def landed(solana: SolanaInThread, client: SolanaClient, *arguments: Any) -> ChainTransaction:
    """A transaction that is run and final, as the client reads it."""
    signature = solana.run(*arguments)
    solana.advance(40)
    found = await client.transaction(signature)
    assert found is not None
    return found


def plain_transfer(source: str, destination: str, owner: str, amount: int, program: str = TOKEN) -> Instruction:
    accounts = [
        AccountMeta(Pubkey.from_string(source), is_signer=False, is_writable=True),
        AccountMeta(Pubkey.from_string(destination), is_signer=False, is_writable=True),
        AccountMeta(Pubkey.from_string(owner), is_signer=True, is_writable=False),
    ]
    return Instruction(Pubkey.from_string(program), b"\x03" + amount.to_bytes(8, "little"), accounts)


@pytest.mark.parametrize("program", PROGRAMS)
async def test_s34_each_transfer_of_a_transaction_has_its_place(
    solana: SolanaInThread, client: SolanaClient, program: str
) -> None:
    payer, shop, other = solana.funded(), Keypair().pubkey(), Keypair().pubkey()
    mint, second = made_mint(solana, payer, program=program), made_mint(solana, payer, decimals=2, program=program)
    owner = str(payer.pubkey())
    source = holding(solana, mint, payer, payer.pubkey(), 1_000)
    second_source = holding(solana, second, payer, payer.pubkey(), 1_000)
    to_shop, to_other = holding(solana, mint, payer, shop), associated_address(str(other), second)
    found = await landed(
        solana,
        client,
        [
            instructions.memo("two shops"),
            instructions.transfer_checked(source, to_shop, owner, mint, 10),
            plain_transfer(source, to_shop, owner, 20, program),
            instructions.create_token_account(owner, str(other), second),
            instructions.transfer_checked(second_source, to_other, owner, second, 30),
        ],
        payer,
    )
    assert found.fee_payer == owner
    transfers = token_transfers(found)
    assert [(one.place, one.mint, one.amount_atomic, one.is_checked) for one in transfers] == [
        (Place(1), mint.address, 10, True),
        (Place(2), mint.address, 20, False),
        (Place(4), second.address, 30, True),
    ]
    assert [(one.source, one.source_owner, one.authority) for one in transfers] == [
        (source, owner, owner), (source, owner, owner), (second_source, owner, owner),
    ]  # fmt: skip
    assert [(one.destination, one.destination_owner, one.decimals) for one in transfers] == [
        (to_shop, str(shop), 6), (to_shop, str(shop), 6), (to_other, str(other), 2),
    ]  # fmt: skip
    assert {one.program for one in transfers} == {program}
    assert (found.holdings[to_other].owner_before, found.holdings[to_other].owner_after) == (None, str(other))
    assert (found.holdings[source].before, found.holdings[source].after) == (1_000, 970)
    # Making an account calls other instructions, which have places of their own.
    assert {one.place.outer for one in found.instructions if one.place.inner >= 0} == {3}


async def test_a_transaction_that_failed_moved_nothing(solana: SolanaInThread, client: SolanaClient) -> None:
    payer = solana.funded()
    mint = made_mint(solana, payer)
    owner = str(payer.pubkey())
    source, to = holding(solana, mint, payer, payer.pubkey(), 10), holding(solana, mint, payer, Keypair().pubkey())
    moved = [instructions.transfer_checked(source, to, owner, mint, amount) for amount in (7, 7)]
    signature = solana.send(solana.signed(moved, payer), skipPreflight=True)
    solana.advance(40)
    found = await client.transaction(signature)
    assert found is not None
    assert found.error == {"InstructionError": [1, {"Custom": 1}]}
    assert token_transfers(found) == ()
    assert found.fee == 5_000


async def test_what_a_delegate_moved_names_the_owner(solana: SolanaInThread, client: SolanaClient) -> None:
    owner, delegate = solana.funded(), solana.funded()
    mint = made_mint(solana, owner)
    source, to = holding(solana, mint, owner, owner.pubkey(), 10), holding(solana, mint, owner, Keypair().pubkey())
    accounts = [
        AccountMeta(Pubkey.from_string(source), is_signer=False, is_writable=True),
        AccountMeta(delegate.pubkey(), is_signer=False, is_writable=False),
        AccountMeta(owner.pubkey(), is_signer=True, is_writable=False),
    ]
    solana.run([Instruction(Pubkey.from_string(TOKEN), b"\x04" + (5).to_bytes(8, "little"), accounts)], owner)
    moved = instructions.transfer_checked(source, to, str(delegate.pubkey()), mint, 5)
    (one,) = token_transfers(await landed(solana, client, [moved], delegate))
    assert (one.source_owner, one.authority) == (str(owner.pubkey()), str(delegate.pubkey()))


async def test_an_account_that_changes_hands_on_the_way_has_no_owner(solana: SolanaInThread, client: SolanaClient) -> None:
    payer, shop, thief = solana.funded(), solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, payer)
    source, to = holding(solana, mint, payer, payer.pubkey(), 10), holding(solana, mint, payer, shop.pubkey())
    accounts = [
        AccountMeta(Pubkey.from_string(to), is_signer=False, is_writable=True),
        AccountMeta(shop.pubkey(), is_signer=True, is_writable=False),
    ]
    handed_on = Instruction(Pubkey.from_string(TOKEN), b"\x06\x02\x01" + bytes(thief), accounts)
    moved = instructions.transfer_checked(source, to, str(payer.pubkey()), mint, 5)
    (one,) = token_transfers(await landed(solana, client, [moved, handed_on], payer, shop))
    assert (one.source_owner, one.destination_owner, one.amount_atomic) == (str(payer.pubkey()), None, 5)


async def test_an_account_that_is_closed_behind_the_transfer_is_known_from_before(
    solana: SolanaInThread, client: SolanaClient
) -> None:
    payer, shop = solana.funded(), Keypair().pubkey()
    mint = made_mint(solana, payer)
    owner = str(payer.pubkey())
    source, to = holding(solana, mint, payer, payer.pubkey(), 10), holding(solana, mint, payer, shop)
    emptied = [plain_transfer(source, to, owner, 10), instructions.close_account(source, owner, owner, TOKEN)]
    (one,) = token_transfers(await landed(solana, client, emptied, payer))
    assert (one.source_owner, one.destination_owner, one.mint, one.amount_atomic) == (owner, str(shop), mint.address, 10)


async def test_a_transfer_that_names_its_fee_tells_it(solana: SolanaInThread, client: SolanaClient) -> None:
    payer = solana.funded()
    mint = made_mint(solana, payer, program=TOKEN_2022, extending=[transfer_fee(100, 1_000)])
    source, to = holding(solana, mint, payer, payer.pubkey(), 10_000), holding(solana, mint, payer, Keypair().pubkey())
    moved = transfer_with_fee(source, to, str(payer.pubkey()), mint, 5_000, 50)
    found = await landed(solana, client, [moved], payer)
    (one,) = token_transfers(found)
    assert (one.amount_atomic, one.fee_atomic, found.holdings[to].after) == (5_000, 50, 4_950)


async def test_lamports_and_other_instructions_are_no_transfers_of_tokens(solana: SolanaInThread, client: SolanaClient) -> None:
    payer = solana.funded()
    mint = made_mint(solana, payer)
    owner = str(payer.pubkey())
    account = holding(solana, mint, payer, payer.pubkey())
    chosen = [mint_to(mint, account, payer, 5), instructions.transfer_lamports(owner, NATIVE_MINT, SOL)]
    assert token_transfers(await landed(solana, client, chosen, payer)) == ()


# ---- from bytes: what the programs of the local chain do not make -------------------------------------------------


PAYER, SHOP = Keypair(), str(Pubkey.new_unique())
A_MINT = Mint(str(Pubkey.new_unique()), TOKEN, 6)
SOURCE = associated_address(str(PAYER.pubkey()), A_MINT)
TARGET = associated_address(SHOP, A_MINT)


def batch(*parts: Instruction) -> Instruction:
    """p-token's `batch`: for each part the number of its accounts, the length of its data, its data."""
    data = b"\xff" + b"".join(bytes([len(one.accounts), len(one.data)]) + bytes(one.data) for one in parts)
    return Instruction(Pubkey.from_string(TOKEN), data, [account for one in parts for account in one.accounts])


def told(chosen: list[Instruction], *, error: Any = None, inner: Any = None) -> tuple[str, dict[str, Any]]:
    """A node's answer about a transaction that pays SHOP 30 of A_MINT."""
    message = MessageV0.try_compile(PAYER.pubkey(), chosen, [], Hash.new_unique())
    transaction = VersionedTransaction(message, [PAYER])
    keys = [str(key) for key in message.account_keys]

    def balance(account: str, owner: str, amount: int) -> dict[str, Any]:
        shown = {"amount": str(amount), "decimals": 6, "uiAmount": amount / 10**6, "uiAmountString": str(amount / 10**6)}
        return {
            "accountIndex": keys.index(account),
            "mint": A_MINT.address,
            "owner": owner,
            "programId": TOKEN,
            "uiTokenAmount": shown,
        }

    owner = str(PAYER.pubkey())
    meta = {
        "err": error, "fee": 5_000, "preBalances": [1] * len(keys), "postBalances": [1] * len(keys),
        "preTokenBalances": [balance(SOURCE, owner, 100), balance(TARGET, SHOP, 0)],
        "postTokenBalances": [balance(SOURCE, owner, 70), balance(TARGET, SHOP, 30)],
        "innerInstructions": inner(keys) if inner else [], "loadedAddresses": {"writable": [], "readonly": []},
    }  # fmt: skip
    encoded = base64.b64encode(bytes(transaction)).decode()
    return str(transaction.signatures[0]), {"slot": 7, "blockTime": 1, "transaction": [encoded, "base64"], "meta": meta}


def checked(amount: int) -> Instruction:
    return instructions.transfer_checked(SOURCE, TARGET, str(PAYER.pubkey()), A_MINT, amount)


def test_s34_a_batch_is_unfolded_into_its_transfers() -> None:
    parts = batch(checked(10), plain_transfer(SOURCE, TARGET, str(PAYER.pubkey()), 15))
    found = read_transaction(*told([instructions.memo("x"), parts, checked(5)]))
    assert [(one.place, one.amount_atomic, one.destination_owner) for one in token_transfers(found)] == [
        (Place(1, -1, 0), 10, SHOP), (Place(1, -1, 1), 15, SHOP), (Place(2), 5, SHOP),
    ]  # fmt: skip
    numbers = [one.place.number for one in token_transfers(found)]
    assert numbers == [1 << 32 | 1 << 16, 2 << 32 | 1 << 16, 2 << 16]


def test_s34_a_transfer_that_another_program_called_has_its_inner_place() -> None:
    def inner(keys: list[str]) -> list[dict[str, Any]]:
        def compiled(one: Instruction) -> dict[str, Any]:
            accounts = [keys.index(str(account.pubkey)) for account in one.accounts]
            return {"programIdIndex": keys.index(TOKEN), "accounts": accounts, "data": base58(bytes(one.data)), "stackHeight": 2}

        return [{"index": 0, "instructions": [compiled(checked(10)), compiled(batch(checked(5), checked(7)))]}]

    outer = Instruction(Pubkey.new_unique(), b"pay", [*checked(1).accounts, _readable(TOKEN)])
    found = read_transaction(*told([outer, checked(8)], inner=inner))
    assert [(one.place, one.amount_atomic) for one in token_transfers(found)] == [
        (Place(0, 0), 10), (Place(0, 1, 0), 5), (Place(0, 1, 1), 7), (Place(1), 8),
    ]  # fmt: skip
    numbers = [one.place.number for one in token_transfers(found)]
    assert len(set(numbers)) == 4
    assert numbers[0] == 1
    assert numbers[3] == 65_536


def _readable(address: str) -> AccountMeta:
    return AccountMeta(Pubkey.from_string(address), is_signer=False, is_writable=False)


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_a_batch_that_does_not_hold_together_is_no_transaction_of_a_chain(cut: int) -> None:
    whole = batch(checked(10), checked(5))
    torn = Instruction(whole.program_id, bytes(whole.data)[:-cut], whole.accounts)
    with pytest.raises(BadAnswerError, match="a batch of token instructions"):
        read_transaction(*told([torn]))
    starved = Instruction(whole.program_id, bytes(whole.data), whole.accounts[:7])
    with pytest.raises(BadAnswerError, match="a batch of token instructions"):
        read_transaction(*told([starved]))


def test_a_checked_transfer_of_another_mint_than_its_accounts_is_left_out() -> None:
    other = Mint(str(Pubkey.new_unique()), TOKEN, 6)
    moved = instructions.transfer_checked(SOURCE, TARGET, str(PAYER.pubkey()), other, 10)
    assert token_transfers(read_transaction(*told([moved]))) == ()


def test_the_same_layout_of_another_program_is_no_transfer() -> None:
    moved = Instruction(Pubkey.new_unique(), bytes(checked(10).data), checked(10).accounts)
    assert token_transfers(read_transaction(*told([moved]))) == ()


def test_an_account_that_was_made_anew_for_another_mint_tells_nothing() -> None:
    signature, answer = told([checked(10)])
    answer["meta"]["postTokenBalances"][0]["mint"] = str(Pubkey.new_unique())
    (one,) = token_transfers(read_transaction(signature, answer))
    assert (one.source_owner, one.destination_owner) == (None, SHOP)
    answer["meta"]["postTokenBalances"][1]["mint"] = str(Pubkey.new_unique())
    assert token_transfers(read_transaction(signature, answer)) == ()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: it.pop("meta"),
        lambda it: it["meta"].pop("err"),
        lambda it: it["meta"].update(fee=-1),
        lambda it: it["meta"].update(preBalances=[1]),
        lambda it: it["meta"]["preTokenBalances"][0].update(accountIndex=99),
        lambda it: it["meta"]["preTokenBalances"][0].update(owner="nobody"),
        lambda it: it["meta"]["preTokenBalances"][0]["uiTokenAmount"].update(amount="1e9"),
        lambda it: it["meta"]["preTokenBalances"][0]["uiTokenAmount"].update(amount=str(2**64)),
        lambda it: it["meta"].update(
            innerInstructions=[{"index": 0, "instructions": [{"programIdIndex": 0, "accounts": [99], "data": ""}]}]
        ),
        lambda it: it["meta"].update(
            innerInstructions=[{"index": 0, "instructions": [{"programIdIndex": 0, "accounts": [], "data": "0"}]}]
        ),
        lambda it: it["meta"].update(preTokenBalances=None),
        lambda it: it["meta"].update(postTokenBalances=None),
        lambda it: it["meta"].update(innerInstructions=None),
        lambda it: it.update(transaction="AAAA"),
        lambda it: it.update(transaction=["AAAA", "base64"]),
        lambda it: it.update(slot="7"),
    ],
)
def test_an_answer_that_does_not_hold_together_is_not_believed(spoil: Any) -> None:
    signature, answer = told([checked(10)])
    spoil(answer)
    with pytest.raises(BadAnswerError):
        read_transaction(signature, answer)


async def test_the_account_at_a_wallets_address_is_what_was_read(solana: SolanaInThread, client: SolanaClient) -> None:
    payer = solana.funded()
    mint = made_mint(solana, payer)
    account = holding(solana, mint, payer, payer.pubkey(), 3)
    assert (await client.accounts([account], "processed")).found == {account: seen(solana, account)}
