"""The daily cap of a token's minter is what was asked for last (SAFETY S29)."""

from __future__ import annotations

from dataclasses import replace

from guerdon.chains import contracts
from guerdon.txmanager import setup
from tests.payouts.house import NETWORK, House


async def left_today(house: House) -> int:
    minter = await house.value("select address from contracts where name = 'RewardMinter:LTZ'")
    answer = await house.node.rpc(
        "eth_call", {"to": minter, "data": f"0x{contracts.left_today_call(house.token).hex()}"}, "latest"
    )
    return int(answer, 16)


async def test_s29_a_cap_that_was_set_before_can_be_set_again(house: House) -> None:
    first = setup.LOCAL_TOKEN.daily_cap_atomic
    async with house.engine():
        for cap in (first, 500, first, 500):
            token = replace(setup.LOCAL_TOKEN, daily_cap_atomic=cap)
            await setup.deploy_contracts(setup.deployment_deps(house), NETWORK, token, lambda _: None)
            assert await left_today(house) == cap
    assert await house.value("select count(*) from intents where kind = 'cap'") == 4
    assert await house.value("select count(*) from intents where kind in ('deploy', 'grant')") == 5
