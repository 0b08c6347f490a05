"""What payout options refuse."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class AssetNotClaimedError(GuerdonError, status=409, code="ASSET_NOT_CLAIMED", title="Asset is not claimed"):
    """Only points of an `on_claim` asset have payout options; an automatic asset is paid in its own token."""


class OptionTokenError(GuerdonError, status=409, code="PAYOUT_OPTION_TOKEN", title="Another token"):
    """There is no contract at this address, or the option has a treasury of another token; check it, or make another asset."""


class OptionDecimalsError(GuerdonError, status=409, code="PAYOUT_OPTION_DECIMALS", title="Other decimals"):
    """The token has other decimals than those given; on Solana they have to be given."""


class OptionNotMintableError(GuerdonError, status=409, code="PAYOUT_OPTION_NOT_MINTABLE", title="Not mintable"):
    """We hold no right to mint this token; `guerdon contracts deploy --asset` makes one, else it is paid from stock."""


class OptionUnbackedError(GuerdonError, status=409, code="PAYOUT_OPTION_UNBACKED", title="Promised points are not backed"):
    """With this change the treasuries could not pay all points that programs were promised; fund them first."""
