"""Payments on Solana: proven by who paid the fee, checked transfers, owners and places; found by the signer's history."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from solders.keypair import Keypair

from guerdon.activity.settlements.models import HintState, SettlementState
from guerdon.activity.settlements.work import READ, WATCH
from guerdon.chains.networks import SOLANA
from guerdon.chains.solana import instructions
from guerdon.chains.solana.tokens import Mint
from guerdon.kit.database import Database
from guerdon.txmanager import service_keys
from tests.activity.settlements.scene import MONTH_AGO, Scene, a_scene
from tests.fakes.rpc_proxy import ALWAYS, RpcProxy, answer_wrongly
from tests.support.local_solana import SolanaInThread, running_solana
from tests.support.members import an_account, an_address
from tests.support.postgres import Urls
from tests.support.solana_tokens import holding, made_mint

NETWORK = "solana-local"
DOLLAR = 1_000_000


@dataclass
class Cluster:
    """A scene with a local Solana, a stablecoin on it, and a facilitator that pays the fees."""

    scene: Scene
    solana: SolanaInThread
    facilitator: Keypair
    mint: Mint
    source: dict[str, object]
    proxy: RpcProxy
    """Between the product and the node."""

    async def member(self, payer: Keypair) -> object:
        account_id = await an_account(self.scene.database, self.scene.program_id)
        await an_address(
            self.scene.database, self.scene.program_id, account_id, str(payer.pubkey()), namespace=SOLANA, since=MONTH_AGO
        )
        return account_id

    def pay(self, payer: Keypair, *amounts: int, fee_payer: Keypair | None = None) -> str:
        """One transaction with so many checked transfers to new shops."""
        pays = fee_payer or self.facilitator
        source = holding(self.solana, self.mint, self.facilitator, payer.pubkey(), sum(amounts) or 1)
        transfers = [
            instructions.transfer_checked(
                source,
                holding(self.solana, self.mint, self.facilitator, Keypair().pubkey()),
                str(payer.pubkey()),
                self.mint,
                amount,
            )
            for amount in amounts
        ]
        signers = [pays] if pays is payer else [pays, payer]
        return self.solana.run(transfers, *signers)

    async def report(self, signature: str) -> int:
        return (await self.scene.report(signature, source=self.source, network="solana-local")).status_code


@pytest.fixture(scope="session")
def solana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SolanaInThread]:
    with running_solana(tmp_path_factory.mktemp("solana"), slot_ms=3_600_000) as running:
        yield running


@pytest.fixture
async def cluster(database: Database, database_urls: Urls, solana: SolanaInThread) -> AsyncIterator[Cluster]:
    async with RpcProxy(solana.url) as proxy, a_scene(database, database_urls, rpc_urls={NETWORK: proxy.url}) as scene:
        async with database.platform() as session:
            await service_keys.set_network(session, name=NETWORK, chain_id=None)
        facilitator = solana.funded()
        mint = made_mint(solana, facilitator)
        await scene.admin(
            "PUT", "/settlement-assets", {"network": NETWORK, "address": mint.address, "symbol": "USDC", "decimals": 6}
        )
        source = await scene.add_source(signers={NETWORK: [str(facilitator.pubkey())]})
        yield Cluster(scene, solana, facilitator, mint, source, proxy)


async def test_s33_s34_payments_on_solana_earn_once_each_by_their_places(cluster: Cluster) -> None:
    scene, payer = cluster.scene, cluster.solana.funded()
    ann = await cluster.member(payer)
    signature = cluster.pay(payer, DOLLAR, 2 * DOLLAR)
    cluster.solana.advance(2)
    for _ in range(2):
        assert await cluster.report(signature) == 202
        await scene.prove_again()
    rows = await scene.settlements()
    assert [(one.place, one.amount_atomic, one.payer) for one in rows] == [
        (0, DOLLAR, str(payer.pubkey())),
        (65_536, 2 * DOLLAR, str(payer.pubkey())),
    ]
    cluster.solana.advance(60)
    await scene.work(WATCH)
    assert {one.state for one in await scene.settlements()} == {SettlementState.FINAL}
    assert (await scene.balance(ann)).available == 300  # type: ignore[arg-type]
    await scene.check_books()


async def test_x402_defect_11_solana_addresses_keep_their_case_and_the_payer_is_who_owned_the_tokens(cluster: Cluster) -> None:
    scene, payer = cluster.scene, cluster.solana.funded()
    ann = await cluster.member(payer)
    signature = cluster.pay(payer, DOLLAR)
    cluster.solana.advance(60)
    # The row says that the merchant paid itself, in lower case.
    await scene.report(signature, source=cluster.source, network="solana-local", fromAddress="merchant", toAddress="merchant")
    await scene.prove()
    assert (await scene.balance(ann)).available == 100  # type: ignore[arg-type]


async def test_s33_on_solana_only_what_a_registered_signer_paid_the_fee_of_counts_and_nothing_of_its_own(
    cluster: Cluster,
) -> None:
    scene, payer = cluster.scene, cluster.solana.funded()
    await cluster.member(payer)
    foreign = cluster.pay(payer, DOLLAR, fee_payer=payer)
    own = cluster.pay(cluster.facilitator, DOLLAR)
    cluster.solana.advance(60)
    for signature in (foreign, own):
        await cluster.report(signature)
    await scene.prove()
    found = {one.transaction_hash: (one.state, one.reason) for one in await scene.hints()}
    assert found == {foreign: (HintState.REJECTED, "foreign_sender"), own: (HintState.NOTHING, "not_a_payment")}


async def test_s33_on_solana_the_same_dollar_in_a_circle_within_one_transaction_earns_nothing(cluster: Cluster) -> None:
    scene, ann, bob = cluster.scene, cluster.solana.funded(), cluster.solana.funded()
    await cluster.member(ann)
    own = holding(cluster.solana, cluster.mint, cluster.facilitator, ann.pubkey(), DOLLAR)
    others = holding(cluster.solana, cluster.mint, cluster.facilitator, bob.pubkey())
    there = instructions.transfer_checked(own, others, str(ann.pubkey()), cluster.mint, DOLLAR)
    back = instructions.transfer_checked(others, own, str(bob.pubkey()), cluster.mint, DOLLAR)
    signature = cluster.solana.run([there, back] * 3, cluster.facilitator, ann, bob)
    cluster.solana.advance(60)
    await cluster.report(signature)
    await scene.prove()
    assert [(one.state, one.reason) for one in await scene.hints()] == [(HintState.NOTHING, "came_back")]


async def test_what_nobody_reported_is_found_in_the_signers_history(cluster: Cluster) -> None:
    scene, payer = cluster.scene, cluster.solana.funded()
    ann = await cluster.member(payer)
    old = cluster.pay(payer, DOLLAR)
    cluster.solana.advance(60)
    body = {"kind": "chain", "signers": {NETWORK: [str(cluster.facilitator.pubkey())]}}
    await scene.add_source(**body, fromBlock={NETWORK: 0})
    await scene.work(READ)
    new = cluster.pay(payer, DOLLAR)
    cluster.solana.advance(60)
    for _ in range(2):
        await scene.work(READ)
    await scene.prove()
    proven = {one.transaction_hash for one in await scene.hints() if one.state == HintState.PROVEN}
    assert proven == {old, new}
    assert (await scene.balance(ann)).available == 200  # type: ignore[arg-type]


async def test_a_mint_with_other_decimals_than_were_listed_counts_nothing(cluster: Cluster) -> None:
    scene, payer = cluster.scene, cluster.solana.funded()
    await cluster.member(payer)
    await scene.admin(
        "PUT", "/settlement-assets", {"network": NETWORK, "address": cluster.mint.address, "symbol": "USDC", "decimals": 2}
    )
    signature = cluster.pay(payer, DOLLAR)
    cluster.solana.advance(60)
    await cluster.report(signature)
    await scene.prove()
    assert [(one.state, one.reason) for one in await scene.hints()] == [(HintState.NOTHING, "wrong_decimals")]


async def test_s34_points_of_a_payment_that_the_chain_lost_go_back_once_that_is_certain(cluster: Cluster) -> None:
    scene, payer = cluster.scene, cluster.solana.funded()
    ann = await cluster.member(payer)
    signature = cluster.pay(payer, DOLLAR)
    cluster.solana.advance(2)
    await cluster.report(signature)
    await scene.prove()
    assert await _states(scene) == {SettlementState.INCLUDED}
    cluster.proxy.add(answer_wrongly("getSignatureStatuses", _unknown, times=ALWAYS))
    pruned = cluster.proxy.add(answer_wrongly("getFirstAvailableBlock", lambda _, told: {**told, "result": 10**9}, times=ALWAYS))
    # Its blockhash may be used for a while yet; and then, this node could not have it any more.
    for slots in (200, 200):
        cluster.solana.advance(slots)
        await scene.work(WATCH)
        assert await _states(scene) == {SettlementState.INCLUDED}
    pruned.stop()
    await scene.work(WATCH)
    assert await _states(scene) == {SettlementState.REORGANISED}
    balance = await scene.balance(ann)  # type: ignore[arg-type]
    assert (balance.available, balance.earned) == (0, balance.reversed)
    await scene.check_books()


async def _states(scene: Scene) -> set[str]:
    return {one.state for one in await scene.settlements()}


def _unknown(_: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The node knows none of the signatures."""
    return {**told, "result": {**told["result"], "value": [None for _ in told["result"]["value"]]}}
