"""What making, cancelling and looking up drops refuses."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class DropNotFoundError(GuerdonError, status=404, code="DROP_NOT_FOUND", title="Drop not found"):
    """There is no drop, and no season, with this id; `guerdon drop list` shows those that there are."""


class DropProofNotFoundError(GuerdonError, status=404, code="DROP_PROOF_NOT_FOUND", title="Nothing to prove"):
    """This season has nothing for this address, or nothing of it is published yet."""


class DropNotPossibleError(GuerdonError, status=409, code="DROP_NOT_POSSIBLE", title="No drop in this asset"):
    """A drop needs an asset with a token on an EVM network, a treasury, and MerkleDrop there: `guerdon contracts deploy`."""


class DropWindowError(GuerdonError, status=400, code="DROP_WINDOW", title="Window refused"):
    """A window lasts from an hour to two years and ends in the future; a later root may neither open later nor close earlier."""


class DropSeasonBusyError(GuerdonError, status=409, code="DROP_SEASON_BUSY", title="Season takes no root now"):
    """The season is over, not published yet, or prepares another root; wait for that, or begin a season of its own."""


class DropOnItsWayError(GuerdonError, status=409, code="DROP_ON_ITS_WAY", title="Drop can't be cancelled"):
    """This drop is on chain or may land there, so its points stay promised; what nobody claims returns after the window."""
