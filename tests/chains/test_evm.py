"""The client's questions to a real node."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from guerdon.chains import contracts
from guerdon.chains.evm import EvmClient
from guerdon.chains.port import BadAnswerError, ChainUnavailableError, SendOutcome
from guerdon.chains.signing import decode_transaction, hash_of, sign_transaction
from tests.support.local_chain import Account, ChainInThread, Deployed, included

NOBODY = "0x00000000000000000000000000000000000A11cE"


async def test_heads_and_blocks_agree(chain: ChainInThread, client: EvmClient) -> None:
    chain.mine(3)
    head = await client.head()
    block = await client.block_by_number(head.number)
    assert block.head == head
    assert block.parent_hash == (await client.block_by_number(head.number - 1)).head.hash
    assert await client.genesis_hash() == (await client.block_by_number(0)).head.hash
    assert await client.chain_id() == 31337
    assert (await client.client_version()).startswith("anvil")
    assert await client.check_chain(31337, await client.genesis_hash()) == await client.genesis_hash()


async def test_s24_the_finalized_block_is_two_behind(chain: ChainInThread, client: EvmClient) -> None:
    chain.mine(3)
    latest, safe, final = await asyncio.gather(client.head(), client.head("safe"), client.head("finalized"))
    assert latest.number - 3 <= final.number <= safe.number <= latest.number
    assert final.hash == (await client.block_by_number(final.number)).head.hash


async def test_a_block_of_the_future_is_not_there(client: EvmClient) -> None:
    with pytest.raises(BadAnswerError, match="does not have the block"):
        await client.block_by_number(10**9)
    with pytest.raises(ChainUnavailableError):
        await client.balance(NOBODY, 10**9)


async def test_a_transaction_is_found_by_hash_and_in_its_block(client: EvmClient, account: Account) -> None:
    raw, transaction_hash = await account.sign(NOBODY, value=5)
    assert await client.transactions([transaction_hash]) == {}
    assert await client.receipts([transaction_hash]) == {}
    assert (await client.send_raw(raw))[0] is SendOutcome.ACCEPTED
    receipt = await included(client, transaction_hash)
    found = (await client.transactions([transaction_hash.upper().replace("0X", "0x")]))[transaction_hash]
    assert (found.sender, found.to, found.value, found.nonce, found.block_hash) == (
        account.address,
        NOBODY,
        5,
        0,
        receipt.block_hash,
    )
    block = await client.block_by_number(receipt.block_number, full_transactions=True)
    assert block.transactions is not None
    assert found in block.transactions
    assert transaction_hash in block.transaction_hashes
    assert receipt.gas_used == 21_000
    assert await client.nonce(account.address, "latest") == 1
    assert await client.nonce(account.address, receipt.block_number - 1) == 0
    paid = 10**21 - await client.balance(account.address, receipt.block_number)
    assert paid == 5 + receipt.fee_paid
    assert decode_transaction(raw).hash == hash_of(raw) == transaction_hash


async def test_s20_sending_answers_with_what_the_node_says(client: EvmClient, account: Account) -> None:
    fees = await client.fees()

    def signed(nonce: int, *, factor: int = 4, key: bytes = account.key, value: int = 1) -> bytes:
        cap = factor * fees.base_fee + fees.priority_fee
        tip = factor * fees.priority_fee
        raw, _ = sign_transaction(
            key,
            chain_id=31337,
            nonce=nonce,
            to=NOBODY,
            data=b"",
            value=value,
            gas_limit=21_000,
            max_fee_per_gas=cap + tip,
            max_priority_fee_per_gas=tip,
        )
        return raw

    # With a nonce beyond the next one it stays in the pool for as long as the test looks at it.
    waiting = signed(5)
    assert (await client.send_raw(waiting))[0] is SendOutcome.ACCEPTED
    assert (await client.send_raw(waiting))[0] is SendOutcome.ALREADY_KNOWN
    assert (await client.send_raw(signed(5, factor=2)))[0] is SendOutcome.UNDERPRICED
    outcome, words = await client.send_raw(signed(0))
    assert (outcome, words) == (SendOutcome.ACCEPTED, hash_of(signed(0)))
    await included(client, hash_of(signed(0)))
    assert (await client.send_raw(signed(0, value=2)))[0] is SendOutcome.NONCE_TOO_LOW
    assert (await client.send_raw(signed(0, key=secrets.token_bytes(32))))[0] is SendOutcome.INSUFFICIENT_FUNDS
    assert (await client.send_raw(b"\2nonsense"))[0] is SendOutcome.REJECTED


async def test_fees_let_a_transaction_in(client: EvmClient, account: Account) -> None:
    fees = await client.fees()
    assert fees.base_fee > 0
    assert fees.priority_fee >= 1_000_000
    assert (await account.send(NOBODY, value=1)).effective_gas_price <= 2 * fees.base_fee + fees.priority_fee


async def test_token_questions_are_answered_at_their_block(client: EvmClient, deployed: Deployed) -> None:
    before = (await client.head()).number
    receipt = await deployed.payer.send(deployed.token, contracts.transfer_call(NOBODY, 40))
    assert await client.token_balance(deployed.token, NOBODY, receipt.block_number) == 40
    assert await client.token_balance(deployed.token, NOBODY, before) == 0
    assert await client.allowance(deployed.token, deployed.payer.address, deployed.distributor, "latest") == 2**256 - 1
    owners = [f"0x{number:040x}" for number in range(1, 251)]
    found = await client.token_balances(deployed.token, [*owners, NOBODY, deployed.payer.address], receipt.block_number)
    assert len(found) == 252
    assert {amount for owner, amount in found.items() if owner in owners} == {0}
    assert (found[NOBODY], found[deployed.payer.address]) == (40, 10**15 - 40)
    assert contracts.decode_uint(await client.call(deployed.token, contracts.total_supply_call(), block="latest")) == 10**15


async def test_s34_logs_are_found_by_topic_with_their_place(client: EvmClient, deployed: Deployed) -> None:
    batch = secrets.token_bytes(16)
    payments = [(f"0x{secrets.token_hex(20)}", 3), (f"0x{secrets.token_hex(20)}", 4)]
    receipt = await deployed.payer.send(deployed.distributor, contracts.pay_call(deployed.token, batch, [], payments))
    payer = f"0x{'00' * 12}{deployed.payer.address[2:].lower()}"
    first, last = receipt.block_number, receipt.block_number
    (paid,) = await client.logs(deployed.distributor, [contracts.BATCH_PAID_TOPIC, payer], first, last)
    transfers = await client.logs(deployed.token, [contracts.TRANSFER_TOPIC, payer], first, last)
    assert [paid, *transfers] == list(receipt.logs)
    assert [log.place for log in transfers] == [1, 2]
    assert await client.logs(deployed.token, [contracts.MINTED_TOPIC], first, last) == []


async def test_many_questions_share_connections(client: EvmClient) -> None:
    assert len({block.head.hash for block in await asyncio.gather(*(client.block_by_number(0) for _ in range(100)))}) == 1
