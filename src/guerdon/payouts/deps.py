"""What the steps of payouts need from the application: a database, chains and their settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from guerdon.kit.database import Database
from guerdon.payouts.terms import PayoutTerms
from guerdon.txmanager.tokens import Chains


@dataclass(frozen=True, slots=True)
class PayoutDeps:
    """Passed to every step, so that a test gives others."""

    database: Database
    chain: Chains
    terms: PayoutTerms = field(default_factory=PayoutTerms)
