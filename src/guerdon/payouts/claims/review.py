"""What an operator decides of a claim that waits for a review; a refused one gives its points back."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from guerdon.accounts import denials
from guerdon.kit import jobs, outbox
from guerdon.kit.database import ScopedSession, transaction_time
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger.models import Delivery, DeliveryState
from guerdon.payouts import alerts
from guerdon.payouts import repository as payouts
from guerdon.payouts.claims import repository
from guerdon.payouts.claims.errors import ClaimNotFoundError, ClaimNotInReviewError
from guerdon.payouts.claims.repository import ClaimRow
from guerdon.payouts.models import Work
from guerdon.payouts.releasing import give_points_back


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an operator says of a claim; `by` names who said it."""

    approved: bool
    reason: str
    by: str


async def review(session: ScopedSession, program_id: UUID, claim_id: UUID, verdict: Verdict) -> ClaimRow:
    """Let a claim go on, or refuse it; in the program's scope.

    Raises `ClaimNotFoundError`, `ClaimNotInReviewError`, and `AddressDeniedError` where its destination is on the deny-list:
    then it can only be refused.
    """
    claim, delivery = await locked(session, program_id, claim_id, DeliveryState.IN_REVIEW)
    if delivery.state != DeliveryState.IN_REVIEW:
        raise ClaimNotInReviewError(details={"state": delivery.state})
    now = await transaction_time(session)
    if verdict.approved:
        await denials.require_not_denied(session, program_id, str(delivery.destination))
        delivery.state, delivery.reason, delivery.updated_at = DeliveryState.APPROVED, None, now
        await jobs.wake(session, Work.RESERVE, program_id)
    else:
        await give_points_back(session, delivery, DeliveryState.REFUSED, verdict.reason, now)
    claim.reviewed_by, claim.reviewed_at, claim.review_note = verdict.by, now, verdict.reason
    await session.flush()
    await outbox.resolve_alert(session, alerts.REVIEW, str(claim_id))
    what = "claim.approved" if verdict.approved else "claim.refused"
    told = {"claim": str(claim_id), "reason": verdict.reason, "by": verdict.by}
    await outbox.append(session, what, told, program_id=program_id)
    return claim, delivery


async def locked(
    session: ScopedSession, program_id: UUID, claim_id: UUID, state: DeliveryState
) -> tuple[repository.Claim, Delivery]:
    """A claim with its payout, its account's balance locked before it (SAFETY S15). Raises `ClaimNotFoundError`.

    Where it is not in `state` nothing is locked: who delivers it locks its payout before the balance.
    """
    found = await repository.claim(session, program_id, claim_id)
    if found is None:
        raise ClaimNotFoundError
    claim, seen = found
    if seen.state != state:
        return found
    await ledger_repository.lock_account_balances(session, program_id, [(claim.asset_id, claim.account_id)])
    (delivery,) = await payouts.lock_deliveries(session, program_id, [claim_id])
    return claim, delivery
