"""What claims refuse."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class ClaimNotFoundError(GuerdonError, status=404, code="CLAIM_NOT_FOUND", title="Claim not found"):
    """The account has no claim with this id."""


class ClaimsClosedError(GuerdonError, status=409, code="CLAIMS_CLOSED", title="Nothing to claim"):
    """Points of this program can't be claimed: they are sent as they are earned, or no token is offered for them yet."""


class PayoutOptionNotFoundError(GuerdonError, status=400, code="PAYOUT_OPTION_NOT_FOUND", title="No such payout"):
    """Points are not paid in this token, on this network or to this kind of address; `details.options` lists what there is."""


class ClaimTooSmallError(GuerdonError, status=400, code="CLAIM_TOO_SMALL", title="Claim too small"):
    """So few points are not paid out; `details.min_points` says how many are."""


class ClaimTooLargeError(GuerdonError, status=400, code="CLAIM_TOO_LARGE", title="Claim too large"):
    """So many points are not paid out at once; `details.max_points` says how many are."""


class ClaimLimitError(GuerdonError, status=429, code="CLAIM_LIMIT", title="Claim limit reached"):
    """The account has claimed what it may in this period; `details.left` can still be claimed."""


class ClaimCooldownError(GuerdonError, status=429, code="CLAIM_COOLDOWN", title="Claimed a moment ago"):
    """The account has to wait before it claims again, for the time given in `Retry-After`."""


class ClaimNotInReviewError(GuerdonError, status=409, code="CLAIM_NOT_IN_REVIEW", title="Nothing to review"):
    """Only a claim that waits for a review is approved or refused; `details.state` says where this one is."""
