"""The step that looks at the chain and moves intents: included, final, reorganised away, killed, nonce used by another.

A look is one batch of RPC; what it means is `verdicts.py`'s, what follows is written in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from guerdon.chains.port import Receipt
from guerdon.kit.database import PlatformSession
from guerdon.txmanager import alerts, metrics, repository
from guerdon.txmanager.context import KeyContext, wake_owners
from guerdon.txmanager.models import Intent, IntentState
from guerdon.txmanager.repository import InFlight
from guerdon.txmanager.verdicts import Finding, Form, Observation, Standing, Verdict, judge

MAX_WATCHED = 200
"""Intents in one look, the lowest nonces first: the others come when these are final."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the chain, and what came of it."""

    seen: Observation
    used: list[InFlight]
    """Those whose nonce is finally used, and as far as the node knows not by them."""
    changed: bool
    """Did any intent move?"""
    longest_wait_blocks: int
    """For how many blocks the oldest bytes have waited for one; -1 if none wait."""


async def look(work: KeyContext) -> Look | None:
    """Look once and write down what changed; None if nothing is in flight."""
    async with work.database.platform() as session:
        watched = (await repository.in_flight(session, work.key_id))[:MAX_WATCHED]
    if not watched:
        return None
    seen = await work.chain.observe(work.address, _waiting_hashes(watched), _their_blocks(watched))
    verdicts = [judge(_standing(one), seen) for one in watched]
    used = [one for one, verdict in zip(watched, verdicts, strict=True) if verdict.finding is Finding.NONCE_USED]
    changed = await _write(work, watched, verdicts)
    waits = [seen.head.number - one.newest.signed_block for one in watched if not _is_included(one)]
    return Look(seen, used, changed, max(waits, default=-1))


async def give_up_waiting(work: KeyContext) -> None:
    """What has not landed for long is `unknown`: an operator is alerted, nothing is given back (DESIGN section 6, rule 6)."""
    async with work.database.platform() as session:
        overdue = await repository.overdue(session, work.key_id, work.terms.unknown_after_seconds)
    if not overdue:
        return
    error = f"in no block {work.terms.unknown_after_seconds:.0f} s after it was signed; it may still land"
    async with work.write() as (session, key):
        for intent in overdue:
            if await repository.mark_unknown(session, intent.id, error):
                await alerts.intent_unknown(session, key, intent, error)
        await wake_owners(session, overdue)


async def _write(work: KeyContext, watched: Sequence[InFlight], verdicts: Sequence[Verdict]) -> bool:
    news = [
        (one, verdict)
        for one, verdict in zip(watched, verdicts, strict=True)
        if verdict.finding not in {Finding.NOTHING_NEW, Finding.NONCE_USED}
    ]
    if not news:
        return False
    async with work.write() as (session, _):
        moved = [one.intent for one, verdict in news if await _move(session, one, verdict)]
        await wake_owners(session, moved)
    return True


async def _move(session: PlatformSession, one: InFlight, verdict: Verdict) -> bool:
    intent = one.intent
    match verdict.finding:
        case Finding.INCLUDED:
            return await repository.mark_included(session, intent.id, landed(verdict.receipt))
        case Finding.FINAL:
            state = IntentState.FINAL if intent.succeeded else IntentState.FAILED
            if state is IntentState.FAILED:
                await alerts.intent_failed(session, intent)
            await alerts.intent_settled(session, intent)
            metrics.count_finished(intent, state)
            return await repository.mark_finished(session, intent.id, state, {})
        case Finding.KILLED:
            await alerts.intent_settled(session, intent)
            reason = f"killed: a self-transfer is final at its nonce, transaction {one.newest.hash}"
            return await repository.mark_void(session, intent.id, reason, repository.PENDING)
        case Finding.REORGANISED:
            metrics.count_reorganised(intent)
            return await repository.mark_not_included(session, intent.id)
        case Finding.NOTHING_NEW | Finding.NONCE_USED:
            return False


def landed(receipt: Receipt | None) -> dict[str, Any]:
    """The columns of an intent that tell where it landed."""
    if receipt is None:
        message = "inclusion rests on a receipt"
        raise AssertionError(message)
    return {
        "transaction_hash": receipt.transaction_hash,
        "block_number": receipt.block_number,
        "block_hash": receipt.block_hash,
        "succeeded": receipt.succeeded,
        "gas_used": receipt.gas_used,
        "fee_paid_wei": receipt.fee_paid,
        "contract_address": receipt.contract_address,
    }


def _standing(one: InFlight) -> Standing:
    intent: Intent = one.intent
    forms = [Form(attempt.hash, attempt.kills) for attempt in one.attempts]
    return Standing(IntentState(intent.state), one.nonce, forms, intent.block_number, intent.block_hash)


def _is_included(one: InFlight) -> bool:
    return one.intent.state == IntentState.INCLUDED


def _waiting_hashes(watched: Sequence[InFlight]) -> list[str]:
    return [attempt.hash for one in watched if not _is_included(one) for attempt in one.attempts]


def _their_blocks(watched: Sequence[InFlight]) -> list[int]:
    return sorted({one.intent.block_number for one in watched if _is_included(one) and one.intent.block_number is not None})
