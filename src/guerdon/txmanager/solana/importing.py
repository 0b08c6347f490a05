"""What a key of a Solana sent and this database does not know: accounting for it, and resuming the key after (SAFETY S21).

A transaction is an intent's if it made that intent's marker; what else it was, its owner has to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import structlog

from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.instructions import CLOSE_ACCOUNT
from guerdon.chains.solana.markers import Marker
from guerdon.chains.solana.programs import COMPUTE_BUDGET, NATIVE_MINT, TOKEN
from guerdon.chains.solana.transfers import ChainTransaction
from guerdon.kit.database import Database, PlatformSession, run_in_platform
from guerdon.kit.ids import uuid7
from guerdon.txmanager import alerts, importing, repository_imported, service_keys
from guerdon.txmanager.context import wake_owners
from guerdon.txmanager.errors import NotFinalYetError, UnknownOutgoingError
from guerdon.txmanager.models import Intent, IntentState, Key
from guerdon.txmanager.repository_imported import IMPORTED, UNMATCHED
from guerdon.txmanager.solana import recovery, repository
from guerdon.txmanager.solana.watching import spent

_NO_MARKER = "none"
_log = structlog.stdlib.get_logger("guerdon.txmanager")


@dataclass(frozen=True, slots=True)
class Told:
    """A transaction that was not known, and what it turned out to be."""

    signature: str
    what: str
    unmatched: str | None
    """What of it nothing in the books accounts for."""


async def import_key(database: Database, chain: SolanaClient, key_id: UUID) -> list[Told]:
    """Account for everything that a paused key sent and this database does not know. May be called again at any time.

    Raises `KeyNotFoundError`, `KeyNotPausedError`, `ChainUnavailableError`.
    """
    async with database.platform() as session:
        await service_keys.key(session, key_id)
        await importing.require_paused(session, key_id)
    seen = await recovery.review(database, chain, key_id)

    async def write(session: PlatformSession) -> list[Told]:
        key = await importing.require_paused(session, key_id)
        intents = await repository.unfinished_markers(session, key_id)
        by_marker = {Marker(key.address, one.id).address: one for one in intents}
        return [await _account_for(session, key, by_marker, one) for one in seen.unknown]

    told = await run_in_platform(database, write)
    async with database.platform() as session:
        unmatched = await repository_imported.unmatched(session, key_id)
    new = {one.signature for one in told}
    told += [Told(str(one.transaction_hash), "not recognised", one.error) for one in unmatched if one.transaction_hash not in new]
    return told + [Told(one.signature, "not found", "the node does not have it") for one in seen.missing]


async def _account_for(session: PlatformSession, key: Key, by_marker: dict[str, Intent], one: ChainTransaction) -> Told:
    found = next(((account, by_marker[account]) for account in one.accounts if account in by_marker), None)
    if found is not None:
        marker, intent = found
        values = {"transaction_hash": one.signature, "block_number": one.slot, "succeeded": True, **spent(intent, one)}
        if await repository.mark_adopted(session, intent.id, marker, values):
            await alerts.intent_settled(session, intent)
            await alerts.simulation_passed(session, intent)
            await wake_owners(session, [intent])
            return Told(one.signature, f"is what {intent.kind} {intent.ref or intent.id} was to send", None)
    moved = "; ".join(f"{amount} of {mint} to {owner}" for (mint, owner), amount in one.moved.items() if amount > 0)
    is_harmless = _only_closes_markers(one, key.address)
    kind, error = (IMPORTED, None) if is_harmless else (UNMATCHED, f"it moved {moved or 'lamports only'}")
    await repository_imported.insert_found(
        session,
        {
            "id": uuid7(), "key_id": key.id, "network": key.network, "kind": kind, "to_address": None, "data": one.raw,
            "value_wei": 0, "nonce": None, "marker": _NO_MARKER, "marker_closed_at": key.created_at, "error": error,
            "state": IntentState.FINAL, "transaction_hash": one.signature, "block_number": one.slot, "succeeded": True,
            "gas_used": one.units, "fee_paid_wei": max(0, one.spent),
        },
    )  # fmt: skip
    return Told(one.signature, "gave rent back" if is_harmless else "not recognised", error)


def _only_closes_markers(one: ChainTransaction, address: str) -> bool:
    """Does it nothing but close accounts of native SOL that are the key's, to its own good?"""
    native = {account for account, holding in one.holdings.items() if holding.mint == NATIVE_MINT}
    return all(
        step.program == COMPUTE_BUDGET
        or (
            step.program == TOKEN
            and step.data == CLOSE_ACCOUNT
            and step.accounts[0] in native
            and step.accounts[1:] == (address, address)
        )
        for step in one.instructions
    )


async def resume(database: Database, chain: SolanaClient, key_id: UUID, *, accept: str | None = None) -> None:
    """Let a key sign again, once everything that it sent is known and accounted for.

    `accept` is an operator's reason to leave as it is what importing did not account for; what it paid may then be paid again.
    What was not imported yet can't be accepted: importing may find whom it paid.
    Raises `KeyNotPausedError`, `NotFinalYetError`, `UnknownOutgoingError`.
    """
    seen = await recovery.review(database, chain, key_id)
    if not seen.is_complete and accept is None:
        raise NotFinalYetError(details={"transactions": "more than can be looked through at a time"})

    async def write(session: PlatformSession) -> None:
        await importing.require_paused(session, key_id)
        unmatched = await repository_imported.unmatched(session, key_id)
        found = [one.signature for one in (*seen.unknown, *seen.missing)]
        open_ones = [*found, *(str(one.transaction_hash) for one in unmatched)]
        if open_ones and (accept is None or seen.unknown):
            raise UnknownOutgoingError(details={"transactions": open_ones})
        for one in unmatched:
            await repository_imported.note_found(session, one.id, kind=IMPORTED, error=f"{one.error}; left so: {accept}")
        if open_ones:
            _log.critical("txmanager.unknown_outgoing_accepted", key=str(key_id), transactions=open_ones, reason=accept)
        # From here on only what comes after is looked through.
        await repository.note_reviewed(session, key_id, seen.newest)
        await service_keys.resume_key(session, key_id)

    await run_in_platform(database, write)
