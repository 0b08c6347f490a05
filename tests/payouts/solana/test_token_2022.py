"""Claims in tokens of Token-2022: which are paid, and which are not, with the reason (SAFETY S35, S22)."""

from __future__ import annotations

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from guerdon.chains.solana.programs import TOKEN_2022
from guerdon.chains.solana.tokens import associated_address
from tests.payouts.solana.purse import a_purse, freeze, give
from tests.support.solana_tokens import (
    NON_TRANSFERABLE,
    Extending,
    metadata_pointer,
    permanent_delegate,
    require_memo,
    transfer_fee,
    transfer_hook,
)
from tests.txmanager.solana.scene import Scene


async def test_s35_a_harmless_token_is_paid_and_an_account_that_wants_a_memo_gets_one(scene: Scene) -> None:
    pointer = metadata_pointer(Pubkey.new_unique())
    async with a_purse(scene, program=TOKEN_2022, extending=[pointer]) as purse:
        careful, frozen = Keypair(), str(Keypair().pubkey())
        wallet = str(careful.pubkey())
        await purse.node.fund(wallet)
        for one in (wallet, frozen):
            await give(purse.node, purse.owner, purse.mint, one, 1)
        await purse.node.send_from_outside(careful, *require_memo(associated_address(wallet, purse.mint), careful))
        await freeze(purse.node, purse.owner, purse.mint, frozen)
        await purse.node.advance(40)
        for one in (wallet, frozen):
            await purse.claim(100, one)
        _, plain = await purse.claim(100)
        async with purse.working():
            await purse.until_states({"final": 2, "quarantined": 1})
        assert (await purse.held(wallet), await purse.held(plain), await purse.held(frozen)) == (1_001, 1_000, 1)
        assert await purse.value("select reason from deliveries where state = 'quarantined'") == "its token account is frozen"


@pytest.mark.parametrize(
    ("extending", "words"),
    [
        pytest.param(transfer_fee(150, 1_000), "a transfer fee: recipients would get less", id="fee"),
        pytest.param(permanent_delegate(Pubkey.new_unique()), "a permanent delegate", id="delegate"),
        pytest.param(transfer_hook(Pubkey.new_unique()), "a transfer hook", id="hook"),
        pytest.param(NON_TRANSFERABLE, "can't be transferred", id="bound"),
    ],
)
async def test_s35_a_token_that_is_not_paid_pauses_its_treasury_with_the_reason_and_blames_nobody(
    scene: Scene, extending: Extending, words: str
) -> None:
    async with a_purse(scene, program=TOKEN_2022, extending=[extending]) as purse:
        _, wallet = await purse.claim(100)
        async with purse.working():
            await purse.until(lambda: purse.value("select count(*) from treasuries where paused_at is not null"))
        treasury = await purse.treasury()
        assert words in str(treasury.pause_reason)
        assert await purse.states() == {"reserved": 1}
        assert await purse.held(wallet) == 0
        assert await purse.value("select count(*) from intents") == 0
