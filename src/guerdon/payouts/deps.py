"""What the steps of payouts need from the application: a database, chains and their settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from guerdon.accounts.proofs import Chains as ProofChains
from guerdon.accounts.proofs import Prover
from guerdon.kit.database import Database
from guerdon.payouts.terms import PayoutTerms
from guerdon.txmanager.tokens import Chains, Solanas


@dataclass(frozen=True, slots=True)
class PayoutDeps:
    """Passed to every step, so that a test gives others."""

    database: Database
    chain: Chains
    """The clients of EVM networks."""
    terms: PayoutTerms = field(default_factory=PayoutTerms)
    solana: Solanas | None = None
    """Those of Solanas, where there are any."""

    @property
    def prover(self) -> Prover:
        """Asks contract wallets again whether an address is still its account's (SAFETY S7)."""
        return Prover(self.database, cast("ProofChains", self.chain))
