"""What came and why it earned what it did, for operators. Nothing here commits."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from guerdon.accounts.identities import normalise
from guerdon.accounts.repository import account_of
from guerdon.activity import repository_history as repository
from guerdon.activity.errors import EventNotFoundError
from guerdon.activity.repository_history import EventRow
from guerdon.kit.api import Wire
from guerdon.kit.database import ProgramSession
from guerdon.programs.repository import program_by_id


class EventPayout(Wire):
    """Where the tokens of an event are."""

    id: UUID
    state: str
    transaction_hash: str | None


class EventView(Wire):
    """An accepted report, what it earned and why."""

    id: UUID
    event_type: str
    user: str
    """The identity."""
    account_id: UUID
    trust: str
    domain: str | None
    channel: str | None
    source_url: str | None
    client_address: str | None
    metadata: dict[str, Any] | None
    received_at: datetime
    points: int
    reversed: int
    asset: str | None
    reasons: list[dict[str, Any]]
    payout: EventPayout | None


async def events_page(
    session: ProgramSession, before: UUID | None, limit: int, *, event_type: str | None = None, user: str | None = None
) -> tuple[list[EventView], UUID | None]:
    """Events newest first, `limit` at most, and the id before which to go on. `user` is an email or `platform:id`.

    Fewer than `limit`, or none, and yet something to go on with: a rare type is looked for a piece of the history at a time.
    """
    account_id = None
    if user is not None:
        account = await account_of(session, session.program_id, normalise(user, await _synthetic_domains(session)))
        if account is None:
            return [], None
        account_id = account.id
    page = await repository.events_before(
        session, session.program_id, before, limit, event_type=event_type, account_id=account_id
    )
    return [_view(row) for row in page.rows], page.following


async def event_of(session: ProgramSession, event_id: UUID) -> EventView:
    """One event. Raises `EventNotFoundError`."""
    row = await repository.event(session, session.program_id, event_id)
    if row is None:
        raise EventNotFoundError
    return _view(row)


async def _synthetic_domains(session: ProgramSession) -> frozenset[str]:
    program = await program_by_id(session, session.program_id)
    return frozenset() if program is None or program.synthetic_domain is None else frozenset({program.synthetic_domain})


def _view(row: EventRow) -> EventView:
    event, accrual, symbol, delivery = row
    return EventView(
        id=event.id,
        event_type=event.event_type,
        user=event.identity,
        account_id=event.account_id,
        trust=event.trust,
        domain=event.domain,
        channel=event.channel,
        source_url=event.source_url,
        client_address=event.client_address,
        metadata=event.metadata_,
        received_at=event.received_at,
        points=0 if accrual is None else accrual.points,
        reversed=0 if accrual is None else accrual.reversed,
        asset=symbol,
        reasons=[] if accrual is None else accrual.reasons,
        payout=None
        if delivery is None
        else EventPayout(id=delivery.id, state=delivery.state, transaction_hash=delivery.transaction_hash),
    )
