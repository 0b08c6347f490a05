"""The step that looks at the chain and moves intents: included, forked away, final, failed, expired, uncertain.

A first look is one batch of questions about the last slots. What it calls for is decided by a second one, of a node that has
reached the slot of the first; what either means is `verdicts.py`'s, what follows is written in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from guerdon.chains.solana.markers import RENT_LAMPORTS
from guerdon.chains.solana.transfers import ChainTransaction
from guerdon.chains.solana.values import FirstLook
from guerdon.kit.database import PlatformSession
from guerdon.txmanager import alerts, metrics
from guerdon.txmanager import repository as shared
from guerdon.txmanager.context import wake_owners
from guerdon.txmanager.models import WITHOUT_MARKER, Intent, IntentState, Key
from guerdon.txmanager.solana import repository
from guerdon.txmanager.solana.context import SolanaContext
from guerdon.txmanager.solana.repository import Signed
from guerdon.txmanager.solana.verdicts import Finding, Form, Standing, Verdict, conclude, judge

_CLOSER_AT_ONCE: Final = 100
_ENDED: Final = frozenset({Finding.FINAL, Finding.FAILED})
UNCERTAIN: Final = (
    "none of its forms can land any more, and the node does not remember for long enough to say that none has: give this network "
    "a node that keeps its history"
)


@dataclass(frozen=True, slots=True)
class Look:
    """What came of looking."""

    seen: FirstLook
    pending: list[Signed]
    """Those that are in no block, as far as the node knows."""
    changed: bool


@dataclass(frozen=True, slots=True)
class _News:
    one: Signed
    verdict: Verdict
    landed: ChainTransaction | None = None
    """As the chain has it, where it ended and the node remembers."""


async def look(work: SolanaContext) -> Look | None:
    """Look, and write down what changed; None if nothing is in flight."""
    async with work.database.platform() as session:
        watched = await repository.signed(session, work.key_id)
    if not watched:
        return None
    seen = await work.chain.first_look([attempt.hash for one in watched for attempt in one.attempts])
    news = [_News(one, judge(standing_of(one), seen, work.expiry)) for one in watched]
    closer = [one.one for one in news if one.verdict.finding is Finding.LOOK_CLOSER][:_CLOSER_AT_ONCE]
    found = [one for one in news if one.verdict.finding not in {Finding.LOOK_CLOSER, Finding.NOTHING_NEW}]
    found += await _look_closer(work, closer, seen.finalized_slot)
    changed = await _write(work, found)
    pending = [one for one in watched if one.intent.state != IntentState.INCLUDED and one.newest.hash not in seen.statuses]
    return Look(seen, pending, changed)


async def _look_closer(work: SolanaContext, closer: Sequence[Signed], slot: int) -> list[_News]:
    if not closer:
        return []
    groups = [([attempt.hash for attempt in one.attempts], one.intent.marker) for one in closer]
    looks = await work.chain.second_look(work.address, groups, slot)
    verdicts = [conclude(standing_of(one), seen, work.expiry) for one, seen in zip(closer, looks, strict=True)]
    ended = [verdict.form.signature for verdict in verdicts if verdict.form is not None and verdict.finding in _ENDED]
    landed = await work.chain.transactions(ended)
    return [
        news
        for news in (
            _News(one, verdict, None if verdict.form is None else landed.get(verdict.form.signature))
            for one, verdict in zip(closer, verdicts, strict=True)
        )
        if news.verdict.finding is not Finding.NOTHING_NEW and not _is_contradicted(news)
    ]


def _is_contradicted(news: _News) -> bool:
    """Does the node tell otherwise of the transaction itself than of its status? Then it has told nothing."""
    status = news.verdict.status
    if news.landed is None or status is None:
        return False
    return (news.landed.succeeded, news.landed.slot) != (status.succeeded, status.slot)


def standing_of(one: Signed) -> Standing:
    """Where an intent stands, as far as a verdict needs it."""
    forms = [
        Form(attempt.hash, attempt.last_valid_height or 0, attempt.signed_block, age)
        for attempt, age in zip(one.attempts, one.ages, strict=True)
    ]
    return Standing(
        IntentState(one.intent.state), forms, has_marker=one.intent.kind not in WITHOUT_MARKER,
        block_number=one.intent.block_number, is_dying=one.intent.kill_requested_at is not None,
    )  # fmt: skip


async def _write(work: SolanaContext, news: Sequence[_News]) -> bool:
    if not news:
        return False
    async with work.write() as (session, key):
        moved = [one.one.intent for one in news if await _move(session, key, one)]
        await wake_owners(session, moved)
    return bool(moved)


async def _move(session: PlatformSession, key: Key, news: _News) -> bool:
    intent, verdict = news.one.intent, news.verdict
    match verdict.finding:
        case Finding.INCLUDED:
            if verdict.form is None or verdict.status is None:
                return False
            values = {"block_number": verdict.status.slot, "succeeded": verdict.status.succeeded}
            return await repository.mark_included(session, intent.id, {**values, "transaction_hash": verdict.form.signature})
        case Finding.FORKED:
            metrics.count_reorganised(intent)
            return await repository.mark_forked(session, intent.id)
        case Finding.FINAL | Finding.FAILED:
            return await _finish(session, news)
        case Finding.EXPIRED:
            return await _expire(session, intent)
        case Finding.UNCERTAIN:
            moved = await repository.mark_unknown(session, intent.id, UNCERTAIN)
            if moved:
                await alerts.intent_unknown(session, key, intent, UNCERTAIN)
            return moved
        case Finding.NOTHING_NEW | Finding.LOOK_CLOSER:
            return False


async def _expire(session: PlatformSession, intent: Intent) -> bool:
    locked = await shared.lock_intent(session, intent.id)
    await alerts.intent_settled(session, intent)
    if locked is not None and locked.kill_requested_at is not None:
        reason = "killed: none of its forms has landed, and none can any more"
        return await shared.mark_void(session, intent.id, reason, shared.WATCHED)
    return await repository.mark_expired(session, intent.id, "expired: none of its forms has landed, and none can any more")


async def _finish(session: PlatformSession, news: _News) -> bool:
    intent, state = news.one.intent, IntentState.FINAL if news.verdict.finding is Finding.FINAL else IntentState.FAILED
    if state is IntentState.FAILED:
        await alerts.intent_failed(session, intent)
    else:
        await alerts.intent_succeeded(session, intent)
    await alerts.intent_settled(session, intent)
    values = _values(news, succeeded=state is IntentState.FINAL)
    moved = await repository.mark_finished(session, intent.id, state, values)
    if moved:
        # For the counters, as it is now.
        finished = await shared.intent(session, intent.id)
        metrics.count_finished(intent if finished is None else finished, state)
    return moved


def _values(news: _News, *, succeeded: bool) -> dict[str, Any]:
    """The columns of an intent that tell where it landed. Without the transaction, what its marker proves."""
    one, verdict = news.one, news.verdict
    signature = one.newest.hash if verdict.form is None else verdict.form.signature
    slot = one.newest.signed_block if verdict.status is None else verdict.status.slot
    values: dict[str, Any] = {"transaction_hash": signature, "block_number": slot, "succeeded": succeeded}
    return values if news.landed is None else {**values, **spent(one.intent, news.landed)}


def spent(intent: Intent, landed: ChainTransaction) -> dict[str, Any]:
    """What a transaction cost its key: the fee, and the rent that others keep (SAFETY S25). A marker's comes back."""
    rent = RENT_LAMPORTS if landed.succeeded and intent.kind not in WITHOUT_MARKER else 0
    # Closing gives back more than it costs.
    return {"gas_used": landed.units, "fee_paid_wei": max(landed.fee, landed.spent - rent)}


async def give_up_waiting(work: SolanaContext) -> None:
    """Whose newest form is in no block for long, and not proven dead either, is told to an operator; it is watched on."""
    async with work.database.platform() as session:
        waiting = await repository.signed(session, work.key_id, (IntentState.SIGNED, IntentState.SENT))
    overdue = [one.intent for one in waiting if one.ages[-1] >= work.terms.unknown_after_seconds]
    if not overdue:
        return
    error = f"in no block {work.terms.unknown_after_seconds:.0f} s after it was signed; it is signed anew once it can't land"
    async with work.write() as (session, key):
        for intent in overdue:
            if await repository.mark_unknown(session, intent.id, error):
                await alerts.intent_unknown(session, key, intent, error)
        await wake_owners(session, overdue)
