"""The step that hands stored bytes to a node, the same ones until they are final or dead. What it answers proves nothing."""

from __future__ import annotations

from collections.abc import Sequence

from guerdon.chains.port import RpcError
from guerdon.txmanager import repository as shared
from guerdon.txmanager.context import wake_owners
from guerdon.txmanager.models import IntentState
from guerdon.txmanager.solana import repository
from guerdon.txmanager.solana.context import SolanaContext
from guerdon.txmanager.solana.repository import Signed

_MAX_OUTCOME_LENGTH = 500


async def send_signed(work: SolanaContext) -> None:
    """Send the bytes of every intent that no node took yet."""
    async with work.database.platform() as session:
        signed = await repository.signed(session, work.key_id, (IntentState.SIGNED,))
    await _send(work, signed)


async def send_again(work: SolanaContext, pending: Sequence[Signed]) -> None:
    """Send the same bytes once more: nodes drop what does not fit, and say nothing of it."""
    await _send(work, pending)


async def _send(work: SolanaContext, batch: Sequence[Signed]) -> None:
    if not batch:
        return
    # If this raises, the node may have taken all, some or none: nothing is written, and the same bytes are sent again.
    answers = await work.chain.send([one.newest.raw for one in batch])
    taken = [one.intent.id for one, answer in zip(batch, answers, strict=True) if not isinstance(answer, RpcError)]
    async with work.write() as (session, _):
        for one, answer in zip(batch, answers, strict=True):
            words = f"refused: {answer}" if isinstance(answer, RpcError) else "accepted"
            if one.newest.outcome != words:
                await shared.note_outcome(session, one.intent.id, one.newest.number, words[:_MAX_OUTCOME_LENGTH])
        moved = set(await shared.mark_sent(session, taken))
        await wake_owners(session, [one.intent for one in batch if one.intent.id in moved])
