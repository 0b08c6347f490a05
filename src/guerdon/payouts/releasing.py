"""Giving held points back to their account, when nothing can pay them any more or nothing was ever signed."""

from __future__ import annotations

from datetime import datetime

from guerdon.kit.database import ScopedSession
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Delivery, DeliveryState, PostingKind
from guerdon.ledger.postings import Movement


async def give_points_back(
    session: ScopedSession, delivery: Delivery, state: DeliveryState, reason: str | None, now: datetime
) -> None:
    """End a payout that is locked: its points are available again, but for what the account owes (SAFETY S13)."""
    key = (delivery.asset_id, delivery.account_id)
    balances = await ledger_repository.lock_account_balances(session, delivery.program_id, [key])
    repaid = min(balances[key].debt, delivery.points)
    amounts = ((PostingKind.RELEASE, delivery.points), (PostingKind.REPAY, repaid), (PostingKind.SETTLE_DEBT, repaid))
    movements = [
        Movement(kind, delivery.id, delivery.asset_id, amount, delivery.account_id) for kind, amount in amounts if amount
    ]
    await ledger.post(session, delivery.program_id, movements, now)
    delivery.state, delivery.reason, delivery.updated_at = state, reason, now
    await session.flush()
