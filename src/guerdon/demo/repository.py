"""What the demo reads of the books for its report. One named statement each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from guerdon.kit.database import PlatformSession, ProgramSession


@dataclass(frozen=True, slots=True)
class Wallet:
    """A customer's wallet, and what the ledger says was delivered to it, in points."""

    address: str
    earned: int
    delivered: int


async def purchases(session: ProgramSession, event_type: str) -> tuple[int, int]:
    """How many purchases are in the books, and of how many customers."""
    row = (
        await session.execute(
            text(
                "select count(*) as events, count(distinct account_id) as customers from events"
                " where program_id = :program_id and event_type = :event_type"
            ),
            {"program_id": session.program_id, "event_type": event_type},
        )
    ).one()
    return int(row.events), int(row.customers)


async def wallets(session: ProgramSession, asset_id: UUID) -> Sequence[Wallet]:
    """Every wallet of the program's customers."""
    rows = await session.execute(
        text(
            """
            select a.wallet_address, b.earned - b.reversed as earned, b.claimed
            from accounts a join account_balances b on b.program_id = a.program_id and b.account_id = a.id
            where a.program_id = :program_id and b.program_id = :program_id and b.asset_id = :asset_id
            order by a.id
            """
        ),
        {"program_id": session.program_id, "asset_id": asset_id},
    )
    return [Wallet(row.wallet_address, int(row.earned), int(row.claimed)) for row in rows]


async def payments(session: PlatformSession) -> int:
    """How many chain transactions paid people."""
    return int(
        await session.scalar(text("select count(*) from intents where kind = 'pay' and state = 'final' and succeeded")) or 0
    )
