"""Taking a reward back, whole or in part: what a program's policy lets a refund or a mistake claw back (SAFETY S13)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from guerdon.activity import keys
from guerdon.activity import repository_reversals as repository
from guerdon.activity.errors import EventNotFoundError, ReplayedSignatureError, ReversalTooLargeError
from guerdon.activity.models import Reversal
from guerdon.earning.models import Accrual
from guerdon.earning.terms import Trust
from guerdon.kit.database import PlatformSession, ScopedSession, transaction_time
from guerdon.kit.errors import ConflictError, IdempotencyConflictError
from guerdon.kit.ids import uuid7
from guerdon.kit.outbox import append, resolve_alert
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Delivery, DeliveryState, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.recall import REVIEW_ALERT, Recall
from guerdon.programs.models import ReversalPolicy

OPERATION = "reverse-event"


@dataclass(frozen=True, slots=True)
class ReversalRequest:
    """What to take back: `points` of the event's reward, or (None) all that is left of it.

    `key_hashes` are those of the request's idempotency key and signature (`activity/keys.py`); a repeat gets the first answer.
    """

    event_id: UUID
    points: int | None
    reason: str
    key_hashes: tuple[bytes, ...]
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """Where the points of a reversal came from; `written_off` could not be had."""

    from_pending: int
    from_available: int
    as_debt: int
    written_off: int


async def reverse_event(
    session: PlatformSession, program_id: UUID, policy: ReversalPolicy, request: ReversalRequest, recall: Recall
) -> tuple[Reversal | None, bool]:
    """Book the reversal once, in the program's scope; (the reversal, whether this call repeated an earlier one).

    The transaction is the platform's, for treasuries and batches are, which payouts that are reserved are taken out of.

    None where nothing of the reward is left to take. Raises `EventNotFoundError`, `ReversalTooLargeError`,
    `IdempotencyConflictError`, `ReplayedSignatureError`, and `ConflictError` where another request with the same key is
    being booked right now.
    """
    earned = await repository.accrual(session, program_id, request.event_id)
    if earned is None:
        raise EventNotFoundError
    # Treasury and batches come before everything else (SAFETY S15).
    reserved = await recall.lock(session, program_id, earned.asset_id, earned.account_id)
    accrual = await repository.lock_accrual(session, program_id, request.event_id)
    event = await repository.event(session, program_id, request.event_id)
    if accrual is None or event is None:
        raise EventNotFoundError
    # Under the accrual's lock: a second request with the same key waited for the first and now sees it (SAFETY S10).
    earlier = await _earlier(session, program_id, request)
    if earlier is not None:
        # Repeated with its key and signed anew: the new signature is used up too, or it would book once more (SAFETY S11).
        await repository.bind_keys(session, program_id, request.key_hashes, earlier.id, request.body_hash, OPERATION)
        return earlier, True
    left = accrual.points - accrual.reversed
    if request.points is not None and request.points > left:
        raise ReversalTooLargeError(details={"rewarded": accrual.points, "reversed": accrual.reversed, "left": left})
    points = left if request.points is None else request.points
    if points == 0:
        return None, True
    reversal_id = uuid7()
    now = await transaction_time(session)
    taken = await _Taking(session, policy, accrual, recall, reserved, now).book(reversal_id, points)
    await repository.add_reversed(session, program_id, accrual.id, points)
    reversal = Reversal(
        program_id=program_id,
        id=reversal_id,
        event_id=event.id,
        account_id=event.account_id,
        points=points,
        from_pending=taken.from_pending,
        from_available=taken.from_available,
        as_debt=taken.as_debt,
        written_off=taken.written_off,
        reason=request.reason,
        reversed_at=now,
    )
    session.add(reversal)
    bound = await repository.bind_keys(session, program_id, request.key_hashes, reversal_id, request.body_hash, OPERATION)
    if bound != len(set(request.key_hashes)):
        raise ConflictError
    await append(
        session,
        "event.reversed",
        {"eventId": str(event.id), "reversalId": str(reversal_id), "points": points, "reason": request.reason},
        program_id=program_id,
    )
    return reversal, False


async def event_reported_as(session: ScopedSession, program_id: UUID, idempotency_key: str) -> UUID:
    """The event that a server, or an operator, reported with this key. Raises `EventNotFoundError`."""
    for trust in (Trust.SERVER, Trust.OPERATOR):
        key_hash = keys.idempotency_key_hash(trust, keys.EVENT, idempotency_key)
        event_id = await repository.event_id_by_key(session, program_id, key_hash)
        if event_id is not None:
            return event_id
    raise EventNotFoundError


async def _earlier(session: ScopedSession, program_id: UUID, request: ReversalRequest) -> Reversal | None:
    used = await repository.keys_used(session, program_id, list(request.key_hashes))
    if any(key.operation != OPERATION for key in used):
        raise ReplayedSignatureError
    if len({key.event_id for key in used}) > 1 or any(key.body_hash != request.body_hash for key in used):
        raise IdempotencyConflictError
    return await repository.reversal(session, program_id, used[0].event_id) if used else None


@dataclass(frozen=True, slots=True)
class _Taking:
    """Where the points of one reversal are taken from: what waits for delivery, what is available, then, by policy, a debt."""

    session: PlatformSession
    policy: ReversalPolicy
    accrual: Accrual
    recall: Recall
    reserved: list[UUID]
    now: datetime

    async def book(self, reversal_id: UUID, points: int) -> Taken:
        """Book what can be taken."""
        session, accrual = self.session, self.accrual
        program_id, account = accrual.program_id, (accrual.asset_id, accrual.account_id)
        # Balances before deliveries, as everywhere (SAFETY S15).
        balances = await ledger_repository.lock_account_balances(session, program_id, [account])
        pending = await ledger_repository.lock_pending_deliveries(session, program_id, *account, self.reserved)
        if self.policy is ReversalPolicy.PENDING_ONLY:
            # A claim that nothing is signed for is not on its way either; those of automatic assets have none.
            pending = [delivery for delivery in pending if delivery.id == accrual.delivery_id or delivery.kind == "claim"]
        cancelled = self._cancel(pending, points)
        released = sum(cancelled.values())
        from_pending = min(points, released)
        # A reward that is claimed, not sent, is pending while it is available.
        reach_available = self.policy is not ReversalPolicy.PENDING_ONLY or accrual.delivery_id is None
        from_available = min(points - from_pending, balances[account].available) if reach_available else 0
        rest = points - from_pending - from_available
        as_debt = rest if self.policy is ReversalPolicy.DEBT else 0
        amounts = (
            (PostingKind.RELEASE, released),
            (PostingKind.REVERSE, from_pending + from_available),
            (PostingKind.OWE, as_debt),
        )
        movements = [
            Movement(kind, reversal_id, accrual.asset_id, amount, accrual.account_id) for kind, amount in amounts if amount
        ]
        await ledger.post(session, program_id, movements, self.now)
        for claim in (delivery for delivery in pending if delivery.kind == "claim" and delivery.id in cancelled):
            await resolve_alert(session, REVIEW_ALERT, str(claim.id))
        await self.recall.take(session, program_id, {one: cancelled[one] for one in self.reserved if one in cancelled})
        return Taken(from_pending, from_available, as_debt, rest - as_debt)

    def _cancel(self, pending: list[Delivery], points: int) -> dict[UUID, int]:
        """Take up to `points` out of deliveries that nothing is signed for; what each gave.

        The event's own comes first, and what is reserved last. An automatic delivery shrinks; a claim, whose tokens are agreed,
        is cancelled whole, and the rest is available again.
        """
        own, taken = self.accrual.delivery_id, dict[UUID, int]()
        for delivery in sorted(pending, key=lambda one: (one.id != own, one.state == DeliveryState.RESERVED)):
            left = points - sum(taken.values())
            if left <= 0:
                break
            gives = delivery.points if delivery.kind == "claim" else min(delivery.points, left)
            taken[delivery.id] = gives
            delivery.updated_at = self.now
            if gives == delivery.points:
                delivery.state = DeliveryState.REFUSED
                delivery.reason = "reversed"
            else:
                delivery.points -= gives
        return taken
