"""Setting networks up: every step goes through an intent, is found again after a kill, and is checked on chain (SAFETY S27)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from guerdon.chains import contracts
from guerdon.kit import driver
from guerdon.kit.database import Database
from guerdon.ledger.models import Delivered
from guerdon.txmanager import assets, setup, treasuries
from guerdon.txmanager.errors_treasuries import AssetExistsError, CodeMismatchError, TreasuryExistsError
from tests.payouts.house import NETWORK, House, a_house, a_wallet
from tests.support.postgres import Urls
from tests.txmanager.node import CHAIN_ID, running_node


@pytest.fixture
async def bare(database: Database, database_urls: Urls, owner: driver.RawConnection) -> AsyncIterator[House]:
    """A chain with blocks, and nothing set up."""
    async with running_node("--no-mining") as node, a_house(database, database_urls, owner, node) as one, one.mining():
        yield one


async def _counts(house: House) -> tuple[int, ...]:
    tables = ("keys", "intents", "contracts", "assets", "treasuries", "networks")
    return tuple([await house.value(f"select count(*) from {table}") for table in tables])


async def test_s27_bootstrapping_again_finds_everything_and_sends_nothing(bare: House) -> None:
    async with bare.engine():
        await bare.bootstrap()
        before = await _counts(bare)
        await bare.bootstrap()
    assert await _counts(bare) == before
    assert await bare.value("select bool_and(state = 'final') from intents")


async def test_s27_bootstrapping_that_is_stopped_anywhere_goes_on_where_it_was(bare: House) -> None:
    for patience in (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience), bare.engine():
                await bare.bootstrap()
    async with bare.engine():
        await bare.bootstrap()
    kinds = await bare.owner.fetch("select kind, count(*) as n from intents group by kind order by kind")
    assert {row["kind"]: row["n"] for row in kinds} == {"approve": 1, "cap": 1, "deploy": 4, "grant": 1, "transfer": 2}
    async with bare.working():
        program = await bare.program(funds=10)
        await bare.owe(program, {await bare.account(program): 10})
        await bare.until_states({"final": 1})


async def test_s29_the_hot_minter_mints_within_a_cap_that_it_can_not_lift(house: House) -> None:
    minter = await house.value("select address from contracts where name = 'RewardMinter:LTZ'")
    hot = await house.value("select address from keys where purpose = 'minter'")
    calls = {
        "mint the token itself": (house.token, contracts.mint_call(house.token, b"\1" * 16, hot, 1)),
        "set the cap": (minter, contracts.set_daily_cap_call(house.token, 10**30)),
        "appoint": (minter, contracts.grant_role_call(contracts.CAP_ROLE, hot)),
    }
    for to, data in calls.values():
        with pytest.raises(AssertionError, match="revert"):
            await house.node.rpc("eth_call", {"from": hot, "to": to, "data": f"0x{data.hex()}"}, "latest")
    purposes = await house.owner.fetch("select purpose, address from keys")
    assert len({row["address"] for row in purposes}) == len(purposes) == 3


async def test_what_is_recorded_is_on_chain_what_its_name_says(house: House) -> None:
    rows = await house.owner.fetch("select name, address from contracts")
    assert {row["name"] for row in rows} == {"MerkleDrop", "RewardDistributor", "RewardToken:LTZ", "RewardMinter:LTZ"}
    for row in rows:
        code = bytes.fromhex((await house.node.rpc("eth_getCode", row["address"], "latest"))[2:])
        assert contracts.is_code_of(row["name"].partition(":")[0], code)


async def test_a_second_token_shares_distributor_and_keys_and_has_a_minter_of_its_own(house: House) -> None:
    token = setup.NewToken("ABC", "Abc", 18, 10**18, 10**24)
    async with house.engine():
        addresses = await setup.deploy_contracts(setup.deployment_deps(house), NETWORK, token, lambda _: None)
        again = await setup.deploy_contracts(setup.deployment_deps(house), NETWORK, token, lambda _: None)
    assert addresses == again
    assert addresses["RewardDistributor"] == house.distributor
    row = await house.owner.fetchrow("select decimals, atomic_per_point, mintable from assets where symbol = 'ABC'")
    assert row is not None
    assert tuple(row.values()) == (18, 10**18, True)


async def test_an_asset_needs_a_contract_at_its_address_and_a_symbol_of_its_own(house: House) -> None:
    deps = setup.deployment_deps(house)
    with pytest.raises(CodeMismatchError):
        await assets.create_asset(deps, assets.NewAsset("XYZ", NETWORK, a_wallet(), Delivered.AUTOMATIC, 1))
    with pytest.raises(AssetExistsError):
        await assets.create_asset(deps, assets.NewAsset("LTZ", NETWORK, house.token, Delivered.AUTOMATIC, 1))


async def test_an_asset_has_one_treasury(house: House) -> None:
    async with house.database.platform() as session:
        _, asset = await treasuries.find(session, "ltz")
        with pytest.raises(TreasuryExistsError):
            await treasuries.create_treasury(session, house.ring, asset, now=house.clock.now())


async def test_s27_a_treasury_is_given_gas_by_an_intent(house: House) -> None:
    treasury = await house.treasury()
    before = await house.node.balance(treasury.address)
    async with house.engine():
        intent = await setup.send_gas(setup.deployment_deps(house), treasury, 10**18, lambda _: None)
    assert intent.state == "final"
    assert await house.node.balance(treasury.address) == before + 10**18
    assert await house.value("select chain_id from networks where name = $1", NETWORK) == CHAIN_ID
