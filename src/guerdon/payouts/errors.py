"""What remedies for payouts refuse."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class PayoutNotFoundError(GuerdonError, status=404, code="PAYOUT_NOT_FOUND", title="Payout not found"):
    """There is no payout with this id; `guerdon payout list` shows those that there are."""


class BatchNotFoundError(GuerdonError, status=404, code="BATCH_NOT_FOUND", title="Batch not found"):
    """There is no batch with this id; `guerdon payout show` names the batches of a payout."""


class PayoutNotStuckError(GuerdonError, status=409, code="PAYOUT_NOT_STUCK", title="Nothing to settle"):
    """Only quarantined payouts, and those of a batch that can never land, are retried or returned; this one moves by itself."""


class PayoutMayLandError(GuerdonError, status=409, code="PAYOUT_MAY_LAND", title="It may still land"):
    """A transaction that pays this may still land. Wait, or kill it and wait until that is final; then try again."""


class PaidBeforeError(GuerdonError, status=409, code="PAID_BEFORE", title="Paid before"):
    """The chain has a payment of this batch that these books do not know, as after the restoration of a backup.

    Pause the key (`guerdon key pause`), import what it sent (`guerdon key import`) and resume it.
    """


class TreasuryShortError(GuerdonError, status=409, code="TREASURY_SHORT", title="Treasury can't pay"):
    """The treasury is paused, out of free funds or over its limit; mend that, then try again."""


class AccountInDebtError(GuerdonError, status=409, code="ACCOUNT_IN_DEBT", title="Account in debt"):
    """The account owes points for a reversal, so it is paid nothing; return the payout, and its points repay the debt."""
