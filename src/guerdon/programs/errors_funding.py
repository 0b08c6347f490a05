"""What funding refuses."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class NoTreasuryError(GuerdonError, status=409, code="NO_TREASURY", title="No treasury"):
    """The asset of the program has no treasury there yet (`guerdon treasury create`), or several: then name the network."""


class NotMintableError(GuerdonError, status=409, code="NOT_MINTABLE", title="Not mintable"):
    """We may not mint this asset: send its tokens to the treasury and name the transaction (`--deposit`)."""


class DepositNotFoundError(GuerdonError, status=404, code="DEPOSIT_NOT_FOUND", title="Deposit not found"):
    """This transaction is in no block, failed, or sends none of the asset's tokens to its treasury."""


class DepositUsedError(GuerdonError, status=409, code="DEPOSIT_USED", title="Deposit already used"):
    """Every transfer of this transaction to the treasury is booked or about to be."""


class DepositAmountError(GuerdonError, status=400, code="DEPOSIT_AMOUNT", title="Another amount"):
    """No unused transfer of this transaction has this amount; leave the amount out, or name one that it has."""


class FundingConflictError(GuerdonError, status=409, code="FUNDING_CONFLICT", title="Funding conflict"):
    """A funding with this id exists for another program or amount."""


class FundingNotFoundError(GuerdonError, status=404, code="FUNDING_NOT_FOUND", title="Funding not found"):
    """There is no funding with this id."""
