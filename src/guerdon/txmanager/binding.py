"""The step that gives queued intents their nonces: simulate, estimate, then bind in order and commit (SAFETY S16).

Nothing is signed here. An intent that would revert gets no nonce: it is held back, and its owner decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from guerdon.kit.database import PlatformSession
from guerdon.txmanager import alerts, repository, repository_keys
from guerdon.txmanager.chain import Estimate, Payload, Survey
from guerdon.txmanager.context import KeyContext, wake_owners
from guerdon.txmanager.fees import Fees, suggested
from guerdon.txmanager.models import HeldBack, Intent, Key
from guerdon.txmanager.repository import IN_FLIGHT

_MAX_RETRY_SECONDS = 60
_MAX_ERROR_LENGTH = 2_000


class Binding(Enum):
    """How the step ended."""

    NOTHING_TO_DO = auto()
    BOUND = auto()
    HELD_BACK = auto()
    COUNTER_BEHIND = auto()
    """The chain has used nonces of this key that the database never gave out (SAFETY S20, S21)."""
    NO_FUNDS = auto()


@dataclass(frozen=True, slots=True)
class _Plan:
    ready: list[tuple[Intent, int]]
    """With the gas limit."""
    held: list[tuple[Intent, HeldBack, str]]
    missing_wei: int
    """What the key lacks to pay for the next one; 0 if it lacks nothing."""


async def bind_queued(work: KeyContext) -> Binding:
    """Give nonces to as many queued intents as may be in flight."""
    async with work.database.platform() as session:
        key = await repository_keys.key(session, work.key_id)
        if key is None or key.paused_at is not None:
            return Binding.NOTHING_TO_DO
        queued, committed_wei, in_flight = await _candidates(work, session)
    if not queued:
        return Binding.NOTHING_TO_DO
    survey = await work.chain.survey(work.address, [payload_of(intent) for intent in queued])
    fees = suggested(survey.base_fee, survey.tip, work.network.max_fee_per_gas)
    if fees is None:
        return await _wait_for_fees(work, queued, survey)
    plan = _plan(work, queued, survey, fees, committed_wei, in_flight)
    return await _bind(work, plan, survey, in_flight)


async def _candidates(work: KeyContext, session: PlatformSession) -> tuple[list[Intent], int, int]:
    """Queued intents for which there is room, the wei that those in flight may still cost, and how many those are."""
    in_flight = await repository.in_flight(session, work.key_id, IN_FLIGHT)
    bound = await repository.bound(session, work.key_id)
    room = work.terms.max_in_flight - len(in_flight) - len(bound)
    queued = await repository.queued(session, work.key_id, room) if room > 0 else []
    committed = sum(one.newest.gas_limit * one.newest.max_fee_per_gas + one.intent.value_wei for one in in_flight)
    return queued, committed, len(in_flight) + len(bound)


def _plan(work: KeyContext, queued: list[Intent], survey: Survey, fees: Fees, committed_wei: int, in_flight: int) -> _Plan:
    ready: list[tuple[Intent, int]] = []
    held: list[tuple[Intent, HeldBack, str]] = []
    left = survey.native_balance_wei - committed_wei
    for intent, estimate in zip(queued, survey.estimates, strict=True):
        gas = intent.gas_limit if intent.gas_limit is not None else _with_headroom(work, estimate)
        if gas is None:
            held.append(_held(intent, estimate, in_flight + len(ready)))
            continue
        cost = gas * fees.max_fee_per_gas + intent.value_wei
        if cost > left:
            return _Plan(ready, held, cost - left)
        left -= cost
        ready.append((intent, gas))
    return _Plan(ready, held, 0)


def _with_headroom(work: KeyContext, estimate: Estimate) -> int | None:
    return None if estimate.gas is None else estimate.gas * (100 + work.terms.gas_headroom_percent) // 100


def _held(intent: Intent, estimate: Estimate, ahead: int) -> tuple[Intent, HeldBack, str]:
    error = (estimate.error or "the node gave no estimate")[:_MAX_ERROR_LENGTH]
    # What it needs may be made by a transaction that is under way (a contract that is being deployed, an allowance).
    certain = estimate.reverts and ahead == 0
    return intent, HeldBack.SIMULATION_FAILED if certain else HeldBack.UNCLEAR, error


async def _bind(work: KeyContext, plan: _Plan, survey: Survey, in_flight: int) -> Binding:
    async with work.write() as (session, key):
        if key.paused_at is not None:
            return Binding.NOTHING_TO_DO
        if survey.next_nonce > key.next_nonce:
            return Binding.COUNTER_BEHIND
        await repository_keys.note_native_balance(session, key.id, survey.native_balance_wei)
        changed = await _give_nonces(session, key, plan)
        for intent, reason, error in plan.held:
            await repository.hold_back(session, intent.id, reason, error, _retry_seconds(work, intent, reason))
            if reason is HeldBack.SIMULATION_FAILED:
                await alerts.simulation_failed(session, key, intent, error)
                changed.append(intent)
        if plan.missing_wei and not plan.ready:
            if not in_flight:
                await pause_without_funds(session, work, key, plan.missing_wei)
            return Binding.NO_FUNDS
        await wake_owners(session, changed)
    if plan.ready:
        return Binding.BOUND
    return Binding.HELD_BACK if plan.held else Binding.NOTHING_TO_DO


async def _give_nonces(session: PlatformSession, key: Key, plan: _Plan) -> list[Intent]:
    """Bind what is ready in order; those that were bound (one that was cancelled meanwhile takes no nonce)."""
    bound: list[Intent] = []
    for intent, gas_limit in plan.ready:
        if await repository.bind(session, intent, key.next_nonce + len(bound), gas_limit):
            bound.append(intent)
            if intent.held_times:
                await alerts.simulation_passed(session, intent)
    if bound:
        await repository_keys.advance_counter(session, key.id, key.next_nonce + len(bound))
        await alerts.fee_within_cap(session, key)
    return bound


async def pause_without_funds(session: PlatformSession, work: KeyContext, key: Key, missing_wei: int) -> None:
    """Stop a key that can't pay its next fee; it resumes by itself once funded (`funds.py`)."""
    reason = f"{work.address} on {work.network.name} lacks {missing_wei} wei for fees; it resumes by itself once funded"
    if await repository_keys.pause(session, work.key_id, reason, resumes_by_itself=True):
        await alerts.key_out_of_gas(session, key, reason, missing_wei)


async def _wait_for_fees(work: KeyContext, queued: list[Intent], survey: Survey) -> Binding:
    cap = work.network.max_fee_per_gas
    error = f"the network asks for {survey.base_fee + survey.tip} wei a unit of gas, the cap is {cap}"
    async with work.write() as (session, key):
        for intent in queued:
            await repository.hold_back(session, intent.id, HeldBack.FEE_CAP, error, work.block_seconds)
        await alerts.fee_over_cap(session, key, survey.base_fee + survey.tip, cap)
    return Binding.HELD_BACK


def _retry_seconds(work: KeyContext, intent: Intent, reason: HeldBack) -> float:
    if reason is HeldBack.UNCLEAR:
        return work.block_seconds / 2
    return float(min(_MAX_RETRY_SECONDS, max(1, work.block_seconds) * 2 ** min(intent.held_times, 10)))


def payload_of(intent: Intent) -> Payload:
    """What an intent does."""
    return Payload(intent.to_address, intent.data, intent.value_wei)
