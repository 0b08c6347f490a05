"""Claims from the request to the tokens, on a real chain: what is held, fixed, refused, reviewed, taken back and paid."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from guerdon.accounts import denials
from guerdon.kit.errors import GuerdonError
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.rates import Rate
from guerdon.payouts import remedies
from guerdon.payouts.claims.review import Verdict, review
from tests.payouts.claims.bank import Bank, a_bank
from tests.payouts.house import House, a_wallet
from tests.payouts.moody import Mood


async def refused(bank: Bank, *claim: Any) -> str:
    with pytest.raises(GuerdonError) as caught:
        await bank.claim(*claim)
    return caught.value.code


async def test_a_claim_holds_points_and_its_tokens_arrive(house: House) -> None:
    bank = await a_bank(house, rate=Rate(10))
    ann = await bank.account(100)
    home = a_wallet()
    await bank.prove(ann, home)
    claim = await bank.claim(ann, 60, home)
    assert (claim.status, claim.final, claim.points_claimed, claim.token_amount) == ("pending", False, 60, 600)
    assert (claim.destination_address, claim.transaction_hash, claim.processed_at) == (to_checksum_address(home), None, None)
    assert await bank.balance(ann) == (40, 60, 0, 0)
    await bank.check()
    async with house.working():
        await house.until_states({"final": 1})
    assert await house.transfers(bank.token.address) == [(home.lower(), 600)]
    assert await bank.balance(ann) == (40, 0, 60, 0)
    await bank.check()


async def test_s14_the_rate_and_the_tokens_are_those_of_the_request_and_what_does_not_convert_stays(house: House) -> None:
    bank = await a_bank(house, rate=Rate(1, 100))
    ann = await bank.account(1_000)
    claim = await bank.claim(ann, 250)
    assert (claim.points_claimed, claim.points_requested, claim.token_amount) == (200, 250, 2)
    await bank.set_option(Rate(1, 1_000))
    async with house.working():
        await house.until_states({"final": 1})
    assert [amount for _, amount in await house.transfers(bank.token.address)] == [2]
    assert await bank.balance(ann) == (800, 0, 200, 0)
    await bank.check()


async def test_x402_defect_13_points_are_converted_in_one_place_and_in_the_tokens_smallest_unit(house: House) -> None:
    """One unit is shown, kept and paid: what the claim says is what the chain moves, whatever the token's decimals are."""
    bank = await a_bank(house, stock=10**30, rate=Rate(10**9, 3))
    ann = await bank.account(10)
    claim = await bank.claim(ann, 10)
    async with house.working():
        await house.until_states({"final": 1})
    assert [amount for _, amount in await house.transfers(bank.token.address)] == [claim.token_amount] == [10 * 10**9 // 3]


async def test_s10_of_two_claims_at_once_for_the_same_points_one_is_made(house: House) -> None:
    bank = await a_bank(house)
    ann = await bank.account(100)
    home = await bank.wallet(ann)
    outcomes = await asyncio.gather(*(bank.claim(ann, 60, home) for _ in range(6)), return_exceptions=True)
    made = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(made) == 1
    assert {one.code for one in outcomes if isinstance(one, GuerdonError)} == {"NOT_ENOUGH_POINTS"}
    assert await bank.balance(ann) == (40, 60, 0, 0)
    await bank.check()


async def test_s10_claims_at_once_never_pass_a_periods_limit_or_the_cooldown(house: House) -> None:
    bank = await a_bank(house, period_points=100, period_seconds=3600)
    ann, bob = await bank.account(1_000), await bank.account(1_000)
    home = await bank.wallet(ann)
    outcomes = await asyncio.gather(*(bank.claim(ann, 30, home) for _ in range(8)), return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in outcomes) == 3
    assert {one.code for one in outcomes if isinstance(one, GuerdonError)} == {"CLAIM_LIMIT"}
    await house.owner.execute("update claims set created_at = created_at - interval '61 minutes'")
    assert (await bank.claim(ann, 100)).points_claimed == 100
    await bank.set_option(cooldown_seconds=60)
    await bank.claim(bob, 1)
    assert await refused(bank, bob, 1) == "CLAIM_COOLDOWN"


async def test_s13_while_debt_is_open_nothing_is_claimed_and_what_waits_is_not_paid(house: House) -> None:
    bank = await a_bank(house)
    ann = await bank.account(100)
    claim = await bank.claim(ann, 100)
    async with house.database.program(bank.program) as session:
        await ledger.post(session, bank.program, [Movement(PostingKind.OWE, uuid7(), bank.points, 5, ann)], house.clock.now())
    assert await refused(bank, ann, 1) == "ACCOUNT_IN_DEBT"
    async with house.working():
        await asyncio.sleep(1)
        assert await bank.state(claim.id) == "approved"
        async with house.database.program(bank.program) as session:
            paid = [Movement(PostingKind.REWARD, uuid7(), bank.points, 5, ann)]
            ref = uuid7()
            paid += [Movement(kind, ref, bank.points, 5, ann) for kind in (PostingKind.REPAY, PostingKind.SETTLE_DEBT)]
            await ledger.post(session, bank.program, paid, house.clock.now())
        await house.until_states({"final": 1})
    await bank.check()


async def test_s5_s7_a_claim_goes_to_a_proven_address_of_its_account_alone(house: House) -> None:
    bank = await a_bank(house)
    ann, bob = await bank.account(100), await bank.account(100)
    hers, later, elsewhere = a_wallet(), a_wallet(), a_wallet()
    await bank.prove(ann, hers)
    await bank.prove(ann, later, usable="now() + interval '1 hour'")
    await bank.prove(ann, elsewhere, chain_id=8453, proof_method="eip1271")
    assert await refused(bank, bob, 1, hers) == "ADDRESS_NOT_PROVEN"
    assert await refused(bank, ann, 1, a_wallet()) == "ADDRESS_NOT_PROVEN"
    assert await refused(bank, ann, 1, later) == "ADDRESS_WAITS"
    assert await refused(bank, ann, 1, elsewhere) == "ADDRESS_NOT_PROVEN"
    assert await refused(bank, ann, 1, "0x12") == "INVALID_ADDRESS"
    assert await refused(bank, ann, 1, "So11111111111111111111111111111111111111112") == "PAYOUT_OPTION_NOT_FOUND"
    assert (await bank.claim(ann, 1, hers.upper().replace("0X", "0x"))).destination_address == to_checksum_address(hers)


async def test_s5_an_address_that_is_taken_from_the_account_before_its_claim_is_reserved_is_not_paid(house: House) -> None:
    bank = await a_bank(house)
    ann, bob = await bank.account(100), await bank.account(50)
    home = a_wallet()
    address = await bank.prove(ann, home)
    claim, other = await bank.claim(ann, 60, home), await bank.claim(bob, 50)
    await house.owner.execute("update addresses set removed_at = now(), ended = 'removed' where id = $1", address)
    async with house.working():
        await house.until_states({"refused": 1, "final": 1})
    assert await bank.state(other.id) == "final"
    assert "not a proven address" in str(await house.value("select reason from deliveries where id = $1", claim.id))
    assert await bank.balance(ann) == (100, 0, 0, 0)
    assert len(await house.transfers(bank.token.address)) == 1
    await bank.check()


async def test_addresses_on_the_deny_list_are_refused_and_what_waits_for_them_is_held(house: House) -> None:
    bank = await a_bank(house)
    ann, bob = await bank.account(100), await bank.account(100)
    bad = await bank.wallet(ann)
    claim = await bank.claim(ann, 60)
    async with house.database.program(bank.program) as session:
        await denials.deny(session, bank.program, bad, "sanctioned", house.clock.now())
    assert await refused(bank, ann, 1) == "ADDRESS_DENIED"
    await bank.claim(bob, 10)
    async with house.working():
        await house.until_states({"in_review": 1, "final": 1})
    async with house.database.program(bank.program) as session:
        with pytest.raises(GuerdonError) as caught:
            await review(session, bank.program, claim.id, Verdict(approved=True, reason="fine", by="op"))
    assert caught.value.code == "ADDRESS_DENIED"
    async with house.database.program(bank.program) as session:
        await denials.allow(session, bank.program, bad)
    async with house.database.program(bank.program) as session:
        await review(session, bank.program, claim.id, Verdict(approved=True, reason="cleared", by="op"))
    async with house.working():
        await house.until_states({"final": 2})
    await bank.check()


async def test_above_a_programs_threshold_an_operator_approves_or_refuses(house: House) -> None:
    bank = await a_bank(house)
    await house.owner.execute("update programs set claim_review_points = 100")
    ann, bob = await bank.account(300), await bank.account(300)
    small, large, other = await bank.claim(ann, 100), await bank.claim(ann, 1), await bank.claim(bob, 101)
    assert [await bank.state(one.id) for one in (small, large, other)] == ["approved", "in_review", "in_review"]
    open_alerts = "select count(*) from outbox where kind = 'claim.review' and resolved_at is null"
    assert await house.value(open_alerts) == 2
    async with house.database.program(bank.program) as session:
        await review(session, bank.program, large.id, Verdict(approved=True, reason="known", by="op"))
        await review(session, bank.program, other.id, Verdict(approved=False, reason="farmed", by="op"))
    assert await house.value(open_alerts) == 0
    assert await bank.balance(bob) == (300, 0, 0, 0)
    async with house.database.program(bank.program) as session:
        with pytest.raises(GuerdonError) as caught:
            await review(session, bank.program, other.id, Verdict(approved=True, reason="after all", by="op"))
    assert caught.value.code == "CLAIM_NOT_IN_REVIEW"
    async with house.working():
        await house.until_states({"final": 2, "refused": 1})
    assert sorted(amount for _, amount in await house.transfers(bank.token.address)) == [1_010]
    await bank.check()


async def test_x402_defect_03_without_tokens_a_claim_waits_alerts_once_and_goes_on_by_itself(house: House) -> None:
    bank = await a_bank(house, stock=100, funds=100)
    ann = await bank.account(100)
    claim = await bank.claim(ann, 100)
    async with house.working():
        waiting = "select count(*) from outbox where kind = 'payouts.unfunded' and resolved_at is null"
        await house.until(lambda: house.value(waiting))
        await asyncio.sleep(1)
        assert (await bank.state(claim.id), await house.value("select count(*) from outbox where kind = 'payouts.unfunded'")) == (
            "approved", 1,
        )  # fmt: skip
        await bank.stock(900)
        await house.until_states({"final": 1})
    assert [amount for _, amount in await house.transfers(bank.token.address)] == [1_000]
    await bank.check()


async def test_x402_defect_03_without_gas_a_claim_waits_and_goes_on_by_itself(house: House) -> None:
    bank = await a_bank(house)
    ann = await bank.account(100)
    treasury = await bank.treasury()
    async with house.working():
        await house.until(lambda: house.value("select count(*) = 2 from intents where kind = 'approve' and state = 'final'"))
        await house.node.rpc("anvil_setBalance", treasury.address, "0x1")
        claim = await bank.claim(ann, 100)
        await house.until(lambda: house.value("select paused_at is not null from keys where address = $1", treasury.address))
        assert await bank.state(claim.id) != "failed"
        await house.node.fund(treasury.address, 10**20)
        await house.until_states({"final": 1})
    assert [amount for _, amount in await house.transfers(bank.token.address)] == [1_000]
    await bank.check()


async def test_x402_defect_19_a_recipient_that_can_not_be_paid_is_told_from_one_that_can_and_blocks_nobody(house: House) -> None:
    bank = await a_bank(house)
    ann, bob = await bank.account(100), await bank.account(100)
    home = a_wallet()
    await bank.prove(ann, home)
    await bank.token.feel(Mood.REVERTS, await bank.wallet(ann))
    stuck, fine = await bank.claim(ann, 100), await bank.claim(bob, 100)
    async with house.working():
        await house.until_states({"quarantined": 1, "final": 1})
        assert await bank.state(fine.id) == "final"
        with pytest.raises(GuerdonError) as caught:
            await remedies.retry(house.deps, bank.program, stuck.id, destination=await bank.wallet(bob))
        assert caught.value.code == "ADDRESS_NOT_PROVEN"
        await remedies.retry(house.deps, bank.program, stuck.id, destination=home)
        await house.until_states({"final": 2})
    assert (home.lower(), 1_000) in await house.transfers(bank.token.address)
    await bank.check()
