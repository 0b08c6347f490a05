"""An operator's word on flagged payments: approved, they go on; rejected, what they earned is taken back. Nothing commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from guerdon.activity.settlements import repository_flags, repository_settlements
from guerdon.activity.settlements.errors import FlagDecidedError, FlagNotFoundError
from guerdon.activity.settlements.flagging import REVIEW_WAITS
from guerdon.activity.settlements.names import address_on, namespace_of_address
from guerdon.earning.volume_life import approve
from guerdon.earning.volume_terms import Held
from guerdon.earning.volume_undoing import undo
from guerdon.kit.database import ScopedSession
from guerdon.kit.outbox import append, resolve_alert

REJECTED: Final = "rejected"
APPROVED: Final = "approved"
MOST_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Word:
    """What an operator says."""

    approves: bool
    by: str
    note: str
    now: datetime

    @property
    def verdict(self) -> str:
        """As it is stored."""
        return APPROVED if self.approves else REJECTED


async def decide_flag(session: ScopedSession, program_id: UUID, flag_id: UUID, word: Word) -> list[UUID]:
    """Decide about the payment of a flag, all of its patterns at once. Raises `FlagNotFoundError`, `FlagDecidedError`."""
    flag = await repository_flags.flag(session, program_id, flag_id)
    if flag is None:
        raise FlagNotFoundError
    decided = await _decide(session, program_id, [flag.settlement_id], word)
    if not decided:
        raise FlagDecidedError
    return decided


async def decide_payer(session: ScopedSession, program_id: UUID, payer: str, word: Word) -> list[UUID]:
    """Decide about all payments of a payer that wait, `MOST_AT_ONCE` at a time; which they were."""
    namespace = namespace_of_address(payer)
    stored = None if namespace is None else address_on(namespace, payer)
    waiting = await repository_flags.open_of_payer(session, program_id, stored or payer, MOST_AT_ONCE)
    return await _decide(session, program_id, waiting, word) if waiting else []


async def _decide(session: ScopedSession, program_id: UUID, settlement_ids: Sequence[UUID], word: Word) -> list[UUID]:
    # Payments are locked before accounts, as crediting does.
    rows = await repository_settlements.lock(session, program_id, settlement_ids)
    decided = await repository_flags.decide(session, program_id, settlement_ids, word.verdict, word.by, word.note, word.now)
    credited = [row_id for row_id in decided if row_id in rows and rows[row_id].account_id is not None]
    if word.approves:
        await approve(session, program_id, credited, word.now)
    else:
        await undo(session, program_id, credited, Held.REJECTED, word.now)
        for row_id in decided:
            if row_id in rows:
                rows[row_id].why_not = REJECTED
    await session.flush()
    for row_id in decided:
        facts = {"settlementId": str(row_id), "verdict": word.verdict, "by": word.by, "note": word.note}
        await append(session, "settlement.reviewed", facts, program_id=program_id)
    if not await repository_flags.open_flags(session, program_id):
        await resolve_alert(session, REVIEW_WAITS, str(program_id))
    return decided
