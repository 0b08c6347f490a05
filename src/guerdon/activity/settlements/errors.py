"""What sources, their reports and the review of payments refuse."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class SourceNotFoundError(GuerdonError, status=404, code="SOURCE_NOT_FOUND", title="Not found"):
    """There is no such source; `guerdon source list` shows those that there are."""


class SourceExistsError(GuerdonError, status=409, code="SOURCE_EXISTS", title="Conflict"):
    """The program has a source of this name; choose another."""


class SourceDisabledError(GuerdonError, status=403, code="SOURCE_DISABLED", title="Source disabled"):
    """This source is switched off; its operator can enable it."""


class NoWebhookError(GuerdonError, status=404, code="SOURCE_TAKES_NO_REPORTS", title="Not found"):
    """This source is read and takes no reports; make one of a kind that reports."""


class InvalidSignerError(GuerdonError, status=400, code="INVALID_SIGNER", title="Invalid signer"):
    """A signer is no address of its network; `details` names it."""


class SettlementNetworkError(GuerdonError, status=400, code="UNKNOWN_SETTLEMENT_NETWORK", title="Unknown network"):
    """This network is not set up; add it with `guerdon network add`."""


class SourceLocationError(GuerdonError, status=400, code="INVALID_SOURCE_LOCATION", title="Invalid location"):
    """A source of this kind needs the absolute path of a SQLite file, or a postgresql:// address; other kinds have none."""


class WebhookSignatureError(GuerdonError, status=401, code="INVALID_WEBHOOK_SIGNATURE", title="Unauthorized"):
    """The signature does not fit the raw body; sign with a valid secret of this source."""


class StaleWebhookError(GuerdonError, status=401, code="STALE_WEBHOOK", title="Unauthorized"):
    """The signed time is more than five minutes away from now; sign each delivery when it is sent, and set the clock."""


class InvalidWebhookError(GuerdonError, status=400, code="INVALID_WEBHOOK", title="Invalid webhook"):
    """The body is not what this kind of source sends; `details` says what is missing."""


class SettlementAssetNotFoundError(GuerdonError, status=404, code="SETTLEMENT_ASSET_NOT_FOUND", title="Not found"):
    """No such asset counts here; `guerdon settlement-asset list` shows those that do."""


class NoPresetError(GuerdonError, status=404, code="NO_SETTLEMENT_PRESET", title="Not found"):
    """No asset is known for this network; name one by its address, decimals and worth (`guerdon settlement-asset set`)."""


class FlagNotFoundError(GuerdonError, status=404, code="SETTLEMENT_FLAG_NOT_FOUND", title="Not found"):
    """There is no such flag in this program."""


class FlagDecidedError(GuerdonError, status=409, code="SETTLEMENT_FLAG_DECIDED", title="Conflict"):
    """This payment was approved or rejected before, and stays so."""
