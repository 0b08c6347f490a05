"""The step that makes signed bytes and stores them: the first form of a bound intent, replacements, self-transfers that kill.

Signing happens outside any transaction (a KMS is a network call); storing is compare-and-set on the lease's epoch and the
number of the attempt before (SAFETY S19). Nothing is sent here: only stored bytes are ever sent, by `sending.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from guerdon.kit.database import PlatformSession
from guerdon.txmanager import alerts, fees, metrics, repository, repository_keys
from guerdon.txmanager.chain import Payload, Survey
from guerdon.txmanager.context import KeyContext, wake_owners
from guerdon.txmanager.errors import AttemptRaceError
from guerdon.txmanager.fees import Fees
from guerdon.txmanager.models import Intent, Key
from guerdon.txmanager.repository import InFlight
from guerdon.txmanager.signer import SignedTransaction, UnsignedTransaction
from guerdon.txmanager.verdicts import Observation


@dataclass(frozen=True, slots=True)
class Draft:
    """A form of an intent that is about to be signed."""

    intent: Intent
    number: int
    transaction: UnsignedTransaction
    kills: bool = False


_MOST_DOUBLINGS = 10


async def sign_bound(work: KeyContext) -> bool:
    """Sign and store the first form of every intent that has a nonce and no bytes; were there any?"""
    async with work.database.platform() as session:
        key = await repository_keys.key(session, work.key_id)
        bound = await repository.bound(session, work.key_id)
        numbers = {intent.id: await repository.newest_number(session, intent.id) for intent in bound}
    if key is None or key.paused_at is not None or not bound:
        return False
    is_any_killed = any(intent.kill_requested_at is not None for intent in bound)
    survey = await work.chain.survey(work.address, [_self_transfer(work)] if is_any_killed else [])
    offer = fees.capped(survey.base_fee, survey.tip, work.network.max_fee_per_gas)
    drafts = [_first_form(work, intent, numbers[intent.id] + 1, survey, offer) for intent in bound]
    await _sign_and_store(work, key, drafts, survey.head.number)
    return True


async def replace_overdue(work: KeyContext, seen: Observation) -> bool:
    """Raise the fees of what has waited for too many blocks, and kill what an operator wants dead; were there any?"""
    async with work.database.platform() as session:
        key = await repository_keys.key(session, work.key_id)
        pending = await repository.in_flight(session, work.key_id, repository.PENDING)
    if key is None or key.paused_at is not None:
        return False
    dying = [one for one in pending if one.intent.kill_requested_at is not None and not one.is_dying]
    late = [one for one in pending if one not in dying and _is_overdue(work, one, seen)]
    if not dying and not late:
        return False
    survey = await work.chain.survey(work.address, [_self_transfer(work)] if dying else [])
    drafts: list[Draft] = []
    for one in [*dying, *late]:
        offer = fees.replacement(_fees_of(one), survey.base_fee, survey.tip, work.network.max_fee_per_gas)
        if offer is None:
            await _alert_cap(work, one, survey)
        elif one in dying or one.is_dying:
            drafts.append(_killing_form(work, one, survey, offer))
        else:
            drafts.append(_next_form(work, one, offer))
    await _sign_and_store(work, key, drafts, survey.head.number)
    return bool(drafts)


def _is_overdue(work: KeyContext, one: InFlight, seen: Observation) -> bool:
    waited = seen.head.number - one.newest.signed_block
    if one.nonce < seen.next_nonce:
        return False  # its nonce is used: by itself, as a look will tell, or by another
    if one.newest.max_fee_per_gas < (seen.head.base_fee_per_gas or 0):
        return waited >= work.terms.replace_after_blocks
    # It offers enough and does not land all the same: each further form waits twice as long, so that a node that takes
    # nothing does not drive the fee up. Those behind the first wait for it, and not for better fees.
    patience = work.terms.replace_after_blocks * 2 ** min(len(one.attempts) - 1, _MOST_DOUBLINGS)
    return one.nonce == seen.next_nonce and waited >= patience


async def _sign_and_store(work: KeyContext, key: Key, drafts: Sequence[Draft], height: int) -> None:
    if not drafts:
        return
    transactions = [draft.transaction for draft in drafts]
    signed = await asyncio.to_thread(work.signer.sign_all, key, transactions)
    async with work.write() as (session, held):
        if held.paused_at is not None:
            return
        killed = await repository.killed(session, [draft.intent.id for draft in drafts if not draft.kills])
        if killed:
            # An operator asked for it meanwhile: what nobody has sent yet must not be sent for the first time now.
            raise AttemptRaceError(killed[0])
        for draft, form in zip(drafts, signed, strict=True):
            await _store(session, work, draft, form, height)
        await wake_owners(session, [draft.intent for draft in drafts])


async def _store(session: PlatformSession, work: KeyContext, draft: Draft, form: SignedTransaction, height: int) -> None:
    if await repository.newest_number(session, draft.intent.id) != draft.number - 1:
        raise AttemptRaceError(draft.intent.id)
    await repository.insert_attempt(
        session,
        {
            "intent_id": draft.intent.id,
            "number": draft.number,
            "network": work.network.name,
            "nonce": draft.transaction.nonce,
            "raw": form.raw,
            "hash": form.hash,
            "gas_limit": draft.transaction.gas_limit,
            "max_fee_per_gas": draft.transaction.fees.max_fee_per_gas,
            "max_priority_fee_per_gas": draft.transaction.fees.max_priority_fee_per_gas,
            "lease_epoch": work.lease.epoch,
            "kills": draft.kills,
            "signed_block": height,
        },
    )
    if not await repository.mark_signed(session, draft.intent.id, form.hash):
        # It was included, killed or given another nonce meanwhile: these bytes must not exist.
        raise AttemptRaceError(draft.intent.id)
    metrics.count_signed(work.network.name, draft.number, kills=draft.kills)


def _first_form(work: KeyContext, intent: Intent, number: int, survey: Survey, offer: Fees) -> Draft:
    """What a bound intent is to do; the self-transfer if it was killed before anything of it was signed (SAFETY S23)."""
    if intent.nonce is None or intent.gas_limit is None:
        message = "a bound intent has a nonce and a gas limit"
        raise AssertionError(message)
    if intent.kill_requested_at is not None:
        gas = _self_transfer_gas(work, survey)
        transaction = UnsignedTransaction(work.network.evm_chain_id, intent.nonce, _self_transfer(work), gas, offer)
        return Draft(intent, number, transaction, kills=True)
    payload = Payload(intent.to_address, intent.data, intent.value_wei)
    return Draft(intent, number, UnsignedTransaction(work.network.evm_chain_id, intent.nonce, payload, intent.gas_limit, offer))


def _next_form(work: KeyContext, one: InFlight, offer: Fees) -> Draft:
    payload = Payload(one.intent.to_address, one.intent.data, one.intent.value_wei)
    transaction = UnsignedTransaction(work.network.evm_chain_id, one.nonce, payload, one.newest.gas_limit, offer)
    return Draft(one.intent, one.newest.number + 1, transaction)


def _killing_form(work: KeyContext, one: InFlight, survey: Survey, offer: Fees) -> Draft:
    gas = one.newest.gas_limit if one.is_dying else _self_transfer_gas(work, survey)
    transaction = UnsignedTransaction(work.network.evm_chain_id, one.nonce, _self_transfer(work), gas, offer)
    return Draft(one.intent, one.newest.number + 1, transaction, kills=True)


def _self_transfer(work: KeyContext) -> Payload:
    return Payload(work.address, b"", 0)


_PLAIN_TRANSFER_GAS = 21_000


def _self_transfer_gas(work: KeyContext, survey: Survey) -> int:
    estimate = survey.estimates[0].gas if survey.estimates else None
    return max(_PLAIN_TRANSFER_GAS, estimate or 0) * (100 + work.terms.gas_headroom_percent) // 100


def _fees_of(one: InFlight) -> Fees:
    return Fees(one.newest.max_fee_per_gas, one.newest.max_priority_fee_per_gas)


async def _alert_cap(work: KeyContext, one: InFlight, survey: Survey) -> None:
    async with work.write() as (session, key):
        await alerts.fee_over_cap(
            session, key, max(survey.base_fee + survey.tip, one.newest.max_fee_per_gas), work.network.max_fee_per_gas
        )
