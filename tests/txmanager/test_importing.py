"""What a key sent and the database does not know is accounted for where it is plain, and the key resumes then only (S21)."""

from __future__ import annotations

import pytest

from guerdon.txmanager import importing
from guerdon.txmanager.errors import KeyNotPausedError, NotFinalYetError, UnknownOutgoingError
from guerdon.txmanager.models import IntentState
from tests.txmanager.scene import PRIVATE_KEY, SOMEBODY, Scene


async def test_s21_what_is_an_intents_own_call_is_adopted_and_what_is_harmless_is_nobodys(scene: Scene) -> None:
    ours = await scene.transfer(5)
    for nonce, value in enumerate((5, 6)):
        await scene.node.send_from_outside(PRIVATE_KEY, nonce=nonce, to=SOMEBODY, value=value)
    await scene.node.mine(3)
    with pytest.raises(KeyNotPausedError):
        await account_for_all(scene)
    async with scene.engine():
        await scene.until_paused()
        with pytest.raises(UnknownOutgoingError):
            await importing.resume(scene.database, scene.chain(), scene.key_id)
        assert [str(what).split()[0] for what in await account_for_all(scene)] == ["is", "touched"]
        assert (await scene.intent(ours)).state == IntentState.FINAL
        await importing.resume(scene.database, scene.chain(), scene.key_id)
        async with scene.node.mining():
            assert (await scene.until(await scene.transfer(7), IntentState.FINAL)).nonce == 2
    assert await scene.values_on_chain() == [5, 6, 7]


async def account_for_all(scene: Scene) -> list[str | None]:
    chain = scene.chain()
    found = (await importing.review(scene.database, chain, scene.key_id)).found
    return [await importing.account_for(scene.database, chain, scene.key_id, one) for one in found]


async def test_s21_a_key_whose_last_transaction_is_not_final_does_not_resume(scene: Scene) -> None:
    await scene.node.send_from_outside(PRIVATE_KEY, nonce=0, to=SOMEBODY)
    await scene.node.mine()
    async with scene.engine():
        await scene.until_paused()
        with pytest.raises(NotFinalYetError):
            await importing.resume(scene.database, scene.chain(), scene.key_id, accept="whatever it is")
    assert (await scene.key()).paused_at is not None
