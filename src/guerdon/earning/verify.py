"""Reconciliation of what was earned with the books, beside the checks of `ledger/verify.py`."""

from __future__ import annotations

from guerdon.earning import repository_verify as repository
from guerdon.ledger.verify import Check

CHECKS: dict[str, Check] = {"accruals are what was posted": repository.accruals_and_postings}
"""Each check, in words, and the query that returns whatever breaks it."""
