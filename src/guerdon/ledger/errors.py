"""What the ledger refuses."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class NotEnoughPointsError(GuerdonError, status=409, code="NOT_ENOUGH_POINTS", title="Not enough points"):
    """The balance does not have that many points any more; read it again and decide anew."""


class PostingConflictError(GuerdonError, status=409, code="POSTING_CONFLICT", title="Posting conflict"):
    """A posting with this key was made with another amount or account; nothing was booked."""
