"""What the administration of rules refuses; refusals of reports are values (`earning/decision.py`)."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class InvalidRuleError(GuerdonError, status=400, code="INVALID_RULE", title="Invalid rule"):
    """The rule contradicts itself; `details` names the fields and what would do."""


class RuleNotFoundError(GuerdonError, status=404, code="RULE_NOT_FOUND", title="Rule not found"):
    """The program has no rule for this event type; `guerdon rule list` shows those that it has."""


class RuleExistsError(GuerdonError, status=409, code="RULE_EXISTS", title="Rule exists"):
    """The program has a rule for this event type already; change it with PATCH or replace it with PUT."""


class CampaignNotFoundError(GuerdonError, status=404, code="CAMPAIGN_NOT_FOUND", title="Campaign not found"):
    """The program has no campaign of this id; `guerdon campaign list` shows those that it has."""


class InvalidCampaignError(GuerdonError, status=400, code="INVALID_CAMPAIGN", title="Invalid campaign"):
    """The campaign contradicts itself, or lacks what its type needs; `details` names the fields and what would do."""


class CampaignStateError(GuerdonError, status=409, code="CAMPAIGN_STATE", title="Not in this state"):
    """The campaign is not in a state in which this can be done; `details` names its state."""


class CampaignPromisedError(GuerdonError, status=409, code="CAMPAIGN_PROMISED", title="Already promised"):
    """A published pool may become better for those who earned a share, never worse; `details` names the fields."""


class CampaignUnbackedError(GuerdonError, status=409, code="CAMPAIGN_UNBACKED", title="Conversion rate is not backed"):
    """At this campaign's rates the treasuries could not pay all points that programs were promised; fund them first."""


class AssetNotClaimableError(GuerdonError, status=400, code="ASSET_NOT_CLAIMABLE", title="Asset is not claimed"):
    """Settled volume earns points that are claimed; name an asset whose delivery is `on_claim`."""


class SimulationTooLargeError(GuerdonError, status=400, code="SIMULATION_TOO_LARGE", title="Simulation too large"):
    """More settlements than one request looks at; ask for a shorter time, or use `guerdon campaign simulate`."""


class InvalidVolumeTermsError(GuerdonError, status=400, code="INVALID_VOLUME_TERMS", title="Invalid volume terms"):
    """The terms of settled volume contradict themselves; `details` names the fields and what would do."""
