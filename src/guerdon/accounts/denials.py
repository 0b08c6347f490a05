"""The deny-list of a program: addresses that earn nothing and are paid nothing. Asked at credit, at a claim and at its payout.

Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from guerdon.accounts.errors import InvalidAddressError
from guerdon.accounts.forms import canonical
from guerdon.accounts.models_denials import DeniedAddress
from guerdon.chains.networks import NAMESPACES
from guerdon.kit.database import ScopedSession, raw_connection
from guerdon.kit.errors import GuerdonError


class AddressDeniedError(GuerdonError, status=403, code="ADDRESS_DENIED", title="Address denied"):
    """This program does not deal with that address; its operator can say why."""


def stored_form(address: str) -> str:
    """An address of any namespace as it is compared. Raises `InvalidAddressError`."""
    for namespace in NAMESPACES:
        try:
            return canonical(namespace, address)
        except InvalidAddressError:
            continue
    raise InvalidAddressError


_DENIED = "select address from denied_addresses where program_id = $1 and address = any($2::text[])"


async def denied(session: ScopedSession, program_id: UUID, addresses: Collection[str]) -> set[str]:
    """Which of these the program does not deal with, as they were given. One statement; what is no address is not denied."""
    forms: dict[str, list[str]] = {}
    for address in addresses:
        try:
            forms.setdefault(stored_form(address), []).append(address)
        except InvalidAddressError:
            continue
    if not forms:
        return set()
    rows = await (await raw_connection(session)).fetch(_DENIED, program_id, list(forms))
    return {given for row in rows for given in forms[row["address"]]}


async def require_not_denied(session: ScopedSession, program_id: UUID, address: str) -> None:
    """Raises `AddressDeniedError`."""
    if await denied(session, program_id, [address]):
        raise AddressDeniedError


async def deny(session: ScopedSession, program_id: UUID, address: str, reason: str, now: datetime) -> DeniedAddress:
    """Put an address on the list, or say another reason. Raises `InvalidAddressError`."""
    new = insert(DeniedAddress).values(program_id=program_id, address=stored_form(address), reason=reason, created_at=now)
    changed = new.on_conflict_do_update(index_elements=["program_id", "address"], set_={"reason": new.excluded.reason})
    found = await session.scalars(changed.returning(DeniedAddress), execution_options={"populate_existing": True})
    return found.one()


async def allow(session: ScopedSession, program_id: UUID, address: str) -> bool:
    """Take an address off the list; was it on it?"""
    removed = await session.scalar(
        delete(DeniedAddress)
        .where(DeniedAddress.program_id == program_id, DeniedAddress.address == stored_form(address))
        .returning(DeniedAddress.address)
    )
    return removed is not None


async def denials_after(session: ScopedSession, program_id: UUID, after: str | None, limit: int) -> Sequence[DeniedAddress]:
    """A page of the list, by address."""
    query = select(DeniedAddress).where(DeniedAddress.program_id == program_id)
    if after is not None:
        query = query.where(DeniedAddress.address > after)
    return (await session.scalars(query.order_by(DeniedAddress.address).limit(limit))).all()
