"""What the administration of rules refuses; refusals of reports are values (`earning/decision.py`)."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class InvalidRuleError(GuerdonError, status=400, code="INVALID_RULE", title="Invalid rule"):
    """The rule contradicts itself; `details` names the fields and what would do."""


class RuleNotFoundError(GuerdonError, status=404, code="RULE_NOT_FOUND", title="Rule not found"):
    """The program has no rule for this event type; `guerdon rule list` shows those that it has."""


class RuleExistsError(GuerdonError, status=409, code="RULE_EXISTS", title="Rule exists"):
    """The program has a rule for this event type already; change it with PATCH or replace it with PUT."""
