"""The step for a key that paused because it could not pay its fees: it resumes by itself once funded."""

from __future__ import annotations

from guerdon.txmanager import alerts, repository, repository_keys
from guerdon.txmanager.binding import payload_of
from guerdon.txmanager.context import KeyContext
from guerdon.txmanager.fees import capped


async def resume_when_funded(work: KeyContext) -> bool:
    """Resume if the key can pay for what is in flight and for the next intent; did it?"""
    async with work.database.platform() as session:
        in_flight = await repository.in_flight(session, work.key_id, repository.PENDING)
        following = await repository.queued(session, work.key_id, 1)
    survey = await work.chain.survey(work.address, [payload_of(intent) for intent in following])
    needed = sum(one.newest.gas_limit * one.newest.max_fee_per_gas + one.intent.value_wei for one in in_flight)
    price = capped(survey.base_fee, survey.tip, work.network.max_fee_per_gas).max_fee_per_gas
    for intent, estimate in zip(following, survey.estimates, strict=True):
        gas = intent.gas_limit or (estimate.gas or 0) * (100 + work.terms.gas_headroom_percent) // 100
        needed += gas * price + intent.value_wei
    async with work.write() as (session, key):
        await repository_keys.note_native_balance(session, key.id, survey.native_balance_wei)
        if survey.native_balance_wei < needed or not survey.native_balance_wei:
            return False
        if await repository_keys.resume(session, key.id, only_by_itself=True):
            await alerts.key_resumed(session, key)
            return True
    return False
