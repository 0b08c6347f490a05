"""What the administration of alerts refuses."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class AlertNotFoundError(GuerdonError, status=404, code="ALERT_NOT_FOUND", title="Alert not found"):
    """There is no alert with this id; `guerdon alert list --all` shows those that there are."""
