"""A claim to a contract wallet: its chain is asked again before it is reserved (SAFETY S7)."""

from __future__ import annotations

import json
from uuid import UUID

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from guerdon.chains.evm import EvmClient
from guerdon.kit import driver
from guerdon.kit.database import Database
from guerdon.payouts import reserving
from guerdon.payouts.claims import checks
from guerdon.payouts.reserving import GasPrice
from guerdon.payouts.terms import PayoutTerms
from tests.payouts.claims.bank import Bank, a_bank_on_paper
from tests.payouts.moody import OUTSIDER, sent
from tests.support.members import EvmWallet
from tests.support.postgres import Urls
from tests.support.solidity import compiled
from tests.txmanager.node import CHAIN_ID, Node, running_node


async def a_contract_wallet(node: Node, owner: EvmWallet) -> str:
    code = compiled("TestWallet.sol")["TestWallet"].creation_code + encode(["address"], [owner.address])
    receipt = await sent(node, {"from": OUTSIDER, "data": f"0x{code.hex()}", "gas": hex(2_000_000)})
    return receipt["contractAddress"]


async def hand_on(node: Node, owner: EvmWallet, wallet: str) -> None:
    await node.fund(owner.address, 10**18)
    await node.rpc("anvil_impersonateAccount", owner.address)
    data = keccak(b"handOn(address)")[:4] + encode(["address"], [OUTSIDER])
    await sent(node, {"from": owner.address, "to": wallet, "data": f"0x{data.hex()}", "gas": hex(100_000)})


async def reserve(bank: Bank, confirmed: frozenset[UUID]) -> None:
    treasury = await bank.treasury()
    await reserving.reserve(
        bank.house.database, bank.program, treasury.id, terms=PayoutTerms(), gas_price=GasPrice(None), confirmed=confirmed
    )


async def test_s7_a_contract_wallet_is_asked_again_before_its_claim_is_reserved(
    database: Database, database_urls: Urls, owner: driver.RawConnection
) -> None:
    bank = await a_bank_on_paper(database, database_urls, owner)
    house, keeper = bank.house, EvmWallet()
    async with (
        running_node() as node,
        node.mining(0.05),
        EvmClient(node.url) as chain,
        EvmClient("http://127.0.0.1:1") as nowhere,
    ):
        wallet = await a_contract_wallet(node, keeper)
        ann = await bank.account(100)
        address = await bank.prove(ann, wallet, chain_id=CHAIN_ID, proof_method="eip1271")
        proof = {"message": "It is mine.", "signature": keeper.sign("It is mine.")}
        await owner.execute("update addresses set proof = $2 where id = $1", address, json.dumps(proof))
        claim = await bank.claim(ann, 60, wallet)
        treasury = await bank.treasury()
        # Nobody can be asked: it is neither reserved nor refused.
        house.rpc = nowhere
        await reserve(bank, await checks.confirm(house.deps, bank.program, treasury))
        assert await bank.state(claim.id) == "approved"
        house.rpc = chain
        confirmed = await checks.confirm(house.deps, bank.program, treasury)
        assert confirmed == {claim.id}
        await reserve(bank, confirmed)
        assert await bank.state(claim.id) == "reserved"
        later = await bank.claim(ann, 40, wallet)
        await hand_on(node, keeper, wallet)
        assert await checks.confirm(house.deps, bank.program, treasury) == frozenset()
        assert await bank.state(later.id) == "refused"
        assert await bank.balance(ann) == (40, 60, 0, 0)
