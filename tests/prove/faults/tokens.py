"""Nobody can be paid for a while: the token is paused, or the treasury's tokens are gone (SAFETY S22)."""

from __future__ import annotations

import asyncio
from random import Random

from tests.prove.faults.base import Fault
from tests.prove.faults.keys import an_address
from tests.prove.outsider import Outsider, balance_of, call_data
from tests.prove.site import Site

GUARDIAN = "0x00000000000000000000000000000000000c0de5"


class Paused(Fault):
    """Everything that moves the token reverts, in simulations and on chain."""

    name = "treasury/paused-token"
    about = "The token is paused for some seconds: nobody is quarantined, and payouts go on by themselves."

    async def strike(self, site: Site, chance: Random) -> str:
        outsider, token = Outsider(site.node), await site.value("select token_address from assets")
        await outsider.may_pause(token, GUARDIAN)
        await site.load.some(chance)
        seconds = chance.uniform(1, 10)
        await outsider.send(GUARDIAN, token, call_data("pause()"))
        await asyncio.sleep(seconds)
        await outsider.send(GUARDIAN, token, call_data("unpause()"))
        return f"paused for {seconds:.1f} s"


class Short(Fault):
    """Less is in the treasury than is owed."""

    name = "treasury/no-tokens"
    about = "The treasury's tokens are gone for some seconds, or all but a few; payouts go on by themselves once they are back."

    async def strike(self, site: Site, chance: Random) -> str:
        outsider, token = Outsider(site.node), await site.value("select token_address from assets")
        treasury = await an_address(site, "treasury")
        await site.load.some(chance)
        keep = chance.choice([0, 50, 1_000])
        async with site.chain_held():
            had = await outsider.balance(token, treasury)
            await outsider.store(token, balance_of(treasury), keep)
        seconds = chance.uniform(1, 10)
        await asyncio.sleep(seconds)
        async with site.chain_held():
            # What was minted or paid meanwhile stays so.
            now = await outsider.balance(token, treasury)
            await outsider.store(token, balance_of(treasury), now + had - keep)
        return f"{keep} tokens were left of {had} for {seconds:.1f} s"


FAULTS: tuple[Fault, ...] = (Paused(), Short())
