"""The protocol's own SDK settles EIP-3009 payments on a real chain; one line reports them, and the points are there."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as EthAccount

from guerdon import x402 as reporting
from tests.activity.settlements.scene import Scene, Wallet
from tests.support.http import served

with warnings.catch_warnings():
    # What the SDK imports warns of its own parts.
    warnings.simplefilter("ignore")
    from x402 import x402Facilitator, x402FacilitatorSync
    from x402.mechanisms.evm.exact import ExactEvmScheme, register_exact_evm_facilitator
    from x402.mechanisms.evm.signers import EthAccountSigner, FacilitatorWeb3Signer
    from x402.schemas import PaymentPayload, PaymentRequirements

MERCHANT = "0x" + "77" * 20
NETWORK = "eip155:31337"


def a_payment(scene: Scene, payer: Wallet, amount: int) -> tuple[PaymentPayload, PaymentRequirements]:
    """What a client of the SDK signs for a server's requirements."""
    requirements = PaymentRequirements(
        scheme="exact", network=NETWORK, asset=scene.token, amount=str(amount), pay_to=MERCHANT, max_timeout_seconds=600,
        extra={"name": "USD Coin", "version": "2"},
    )  # fmt: skip
    inner = ExactEvmScheme(EthAccountSigner(EthAccount.from_key(payer.key))).create_payment_payload(requirements)
    return PaymentPayload(x402_version=2, accepted=requirements, payload=inner), requirements


@asynccontextmanager
async def reporting_house(scene: Scene, tmp_path: Path) -> AsyncIterator[reporting.Reports]:
    """A source for the SDK's facilitator, on a real socket, and reports to it."""
    source = await scene.add_source("x402")
    app: Any = scene.api.client._transport.app  # type: ignore[attr-defined]
    async with served(app, {}) as address:
        reports = reporting.Reports(address + source["webhookPath"], source["secret"], tmp_path / "outbox")
        yield reports
        await asyncio.to_thread(reports.close)


async def arrived(scene: Scene, reports: reporting.Reports) -> None:
    for _ in range(200):
        if not await asyncio.to_thread(reports.waiting):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the report did not arrive")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("facilitator_type", [x402Facilitator, x402FacilitatorSync])
async def test_what_the_sdk_settles_earns_points_by_one_line(scene: Scene, tmp_path: Path, facilitator_type: Any) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.mint(payer, 2_000_000)
    await scene.node.fund(scene.facilitator.address)
    signer = FacilitatorWeb3Signer(f"0x{scene.facilitator.key.hex()}", scene.node.url)
    facilitator = register_exact_evm_facilitator(facilitator_type(), signer, NETWORK)
    payload, requirements = a_payment(scene, payer, 2_000_000)
    async with reporting_house(scene, tmp_path) as reports, scene.node.mining(0.1):
        reports.of(facilitator)
        if facilitator_type is x402Facilitator:
            # The SDK waits for the receipt in the event loop that it is called in.
            result = await asyncio.to_thread(lambda: asyncio.run(facilitator.settle(payload, requirements)))
        else:
            result = await asyncio.to_thread(facilitator.settle, payload, requirements)
        assert result.success, result
        await arrived(scene, reports)
    await scene.prove()
    await scene.finalise()
    balance = await scene.balance(ann)
    assert balance.available + balance.held == 200
    (settlement,) = await scene.settlements()
    assert (settlement.transaction_hash, settlement.payer, settlement.payee) == (result.transaction, payer.stored, MERCHANT)


@pytest.mark.filterwarnings("ignore")
async def test_a_settlement_that_the_sdk_gave_up_waiting_for_is_watched_and_credited(scene: Scene, tmp_path: Path) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.mint(payer, 1_000_000)
    await scene.node.fund(scene.facilitator.address)
    # Nothing is mined while it waits.
    signer = FacilitatorWeb3Signer(f"0x{scene.facilitator.key.hex()}", scene.node.url, confirmation_timeout_seconds=0.5)
    facilitator = register_exact_evm_facilitator(x402FacilitatorSync(), signer, NETWORK)
    payload, requirements = a_payment(scene, payer, 1_000_000)
    async with reporting_house(scene, tmp_path) as reports:
        result = await asyncio.to_thread(reports.of(facilitator).settle, payload, requirements)
        assert (result.success, result.error_reason) == (False, "settlement_pending")
        await arrived(scene, reports)
    await scene.prove()
    assert [(one.state, one.reported["event"]) for one in await scene.hints()] == [("watching", "settlements.reported")]
    await scene.node.mine()
    await scene.prove_again()
    assert (await scene.balance(ann)).held == 100
