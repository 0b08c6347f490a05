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

_OLDEST_INCLUDED = 200
"""Of those that wait for finality: the next to become final."""
_NEWEST_INCLUDED = 20
"""Those that a reorganisation may still take out; the blocks between are looked at as they get older."""
_MAX_BLOCKS = 60
_NO_NEWS = frozenset({Finding.NOTHING_NEW, Finding.NONCE_USED})


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
        pending = await repository.in_flight(session, work.key_id, repository.PENDING)
        oldest = await repository.included(session, work.key_id, _OLDEST_INCLUDED, newest_first=False)
        newest = await repository.included(session, work.key_id, _NEWEST_INCLUDED, newest_first=True)
    included = list({one.id: one for one in (*oldest, *newest)}.values())
    if not pending and not included:
        return None
    hashes = [attempt.hash for one in pending for attempt in one.attempts]
    seen = await work.chain.observe(work.address, hashes, _blocks_of(included))
    found = [judge(_waiting(one), seen) for one in pending]
    news = [*zip((one.intent for one in pending), found, strict=True), *((one, judge(_landed(one), seen)) for one in included)]
    changed = await _write(work, [(one, verdict) for one, verdict in news if verdict.finding not in _NO_NEWS])
    used = [one for one, verdict in zip(pending, found, strict=True) if verdict.finding is Finding.NONCE_USED]
    waits = [seen.head.number - one.newest.signed_block for one in pending]
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


async def _write(work: KeyContext, news: Sequence[tuple[Intent, Verdict]]) -> bool:
    if not news:
        return False
    async with work.write() as (session, _):
        moved = [intent for intent, verdict in news if await _move(session, intent, verdict)]
        await wake_owners(session, moved)
    return True


async def _move(session: PlatformSession, intent: Intent, verdict: Verdict) -> bool:
    match verdict.finding:
        case Finding.INCLUDED:
            return await repository.mark_included(session, intent.id, landed(_receipt(verdict)))
        case Finding.FINAL:
            return await _finish(session, intent)
        case Finding.KILLED:
            await alerts.intent_settled(session, intent)
            reason = f"killed: a self-transfer is final at its nonce, transaction {_receipt(verdict).transaction_hash}"
            return await repository.mark_void(session, intent.id, reason, repository.PENDING)
        case Finding.REORGANISED:
            metrics.count_reorganised(intent)
            return await repository.mark_not_included(session, intent.id)
        case Finding.NOTHING_NEW | Finding.NONCE_USED:
            return False


async def _finish(session: PlatformSession, intent: Intent) -> bool:
    state = IntentState.FINAL if intent.succeeded else IntentState.FAILED
    if state is IntentState.FAILED:
        await alerts.intent_failed(session, intent)
    else:
        await alerts.intent_succeeded(session, intent)
    await alerts.intent_settled(session, intent)
    metrics.count_finished(intent, state)
    return await repository.mark_finished(session, intent.id, state)


def landed(receipt: Receipt) -> dict[str, Any]:
    """The columns of an intent that tell where it landed."""
    return {
        "transaction_hash": receipt.transaction_hash,
        "block_number": receipt.block_number,
        "block_hash": receipt.block_hash,
        "succeeded": receipt.succeeded,
        "gas_used": receipt.gas_used,
        "fee_paid_wei": receipt.fee_paid,
        "contract_address": receipt.contract_address,
    }


def _receipt(verdict: Verdict) -> Receipt:
    if verdict.receipt is None:
        message = f"{verdict.finding.name} rests on a receipt"
        raise AssertionError(message)
    return verdict.receipt


def _waiting(one: InFlight) -> Standing:
    forms = [Form(attempt.hash, attempt.kills) for attempt in one.attempts]
    return Standing(IntentState(one.intent.state), one.nonce, forms)


def _landed(intent: Intent) -> Standing:
    return Standing(IntentState(intent.state), intent.nonce or 0, (), intent.block_number, intent.block_hash)


def _blocks_of(included: Sequence[Intent]) -> list[int]:
    """Heights to compare, few enough for one batch of RPC: the oldest, which become final, and the newest."""
    blocks = sorted({one.block_number for one in included if one.block_number is not None})
    return blocks if len(blocks) <= _MAX_BLOCKS else [*blocks[: _MAX_BLOCKS - _NEWEST_INCLUDED], *blocks[-_NEWEST_INCLUDED:]]
