"""The step for nonces that were used from outside: the same intent gets a new nonce if that did us no harm, else the key
is paused until an operator has looked (SAFETY S20, S21).
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from guerdon.chains.port import Transaction
from guerdon.kit.database import PlatformSession
from guerdon.txmanager import alerts, outgoing, repository, repository_keys
from guerdon.txmanager.context import KeyContext, wake_owners
from guerdon.txmanager.models import IntentState, Key
from guerdon.txmanager.outgoing import Effects
from guerdon.txmanager.repository import InFlight

_log = structlog.stdlib.get_logger("guerdon.txmanager")


async def settle_used(work: KeyContext, used: Sequence[InFlight]) -> list[InFlight]:
    """Find what has used the nonces of these intents, and let them go on, or stop; those that were settled."""
    if not used:
        return []
    # A second witness, at a block with a number: what was seen first came with tags, and the chain may have moved between two.
    final_block = await work.chain.finalized()
    final_count = await work.chain.final_nonce(work.address, final_block)
    async with work.database.platform() as session:
        known = await repository.hashes_from(session, work.key_id, min(one.nonce for one in used))
    settled: list[InFlight] = []
    for one in used:
        if one.nonce >= final_count:
            continue
        transaction = await _find(work, one.nonce, final_block)
        if transaction is not None and transaction.hash in known:
            continue  # ours after all; the node's receipts lag behind its blocks
        settled.append(one)
        effects = None if transaction is None else await _effects(work, transaction)
        async with work.write() as (session, key):
            await _settle(session, key, one, effects)
            await wake_owners(session, [one.intent])
    return settled


async def explain_counter(work: KeyContext) -> None:
    """The chain's counter is ahead of ours while we run: once that is final, move ours forward, or pause (SAFETY S20)."""
    final_block = await work.chain.finalized()
    final_count = await work.chain.nonce_at(work.address, final_block)
    async with work.database.platform() as session:
        key = await repository_keys.key(session, work.key_id)
    if key is None or final_count is None or final_count <= key.next_nonce:
        return  # not final yet: nothing is bound meanwhile
    harmful: str | None = None
    for nonce in range(key.next_nonce, final_count):
        transaction = await _find(work, nonce, final_block)
        effects = None if transaction is None else await _effects(work, transaction)
        if effects is None or not effects.is_harmless:
            harmful = _describe(nonce, effects)
            break
    async with work.write() as (session, held):
        if harmful is None:
            await repository_keys.advance_counter(session, held.id, final_count)
            _log.warning("txmanager.nonces_used_from_outside", address=held.address, up_to=final_count)
        else:
            await pause(session, held, harmful)


async def pause(session: PlatformSession, key: Key, reason: str) -> None:
    """Stop a key until an operator resumes it, and say so."""
    if await repository_keys.pause(session, key.id, reason, resumes_by_itself=False):
        await alerts.key_paused(session, key, reason)
        _log.error("txmanager.key_paused", address=key.address, network=key.network, reason=reason)


async def _settle(session: PlatformSession, key: Key, one: InFlight, effects: Effects | None) -> None:
    described = _describe(one.nonce, effects)
    if effects is not None and effects.is_harmless:
        # Its old forms can never land: another transaction is final at their nonce.
        await repository.mark_queued_again(session, one.intent.id, described)
        await alerts.intent_settled(session, one.intent)
        await repository_keys.advance_counter(session, key.id, one.nonce + 1)
        _log.warning("txmanager.nonce_used_from_outside", address=key.address, nonce=one.nonce, intent=str(one.intent.id))
        return
    if one.intent.state == IntentState.UNKNOWN and one.intent.error == described:
        return  # told before, and an operator has resumed the key since
    await repository.mark_unknown(session, one.intent.id, described)
    await alerts.intent_unknown(session, key, one.intent, described)
    await pause(session, key, described)


def _describe(nonce: int, effects: Effects | None) -> str:
    if effects is None:
        return f"nonce {nonce} was used by a transaction that this database does not know and that could not be found"
    what = "made a contract" if effects.creates else f"touched {', '.join(sorted(effects.touched)) or 'nothing of ours'}"
    return f"nonce {nonce} was used by transaction {effects.transaction.hash}, unknown to this database, which {what}"


async def _find(work: KeyContext, nonce: int, final_block: int) -> Transaction | None:
    return await outgoing.find_by_nonce(
        work.chain, work.address, nonce, final_block=final_block, scan_blocks=work.terms.scan_blocks
    )


async def _effects(work: KeyContext, transaction: Transaction) -> Effects | None:
    async with work.database.platform() as session:
        ours = await repository_keys.our_addresses(session, work.network.name)
    return await outgoing.effects_of(work.chain, transaction, ours)
