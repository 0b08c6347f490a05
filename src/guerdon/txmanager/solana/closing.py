"""The step that closes markers which guard nothing any more, and so gets their rent back (SAFETY S18).

A marker stands until every form of its intent has expired at finality: while one could land, it is what makes that fail.
"""

from __future__ import annotations

from guerdon.chains.solana import messages
from guerdon.chains.solana.markers import Marker
from guerdon.txmanager import service
from guerdon.txmanager.solana import repository
from guerdon.txmanager.solana.context import SolanaContext

KIND = "close"


async def close_markers(work: SolanaContext) -> bool:
    """Queue the closing of markers that are not needed; was there one to close?"""
    expiry = work.expiry
    slot, height = await work.chain.finalized()
    async with work.database.platform() as session:
        await repository.end_closings(session, work.key_id)
        done = await repository.markers_to_close(session, work.key_id, height - expiry.margin_blocks, work.terms.closed_at_once)
        ages = await repository.newest_form_seconds(session, [one.id for one in done])
    due = {str(one.marker): one.id for one in done if ages.get(one.id, 0) >= expiry.least_seconds}
    if not due:
        return False
    exists = await work.chain.markers(work.address, list(due), least_slot=slot)
    gone = [due[marker] for marker, stands in exists.items() if not stands]
    standing = [marker for marker, stands in exists.items() if stands]
    async with work.write() as (session, key):
        if gone:
            await repository.mark_closed(session, gone)
        if standing and key.paused_at is None:
            closings = [Marker(work.address, due[marker]).close() for marker in standing]
            data = messages.pack(work.address, closings)
            intent_id = await service.queue(session, key_id=work.key_id, network=work.network.name, kind=KIND, to=None, data=data)
            await repository.begin_closing(session, [due[marker] for marker in standing], intent_id)
    return bool(standing)
