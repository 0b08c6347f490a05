"""What becomes of an accrual of settled volume: final, held for the program's time, looked at, available, or undone.

finalise(…)          its settlement is final: available, or held on for the holding time
hold_for_review(…)   an operator has to look at it first; approve(…) lets it go on
mature(…)            the holding time is over
Taking one back is `volume_undoing.py`. Each takes the caller's transaction, and repeated changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from guerdon.earning import repository_accruals as repository
from guerdon.earning.repository_accruals import Booked
from guerdon.earning.volume_booking import MATURE, repayment
from guerdon.earning.volume_terms import HELD, Held
from guerdon.kit.database import ScopedSession
from guerdon.kit.jobs import wake
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Balance, Movement

_Change = Callable[[Booked], bool]
"""Changes an accrual, if it is one of those to be changed; whether it was."""


async def finalise(session: ScopedSession, program_id: UUID, ids: Sequence[UUID], now: datetime) -> int:
    """Note that these settlements are final; what waited for nothing else becomes available. How many changed."""

    def final(accrual: Booked) -> bool:
        if accrual.final_at is not None or accrual.held_for not in HELD:
            return False
        accrual.final_at = now
        if accrual.held_for == Held.FINALITY:
            accrual.held_for = _after_finality(accrual, now)
        return True

    return await _move(session, program_id, ids, final, now)


async def hold_for_review(session: ScopedSession, program_id: UUID, ids: Sequence[UUID], why: str, now: datetime) -> int:
    """Hold these for an operator, where they are held yet: what is available is not taken away. How many changed."""

    def held(accrual: Booked) -> bool:
        if accrual.held_for not in {Held.FINALITY, Held.HOLDING}:
            return False
        accrual.held_for = Held.REVIEW
        accrual.reasons.append({"kind": "review", "text": f"Held for review: {why}"})
        return True

    return await _move(session, program_id, ids, held, now)


async def approve(session: ScopedSession, program_id: UUID, ids: Sequence[UUID], now: datetime) -> int:
    """An operator has looked at these: they go on as if nobody had asked. How many changed."""

    def approved(accrual: Booked) -> bool:
        if accrual.held_for != Held.REVIEW:
            return False
        accrual.held_for = Held.FINALITY if accrual.final_at is None else _after_finality(accrual, now)
        accrual.reasons.append({"kind": "review", "text": "Reviewed and approved."})
        return True

    return await _move(session, program_id, ids, approved, now)


async def mature(session: ScopedSession, program_id: UUID, now: datetime, limit: int) -> int:
    """Make available what was held long enough; how many, `limit` at most."""

    def ripe(accrual: Booked) -> bool:
        # Read again under the lock: it may be in review by now, or undone.
        if accrual.held_for != Held.HOLDING or _after_finality(accrual, now) is not None:
            return False
        accrual.held_for = None
        return True

    return await _move(session, program_id, await repository.held_till(session, program_id, now, limit), ripe, now)


async def lock_accounts_of(
    session: ScopedSession, program_id: UUID, ids: Sequence[UUID]
) -> tuple[list[Booked], dict[ledger_repository.AccountKey, Balance]]:
    """These accruals, read under the locks of their accounts, and the balances of those."""
    seen = await repository.booked(session, program_id, ids)
    balances = await ledger_repository.lock_account_balances(
        session, program_id, {(one.asset_id, one.account_id) for one in seen}
    )
    # Again, in a later statement than the locks (SAFETY S10): an accrual's account and asset never change.
    return await repository.booked(session, program_id, ids), balances


async def _move(session: ScopedSession, program_id: UUID, ids: Sequence[UUID], moved: _Change, now: datetime) -> int:
    if not ids:
        return 0
    accruals, balances = await lock_accounts_of(session, program_id, ids)
    changed = [accrual for accrual in accruals if moved(accrual)]
    available = [accrual for accrual in changed if accrual.held_for is None]
    for one in available:
        # Its age, by which it expires, begins when it can be spent.
        one.held_until = now
    await repository.update(session, program_id, changed)
    debts = {key: balance.debt for key, balance in balances.items()}
    movements: list[Movement] = []
    for one in available:
        if one.left:
            movements.append(Movement(PostingKind.RELEASE, one.id, one.asset_id, one.left, one.account_id))
            # Later earnings repay an open debt first (SAFETY S13).
            movements += repayment(one.id, one.asset_id, one.account_id, one.left, debts)
    await ledger.post_new(session, program_id, movements, balances, now)
    due = [one.held_until for one in changed if one.held_for == Held.HOLDING and one.held_until is not None]
    if due:
        await wake(session, MATURE, program_id, min(due))
    return len(changed)


def _after_finality(accrual: Booked, now: datetime) -> Held | None:
    return Held.HOLDING if accrual.held_until is not None and accrual.held_until > now else None
