"""A transaction that is killed before its first form was signed never has another one (SAFETY S23)."""

from __future__ import annotations

from uuid import UUID

import pytest

from guerdon.chains.signing import decode_transaction
from guerdon.kit.database import ScopedSession
from guerdon.txmanager import binding, leases, repository_keys, service, signing
from guerdon.txmanager.binding import Binding
from guerdon.txmanager.context import KeyContext
from guerdon.txmanager.errors import AttemptRaceError
from guerdon.txmanager.models import Intent, IntentState
from tests.txmanager.scene import NETWORK, QUICK, Scene


async def leased(scene: Scene) -> KeyContext:
    """The scene's key in the hands of this test."""
    async with scene.database.platform() as session:
        (lease,) = await leases.acquire(session, NETWORK, "test", 30)
        network = await repository_keys.network(session, NETWORK)
    assert network is not None
    return KeyContext(
        database=scene.database, chain=scene.chain(), signer=scene.signer, network=network, terms=QUICK, lease=lease
    )


async def test_s23_a_bound_transaction_that_is_killed_is_never_signed_as_it_was(scene: Scene) -> None:
    intent_id = await scene.transfer(1)
    work = await leased(scene)
    assert await binding.bind_queued(work) is Binding.BOUND
    async with scene.database.platform() as session:
        await service.kill(session, intent_id)
        await leases.release(session, work.lease)
    async with scene.engine(), scene.node.mining():
        await scene.until(intent_id, IntentState.VOID)
    (form,) = [decode_transaction(attempt.raw) for attempt in await scene.attempts(intent_id)]
    assert (form.to, form.value) == (scene.address, 0)
    assert await scene.values_on_chain() == [0]


async def test_s23_a_kill_that_comes_while_the_first_form_is_signed_keeps_it_from_being_stored(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent_id = await scene.transfer(1)
    work = await leased(scene)
    assert await binding.bind_queued(work) is Binding.BOUND
    read = signing.repository.bound

    async def and_then_killed(session: ScopedSession, key_id: UUID) -> list[Intent]:
        found = await read(session, key_id)
        async with scene.database.platform() as other:
            await service.kill(other, intent_id)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(signing.repository, "bound", and_then_killed)
        with pytest.raises(AttemptRaceError):
            await signing.sign_bound(work)
    assert await scene.attempts(intent_id) == []
    assert await signing.sign_bound(work)
    (form,) = [decode_transaction(attempt.raw) for attempt in await scene.attempts(intent_id)]
    assert form.to == scene.address
