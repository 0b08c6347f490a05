"""Claims are paid in SPL tokens, each once, and whom they can't be paid to holds up nobody (SAFETY S18, S22, S25, S35)."""

from __future__ import annotations

import asyncio

from solders.keypair import Keypair

from guerdon.chains.solana import instructions
from guerdon.chains.solana.tokens import associated_address
from guerdon.payouts.solana.rail import MOST_PAYMENTS
from tests.payouts.solana.purse import Purse, freeze, give


async def test_claims_are_paid_in_tokens_and_accounts_are_made_for_them(purse: Purse) -> None:
    claims = [await purse.claim(100 + place) for place in range(20)]
    async with purse.working():
        await purse.until_states({"final": 20})
    for place, (_, wallet) in enumerate(claims):
        assert await purse.held(wallet) == 10 * (100 + place)
    treasury = await purse.treasury()
    assert treasury.reserved == 0
    assert treasury.balance_final == await purse.held(purse.scene.address)
    assert await purse.value("select count(*) from intents where kind = 'pay' and fee_paid_wei > 2000000") > 0


async def test_as_many_transfers_as_fit_beside_the_marker_are_one_transaction(purse: Purse) -> None:
    wallets = [str(Keypair().pubkey()) for _ in range(MOST_PAYMENTS)]
    for wallet in wallets:
        await give(purse.node, purse.owner, purse.mint, wallet, 1)
    await purse.node.advance(40)
    for wallet in wallets:
        await purse.claim(100, wallet)
    async with purse.working():
        await purse.until_states({"final": MOST_PAYMENTS})
    assert await purse.value("select count(*) from intents where kind = 'pay'") == 1
    assert {await purse.held(wallet) for wallet in wallets} == {1_001}


async def test_s22_a_frozen_recipient_is_taken_out_and_the_others_are_paid(purse: Purse) -> None:
    frozen = str(Keypair().pubkey())
    await give(purse.node, purse.owner, purse.mint, frozen, 1)
    await freeze(purse.node, purse.owner, purse.mint, frozen)
    await purse.node.advance(40)
    await purse.claim(100, frozen)
    others = [(await purse.claim(100))[1] for _ in range(3)]
    async with purse.working():
        await purse.until_states({"final": 3, "quarantined": 1})
    assert "frozen" in await purse.value("select reason from deliveries where state = 'quarantined'")
    assert {await purse.held(wallet) for wallet in others} == {1_000}


async def test_s22_where_nobody_can_be_paid_the_treasury_waits_and_goes_on_by_itself(purse: Purse) -> None:
    await freeze(purse.node, purse.owner, purse.mint, purse.scene.address)
    await purse.node.advance(40)
    _, wallet = await purse.claim(100)
    async with purse.working():
        await purse.until(lambda: purse.value("select count(*) from treasuries where paused_at is not null"))
        assert await purse.states() == {"reserved": 1}
        await freeze(purse.node, purse.owner, purse.mint, purse.scene.address, thaw=True)
        await purse.until_states({"final": 1})
    assert await purse.held(wallet) == 1_000


async def test_s25_the_rent_of_a_token_account_is_paid_once(purse: Purse) -> None:
    pair = Keypair()
    wallet = str(pair.pubkey())
    account_id = await purse.member(200, wallet)
    await purse.claim_of(account_id, 100, wallet)
    async with purse.working():
        await purse.until_states({"final": 1})
        await purse.node.fund(wallet)
        await _close(purse, pair)
        await purse.node.advance(40)
        await purse.claim_of(account_id, 100, wallet)
        await purse.until_states({"final": 1, "quarantined": 1})
    assert "closed after its rent" in await purse.value("select reason from deliveries where state = 'quarantined'")


async def test_s25_a_gas_budget_counts_a_solanas_coin_as_any_other(purse: Purse) -> None:
    """A hundredth of a coin is 10^16 wei, and 10^7 lamports: enough for the token accounts of some payouts, not of all."""
    for _ in range(6):
        await purse.claim(100)
    await purse.value("update programs set gas_budget_wei = 10000000000000000 returning 1")
    async with purse.working():
        await purse.until(lambda: purse.value("select count(*) > 0 from deliveries where state = 'final'"))
        await asyncio.sleep(1)
        states = await purse.states()
        assert states.keys() == {"final", "approved"}
        await purse.value("update programs set gas_budget_wei = gas_budget_wei * 10 returning 1")
        await purse.until_states({"final": 6})


async def test_s35_lamports_that_somebody_sent_ahead_do_not_keep_a_wallet_from_being_paid(purse: Purse) -> None:
    wallet = str(Keypair().pubkey())
    await purse.node.fund(associated_address(wallet, purse.mint), 5_000_000)
    await purse.node.advance(40)
    await purse.claim(100, wallet)
    async with purse.working():
        await purse.until_states({"final": 1})
    assert await purse.held(wallet) == 1_000


async def test_s35_what_is_no_wallet_is_not_paid(purse: Purse) -> None:
    await purse.claim(100, purse.mint.address)
    async with purse.working():
        await purse.until_states({"quarantined": 1})
    assert "no wallet" in await purse.value("select reason from deliveries")


async def test_x402_defect_03_a_treasury_without_tokens_pays_once_it_is_funded(purse: Purse) -> None:
    everything = await purse.held(purse.scene.address)
    await purse.value("update treasuries set balance_final = 0 returning 1")
    assert everything
    _, wallet = await purse.claim(100)
    async with purse.working():
        await purse.until_states({"final": 1})
    assert await purse.held(wallet) == 1_000


async def _close(purse: Purse, pair: Keypair) -> None:
    """The owner moves the tokens away and closes the account, for its rent."""
    wallet = str(pair.pubkey())
    amount, account = await purse.held(wallet), associated_address(wallet, purse.mint)
    treasury = associated_address(purse.scene.address, purse.mint)
    away = instructions.transfer_checked(account, treasury, wallet, purse.mint, amount)
    closed = instructions.close_account(account, wallet, wallet, purse.mint.program)
    await purse.node.send_from_outside(pair, away, closed)
