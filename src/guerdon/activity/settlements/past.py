"""What was settled, read again for earning: the past that a campaign is simulated over (DESIGN section 3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from guerdon.activity.settlements import repository_past
from guerdon.earning.volume_terms import Settled
from guerdon.kit.database import ProgramSession

_PIECE: Final = 2_000


async def settled_history(session: ProgramSession, since: datetime, until: datetime) -> AsyncIterator[Sequence[Settled]]:
    """Payments that somebody was credited for and that stand, from `since` to `until`, in the order of their blocks' times."""
    place = (since, UUID(int=0))
    while piece := await repository_past.credited_after(session, session.program_id, place, until, _PIECE):
        yield piece
        place = (piece[-1].settled_at, piece[-1].id)
