"""A node that lags, breaks or floods: whatever form its answer has, it ends in a typed error or is read whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from guerdon.chains.evm import EvmClient
from guerdon.chains.jsonrpc import JsonRpc
from guerdon.chains.port import BadAnswerError, ChainUnavailableError, RpcError
from tests.fakes.scripted_node import asking, by_method, http, node, raw, result

HASH = "0x" + "ab" * 32


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
