"""`ledger verify` for the whole installation: each program's books against themselves, then payouts against the chain."""

from __future__ import annotations

from typing import Any, Protocol, cast
from uuid import UUID

from fastapi import APIRouter

from guerdon.earning.verify import CHECKS as EARNING_CHECKS
from guerdon.kit.api import Wire
from guerdon.kit.database import Database
from guerdon.ledger.verify import CHECKS as LEDGER_CHECKS
from guerdon.ledger.verify import Finding, verify_program
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.verify import verify_payouts
from guerdon.programs import repository
from guerdon.programs.dependencies import Reading

router = APIRouter(prefix="/api/admin/ledger", tags=["ledger"])

CHECKS = {**LEDGER_CHECKS, **EARNING_CHECKS}
_PAGE = 200


class Books(Protocol):
    """What verifying uses of the running application."""

    @property
    def database(self) -> Database:
        """The unit of work."""
        ...

    def payout_deps(self) -> PayoutDeps:
        """What asking the chain for payouts takes."""
        ...


class FindingView(Wire):
    """One place where the books don't agree with themselves or with the chain."""

    check: str
    program_id: UUID
    subject: str
    detail: dict[str, Any]


class Verification(Wire):
    """What was looked at, and what is wrong; `consistent` when nothing is."""

    consistent: bool
    programs: int
    checks: list[str]
    findings: list[FindingView]


async def verify(books: Books, program_id: UUID | None = None) -> Verification:
    """Verify one program's books; or all of them, and the payouts against the chain too."""
    programs = await _all_programs(books) if program_id is None else [program_id]
    findings: list[Finding] = []
    for program in programs:
        async with books.database.program(program) as session:
            findings += await verify_program(session, program, CHECKS)
    checks = [*CHECKS]
    if program_id is None:
        checks.append("payouts are on chain what they are here, and backed by the treasury")
        findings += await verify_payouts(books.payout_deps())
    shown = [
        FindingView(check=one.check, program_id=one.program_id, subject=one.subject, detail=_plain(one.detail))
        for one in findings
    ]
    return Verification(consistent=not shown, programs=len(programs), checks=checks, findings=shown)


async def _all_programs(books: Books) -> list[UUID]:
    found: list[UUID] = []
    async with books.database.platform() as session:
        while page := await repository.programs_after(session, found[-1] if found else None, _PAGE):
            found += [program.id for program in page]
    return found


def _plain(detail: dict[str, Any]) -> dict[str, Any]:
    """Amounts may be larger than any JSON reader keeps exact, so they are strings."""
    return {name: value if isinstance(value, bool | None) else str(value) for name, value in detail.items()}


@router.get("/verify")
async def verify_ledger(request: Reading) -> Verification:
    """Reconcile the books: everything and the chain for an operator of the platform, its own books for a program."""
    program = await request.program_if_named()
    books = cast("Books", request.services)
    return await verify(books, None if program is None else program.id)
