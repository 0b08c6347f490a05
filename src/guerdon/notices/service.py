"""Use cases of alerts: what needs an operator's eye. They are rows of the outbox with a severity. Nothing here commits."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from guerdon.kit.api import Wire
from guerdon.kit.database import ScopedSession
from guerdon.kit.outbox import OutboxRow
from guerdon.notices import repository
from guerdon.notices.errors import AlertNotFoundError


class AlertView(Wire):
    """An alert: what is wrong, and what to do about it."""

    id: UUID
    kind: str
    severity: Literal["info", "warning", "critical"]
    message: str
    remedy: str
    details: dict[str, Any]
    program_id: UUID | None
    occurrences: int
    created_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None


async def alerts_page(
    session: ScopedSession, after: UUID | None, limit: int, *, program_id: UUID | None, resolved: bool = False
) -> list[AlertView]:
    """Alerts oldest first, one more than `limit` if there are more."""
    rows = await repository.alerts_after(session, after, limit + 1, program_id=program_id, resolved=resolved)
    return [_view(row) for row in rows]


async def resolve_alert(session: ScopedSession, alert_id: UUID, *, program_id: UUID | None) -> AlertView:
    """Close an alert; it opens anew when its cause is seen again. Raises `AlertNotFoundError`."""
    row = await repository.resolve_alert(session, alert_id, program_id)
    if row is None:
        raise AlertNotFoundError
    return _view(row)


def _view(row: OutboxRow) -> AlertView:
    return AlertView.model_validate(
        {
            "id": row.id,
            "kind": row.kind,
            "severity": row.severity,
            "message": str(row.payload.get("message", row.kind)),
            "remedy": str(row.payload.get("remedy", "")),
            "details": row.payload.get("details") or {},
            "program_id": row.program_id,
            "occurrences": row.occurrences,
            "created_at": row.created_at,
            "last_seen_at": row.last_seen_at,
            "resolved_at": row.resolved_at,
        }
    )
