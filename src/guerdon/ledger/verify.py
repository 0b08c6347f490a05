"""Reconciliation of the books: every balance is recomputed from the postings, and the postings are walked one by one.

What the chain says of it is compared in `payouts/verify.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from guerdon.kit.database import ScopedSession
from guerdon.ledger import repository_verify as repository
from guerdon.ledger.repository_verify import Check

SHOWN = 20
"""Findings listed a check; more are counted as one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where the books don't agree with themselves."""

    check: str
    program_id: UUID
    subject: str
    detail: dict[str, Any]


CHECKS: dict[str, Check] = {
    "a posting moves what its kind says": repository.misdirected_postings,
    "account balances are the sums of their postings": repository.account_sums,
    "running balances follow posting by posting": repository.running_balances,
    "program balances are the sums of all postings": repository.program_sums,
    "what a program owes is what its accounts hold": repository.owed_and_held,
    "what is held is what waits for delivery": repository.held_and_deliveries,
}
"""Each check, in words, and the query that returns whatever breaks it."""


async def verify_program(session: ScopedSession, program_id: UUID, checks: Mapping[str, Check] = CHECKS) -> list[Finding]:
    """Everything that is wrong in one program's books; empty when they are right."""
    findings: list[Finding] = []
    for name, query in checks.items():
        for row in await query(session, program_id, SHOWN):
            detail = dict(row)
            findings.append(Finding(name, program_id, str(detail.pop("subject")), detail))
    return findings
