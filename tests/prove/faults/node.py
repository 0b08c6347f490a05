"""The chain's node, or what is between it and us, misbehaves: each worker's questions go through a proxy that gets in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fakes import rpc_proxy
from tests.prove.faults.base import Fault
from tests.prove.site import Site

SEND = "eth_sendRawTransaction"
METHODS = ("*", SEND, "eth_getTransactionReceipt", "eth_call", "eth_estimateGas", "eth_feeHistory", "eth_getBlockByNumber")
_GARBAGE = (b"", b"<html>502</html>", b"[]", b"{}", b"null", b'{"jsonrpc": "2.0"}', b'[{"id": 1}]', b"\xff\xfe", b"[" * 10_000)
_ERRORS = (
    (-32000, "nonce too low"), (-32000, "already known"), (-32000, "replacement transaction underpriced"),
    (-32000, "insufficient funds for gas * price + value"), (-32005, "rate limit exceeded"), (-32603, "internal error"),
    (-32000, "header not found"), (-32000, "transaction underpriced"), (3, "execution reverted"),
)  # fmt: skip
_WRONG: tuple[Any, ...] = ("yes", "0x", "0xzz", -1, 1.5, True, [], {}, ["0x1"], {"number": "0x1"}, "0x" + "f" * 80)

Make = Callable[[str, int, Random], rpc_proxy.Fault]
"""A fault of the proxy for a method, to happen so many times."""


class Misbehaves(Fault):
    """For some seconds, some answers are not what they should be."""

    def __init__(self, what: str, about: str, make: Make, *, methods: tuple[str, ...] = METHODS) -> None:
        self.name, self.about = f"node/{what}", about
        self._make, self._methods = make, methods

    async def strike(self, site: Site, chance: Random) -> str:
        victims = site.workers if chance.random() < 0.5 else [chance.choice(site.workers)]
        done: list[str] = []
        for _ in range(chance.randrange(1, 5)):
            await asyncio.sleep(chance.uniform(0, 0.8))
            method, times = chance.choice(self._methods), chance.choice([1, 2, 5, 12])
            for victim in victims:
                victim.chain.add(self._make(method, times, chance))
            done.append(f"{method} {times} times")
        await asyncio.sleep(2)
        return f"{self.name.partition('/')[2]} to {' and '.join(victim.name for victim in victims)}: {', '.join(done)}"


class Lags(Fault):
    """The node answers from an older block, now and then from the newest: as several nodes behind one address do."""

    name = "node/answers-from-an-older-block"
    about = "Some answers are as they were some blocks ago, as from several nodes behind one address."

    async def strike(self, site: Site, chance: Random) -> str:
        victims = [chance.choice(site.workers)] if chance.random() < 0.5 else site.workers
        blocks = chance.randrange(1, 5)
        for _ in range(chance.randrange(2, 6)):
            lags = [victim.chain.add(rpc_proxy.older_block(blocks, times=chance.choice([3, 10, 40]))) for victim in victims]
            await asyncio.sleep(chance.uniform(0.2, 1.2))
            for lag in lags:
                lag.stop()
            await asyncio.sleep(chance.uniform(0, 0.4))
        return f"{blocks} blocks behind for {' and '.join(victim.name for victim in victims)}"


class Away(Fault):
    """Nobody is there."""

    name = "node/is-away"
    about = "The node does not answer at all for some seconds."

    async def strike(self, site: Site, chance: Random) -> str:
        await site.load.some(chance)
        seconds = chance.uniform(0.5, 5)
        for process in site.processes.values():
            process.chain.is_down = True
        await asyncio.sleep(seconds)
        for process in site.processes.values():
            process.chain.is_down = False
        return f"away for {seconds:.1f} s"


def _wrong_type(method: str, times: int, chance: Random) -> rpc_proxy.Fault:
    wrong = chance.choice(_WRONG)
    return rpc_proxy.answer_wrongly(method, lambda _, answer: {**answer, "result": wrong}, times=times)


def _wrong_id(method: str, times: int, chance: Random) -> rpc_proxy.Fault:
    wrong = chance.choice([None, 0, 10**9, "1", {}])
    return rpc_proxy.answer_wrongly(method, lambda _, answer: {**answer, "id": wrong}, times=times)


FAULTS: tuple[Fault, ...] = (
    Misbehaves(
        "delays", "Requests reach the node late.",
        lambda method, times, chance: rpc_proxy.delay(method, chance.uniform(0.1, 3), times=times),
    ),
    Misbehaves(
        "drops", "Requests never reach the node, and the connection breaks.",
        lambda method, times, _: rpc_proxy.drop_before(method, times=times),
    ),
    Misbehaves(
        "loses-answers", "The node does what it is asked, and the connection breaks before its answer arrives.",
        lambda method, times, _: rpc_proxy.lose_answer(method, times=times),
    ),
    Misbehaves(
        "loses-answers-to-sending", "The node takes a transaction, and nobody is told.",
        lambda method, times, _: rpc_proxy.lose_answer(method, times=times), methods=(SEND,),
    ),
    Misbehaves(
        "duplicates", "Requests reach the node twice.",
        lambda method, times, _: rpc_proxy.duplicate(method, times=times),
    ),
    Misbehaves(
        "refuses", "Requests are answered with errors, and the node hears nothing of them.",
        lambda method, times, chance: rpc_proxy.answer_error(method, *chance.choice(_ERRORS), times=times),
    ),
    Misbehaves(
        "refuses-what-it-did", "The node does what it is asked and says that it did not.",
        lambda method, times, chance: rpc_proxy.answer_error_after(method, *chance.choice(_ERRORS), times=times),
    ),
    Misbehaves(
        "refuses-what-it-did-to-sending", "The node takes a transaction and says that it did not.",
        lambda method, times, chance: rpc_proxy.answer_error_after(method, *chance.choice(_ERRORS), times=times), methods=(SEND,),
    ),
    Misbehaves(
        "gateway", "A gateway answers instead of the node.",
        lambda method, times, chance: rpc_proxy.http_status(method, chance.choice([429, 500, 502, 503]), times=times),
    ),
    Misbehaves(
        "garbage", "Something that is no JSON-RPC answers.",
        lambda method, times, chance: rpc_proxy.garbage(method, chance.choice(_GARBAGE), times=times),
    ),
    Misbehaves("wrong-ids", "Answers bear another id than the question.", _wrong_id),
    Misbehaves("wrong-types", "Answers are of another type than they should be.", _wrong_type),
    Lags(),
    Away(),
)  # fmt: skip
