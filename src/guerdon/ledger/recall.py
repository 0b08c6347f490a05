"""What a reversal asks of payouts: to take back what is reserved and not signed for (SAFETY S13).

The two are domains of one level, so they meet here; `payouts/recalling.py` does it, and the application hands it over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol
from uuid import UUID

from guerdon.kit.database import PlatformSession

REVIEW_ALERT: Final = "claim.review"
"""Of a claim that an operator is to approve or to refuse. Ends when that is done, or the claim is taken back."""


class Recall(Protocol):
    """Both in one transaction in the program's scope: `lock` before anything else is locked, `take` at its end."""

    async def lock(self, session: PlatformSession, program_id: UUID, asset_id: UUID, account_id: UUID) -> list[UUID]:
        """The account's payouts that are reserved and that no transaction was ever made for.

        None is made for them before the caller's transaction ends: their treasury and batches are locked (SAFETY S15).
        """
        ...

    async def take(self, session: PlatformSession, program_id: UUID, taken: Mapping[UUID, int]) -> None:
        """Bring batches and reservations in line with the points that were taken of payouts which `lock` named."""
        ...
