"""Programs are funded on a Solana: by minting where the treasury's key may, or by a deposit; once, and only by what is final."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
from solders.keypair import Keypair

from guerdon.chains.solana import instructions
from guerdon.chains.solana.tokens import associated_address
from guerdon.kit.ids import uuid7
from guerdon.ledger.models import Asset
from guerdon.ledger.rates import Rate
from guerdon.programs import funding
from guerdon.programs.errors_funding import DepositNotFoundError, DepositUsedError, NotMintableError
from guerdon.programs.funding import FundingRequest
from guerdon.programs.models import Funding
from guerdon.txmanager import options
from guerdon.txmanager.models import IntentState, Treasury
from guerdon.txmanager.options import NewOption
from guerdon.txmanager.solana import importing
from guerdon.txmanager.solana.treasury import SolanaTreasury
from tests.fakes.rpc_proxy import Fault, hold, hold_answer, lose_answer
from tests.payouts.solana.purse import Purse, a_purse, give_right_to_mint, make_mint, mint_to
from tests.payouts.test_restored import back_up, ending
from tests.support.postgres import Server
from tests.txmanager.solana.scene import NETWORK, QUICK, Scene, swallow
from tests.txmanager.test_crashes import stopped_at

TERMS = replace(QUICK, lease_seconds=1.5)


@pytest.fixture
async def purse(scene: Scene) -> AsyncIterator[Purse]:
    """Without tokens or points, and with a treasury whose key may mint. Its token account is not there yet."""
    async with a_purse(scene, stock=0, points=0) as one:
        await give_right_to_mint(one.node, one.owner, one.mint, str(scene.address))
        await one.node.advance(40)
        await _offer(one, mintable=True)
        yield one


async def _offer(purse: Purse, *, mintable: bool) -> None:
    async with purse.scene.database.platform() as session:
        asset = await session.get_one(Asset, purse.points)
        new = NewOption(NETWORK, purse.mint.address, Rate(10), mintable=mintable)
        await options.set_option(session, asset, new, purse.mint.decimals, asset.created_at)


async def _ask(purse: Purse, points: int, funding_id: UUID | None = None) -> Funding:
    mint = await funding.find_mint(purse.funding_deps, purse.program, NETWORK)
    request = FundingRequest(purse.program, points, network=NETWORK, id=funding_id or uuid7(), mint=mint)
    async with purse.scene.database.platform() as session:
        return await funding.request_funding(session, request)


async def _funds(purse: Purse) -> int | None:
    return await purse.value("select funds from program_balances where program_id = $1", purse.program)


async def _until_booked(purse: Purse) -> None:
    await purse.until(lambda: purse.value("select bool_and(state = 'booked') from fundings"))


async def _is_minted_once(purse: Purse, points: int) -> None:
    assert await _funds(purse) == points
    assert await purse.held(purse.scene.address) == (await purse.treasury()).balance_final == 10 * points


async def test_s3_what_a_treasurys_key_mints_is_booked_when_it_is_final_and_pays_claims(purse: Purse) -> None:
    asked = await _ask(purse, 500)
    assert (asked.kind, asked.amount_atomic) == ("mint", 5_000)
    async with purse.scene.engine():
        await purse.scene.until(asked.id, IntentState.INCLUDED)
        await funding.advance(purse.funding_deps)
        if await purse.value("select state = 'included' from intents where id = $1", asked.id):
            assert await _funds(purse) is None
    async with purse.working():
        await _until_booked(purse)
        await _is_minted_once(purse, 500)
        _, wallet = await purse.claim(100)
        await purse.until_states({"final": 1})
    assert await purse.held(wallet) == 1_000
    assert await purse.held(purse.scene.address) == 4_000


async def test_s18_a_funding_that_many_ask_for_at_once_is_minted_once(purse: Purse) -> None:
    funding_id = uuid7()
    async with purse.working():
        await asyncio.gather(*(_ask(purse, 500, funding_id) for _ in range(4)))
        await _until_booked(purse)
        await asyncio.gather(*(funding.advance(purse.funding_deps) for _ in range(4)))
        await _ask(purse, 500, funding_id)
    await _is_minted_once(purse, 500)
    assert await purse.value("select count(*) from intents where kind = 'mint'") == 1


@pytest.mark.parametrize("whose", ["somebody", None])
async def test_what_the_treasurys_key_may_not_mint_is_refused_and_says_whose_right_it_is(scene: Scene, whose: str | None) -> None:
    async with a_purse(scene, stock=0, points=0) as purse:
        with pytest.raises(NotMintableError):
            await _ask(purse, 10)  # nobody said that it is to be minted
        await _offer(purse, mintable=True)
        if whose is None:
            await give_right_to_mint(purse.node, purse.owner, purse.mint, None)
            await purse.node.advance(40)
        with pytest.raises(NotMintableError, match=str(purse.owner.pubkey()) if whose else "no mint authority"):
            await _ask(purse, 10)
        assert await purse.value("select count(*) from fundings") == 0


async def test_s3_what_the_chain_refuses_to_mint_backs_nothing_waits_with_the_reason_and_goes_on_by_itself(scene: Scene) -> None:
    async with a_purse(scene, stock=0, points=0) as purse:
        await _offer(purse, mintable=True)
        seen = await funding.find_mint(purse.funding_deps, purse.program, NETWORK)
        assert seen is not None
        # As it was seen by somebody whose right was taken away since.
        stale = replace(seen, authority=str(scene.address))
        async with scene.database.platform() as session:
            await funding.request_funding(session, FundingRequest(purse.program, 500, network=NETWORK, mint=stale))
        async with purse.working():
            await purse.until(lambda: purse.value("select bool_and(reason like 'waiting: %') from fundings"))
            assert await _funds(purse) is None
            assert await purse.value("select count(*) from attempts") == 0
            await give_right_to_mint(purse.node, purse.owner, purse.mint, str(scene.address))
            await _until_booked(purse)
        await _is_minted_once(purse, 500)


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(hold_answer("simulateTransaction"), id="between-simulation-and-signing"),
        pytest.param(hold("sendTransaction"), id="between-storing-and-sending"),
        pytest.param(hold_answer("sendTransaction"), id="after-acceptance"),
        pytest.param(hold_answer("getTransaction"), id="after-looking-closely"),
    ],
)
async def test_s18_killed_while_minting_a_program_is_funded_once(purse: Purse, stop: Fault) -> None:
    purse.scene.proxy.add(stop)
    await _ask(purse, 500)
    async with purse.process(TERMS) as victim:
        await asyncio.wait_for(stop.reached.wait(), 90)
        await asyncio.sleep(0.1)  # what the node was asked, it has done
        await victim.kill()
    stop.release()
    purse.scene.proxy.clear()
    async with purse.working():
        await _until_booked(purse)
    await _is_minted_once(purse, 500)


async def test_s18_killed_while_booking_what_was_minted_a_program_is_funded_once(purse: Purse) -> None:
    await _ask(purse, 500)
    async with (
        purse.process(TERMS) as victim,
        stopped_at(purse.scene.urls, "fundings", "UPDATE", "new.state = 'booked'") as somebody_waits,
    ):
        await purse.until(somebody_waits)
        await victim.kill()
    async with purse.working():
        await _until_booked(purse)
    await _is_minted_once(purse, 500)


async def test_s18_a_mint_that_is_dropped_expires_and_is_signed_anew_and_one_whose_answer_is_lost_is_not(purse: Purse) -> None:
    first = await _ask(purse, 500)
    purse.scene.proxy.add(swallow())
    async with purse.working():
        await purse.scene.until(first.id, IntentState.SENT)
        await purse.node.advance(300)
        await purse.until(lambda: purse.value("select count(*) > 1 from attempts where intent_id = $1", first.id))
        purse.scene.proxy.clear()
        await _until_booked(purse)
        purse.scene.proxy.add(lose_answer("sendTransaction"))
        await _ask(purse, 100)
        await _until_booked(purse)
    await _is_minted_once(purse, 600)


async def test_s3_tokens_that_were_sent_to_the_treasury_are_booked_once(purse: Purse) -> None:
    giver = Keypair()
    wallet = str(giver.pubkey())
    await purse.node.fund(wallet)
    async with purse.working():
        await _ask(purse, 500)
        await _until_booked(purse)
        ours = await purse.value("select transaction_hash from fundings")
        _, _ = await purse.claim(100, wallet)
        await purse.until_states({"final": 1})
        source, treasury = (associated_address(one, purse.mint) for one in (wallet, purse.scene.address))
        sent = instructions.transfer_checked(source, treasury, wallet, purse.mint, 999)
        paid = await purse.node.send_from_outside(giver, sent)
        await purse.until(lambda: _is_known(purse, paid))
        deposit, points = await funding.find_deposit(purse.funding_deps, purse.program, paid, None, NETWORK)
        assert (deposit.amount_atomic, points) == (999, 99)
        async with purse.scene.database.platform() as session:
            await funding.request_funding(session, FundingRequest(purse.program, points, deposit, NETWORK))
        with pytest.raises(DepositUsedError):
            await funding.find_deposit(purse.funding_deps, purse.program, paid, None, NETWORK)
        for other in (ours, paid.swapcase(), "0x" + "ab" * 32):
            with pytest.raises(DepositNotFoundError):
                await funding.find_deposit(purse.funding_deps, purse.program, other, None, NETWORK)
        await _until_booked(purse)
    assert await _funds(purse) == 500 - 100 + 99


@pytest.mark.parametrize("known", [True, False], ids=["asked before the dump", "asked after it"])
async def test_s21_what_was_minted_and_a_restored_dump_does_not_know_is_booked_once(
    purse: Purse, postgres_server: Server, known: bool
) -> None:
    """Found to be a funding's it is no deposit; found to be nobody's it is one, once an operator says whose."""
    if known:
        await _ask(purse, 500)
    backup = await back_up(purse.scene, postgres_server)
    if not known:
        await _ask(purse, 500)
    async with purse.working():
        await _until_booked(purse)
    minted = await purse.value("select transaction_hash from fundings")
    await purse.node.advance(40)
    await backup.restore()
    async with ending(purse.scene):
        async with purse.scene.engine():
            await purse.scene.until_paused()
        if known:
            await _is_no_deposit(purse, minted)
        chain, key_id = purse.scene.chain(), purse.scene.key_id
        (told,) = await importing.import_key(purse.scene.database, chain, key_id)
        assert (told.signature, told.unmatched is None) == (minted, known)
        await importing.resume(purse.scene.database, chain, key_id, accept=None if known else "booked by hand")
        if not known:
            deposit, points = await funding.find_deposit(purse.funding_deps, purse.program, minted, None, NETWORK)
            async with purse.scene.database.platform() as session:
                await funding.request_funding(session, FundingRequest(purse.program, points, deposit, NETWORK))
        async with purse.working():
            await _until_booked(purse)
        await _is_no_deposit(purse, minted, DepositNotFoundError if known else DepositUsedError)
        await _is_minted_once(purse, 500)


async def _is_no_deposit(
    purse: Purse, signature: str, expected: type[DepositNotFoundError | DepositUsedError] = DepositNotFoundError
) -> None:
    with pytest.raises(expected):
        await funding.find_deposit(purse.funding_deps, purse.program, signature, None, NETWORK)


async def test_s3_two_tokens_that_one_transaction_brings_are_two_deposits(scene: Scene) -> None:
    async with a_purse(scene, stock=0, points=0) as purse:
        address, other = str(scene.address), await make_mint(purse.node, purse.owner)
        both = [one for mint in (purse.mint, other) for one in mint_to(purse.owner, mint, address, 70)]
        paid = await purse.node.send_from_outside(purse.owner, *both)
        await purse.until(lambda: _is_known(purse, paid))
        treasuries = [Treasury(address=address, token_address=mint.address) for mint in (purse.mint, other)]
        brought = [await SolanaTreasury(purse.rpc, one).incoming(paid) for one in treasuries]
        transfers = [one.transfers for one in brought if one is not None]
        assert [list(one.values()) for one in transfers] == [[70], [70]]
        assert transfers[0].keys().isdisjoint(transfers[1])


async def _is_known(purse: Purse, signature: str) -> bool:
    return await purse.rpc.transaction(signature, "confirmed") is not None
