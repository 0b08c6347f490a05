"""Use cases for chain transactions: queue, read, cancel, and settle what is unknown. Keys: `service_keys.py`.

None of these signs or sends: the engine does, once the caller's transaction has committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from guerdon.chains.port import Receipt, Transaction
from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.kit.ids import uuid7
from guerdon.txmanager import alerts, repository, repository_keys
from guerdon.txmanager.context import wake_owners
from guerdon.txmanager.errors import (
    IntentMismatchError,
    IntentNotAdoptableError,
    IntentNotCancellableError,
    IntentNotFoundError,
    IntentNotKillableError,
    KeyNotFoundError,
)
from guerdon.txmanager.models import FINISHED, Attempt, HeldBack, Intent, IntentState
from guerdon.txmanager.repository import IN_FLIGHT, UNSIGNED
from guerdon.txmanager.watching import landed


@dataclass(frozen=True, slots=True)
class IntentStory:
    """An intent with every form it was signed in."""

    intent: Intent
    attempts: Sequence[Attempt]


async def queue(  # noqa: PLR0913 - a transaction has that many parts, each named at the call
    session: PlatformSession,
    *,
    key_id: UUID,
    network: str,
    kind: str,
    to: str | None,
    data: bytes,
    value_wei: int = 0,
    gas_limit: int | None = None,
    ref: UUID | None = None,
    work_kind: str | None = None,
    intent_id: UUID | None = None,
) -> UUID:
    """Have a transaction happen once this one commits; returns its id.

    With `ref` it is idempotent: a repeat for the same kind and reference returns the first id, and raises
    `IntentMismatchError` if it asks for something else. `to` is None for a contract that is to be made. A `gas_limit` says that
    the caller has simulated it; without one the engine does, and holds back what would revert. `work_kind` is woken
    whenever its state changes. `intent_id` is given where a marker on the chain is to be named after it.
    """
    key = await repository_keys.key(session, key_id)
    if key is None or key.network != network:
        raise KeyNotFoundError(f"no key {key_id} on {network}")
    content = {"key_id": key_id, "to_address": to, "data": data, "value_wei": value_wei}
    values = {"network": network, "kind": kind, "ref": ref, "work_kind": work_kind, "gas_limit": gas_limit, **content}
    added = await repository.insert_intent(session, {"id": intent_id or uuid7(), **values})
    if added is None and ref is not None:
        # In a statement of its own: the one that lost the race could not see the winner's row (SAFETY S10).
        first = await repository.intent_by_ref(session, kind, ref)
        if first is None or any(getattr(first, name) != value for name, value in content.items()):
            raise IntentMismatchError(details={"kind": kind, "ref": str(ref)})
        return first.id
    if added is None:
        message = "only a reference can be taken already"
        raise AssertionError(message)
    await repository_keys.notify(session, str(key_id))
    return added


async def intent(session: ScopedSession, intent_id: UUID) -> Intent:
    """An intent as it stands; raises `IntentNotFoundError`."""
    found = await repository.intent(session, intent_id)
    if found is None:
        raise IntentNotFoundError
    return found


async def story(session: ScopedSession, intent_id: UUID) -> IntentStory:
    """An intent with all its attempts, oldest first."""
    return IntentStory(await intent(session, intent_id), await repository.attempts(session, intent_id))


def would_revert(one: Intent) -> bool:
    """Is it held back because it would revert? Its owner decides; `error` has what the node said."""
    return one.state in UNSIGNED and one.held_back == HeldBack.SIMULATION_FAILED


async def retry(session: PlatformSession, intent_id: UUID) -> None:
    """Have an intent that is held back looked at now."""
    one = await intent(session, intent_id)
    await repository.retry_now(session, intent_id)
    await repository_keys.notify(session, str(one.key_id))


async def cancel(session: PlatformSession, intent_id: UUID, reason: str = "by its owner") -> None:
    """Give up an intent that provably has no signed form that could land: it becomes `void`.

    Raises `IntentNotCancellableError` once it has a nonce, on Solana while a form of it may land. Cancelled again it stays as it
    is.
    """
    one = await repository.lock_intent(session, intent_id)
    if one is None:
        raise IntentNotFoundError
    if one.state == IntentState.VOID:
        return
    if not await repository.mark_void(session, intent_id, f"cancelled: {reason}", UNSIGNED):
        raise IntentNotCancellableError(details={"state": one.state})
    await alerts.simulation_passed(session, one)
    await wake_owners(session, [one])


async def kill(session: PlatformSession, intent_id: UUID) -> None:
    """Have a self-transfer sent at the nonce of an intent that does not land, by an operator's decision (SAFETY S23).

    Either of the two may still land; the intent is `void` only when the self-transfer is final, and only then may
    anything be given back. Raises `IntentNotKillableError` if it is in a block, finished, or has no nonce.
    """
    one = await repository.lock_intent(session, intent_id)
    if one is None:
        raise IntentNotFoundError
    if one.state not in IN_FLIGHT:
        raise IntentNotKillableError(details={"state": one.state})
    await repository.request_kill(session, intent_id)
    await repository_keys.notify(session, str(one.key_id))


async def adopt(session: PlatformSession, intent_id: UUID, transaction: Transaction, receipt: Receipt) -> None:
    """Take a final transaction that this database did not know for an intent's, by its owner's proof (SAFETY S21).

    The proof is the owner's: a batch id in the distributor's log, say. The intent becomes `final`, or `failed` if the
    transaction reverted. Raises `IntentNotAdoptableError` for an intent whose own bytes may still land elsewhere.
    """
    one = await repository.lock_intent(session, intent_id)
    if one is None:
        raise IntentNotFoundError
    if one.state in FINISHED or one.state == IntentState.INCLUDED or transaction.hash != receipt.transaction_hash:
        raise IntentNotAdoptableError(details={"state": one.state})
    if one.nonce is not None and one.nonce != transaction.nonce:
        raise IntentNotAdoptableError(details={"nonce": one.nonce, "transaction_nonce": transaction.nonce})
    state = IntentState.FINAL if receipt.succeeded else IntentState.FAILED
    await repository.give_known_nonce(session, one.network, one.key_id, transaction.nonce, one.id)
    await repository.mark_adopted(session, intent_id, transaction.nonce, state, landed(receipt))
    await alerts.intent_settled(session, one)
    await alerts.simulation_passed(session, one)
    await wake_owners(session, [one])


async def bind_anew(session: PlatformSession, intent_id: UUID, final_nonce: int) -> None:
    """Let an unknown intent go on with a new nonce: an operator has proof that what used its old one was not it.

    `final_nonce` is the key's counter at the finalized block: the old nonce must lie below, so that no old form can land.
    """
    one = await repository.lock_intent(session, intent_id)
    if one is None:
        raise IntentNotFoundError
    if one.state != IntentState.UNKNOWN or one.nonce is None or one.nonce >= final_nonce:
        raise IntentNotAdoptableError(details={"state": one.state, "nonce": one.nonce, "final_nonce": final_nonce})
    await repository.mark_queued_again(session, intent_id, "bound anew by an operator")
    await alerts.intent_settled(session, one)
    await repository_keys.notify(session, str(one.key_id))
    await wake_owners(session, [one])
