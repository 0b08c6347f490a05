"""The proxy gets in the way as it says: what the node heard, and what the client was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.fakes.rpc_proxy import (
    Fault,
    RpcProxy,
    answer_error,
    answer_error_after,
    delay,
    drop_before,
    duplicate,
    hold,
    hold_answer,
    http_status,
    lose_answer,
    older_block,
)
from tests.txmanager.node import FAUCET, Node, running_node


@dataclass
class Between:
    """A node, the proxy before it, and a client that remembers nothing."""

    node: Node
    proxy: RpcProxy
    client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=5))

    async def ask(self, method: str, *params: Any) -> Any:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return (await self.client.post(self.proxy.url, json=call)).json()

    async def pool(self) -> int:
        return len(await self.node.pool())

    async def send(self) -> Any:
        return await self.ask("eth_sendTransaction", {"from": FAUCET, "to": FAUCET, "value": "0x1"})


@pytest.fixture
async def between() -> AsyncIterator[Between]:
    async with running_node() as node, RpcProxy(node.url) as proxy:
        one = Between(node, proxy)
        yield one
        await one.client.aclose()


@pytest.mark.parametrize(("fault", "heard"), [(drop_before, 0), (lose_answer, 1)], ids=["lost-on-the-way", "answer-lost"])
async def test_a_broken_connection_tells_nothing(between: Between, fault: Callable[..., Fault], heard: int) -> None:
    between.proxy.add(fault("eth_sendTransaction"))
    with pytest.raises(httpx.RemoteProtocolError):
        await between.send()
    assert await between.pool() == heard
    assert "result" in await between.send()
    assert await between.pool() == heard + 1


async def test_a_fault_waits_for_its_turn(between: Between) -> None:
    between.proxy.add(drop_before("eth_sendTransaction", skip=1))
    await between.send()
    with pytest.raises(httpx.RemoteProtocolError):
        await between.send()
    assert between.proxy.calls["eth_sendTransaction"] == 2


async def test_a_request_that_arrives_twice_is_done_twice(between: Between) -> None:
    between.proxy.add(duplicate("eth_sendTransaction"))
    assert "result" in await between.send()
    assert await between.pool() == 2


@pytest.mark.parametrize(("fault", "heard"), [(answer_error, 0), (answer_error_after, 1)])
async def test_an_error_is_told_whatever_the_node_did(between: Between, fault: Callable[..., Fault], heard: int) -> None:
    between.proxy.add(fault("eth_sendTransaction", -32000, "no"))
    assert (await between.send())["error"] == {"code": -32000, "message": "no"}
    assert await between.pool() == heard


async def test_only_the_calls_of_its_method_are_refused_in_a_batch(between: Between) -> None:
    between.proxy.add(answer_error("eth_gasPrice", -32005, "limit"))
    batch = [{"jsonrpc": "2.0", "id": i, "method": m, "params": []} for i, m in enumerate(("eth_chainId", "eth_gasPrice"))]
    first, second = (await between.client.post(between.proxy.url, json=batch)).json()
    assert (first["result"], second["error"]["message"]) == ("0x7a69", "limit")


async def test_a_gateway_answers_instead(between: Between) -> None:
    between.proxy.add(http_status("*", 502))
    assert (await between.client.post(between.proxy.url, json={"id": 1, "method": "eth_chainId"})).status_code == 502


@pytest.mark.parametrize(("fault", "heard"), [(hold, 0), (hold_answer, 1)])
async def test_the_world_stops_until_it_is_released(between: Between, fault: Callable[..., Fault], heard: int) -> None:
    stop = between.proxy.add(fault("eth_sendTransaction"))
    request = asyncio.create_task(between.send())
    await asyncio.wait_for(stop.reached.wait(), 5)
    await asyncio.sleep(0.1)
    assert (await between.pool(), request.done()) == (heard, False)
    stop.release()
    assert "result" in await request
    assert await between.pool() == 1


async def test_a_request_is_late(between: Between) -> None:
    between.proxy.add(delay("eth_sendTransaction", 0.3))
    request = asyncio.create_task(between.send())
    await asyncio.sleep(0.1)
    assert await between.pool() == 0
    await request
    assert await between.pool() == 1


async def test_a_node_that_lags_knows_neither_the_newest_block_nor_its_receipts(between: Between) -> None:
    sent = (await between.send())["result"]
    await between.node.mine()
    lag = between.proxy.add(older_block(1))
    assert (await between.ask("eth_getBlockByNumber", "latest", False))["result"]["number"] == "0x0"
    assert (await between.ask("eth_getTransactionCount", FAUCET, "latest"))["result"] == "0x0"
    assert (await between.ask("eth_getTransactionReceipt", sent))["result"] is None
    lag.stop()
    assert (await between.ask("eth_getTransactionReceipt", sent))["result"]["blockNumber"] == "0x1"


async def test_a_node_that_is_down_hears_nothing(between: Between) -> None:
    between.proxy.is_down = True
    with pytest.raises(httpx.RemoteProtocolError):
        await between.send()
    between.proxy.is_down = False
    assert await between.pool() == 0
