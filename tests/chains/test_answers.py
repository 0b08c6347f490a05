"""A node that lies or is of another network: what does not fit what was asked ends in a typed error, never in a wrong result."""

from __future__ import annotations

from typing import Any

import pytest

from guerdon.chains.port import BadAnswerError, CallRevertedError, ChainUnavailableError, SendOutcome, WrongChainError
from tests.fakes.scripted_node import asking, by_method, result

HASH = "0x" + "ab" * 32
ADDRESS = "0x" + "11" * 20

BLOCK = {"number": "0x5", "hash": HASH, "parentHash": HASH, "timestamp": "0x10", "baseFeePerGas": "0x7", "transactions": []}
RECEIPT: dict[str, Any] = {
    "transactionHash": HASH,
    "blockNumber": "0x5",
    "blockHash": HASH,
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x2",
    "l1Fee": "0x64",
    "contractAddress": None,
    "logs": [],
}
LOG = {
    "address": ADDRESS,
    "topics": [HASH],
    "data": "0x",
    "logIndex": "0x3",
    "transactionHash": HASH,
    "blockHash": HASH,
    "blockNumber": "0x5",
}


@pytest.mark.parametrize("value", [None, 1, "1", "0x", "0xg", "-0x1", "0x1 ", " 0x1", "0x" + "1" * 65, True, [], {}])
async def test_what_is_no_number_is_a_bad_answer(value: Any) -> None:
    async with asking(result(value)) as (client, _):
        with pytest.raises(BadAnswerError):
            await client.nonce(ADDRESS, "latest")


@pytest.mark.parametrize("value", [None, 1, "0x1", "1234", "0xzz", ""])
async def test_what_are_no_bytes_is_a_bad_answer(value: Any) -> None:
    async with asking(result(value)) as (client, _):
        with pytest.raises(BadAnswerError):
            await client.code(ADDRESS, "latest")


@pytest.mark.parametrize("field", ["number", "hash", "timestamp", "parentHash", "transactions"])
async def test_a_block_that_lacks_a_field_is_a_bad_answer(field: str) -> None:
    async with asking(result({name: value for name, value in BLOCK.items() if name != field})) as (client, _):
        with pytest.raises(BadAnswerError):
            await client.block_by_number(5)


async def test_a_block_that_the_node_does_not_have_is_a_bad_answer() -> None:
    async with asking(result(None)) as (client, _):
        with pytest.raises(BadAnswerError, match="does not have the block finalized"):
            await client.head("finalized")


async def test_another_block_than_asked_for_is_a_bad_answer() -> None:
    async with asking(result(BLOCK)) as (client, _):
        assert (await client.block_by_number(5)).head.number == 5
        with pytest.raises(BadAnswerError, match="block 5 for block 6"):
            await client.block_by_number(6)


async def test_a_receipt_counts_the_roll_ups_data_fee() -> None:
    async with asking(result(RECEIPT)) as (client, _):
        receipt = (await client.receipts([HASH.upper().replace("0X", "0x")]))[HASH]
    assert (receipt.succeeded, receipt.fee_paid, receipt.l1_fee) == (True, 21_000 * 2 + 100, 100)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": None},
        {"status": "0x2"},
        {"status": True},
        {"transactionHash": "0x" + "cd" * 32},
        {"blockNumber": None},
        {"blockHash": "0x"},
        {"gasUsed": "many"},
        {"logs": None},
        {"logs": [{}]},
        {"logs": [{**LOG, "transactionHash": "0x" + "cd" * 32}]},
        {"logs": [{**LOG, "topics": ["0x12"]}]},
        {"contractAddress": "0x12"},
    ],
)
async def test_a_receipt_that_is_not_whole_or_of_another_is_a_bad_answer(wrong: dict[str, Any]) -> None:
    async with asking(result({**RECEIPT, **wrong})) as (client, _):
        with pytest.raises(BadAnswerError):
            await client.receipts([HASH])


async def test_s34_a_logs_place_is_counted_in_its_transaction() -> None:
    logs = [{**LOG, "logIndex": "0x9"}, {**LOG, "logIndex": "0x8", "data": "0x01"}]
    async with asking(result({**RECEIPT, "logs": logs})) as (client, _):
        receipt = (await client.receipts([HASH]))[HASH]
    assert [(log.place, log.index_in_block, log.data) for log in receipt.logs] == [(0, 8, b"\1"), (1, 9, b"")]


async def test_a_log_without_a_receipt_is_a_bad_answer() -> None:
    async with asking(by_method({"eth_getLogs": [LOG], "eth_getTransactionReceipt": None})) as (client, _):
        with pytest.raises(BadAnswerError, match="no receipt has"):
            await client.logs(ADDRESS, [HASH], 1, 5)


async def test_no_receipt_is_no_error() -> None:
    async with asking(result(None)) as (client, _):
        assert await client.receipts([HASH]) == {}
        assert await client.transactions([HASH]) == {}


async def test_a_refused_question_is_no_answer() -> None:
    async with asking(by_method({"eth_getTransactionReceipt": {"code": -32005, "message": "limit exceeded"}})) as (client, _):
        with pytest.raises(ChainUnavailableError, match="limit exceeded"):
            await client.receipts([HASH])


@pytest.mark.parametrize(
    ("error", "data"),
    [
        ({"code": 3, "message": "execution reverted: no", "data": "0x1234"}, b"\x12\x34"),
        ({"code": -32000, "message": "execution reverted"}, b""),
        ({"code": -32015, "message": "VM execution error: reverted", "data": "Reverted 0x1234"}, b"\x12\x34"),
        ({"code": -32603, "message": "reverted", "data": {"message": "…", "data": "0x1234"}}, b"\x12\x34"),
    ],
)
async def test_a_revert_is_known_in_the_words_of_many_nodes(error: dict[str, Any], data: bytes) -> None:
    async with asking(by_method({"eth_call": error})) as (client, _):
        with pytest.raises(CallRevertedError) as reverted:
            await client.call(ADDRESS, b"", block="latest")
    assert reverted.value.data == data


async def test_another_error_of_a_call_is_no_revert() -> None:
    async with asking(by_method({"eth_call": {"code": -32000, "message": "missing trie node"}})) as (client, _):
        with pytest.raises(ChainUnavailableError, match="missing trie node"):
            await client.call(ADDRESS, b"", block="latest")


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("already known", SendOutcome.ALREADY_KNOWN),
        ("transaction already imported", SendOutcome.ALREADY_KNOWN),
        ("nonce too low: next nonce 5, tx nonce 4", SendOutcome.NONCE_TOO_LOW),
        ("replacement transaction underpriced", SendOutcome.UNDERPRICED),
        ("max fee per gas less than block base fee", SendOutcome.UNDERPRICED),
        ("insufficient funds for gas * price + value", SendOutcome.INSUFFICIENT_FUNDS),
        ("txpool is full", SendOutcome.REJECTED),
    ],
)
async def test_s20_a_nodes_refusal_of_bytes_is_an_outcome_and_no_error(words: str, outcome: SendOutcome) -> None:
    async with asking(by_method({"eth_sendRawTransaction": {"code": -32000, "message": words}})) as (client, _):
        assert await client.send_raw(b"\2") == (outcome, words)


async def test_s21_another_chain_is_told_from_the_one_that_is_meant() -> None:
    async with asking(by_method({"eth_chainId": "0x74c", "eth_getBlockByNumber": {**BLOCK, "number": "0x0"}})) as (client, _):
        assert await client.check_chain(1868, None) == HASH
        assert await client.check_chain(1868, HASH.upper().replace("0X", "0x")) == HASH
        with pytest.raises(WrongChainError, match="belongs to chain 1868, not 1946"):
            await client.check_chain(1946, HASH)
        with pytest.raises(WrongChainError, match="another one with the same id"):
            await client.check_chain(1868, "0x" + "cd" * 32)


@pytest.mark.parametrize(
    ("history", "tip"),
    [
        ({"baseFeePerGas": ["0x5", "0x6"], "reward": [["0x989680"]]}, 10_000_000),
        ({"baseFeePerGas": ["0x5", "0x6"], "reward": [["0x0"], ["0x1"]]}, 1_000_000),
        ({"baseFeePerGas": ["0x6"]}, 1_000_000),
        ({"baseFeePerGas": ["0x6"], "reward": None}, 1_000_000),
        ({"baseFeePerGas": ["0x6"], "reward": [[], ["0x2dc6c0"], ["0x3d0900"], ["0x1e8480"]]}, 3_000_000),
    ],
)
async def test_fees_are_the_next_base_fee_and_a_median_tip(history: dict[str, Any], tip: int) -> None:
    async with asking(result(history)) as (client, _):
        fees = await client.fees()
    assert (fees.base_fee, fees.priority_fee) == (6, tip)


@pytest.mark.parametrize(
    "history", [{}, {"baseFeePerGas": []}, {"baseFeePerGas": [None]}, {"baseFeePerGas": ["0x1"], "reward": ["0x1"]}]
)
async def test_fees_without_form_are_a_bad_answer(history: dict[str, Any]) -> None:
    async with asking(result(history)) as (client, _):
        with pytest.raises(BadAnswerError):
            await client.fees()
