"""A node that lags, lies, breaks or floods: whatever it does ends in a typed error, never in a wrong result."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from guerdon.chains.evm import EvmClient
from guerdon.chains.jsonrpc import JsonRpc
from guerdon.chains.port import BadAnswerError, CallRevertedError, ChainUnavailableError, RpcError, SendOutcome, WrongChainError

Reply = Callable[[Any], bytes | None]
"""From the request's JSON to the whole HTTP answer; None ends the connection."""

HASH = "0x" + "ab" * 32
ADDRESS = "0x" + "11" * 20


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def result(value: Any) -> Reply:
    """An answer in good form, with this as every call's result."""

    def reply(asked: Any) -> bytes:
        calls = asked if isinstance(asked, list) else [asked]
        answers = [{"jsonrpc": "2.0", "id": call["id"], "result": value} for call in calls]
        return http(json.dumps(answers if isinstance(asked, list) else answers[0]).encode())

    return reply


def by_method(values: dict[str, Any]) -> Reply:
    """Results by method; a dictionary with `code` is an error."""

    def one(call: Any) -> dict[str, Any]:
        value = values[call["method"]]
        key = "error" if isinstance(value, dict) and "code" in value else "result"
        return {"jsonrpc": "2.0", "id": call["id"], key: value}

    return lambda asked: http(json.dumps([one(call) for call in asked] if isinstance(asked, list) else one(asked)).encode())


class Node:
    """A node that answers each request as it is told; the last reply serves all that follow."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.requests: list[Any] = []
        self.url = ""
        self._connections: set[asyncio.Task[None]] = set()

    def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def close(self) -> None:
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                asked = json.loads(await reader.readexactly(length))
                self.requests.append(asked)
                answer = (self._replies.pop(0) if len(self._replies) > 1 else self._replies[0])(asked)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def node(*replies: Reply) -> AsyncIterator[Node]:
    made = Node(*replies)
    server = await asyncio.start_server(made.connect, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/secret-token"
    try:
        yield made
    finally:
        server.close()
        await made.close()


@asynccontextmanager
async def asking(*replies: Reply, **limits: Any) -> AsyncIterator[tuple[EvmClient, Node]]:
    async with node(*replies) as made, EvmClient(made.url, **limits) as client:
        yield client, made


def raw(body: bytes, status: str = "200 OK", headers: str = "") -> Reply:
    return lambda _: http(body, status, headers)


# ---- the form of an answer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        b"[]",
        b'"0x1"',
        b"{}",
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":999,"result":"0x1"}',
        b'{"jsonrpc":"2.0","id":null,"result":"0x1"}',
        b'{"jsonrpc":"2.0","id":"1","result":"0x1"}',
        b'{"jsonrpc":"2.0","id":1,"error":"no"}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":"y"}}',
    ],
)
async def test_an_answer_without_form_is_a_bad_answer(body: bytes) -> None:
    async with asking(raw(body)) as (client, made):
        with pytest.raises(BadAnswerError) as error:
            await client.chain_id()
    assert "secret-token" not in str(error.value)
    assert len(made.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: [],
        lambda ids: [{"id": ids[0], "result": "0x1"}],
        lambda ids: [{"id": ids[0], "result": "0x1"}, {"id": ids[0], "result": "0x2"}],
        lambda ids: [{"id": ids[0], "result": "0x1"}, {"id": ids[1] + 1, "result": "0x2"}],
        lambda ids: [{"id": ids[0], "result": "0x1"}, {"id": ids[1], "result": "0x2"}, {"id": ids[1] + 1, "result": "0x3"}],
        lambda ids: [{"id": ids[0], "result": "0x1"}, {"id": ids[1]}],
        lambda ids: [{"id": ids[0], "result": "0x1"}, None],
        lambda _: "0x1",
    ],
)
async def test_a_batch_that_is_not_whole_is_a_bad_answer(answer: Callable[[list[int]], Any]) -> None:
    async with asking(lambda asked: http(json.dumps(answer([call["id"] for call in asked])).encode())) as (client, _):
        with pytest.raises(BadAnswerError):
            await client.batch([("eth_chainId", ()), ("eth_blockNumber", ())])


async def test_answers_of_a_batch_are_put_in_order() -> None:
    def reversed_answers(asked: Any) -> bytes:
        return http(json.dumps([{"id": call["id"], "result": call["method"]} for call in reversed(asked)]).encode())

    async with asking(reversed_answers) as (client, _):
        assert await client.batch([("eth_a", ()), ("eth_b", ()), ("eth_c", ())]) == ["eth_a", "eth_b", "eth_c"]


async def test_one_refused_call_harms_no_other_of_its_batch() -> None:
    values = {"eth_a": "0x1", "eth_b": {"code": -32000, "message": "no such state", "data": "0x12"}, "eth_c": None}
    async with asking(by_method(values)) as (client, _):
        first, second, third = await client.batch([("eth_a", ()), ("eth_b", ()), ("eth_c", ())])
    assert (first, third) == ("0x1", None)
    assert isinstance(second, RpcError)
    assert (second.code, str(second), second.data, second.reverted) == (-32000, "no such state", "0x12", False)


async def test_a_long_list_goes_in_several_requests() -> None:
    async with asking(result("0x1"), max_batch=10) as (client, made):
        assert await client.batch([("eth_a", ())] * 25) == ["0x1"] * 25
    assert [len(asked) for asked in made.requests] == [10, 10, 5]


async def test_an_answer_that_is_too_large_is_cut_off() -> None:
    async with asking(raw(b" " * 200_000), max_response_bytes=100_000) as (client, _):
        with pytest.raises(BadAnswerError, match="more than 100000 bytes"):
            await client.chain_id()


# ---- no answer ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["429 Too Many Requests", "500 Oops", "502 Bad Gateway", "401 Unauthorized", "204 No Content"])
async def test_a_question_that_was_refused_is_asked_again(status: str) -> None:
    async with asking(raw(b"", status), result("0x74c")) as (client, made):
        assert await client.chain_id() == 1868
    assert len(made.requests) == 2


async def test_a_question_that_is_never_answered_ends_in_an_error() -> None:
    async with asking(lambda _: None) as (client, made):
        with pytest.raises(ChainUnavailableError, match="can't be reached") as error:
            await client.chain_id()
    assert "secret-token" not in str(error.value)
    assert len(made.requests) == 3


async def test_s20_signed_bytes_are_handed_over_once_whatever_happens() -> None:
    for reply in (raw(b"", "503 Busy"), lambda _: None, raw(b"{")):
        async with asking(reply, result(HASH)) as (client, made):
            with pytest.raises(ChainUnavailableError):
                await client.send_raw(b"\2")
        assert len(made.requests) == 1


async def test_nobody_listening_is_an_unavailable_chain() -> None:
    async with node(result("0x1")) as made:
        url = made.url
    async with EvmClient(url) as client:
        with pytest.raises(ChainUnavailableError, match="can't be reached"):
            await client.chain_id()


async def test_a_node_that_drips_is_not_waited_for() -> None:
    # Headers and a first byte come at once, the rest never does.
    async with asking(lambda _: http(b" " * 1000)[:-990], timeout_s=0.4) as (client, made):
        with pytest.raises(ChainUnavailableError, match=r"within 0\.4 s"):
            await client.chain_id()
    assert len(made.requests) == 1


async def test_a_redirect_is_not_followed() -> None:
    async with node(result("0x1")) as target, asking(raw(b"", "307 Moved", f"Location: {target.url}\r\n")) as (client, _):
        with pytest.raises(ChainUnavailableError, match="307"):
            await client.chain_id()
        assert target.requests == []


async def test_a_batch_that_is_refused_as_a_whole_says_why() -> None:
    async with asking(raw(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"batch too large"}}')) as (client, _):
        with pytest.raises(ChainUnavailableError, match="batch too large"):
            await client.batch([("eth_a", ())] * 2)


@pytest.mark.parametrize("url", ["", "localhost:8545", "ftp://localhost", "http://", "file:///etc/passwd"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="RPC address"):
        JsonRpc(url)


# ---- what answers say ---------------------------------------------------------------------------------------------

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
