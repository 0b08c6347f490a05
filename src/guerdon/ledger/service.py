"""Posting: movements are booked once each, whatever is repeated or races. The hot path of intake books the same rows by
`activity/repository_booking.py`; everything else goes through `post`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from guerdon.kit.database import UNIQUE_VIOLATION, ScopedSession, sqlstate
from guerdon.ledger import repository
from guerdon.ledger.errors import NotEnoughPointsError, PostingConflictError
from guerdon.ledger.postings import EFFECTS, Balance, Movement, NewPosting


async def post(session: ScopedSession, program_id: UUID, movements: Sequence[Movement], now: datetime) -> int:
    """Book each movement that is not booked yet, in the order given; the number that was new.

    All or nothing: raises `NotEnoughPointsError` if any balance would fall below zero, and `PostingConflictError` if a
    movement was booked before with another amount or account.
    """
    if not movements:
        return 0
    await session.flush()
    balances = await repository.lock_account_balances(
        session, program_id, {(m.asset_id, m.account_id) for m in movements if m.account_id is not None}
    )
    # Repeats meet at an account's lock, and those that have no account at the program's. For the others the program's row is
    # held no longer than it takes to write: every posting of the program waits for it.
    if any(movement.account_id is None for movement in movements):
        await repository.lock_program_balances(session, program_id, {movement.asset_id for movement in movements})
    new = _new(movements, await repository.booked(session, program_id, movements))
    if new:
        await _book(session, program_id, new, balances, now)
    return len(new)


async def post_new(
    session: ScopedSession,
    program_id: UUID,
    movements: Sequence[Movement],
    balances: Mapping[repository.AccountKey, Balance],
    now: datetime,
) -> None:
    """Book movements of accounts whose `balances` the caller has locked in this transaction, and knows not to be booked yet.

    `balances` are moved on. Raises `NotEnoughPointsError`, and `PostingConflictError` if one is booked after all.
    """
    if movements:
        await session.flush()
        await _book(session, program_id, movements, balances, now)


async def _book(
    session: ScopedSession,
    program_id: UUID,
    movements: Sequence[Movement],
    balances: Mapping[repository.AccountKey, Balance],
    now: datetime,
) -> None:
    postings = [_applied(movement, balances) for movement in movements]
    changes = _of_the_program(movements)
    if len(changes) > 1:
        await repository.lock_program_balances(session, program_id, changes)
    try:
        changed = await repository.write(session, program_id, postings, list(balances.values()), changes, now)
    except Exception as error:
        if sqlstate(error) == UNIQUE_VIOLATION:
            # Booked meanwhile, for another account: for the same one it would have been seen under its lock.
            raise PostingConflictError from error
        raise
    short = sorted(changes.keys() - changed)
    if short:
        raise NotEnoughPointsError(
            "The program's books do not have that many points.", details={"assets": [str(asset_id) for asset_id in short]}
        )


def _new(movements: Iterable[Movement], booked: Iterable[Movement]) -> list[Movement]:
    """Each once, without those that are booked."""
    known = {(movement.asset_id, movement.kind, movement.ref): movement for movement in booked}
    new: list[Movement] = []
    for movement in movements:
        key = (movement.asset_id, movement.kind, movement.ref)
        first = known.get(key)
        if first is None:
            known[key] = movement
            new.append(movement)
        elif first != movement:
            raise PostingConflictError(
                details={
                    "kind": movement.kind,
                    "ref": str(movement.ref),
                    "booked": str(first.amount),
                    "asked": str(movement.amount),
                }
            )
    return new


def _applied(movement: Movement, balances: Mapping[repository.AccountKey, Balance]) -> NewPosting:
    """Each posting must find its points, not only the sum of the batch."""
    effect = EFFECTS[movement.kind]
    if effect.on_account != (movement.account_id is not None):
        message = f"{movement.kind} is {'' if effect.on_account else 'not '}of an account"
        raise ValueError(message)
    if movement.account_id is None:
        return NewPosting(movement)
    balance = balances[movement.asset_id, movement.account_id]
    for column, sign in effect.account:
        setattr(balance, column, getattr(balance, column) + sign * movement.amount)
    balance.version += 1
    if short := balance.short():
        raise NotEnoughPointsError(details={"account": str(balance.account_id), "short": short})
    return NewPosting(movement, balance.version, balance.available)


def _of_the_program(movements: Iterable[Movement]) -> dict[UUID, dict[str, int]]:
    """What changes on the program's side, by asset and column."""
    changes: dict[UUID, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for movement in movements:
        for column, sign in EFFECTS[movement.kind].program:
            changes[movement.asset_id][column] += sign * movement.amount
    return changes
