"""What treasuries, assets and the deployment of contracts refuse."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class TreasuryNotFoundError(GuerdonError, status=404, code="TREASURY_NOT_FOUND", title="Treasury not found"):
    """No treasury has this asset symbol (or SYMBOL@NETWORK), id or address; see `guerdon treasury list`."""


class TreasuryExistsError(GuerdonError, status=409, code="TREASURY_EXISTS", title="Treasury exists"):
    """This asset has a treasury on this network, or the key is another treasury's of this token; see `guerdon treasury list`."""


class AssetWithoutTokenError(GuerdonError, status=409, code="ASSET_WITHOUT_TOKEN", title="Asset without token"):
    """This asset has no token there: `guerdon contracts deploy` deploys one, `guerdon asset create --token` names one, and
    `guerdon payout-option set` for points that are claimed. Where it has several, the network has to be named.
    """


class AssetExistsError(GuerdonError, status=409, code="ASSET_EXISTS", title="Asset exists"):
    """Another asset has this symbol."""


class NotDeployedError(GuerdonError, status=409, code="NOT_DEPLOYED", title="Contracts missing"):
    """The network has no RewardDistributor of ours; `guerdon contracts deploy` deploys it."""


class DeploymentFailedError(GuerdonError, status=409, code="DEPLOYMENT_FAILED", title="Deployment failed"):
    """A transaction of the deployment failed on chain; `guerdon contracts deploy` goes on once the cause is mended."""


class CodeMismatchError(GuerdonError, status=409, code="CODE_MISMATCH", title="Unexpected code"):
    """The code at this address is not that of the contract it should be; nothing is sent to it."""
