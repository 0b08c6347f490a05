"""From a report to points: what is credited is what the chain proves, once, to whom it belonged."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from guerdon.activity.settlements.evm import CHANNELS
from guerdon.activity.settlements.models import HintState, SettlementState
from guerdon.activity.settlements.proofs import Reason
from guerdon.chains import abi
from guerdon.earning.models_volume import VolumeTermsRow
from guerdon.earning.volume_terms import DEFAULT_TIERS
from tests.activity.settlements.scene import USDC, Scene, Wallet
from tests.fakes.rpc_proxy import ALWAYS, Fault

MERCHANT = "0x" + "77" * 20
DOLLAR = 1_000_000


async def terms(scene: Scene, **changes: object) -> None:
    """The program's terms for settled volume, with these changes."""
    values = {
        "points_per_unit": 1, "unit_micro_usd": 10_000, "credit": "payer", "backdate_days": 0, "holding_seconds": 0,
        "min_volume_micro_usd": 0, "window_days": 90, "grace_days": 0, "downgrade": "drop", "warn_days": 0, **changes,
    }  # fmt: skip
    tiers = [{"name": one.name, "volume_micro_usd": str(one.volume_micro_usd), "multiplier": "1"} for one in DEFAULT_TIERS]
    async with scene.database.program(scene.program_id) as session:
        session.add(
            VolumeTermsRow(
                program_id=scene.program_id, asset_id=scene.asset_id, tiers=tiers, updated_at=datetime.now(UTC), **values
            )
        )  # fmt: skip


async def test_a_reported_payment_earns_points_that_are_held_until_it_is_final(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    transaction = await scene.settle(payer, MERCHANT, DOLLAR)
    (settlement,) = await scene.settlements()
    assert (settlement.transaction_hash, settlement.payer, settlement.payee) == (transaction, payer.stored, MERCHANT)
    assert (settlement.amount_atomic, settlement.volume_micro_usd, settlement.account_id) == (DOLLAR, 1_000_000, ann)
    assert settlement.state == SettlementState.INCLUDED
    assert ((await scene.balance(ann)).available, (await scene.balance(ann)).held) == (0, 100)
    await scene.finalise()
    assert ((await scene.balance(ann)).available, (await scene.balance(ann)).held) == (100, 0)
    assert [one.state for one in await scene.settlements()] == [SettlementState.FINAL]
    assert [one.state for one in await scene.hints()] == [HintState.PROVEN]
    await scene.check_books()


async def test_what_is_final_already_is_available_at_once(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    transaction = await scene.pay(payer, MERCHANT, DOLLAR)
    await scene.node.mine(4)
    await scene.report(transaction)
    await scene.prove()
    assert (await scene.balance(ann)).available == 100


async def test_s33_x402_defect_10_a_payment_told_again_and_by_several_sources_counts_once(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    other = await scene.add_source()
    chain = await scene.add_source("chain", fromBlock={"local": 0})
    transaction = await scene.settle(payer, MERCHANT, DOLLAR)
    for _ in range(3):
        assert (await scene.report(transaction)).status_code == 202
        assert (await scene.report(transaction, source=other)).status_code == 202
    await scene.read()
    await scene.prove()
    await scene.finalise()
    assert (await scene.balance(ann)).available == 100
    assert len(await scene.settlements()) == 1
    assert len(await scene.accruals()) == 1
    hints = await scene.hints()
    assert {str(one.source_id) for one in hints} == {scene.source["id"], other["id"], chain["id"]}
    assert {one.state for one in hints} == {HintState.PROVEN}


async def test_one_transaction_with_many_transfers_is_as_many_payments(scene: Scene) -> None:
    payers = [Wallet() for _ in range(5)]
    accounts = [await scene.member(payer) for payer in payers]
    calls: list[bytes] = []
    for number, payer in enumerate(payers, 1):
        await scene.mint(payer, 10 * DOLLAR)
        calls.append(scene.authorize(payer, MERCHANT, number * DOLLAR).data)
    transaction = await scene.submit(scene.token, abi.call_data(USDC, "multicall", calls), scene.facilitator, gas=2_000_000)
    await scene.report(transaction)
    await scene.prove()
    assert [one.place for one in await scene.settlements()] == [1, 3, 5, 7, 9]
    assert [(await scene.balance(one)).held for one in accounts] == [100, 200, 300, 400, 500]


async def test_s33_the_same_dollar_in_a_circle_within_one_transaction_earns_nothing(scene: Scene) -> None:
    ann, bob = Wallet(), Wallet()
    await scene.member(ann)
    await scene.mint(ann, DOLLAR)
    circle = [scene.authorize(a, b.address, DOLLAR).data for a, b in ((ann, bob), (bob, ann)) * 3]
    transaction = await scene.submit(scene.token, abi.call_data(USDC, "multicall", circle), scene.facilitator, gas=2_000_000)
    await scene.report(transaction)
    await scene.prove()
    assert [(one.state, one.reason) for one in await scene.hints()] == [(HintState.NOTHING, Reason.CAME_BACK)]
    assert await scene.settlements() == []


async def test_x402_defect_20_a_row_that_nobody_paid_for_earns_nothing(scene: Scene) -> None:
    await scene.member(Wallet())
    assert (await scene.report("0x" + "ab" * 32, amount="1000000000000")).status_code == 202
    await scene.prove()
    (hint,) = await scene.hints()
    assert (hint.state, hint.reason) == (HintState.WATCHING, "in no block yet")
    assert await scene.settlements() == []


@pytest.mark.parametrize("target", ["worthless token", "no code"])
async def test_x402_defect_20_a_worthless_asset_or_an_address_without_code_earns_nothing(scene: Scene, target: str) -> None:
    payer = Wallet()
    await scene.member(payer)
    if target == "worthless token":
        worthless = await scene.deploy()
        transaction = await scene.pay(payer, MERCHANT, 10**15, token=worthless)
    else:
        call = scene.authorize(payer, MERCHANT, 10**15)
        transaction = await scene.submit("0x" + "42" * 20, call.data, scene.facilitator)
    assert (await scene.node.rpc("eth_getTransactionReceipt", transaction))["status"] == "0x1"
    await scene.report(transaction)
    await scene.prove()
    (hint,) = await scene.hints()
    assert (hint.state, hint.reason) == (HintState.NOTHING, Reason.NO_LISTED_ASSET)
    assert await scene.settlements() == []


async def test_x402_defect_17_volume_goes_by_each_assets_decimals_and_peg_in_integers(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    eighteen = await scene.deploy(decimals=18)
    await scene.list_asset(eighteen, 18)
    half = await scene.deploy(decimals=8)
    await scene.list_asset(half, 8, microUsdPerToken=500_000)
    # 2^53 and more of the smallest unit: a float would lose the last digits.
    await scene.settle(payer, MERCHANT, 123_456_789_012_345_678_901, token=eighteen)
    await scene.settle(payer, MERCHANT, 3 * 10**8 + 1, token=half)
    assert [one.volume_micro_usd for one in await scene.settlements()] == [123_456_789, 1_500_000]
    assert [one.amount_atomic for one in await scene.settlements()] == [123_456_789_012_345_678_901, 300_000_001]
    assert (await scene.balance(ann)).held == 12_345 + 150


async def test_an_amount_beyond_all_money_counts_for_nobody(scene: Scene) -> None:
    payer = Wallet()
    await scene.member(payer)
    await scene.settle(payer, MERCHANT, 2**250)
    assert [one.why_not for one in await scene.settlements()] == ["too_large"]
    assert await scene.accruals() == []


async def test_a_settlement_that_is_pending_is_watched_until_it_lands(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.mint(payer, DOLLAR)
    transaction = await scene.submit(scene.token, scene.authorize(payer, MERCHANT, DOLLAR).data, scene.facilitator, mined=False)
    await scene.report(transaction)
    await scene.prove()
    assert [one.state for one in await scene.hints()] == [HintState.WATCHING]
    assert await scene.settlements() == []
    await scene.node.mine()
    await scene.prove_again()
    assert [one.state for one in await scene.hints()] == [HintState.PROVEN]
    assert (await scene.balance(ann)).held == 100


async def test_a_failed_payment_that_landed_all_the_same_is_found_by_its_report(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    transaction = await scene.pay(payer, MERCHANT, DOLLAR)
    await scene.report(transaction, status="failed")
    await scene.prove()
    assert (await scene.balance(ann)).held == 100


async def test_a_successful_row_whose_transaction_failed_is_not_credited(scene: Scene) -> None:
    payer = Wallet()
    await scene.member(payer)
    # Without any tokens.
    transaction = await scene.submit(scene.token, scene.authorize(payer, MERCHANT, DOLLAR).data, scene.facilitator)
    await scene.report(transaction, status="success")
    await scene.prove()
    assert [(one.state, one.reason) for one in await scene.hints()] == [(HintState.NOTHING, Reason.FAILED)]


async def test_a_payment_of_nothing_is_none(scene: Scene) -> None:
    payer = Wallet()
    await scene.member(payer)
    await scene.settle(payer, MERCHANT, 0)
    assert [(one.state, one.reason) for one in await scene.hints()] == [(HintState.NOTHING, Reason.ZERO_AMOUNT)]
    assert await scene.settlements() == []


async def test_a_deposit_to_a_batch_settlement_channel_is_no_payment(scene: Scene) -> None:
    payer = Wallet()
    await scene.member(payer)
    await scene.settle(payer, min(CHANNELS), 100 * DOLLAR)
    assert [(one.state, one.reason) for one in await scene.hints()] == [(HintState.NOTHING, Reason.CHANNEL)]


async def test_a_voucher_of_a_channel_is_not_even_looked_up(scene: Scene) -> None:
    answer = await scene.report("0x" + "cd" * 32, scheme="batch-settlement")
    assert (answer.status_code, answer.json()["ignored"]) == (200, ["batch_settlement"])
    assert await scene.hints() == []


async def test_s33_a_transfer_without_an_authorization_is_no_payment_though_a_signer_sent_it(scene: Scene) -> None:
    await scene.member(scene.facilitator)
    await scene.mint(scene.facilitator, DOLLAR)
    call = abi.call_data(USDC, "transfer", MERCHANT, DOLLAR)
    transaction = await scene.submit(scene.token, call, scene.facilitator)
    await scene.report(transaction)
    await scene.prove()
    assert [(one.state, one.reason) for one in await scene.hints()] == [(HintState.NOTHING, Reason.NOT_A_PAYMENT)]


async def test_s33_what_somebody_else_sent_is_rejected_until_he_is_a_signer(scene: Scene) -> None:
    payer, stranger = Wallet(), Wallet()
    ann = await scene.member(payer)
    await scene.settle(payer, MERCHANT, DOLLAR, by=stranger)
    assert [(one.state, one.reason) for one in await scene.hints()] == [(HintState.REJECTED, "foreign_sender")]
    assert await scene.settlements() == []
    signers = {"eip155:31337": [scene.facilitator.address, stranger.address]}
    await scene.admin("PATCH", f"/sources/{scene.source['id']}", {"signers": signers})
    await scene.prove()
    assert (await scene.balance(ann)).held == 100


async def test_a_source_that_was_switched_off_is_not_believed_until_it_is_on_again(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.report(await scene.pay(payer, MERCHANT, DOLLAR))
    await scene.admin("PATCH", f"/sources/{scene.source['id']}", {"enabled": False})
    await scene.prove()
    assert await scene.settlements() == []
    await scene.admin("PATCH", f"/sources/{scene.source['id']}", {"enabled": True})
    await scene.prove()
    assert (await scene.balance(ann)).held == 100


async def test_x402_defect_11_payments_to_oneself_count_for_nobody_and_case_is_no_difference(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.settle(payer, payer.address, DOLLAR)
    assert [one.why_not for one in await scene.settlements()] == ["self_payment"]
    await scene.settle(payer, MERCHANT.upper().replace("0X", "0x"), DOLLAR)
    assert (await scene.balance(ann)).held == 100


async def test_x402_defect_12_the_payee_is_taken_from_the_chain_and_not_from_what_is_reported(scene: Scene) -> None:
    await terms(scene, credit="payee")
    merchant = Wallet()
    shop = await scene.member(merchant)
    # What whitelabel facilitators report as the recipient is the id of a user.
    transaction = await scene.pay(Wallet(), merchant.address, DOLLAR)
    await scene.report(transaction, toAddress="k3jh4kjh", fromAddress=merchant.address)
    await scene.prove()
    assert (await scene.balance(shop)).held == 100


async def test_a_payment_before_its_address_was_proven_earns_nothing(scene: Scene) -> None:
    payer = Wallet()
    await scene.settle(payer, MERCHANT, DOLLAR)
    assert [one.why_not for one in await scene.settlements()] == ["nobody"]
    ann = await scene.member(payer, since=datetime.now(UTC) + timedelta(minutes=1))
    await scene.credit()
    assert (await scene.balance(ann)).earned == 0


async def test_an_address_that_is_proven_after_the_payment_is_credited_so_many_days_back(scene: Scene) -> None:
    await terms(scene, backdate_days=2)
    payer = Wallet()
    await scene.settle(payer, MERCHANT, DOLLAR)
    await scene.credit()
    ann = await scene.member(payer, since=datetime.now(UTC) + timedelta(days=1))
    for _ in range(2):
        await scene.credit()
    assert (await scene.balance(ann)).held == 100
    assert len(await scene.accruals()) == 1
    await scene.finalise()
    assert (await scene.balance(ann)).available == 100


async def test_x402_defect_16_history_stays_where_it_was_earned_when_an_address_goes_and_comes_again(scene: Scene) -> None:
    payer = Wallet()
    now = datetime.now(UTC)
    ann = await scene.member(payer, until=now - timedelta(days=5))
    bob = await scene.member(payer, since=now - timedelta(days=2))
    await scene.node.rpc("evm_setNextBlockTimestamp", int(time.time()) + 3600)
    await scene.settle(payer, MERCHANT, DOLLAR)
    assert ((await scene.balance(ann)).earned, (await scene.balance(bob)).earned) == (0, 100)


async def test_a_program_without_funds_credits_what_waits_as_soon_as_it_has_some(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.drain()
    await scene.settle(payer, MERCHANT, DOLLAR)
    assert [one.why_not for one in await scene.settlements()] == ["waits"]
    await scene.credit()
    await scene.fund(1_000)
    await scene.credit()
    await scene.credit()
    assert (await scene.balance(ann)).held == 100
    await scene.check_books()


async def test_a_clock_that_is_off_changes_nothing_the_chains_time_counts(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    ahead = int(time.time()) + 7_200
    await scene.node.rpc("evm_setNextBlockTimestamp", ahead)
    await scene.mint(payer, DOLLAR)
    await scene.settle(payer, MERCHANT, DOLLAR)
    (settlement,) = await scene.settlements()
    assert settlement.settled_at >= datetime.fromtimestamp(ahead, UTC)
    assert (await scene.balance(ann)).held == 100


async def test_a_denied_address_earns_nothing_on_either_side(scene: Scene) -> None:
    payer, merchant = Wallet(), Wallet()
    ann = await scene.member(payer)
    await scene.admin("POST", "/denied-addresses", {"address": merchant.address, "reason": "its own customer"})
    await scene.settle(payer, merchant.address, DOLLAR)
    assert [one.why_not for one in await scene.settlements()] == ["denied"]
    await scene.admin("DELETE", f"/denied-addresses/{merchant.address}")
    await scene.settle(payer, merchant.address, DOLLAR)
    assert (await scene.balance(ann)).held == 100


@pytest.mark.parametrize("method", ["eth_getTransactionReceipt", "eth_getBlockByNumber"])
async def test_a_node_that_errs_tells_nothing_and_is_asked_again(scene: Scene, method: str) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    transaction = await scene.pay(payer, MERCHANT, DOLLAR)
    await scene.report(transaction)
    fault = scene.proxy.add(Fault(method, times=ALWAYS, error={"code": -32005, "message": "rate limited"}))
    await scene.prove()
    (hint,) = await scene.hints()
    assert hint.state in {HintState.WAITING, HintState.WATCHING}
    assert hint.due_at > datetime.now(UTC)
    fault.stop()
    await scene.prove_again()
    assert (await scene.balance(ann)).held == 100


async def test_a_node_that_lags_knows_nothing_of_what_is_new(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.node.mine(3)
    transaction = await scene.pay(payer, MERCHANT, DOLLAR)
    await scene.report(transaction)
    fault = scene.proxy.add(Fault("eth_getTransactionReceipt", times=ALWAYS, behind_blocks=2))
    await scene.prove()
    assert [one.state for one in await scene.hints()] == [HintState.WATCHING]
    fault.stop()
    await scene.prove_again()
    assert (await scene.balance(ann)).held == 100


async def test_a_node_whose_receipt_is_of_another_block_is_not_believed(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    transaction = await scene.pay(payer, MERCHANT, DOLLAR)
    await scene.report(transaction)

    def moved(_: object, answer: dict[str, object]) -> dict[str, object]:
        receipt = answer["result"]
        assert isinstance(receipt, dict)
        block = "0x" + "99" * 32
        logs = [{**log, "blockHash": block} for log in receipt["logs"]]
        return {**answer, "result": {**receipt, "blockHash": block, "logs": logs}}

    scene.proxy.add(Fault("eth_getTransactionReceipt", answer=moved))
    await scene.prove()
    (hint,) = await scene.hints()
    assert hint.state == HintState.WATCHING
    assert "block is not the chain's" in str(hint.reason)
    await scene.prove_again()
    assert (await scene.balance(ann)).held == 100
