"""The step that hands stored bytes to a node. What the node answers is noted and proves nothing (SAFETY S20)."""

from __future__ import annotations

from collections.abc import Sequence

from guerdon.chains.port import RpcError, SendOutcome, send_outcome
from guerdon.txmanager import repository
from guerdon.txmanager.binding import pause_without_funds
from guerdon.txmanager.context import KeyContext, wake_owners
from guerdon.txmanager.models import IntentState
from guerdon.txmanager.repository import InFlight

_MAX_OUTCOME_LENGTH = 500
_PAGE = 50


_TAKEN = frozenset({SendOutcome.ACCEPTED, SendOutcome.ALREADY_KNOWN})


async def send_signed(work: KeyContext, skip: frozenset[object] = frozenset()) -> list[InFlight]:
    """Send the bytes of every intent that no node took yet, but for those in `skip`; those that were still not taken."""
    async with work.database.platform() as session:
        signed = await repository.in_flight(session, work.key_id, (IntentState.SIGNED,))
    due = [one for one in signed if one.intent.id not in skip]
    return await _send(work, due)


async def send_again(work: KeyContext) -> None:
    """Send once more, in nonce order, the bytes of everything that is in no block: a pool may have dropped them."""
    async with work.database.platform() as session:
        pending = await repository.in_flight(session, work.key_id, repository.PENDING)
    await _send(work, pending)


async def send_stored_from(work: KeyContext, nonce: int) -> int:
    """Send again everything that was ever signed for nonces from `nonce` on, final or not: the chain lost it (SAFETY S27)."""
    sent = 0
    while True:
        async with work.database.platform() as session:
            stored = await repository.stored_from(session, work.key_id, nonce + sent, _PAGE)
        if not stored:
            return sent
        await work.chain.send([attempt.raw for attempt in stored])
        sent += len(stored)
        if (stored[-1].nonce or 0) - nonce + 1 != sent:
            # A nonce without bytes: it is bound and will be signed; what is behind it waits.
            return sent


async def _send(work: KeyContext, batch: Sequence[InFlight]) -> list[InFlight]:
    if not batch:
        return []
    # If this raises, the node may have taken all, some or none: nothing is written, and the same bytes are sent again.
    answers = await work.chain.send([one.newest.raw for one in batch])
    hints = [send_outcome(answer) for answer in answers]
    taken = [one.intent.id for one, meaning in zip(batch, hints, strict=True) if meaning in _TAKEN]
    async with work.write() as (session, key):
        for one, answer, meaning in zip(batch, answers, hints, strict=True):
            words = meaning.value if not isinstance(answer, RpcError) else f"{meaning.value}: {answer}"
            await repository.note_outcome(session, one.intent.id, one.newest.number, words[:_MAX_OUTCOME_LENGTH])
        moved = set(await repository.mark_sent(session, taken))
        if SendOutcome.INSUFFICIENT_FUNDS in hints and key.paused_at is None:
            await pause_without_funds(session, work, key, _unpaid_wei(batch, hints))
        await wake_owners(session, [one.intent for one in batch if one.intent.id in moved])
    return [one for one, meaning in zip(batch, hints, strict=True) if meaning not in _TAKEN]


def _unpaid_wei(batch: Sequence[InFlight], hints: Sequence[SendOutcome]) -> int:
    return sum(
        one.newest.gas_limit * one.newest.max_fee_per_gas + one.intent.value_wei
        for one, meaning in zip(batch, hints, strict=True)
        if meaning is SendOutcome.INSUFFICIENT_FUNDS
    )
