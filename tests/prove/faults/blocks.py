"""Blocks and waiting transactions go away: reorganisations, pools that forget, a node that restarts, fees that jump."""

from __future__ import annotations

import asyncio
import time
from random import Random

from tests.prove.faults.base import Fault
from tests.prove.site import Site

NOT_FINAL = 2
"""Blocks at the head that may still be replaced: the one before them is finalized."""
_PATIENCE_SECONDS = 8
_PATIENCE_WITH_THE_LOST_SECONDS = 40
"""A key that is idle is compared with the chain every ten seconds."""


async def until_included(site: Site) -> None:
    """Wait until the newest block has a transaction, if one comes soon."""

    async def has_any() -> bool:
        return bool((await site.node.rpc("eth_getBlockByNumber", "latest", False))["transactions"])

    await site.until(has_any, _PATIENCE_SECONDS)


async def until_waiting(site: Site) -> None:
    """Wait until a transaction waits for a block, if one comes soon; no block is made meanwhile."""

    async def has_any() -> bool:
        return bool(await site.node.pool())

    await site.until(has_any, _PATIENCE_SECONDS)


class Reorganised(Fault):
    """The newest blocks are replaced, by others with the same transactions, with some of them, or with none."""

    def __init__(self, depth: int) -> None:
        self.name = f"chain/reorganised-{depth}"
        self.about = f"The newest {depth} blocks are replaced by others, which have some of their transactions or none."
        self._depth = depth

    async def strike(self, site: Site, chance: Random) -> str:
        kept: list[str] = []
        times = chance.randrange(1, 4)
        for _ in range(times):
            await until_included(site)
            async with site.chain_held():
                raws = await self._newest(site)
                # The first so many of them, in their order: a later nonce can't come before an earlier one.
                keep = raws[: chance.randrange(len(raws) + 1)]
                places = sorted(chance.randrange(self._depth) for _ in keep)
                await site.node.rpc("anvil_reorg", self._depth, list(zip(keep, places, strict=True)))
                kept.append(f"{len(keep)} of {len(raws)}")
            await asyncio.sleep(chance.uniform(0, 1.5))
        return f"{times} times {self._depth} blocks were replaced, {', '.join(kept)} transactions were kept"

    async def _newest(self, site: Site) -> list[str]:
        head = await site.node.height()
        raws: list[str] = []
        for number in range(head - self._depth + 1, head + 1):
            block = await site.node.rpc("eth_getBlockByNumber", hex(number), False)
            raws += [await site.node.rpc("eth_getRawTransactionByHash", one) for one in block["transactions"]]
        return raws


class Forgotten(Fault):
    """The pool drops transactions that it had taken."""

    name = "chain/dropped-transactions"
    about = "For some seconds the pool drops transactions that it had taken, each as likely as not."

    async def strike(self, site: Site, chance: Random) -> str:
        dropped = 0
        until = time.monotonic() + chance.uniform(2, 6)
        await until_waiting(site)
        while time.monotonic() < until:
            for one in await site.node.pool():
                if chance.random() < 0.5:
                    dropped += await site.node.rpc("anvil_dropTransaction", one) is not None
            await asyncio.sleep(0.03)
        return f"{dropped} dropped"


class Evicted(Fault):
    """No blocks come for a while, and the pool is emptied."""

    name = "chain/evicted-pool"
    about = "No block comes for some seconds, transactions pile up, and the pool loses all of them."

    async def strike(self, site: Site, chance: Random) -> str:
        await site.load.some(chance)
        evicted = 0
        async with site.chain_held():
            for _ in range(chance.randrange(1, 4)):
                await until_waiting(site)
                await asyncio.sleep(chance.uniform(0.2, 2))
                evicted += len(await site.node.pool())
                await site.node.rpc("anvil_dropAllTransactions")
        return f"{evicted} lost"


class Restarted(Fault):
    """The node restarts: its pool and old state are lost, and perhaps blocks."""

    def __init__(self, what: str, about: str, *, seconds: float) -> None:
        """`seconds`: how old the state may be that it starts with."""
        self.name, self.about = f"chain/{what}", about
        self._seconds = seconds

    async def strike(self, site: Site, chance: Random) -> str:
        await site.load.some(chance)
        state, before = await site.node.state(), await site.node.height()
        await asyncio.sleep(chance.uniform(self._seconds / 6, self._seconds))
        async with site.chain_held():
            await until_waiting(site)
            if not self._seconds:
                state = await site.node.state()
            head, waiting = await site.node.height(), len(await site.node.pool())
            site.node.kill()
            await asyncio.sleep(chance.uniform(0, 2))
            await site.node.restart_from(state)
            await site.node.rpc("evm_setTime", int(time.time()))
            lost = head - await site.node.height()
            sent = {row["address"]: row["next_nonce"] for row in await site.rows("select address, next_nonce from keys")}

        async def is_back() -> bool:
            return all([await site.node.nonce(address) >= nonce for address, nonce in sent.items()])

        # What was final is under way for nobody: nothing else would wait for it. If it never comes, the judge says so.
        await site.until(is_back, _PATIENCE_WITH_THE_LOST_SECONDS)
        return f"restarted at height {before} to {head}: {lost} blocks and {waiting} waiting transactions were lost"


class FeesJump(Fault):
    """The base fee is many times what it was, for some blocks."""

    name = "chain/fees-jump"
    about = "The base fee is many times what it was for some blocks, with and without a fee cap in between."

    async def strike(self, site: Site, chance: Random) -> str:
        await site.load.some(chance)
        usual = int((await site.node.rpc("eth_getBlockByNumber", "latest", False))["baseFeePerGas"], 16)
        factor, blocks = chance.choice([3, 20, 500]), chance.randrange(2, 14)
        cap = chance.choice([None, 2 * usual + 2 * 10**9])
        await site.execute("update networks set max_fee_per_gas = $1", cap)
        async with site.chain_held():
            await until_waiting(site)
            for fee in (*[usual * factor] * blocks, usual):
                await site.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(fee))
                await site.node.mine()
                await asyncio.sleep(site.block_seconds)
        return f"{factor} times {usual} wei for {blocks} blocks, " + ("no cap" if cap is None else f"cap {cap}")


FAULTS: tuple[Fault, ...] = (
    *(Reorganised(depth) for depth in range(1, NOT_FINAL + 1)),
    Forgotten(),
    Evicted(),
    Restarted("restarted-with-an-empty-pool", "The node restarts with the same blocks and an empty pool.", seconds=0),
    Restarted("went-back", "The node restarts as it was some seconds ago: final blocks are lost too.", seconds=6),
    FeesJump(),
)
