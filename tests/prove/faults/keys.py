"""Somebody else has one of our keys, or a key has nothing to pay gas with (SAFETY S20, S21)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random

from tests.prove.faults.base import Fault, NotReachedError
from tests.prove.operator import Operator
from tests.prove.outsider import Outsider, call_data
from tests.prove.site import Site

_PATIENCE_SECONDS = 90


async def an_address(site: Site, purpose: str) -> str:
    """Of a key of ours."""
    return await site.value("select address from keys where purpose = $1", purpose)


class SpentNonces(Fault):
    """Nonces of a key are used by transactions that do us no harm: to itself, with nothing."""

    def __init__(self, what: str, about: str, *, contested: bool) -> None:
        """`contested`: those of our transactions that wait for a block, else the next ones."""
        self.name, self.about = f"nonce/{what}", about
        self._contested = contested

    async def strike(self, site: Site, chance: Random) -> str:
        outsider = Outsider(site.node)
        purpose = chance.choice(["treasury", "treasury", "minter"]) if not self._contested else "treasury"
        address = await an_address(site, purpose)
        await site.load.some(chance)
        spent: list[int] = []
        for _ in range(chance.randrange(1, 4)):
            async with site.chain_held():
                spent += await self._spend(site, outsider, address, chance)
            await asyncio.sleep(chance.uniform(0, 2))
        if purpose == "minter":
            await site.fund(site.programs[0].brand_id, 1)
        await _until_known(site, purpose)
        return f"nonces {', '.join(map(str, spent))} of the {purpose} key"

    async def _spend(self, site: Site, outsider: Outsider, address: str, chance: Random) -> list[int]:
        if not self._contested:
            return [await _spend(site, outsider, address, None) for _ in range(chance.randrange(1, 4))]
        if not await site.until(lambda: outsider.waiting(address), _PATIENCE_SECONDS):
            raise NotReachedError("no transaction of the treasury's came into the pool")
        nonce, fee = chance.choice(sorted((await outsider.waiting(address)).items()))
        return [await _spend(site, outsider, address, nonce, 3 * fee)]


async def _until_known(site: Site, purpose: str) -> None:
    """Until the database counts what the chain counts. Whoever takes the key over before that has to ask an operator."""
    operator = Operator(site)

    async def is_known() -> bool:
        if await operator.waits_for_me():
            await operator.resume_keys()
        (key,) = await site.rows("select address, next_nonce from keys where purpose = $1", purpose)
        return key["next_nonce"] >= await site.node.nonce(key["address"])

    await site.until(is_known, _PATIENCE_SECONDS)


async def _spend(site: Site, outsider: Outsider, address: str, nonce: int | None, fee_wei: int | None = None) -> int:
    sent = await outsider.send(address, address, nonce=nonce, fee_wei=fee_wei)
    site.told.from_outside.add(sent)
    return int((await site.node.rpc("eth_getTransactionByHash", sent))["nonce"], 16)


class TouchedOurs(Fault):
    """Somebody with the treasury's key calls our token: the key pauses until an operator has looked."""

    name = "nonce/spent-on-what-is-ours"
    about = "The treasury's key is used from outside on our token: it pauses, and goes on once an operator has looked."

    async def strike(self, site: Site, chance: Random) -> str:
        outsider, operator = Outsider(site.node), Operator(site)
        address = await an_address(site, "treasury")
        token, distributor = await site.value("select token_address from assets"), await _distributor(site)
        await site.load.some(chance)
        async with site.chain_held():
            waiting = await outsider.waiting(address) if chance.random() < 0.5 else {}
            nonce, fee = min(waiting.items()) if waiting else (None, None)
            approve = call_data("approve(address,uint256)", ("address", "uint256"), distributor, 2**256 - 1)
            sent = await outsider.send(address, token, approve, nonce=nonce, fee_wei=None if fee is None else 3 * fee)
        if not await site.until(operator.waits_for_me, _PATIENCE_SECONDS):
            if await site.node.rpc("eth_getTransactionReceipt", sent) is None:
                raise NotReachedError("its transaction came into no block: another of the same nonce was quicker")
            raise AssertionError(f"nobody noticed {sent}: the key is not paused")
        left = await resumed(site, operator, {"treasury": "approved the distributor by hand"})
        return f"approved with the treasury's key, {'at' if waiting else 'after'} what was waiting; resumed; left: {left}"


async def resumed(site: Site, operator: Operator, write_off: Mapping[str, str]) -> list[str]:
    """Have an operator resume every paused key, and try again while something is not final yet; what remains."""
    left: list[str] = []

    async def is_done() -> bool:
        left[:] = await operator.resume_keys(write_off)
        return not left

    await site.until(is_done, _PATIENCE_SECONDS)
    return left


async def _distributor(site: Site) -> str:
    return await site.value("select address from contracts where name = 'RewardDistributor'")


class OutOfGas(Fault):
    """A key's native coin is gone for a while."""

    name = "treasury/no-gas"
    about = "A key has no native coin for some seconds; it goes on by itself once it is funded."

    async def strike(self, site: Site, chance: Random) -> str:
        address = await an_address(site, purpose := chance.choice(["treasury", "treasury", "minter"]))
        await site.load.some(chance)
        had, left = await site.node.balance(address), chance.choice([0, 1, 10**12])
        await site.node.fund(address, left)
        seconds = chance.uniform(2, 10)
        await asyncio.sleep(seconds)
        await site.node.fund(address, had)
        return f"the {purpose} key had {left} wei for {seconds:.1f} s"


FAULTS: tuple[Fault, ...] = (
    SpentNonces("spent-ahead", "The next nonces of a key are spent from outside, on nothing.", contested=False),
    SpentNonces(
        "spent-instead", "Nonces of transactions that wait for a block are spent from outside, on nothing.", contested=True
    ),
    TouchedOurs(),
    OutOfGas(),
)
