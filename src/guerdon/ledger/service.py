"""Posting: movements are booked once each, whatever is repeated or races. The hot path of intake books the same rows by
`activity/repository_intake.py`; everything else goes through `post`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from guerdon.kit.database import ScopedSession
from guerdon.ledger import repository
from guerdon.ledger.errors import NotEnoughPointsError, PostingConflictError
from guerdon.ledger.models import AccountBalance, Posting, PostingKind, ProgramBalance
from guerdon.ledger.postings import EFFECTS, Movement, available_change

_PROGRAM_NEVER_NEGATIVE = ("funds", "owed", "debt", "delivered")


async def post(session: ScopedSession, program_id: UUID, movements: Sequence[Movement], now: datetime) -> int:
    """Book each movement that is not booked yet, in the order given; the number that was new.

    All or nothing: raises `NotEnoughPointsError` if any balance would fall below zero, and `PostingConflictError` if a
    movement was booked before with another amount or account.
    """
    if not movements:
        return 0
    accounts = await repository.lock_account_balances(
        session, program_id, {(m.asset_id, m.account_id) for m in movements if m.account_id is not None}
    )
    programs = await repository.lock_program_balances(session, program_id, {m.asset_id for m in movements})
    booked = await repository.existing_postings(session, program_id, [(m.asset_id, m.kind.value, m.ref) for m in movements])
    new = [movement for movement in _distinct(movements) if not _is_booked(movement, booked)]
    if new:
        await _book(session, program_id, new, accounts, programs, now)
    return len(new)


def _distinct(movements: Sequence[Movement]) -> list[Movement]:
    seen: dict[tuple[UUID, PostingKind, UUID], Movement] = {}
    for movement in movements:
        first = seen.setdefault((movement.asset_id, movement.kind, movement.ref), movement)
        if first != movement:
            raise PostingConflictError
    return list(seen.values())


def _is_booked(movement: Movement, booked: dict[tuple[UUID, str, UUID], Posting]) -> bool:
    posting = booked.get((movement.asset_id, movement.kind.value, movement.ref))
    if posting is None:
        return False
    if (posting.amount, posting.account_id) != (movement.amount, movement.account_id):
        raise PostingConflictError(
            details={
                "kind": movement.kind,
                "ref": str(movement.ref),
                "booked": str(posting.amount),
                "asked": str(movement.amount),
            }
        )
    return True


async def _book(
    session: ScopedSession,
    program_id: UUID,
    movements: Sequence[Movement],
    accounts: dict[repository.AccountKey, AccountBalance],
    programs: dict[UUID, ProgramBalance],
    now: datetime,
) -> None:
    account_changes: dict[repository.AccountKey, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    program_changes: dict[UUID, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    available = {key: balance.available for key, balance in accounts.items()}
    versions = {key: balance.version for key, balance in accounts.items()}
    rows: list[dict[str, object]] = []
    for movement in movements:
        effect = EFFECTS[movement.kind]
        row: dict[str, object] = {
            "program_id": program_id,
            "asset_id": movement.asset_id,
            "kind": movement.kind.value,
            "ref": movement.ref,
            "from_bucket": effect.from_bucket.value,
            "to_bucket": effect.to_bucket.value,
            "amount": movement.amount,
            "account_id": None,
            "version": None,
            "available_after": None,
            "posted_at": now,
        }
        if movement.account_id is not None:
            key = (movement.asset_id, movement.account_id)
            versions[key] += 1
            available[key] += available_change(effect) * movement.amount
            for column, sign in effect.account:
                account_changes[key][column] += sign * movement.amount
            row |= {"account_id": movement.account_id, "version": versions[key], "available_after": available[key]}
            _refuse_negative(accounts[key], account_changes[key], available[key])
        for column, sign in effect.program:
            program_changes[movement.asset_id][column] += sign * movement.amount
        rows.append(row)
    await repository.insert_postings(session, rows)
    if account_changes:
        await repository.add_to_accounts(session, program_id, account_changes, {key: versions[key] for key in account_changes})
    for asset_id, changes in sorted(program_changes.items()):
        _refuse_negative_program(programs[asset_id], changes)
        await repository.add_to_program(session, programs[asset_id], changes)


def _refuse_negative(balance: AccountBalance, changes: dict[str, int], available: int) -> None:
    """Each posting must find its points: not only the sum of the batch (the running balances are part of the books)."""
    after = {column: getattr(balance, column) + changes.get(column, 0) for column in ("held", "debt")} | {"available": available}
    short = sorted(column for column, value in after.items() if value < 0)
    if short:
        raise NotEnoughPointsError(details={"account": str(balance.account_id), "short": short})


def _refuse_negative_program(balance: ProgramBalance, changes: dict[str, int]) -> None:
    short = sorted(column for column in _PROGRAM_NEVER_NEGATIVE if getattr(balance, column) + changes.get(column, 0) < 0)
    if short:
        raise NotEnoughPointsError("The program's books do not have that many points.", details={"short": short})
