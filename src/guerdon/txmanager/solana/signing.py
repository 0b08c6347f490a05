"""The step that signs what nothing can land of yet: new intents, and those whose every form is proven dead (SAFETY S16, S18).

Simulate, price, sign outside any transaction, store the bytes with signature and last valid height, commit. Storing is
compare-and-set on the lease's epoch, the intent's state and the number of the attempt before (SAFETY S19). Nothing is sent here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from guerdon.chains.solana import messages
from guerdon.chains.solana.markers import RENT_LAMPORTS, Marker
from guerdon.chains.solana.messages import MOST_UNITS
from guerdon.chains.solana.values import Simulation, Survey
from guerdon.kit.database import PlatformSession
from guerdon.txmanager import alerts, metrics, repository_keys
from guerdon.txmanager import repository as shared
from guerdon.txmanager.context import wake_owners
from guerdon.txmanager.errors import AttemptRaceError
from guerdon.txmanager.models import WITHOUT_MARKER, HeldBack, Intent, Key
from guerdon.txmanager.solana import repository
from guerdon.txmanager.solana.context import SolanaContext

_MAX_RETRY_SECONDS: Final = 60
_MAX_ERROR_LENGTH: Final = 2_000
_LEAST_UNITS: Final = 10_000
_LEAST_PRICE: Final = 1_000
_MOST_DOUBLINGS: Final = 6
LEAST_LEFT: Final = 890_880
"""Lamports that an account without data has to keep to exist at all."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A form of an intent that is about to be signed."""

    intent: Intent
    number: int
    units: int
    unit_price: int
    message: bytes


@dataclass(frozen=True, slots=True)
class _Plan:
    drafts: list[Draft]
    held: list[tuple[Intent, HeldBack, str]]
    missing: int
    """Lamports that the key lacks for the next one; 0 if it lacks nothing."""


async def sign_waiting(work: SolanaContext) -> bool:
    """Sign and store a form of as many intents as may be in flight; were there any?"""
    async with work.database.platform() as session:
        key = await repository_keys.key(session, work.key_id)
        in_flight = await repository.signed(session, work.key_id, shared.PENDING)
        room = work.terms.max_in_flight - len(in_flight)
        waiting = await repository.unsigned(session, work.key_id, room) if room > 0 else []
        numbers = {one.id: await shared.newest_number(session, one.id) for one in waiting}
    if key is None or key.paused_at is not None or not waiting:
        return False
    survey = await work.chain.survey(work.address)
    committed = sum(most_spent(one.intent, one.newest.gas_limit, int(one.newest.max_fee_per_gas)) for one in in_flight)
    plan = await _plan(work, waiting, numbers, survey, survey.balance - committed - LEAST_LEFT)
    return await _sign_and_store(work, key, plan, survey, has_others=bool(in_flight))


def most_spent(intent: Intent, units: int, unit_price: int) -> int:
    """The most lamports that a form takes out of the key, its marker's rent among them."""
    rent = 0 if intent.kind in WITHOUT_MARKER else RENT_LAMPORTS
    return messages.fee_of(units, unit_price) + rent + int(intent.value_wei)


async def _plan(work: SolanaContext, waiting: Sequence[Intent], numbers: dict[UUID, int], survey: Survey, left: int) -> _Plan:
    affordable: list[Intent] = []
    missing, needed = 0, 0
    for intent in waiting:
        needed += most_spent(intent, _LEAST_UNITS, _LEAST_PRICE)
        if needed > left:
            missing = needed - left
            break
        affordable.append(intent)
    # For simulation without a price, so that the units' limit costs nothing.
    unsigned = [
        messages.complete(_message(work, one, units=MOST_UNITS, unit_price=0, blockhash=survey.blockhash), None)
        for one in affordable
    ]
    trials = await work.chain.simulate(unsigned, least_slot=survey.slot)
    drafts: list[Draft] = []
    held: list[tuple[Intent, HeldBack, str]] = []
    for intent, trial in zip(affordable, trials, strict=True):
        if (reason := trial.reason) is not None:
            # What it needs may be made by a transaction that is under way.
            certain = trial.failed_instruction is not None and not drafts
            held.append((intent, HeldBack.SIMULATION_FAILED if certain else HeldBack.UNCLEAR, reason[:_MAX_ERROR_LENGTH]))
            continue
        number = numbers[intent.id] + 1
        units, price = _units(work, trial), unit_price(work, survey, number)
        cost = most_spent(intent, units, price)
        if cost > left:
            return _Plan(drafts, held, cost - left)
        left -= cost
        message = _message(work, intent, units=units, unit_price=price, blockhash=survey.blockhash)
        drafts.append(Draft(intent, number, units, price, message))
    return _Plan(drafts, held, missing)


def unit_price(work: SolanaContext, survey: Survey, number: int) -> int:
    """What an intent's form of this number offers: twice as much each time that one expired, within the network's cap."""
    cap = work.terms.max_unit_price if work.network.max_unit_price is None else work.network.max_unit_price
    return min(cap, max(_LEAST_PRICE, survey.unit_price) * 2 ** min(number - 1, _MOST_DOUBLINGS))


def _units(work: SolanaContext, trial: Simulation) -> int:
    return min(MOST_UNITS, max(_LEAST_UNITS, trial.units * (100 + work.terms.gas_headroom_percent) // 100))


def _message(work: SolanaContext, intent: Intent, *, units: int, unit_price: int, blockhash: str) -> bytes:
    marking = [] if intent.kind in WITHOUT_MARKER else Marker(work.address, intent.id).make()
    chosen = [*marking, *messages.unpack(intent.data)]
    return messages.compose(work.address, chosen, units=units, unit_price=unit_price, blockhash=blockhash)


async def _sign_and_store(work: SolanaContext, key: Key, plan: _Plan, survey: Survey, *, has_others: bool) -> bool:
    signatures = await asyncio.to_thread(work.signer.sign_messages, key, [draft.message for draft in plan.drafts])
    async with work.write() as (session, held):
        await repository_keys.note_native_balance(session, held.id, survey.balance)
        if held.paused_at is not None:
            return False
        changed = [draft.intent for draft in plan.drafts]
        for draft, signature in zip(plan.drafts, signatures, strict=True):
            await _store(session, work, draft, signature, survey)
        for intent, reason, error in plan.held:
            await shared.hold_back(session, intent.id, reason, error, _retry_seconds(work, intent, reason))
            if reason is HeldBack.SIMULATION_FAILED:
                await alerts.simulation_failed(session, held, intent, error)
                changed.append(intent)
        if plan.missing and not plan.drafts and not has_others:
            await pause_without_funds(session, work, held, plan.missing)
        await wake_owners(session, changed)
    return bool(plan.drafts)


async def _store(session: PlatformSession, work: SolanaContext, draft: Draft, signature: bytes, survey: Survey) -> None:
    intent = draft.intent
    if await shared.newest_number(session, intent.id) != draft.number - 1:
        raise AttemptRaceError(intent.id)
    raw = messages.complete(draft.message, signature)
    name = messages.signature_of(raw)
    await shared.insert_attempt(
        session,
        {
            "intent_id": intent.id, "number": draft.number, "network": work.network.name, "nonce": None, "raw": raw, "hash": name,
            "blockhash": survey.blockhash, "last_valid_height": survey.last_valid_height, "gas_limit": draft.units,
            "max_fee_per_gas": draft.unit_price, "max_priority_fee_per_gas": draft.unit_price,
            "lease_epoch": work.lease.epoch, "kills": False, "signed_block": survey.slot,
        },
    )  # fmt: skip
    marker = None if intent.kind in WITHOUT_MARKER else Marker(work.address, intent.id).address
    if not await repository.mark_signed(session, intent.id, name, marker):
        # It was cancelled meanwhile: these bytes must not exist.
        raise AttemptRaceError(intent.id)
    if intent.held_times:
        await alerts.simulation_passed(session, intent)
    metrics.count_signed(work.network.name, draft.number, kills=False)


async def pause_without_funds(session: PlatformSession, work: SolanaContext, key: Key, missing: int) -> None:
    """Stop a key that can't pay for its next transaction; it resumes by itself once funded (`recovery.py`)."""
    reason = f"{work.address} on {work.network.name} lacks {missing} lamports for fees and rent; it resumes by itself once funded"
    if await repository_keys.pause(session, work.key_id, reason, resumes_by_itself=True):
        await alerts.key_out_of_gas(session, key, reason, missing)


def _retry_seconds(work: SolanaContext, intent: Intent, reason: HeldBack) -> float:
    if reason is HeldBack.UNCLEAR:
        return max(0.1, work.block_seconds)
    return float(min(_MAX_RETRY_SECONDS, max(1, work.block_seconds) * 2 ** min(intent.held_times, 10)))
