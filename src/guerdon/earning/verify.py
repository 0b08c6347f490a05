"""Reconciliation of what was earned with the books, beside the checks of `ledger/verify.py`."""

from __future__ import annotations

from guerdon.earning import repository_verify as repository
from guerdon.ledger.verify import Check

CHECKS: dict[str, Check] = {
    "accruals are what was posted": repository.accruals_and_postings,
    "fractions are what settlements earned without what became whole": repository.fractions,
    "volume by day is that of the settlements": repository.volumes,
    "budgets of campaigns are what their accounts and payers drew": repository.budgets,
    "what a campaign says of an account is what its accruals drew": repository.campaign_uses,
}
"""Each check, in words, and the query that returns whatever breaks it."""
