"""What intake and its neighbours refuse, beside the refusals of the decision itself (`earning/decision.py`)."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class ReplayedSignatureError(GuerdonError, status=401, code="REPLAYED_SIGNATURE", title="Unauthorized"):
    """This signature was used for another request; sign each request anew."""


class EventNotFoundError(GuerdonError, status=404, code="EVENT_NOT_FOUND", title="Not found"):
    """No event of this program has that id or idempotency key."""


class ReversalTooLargeError(GuerdonError, status=409, code="REVERSAL_TOO_LARGE", title="Reversal too large"):
    """More is asked back than is left of the event's reward; `details` says how much is."""
