"""The kinds of alert that payouts raise; what each says and how it ends is where it is raised."""

from typing import Final

from guerdon.ledger.recall import REVIEW_ALERT

QUARANTINED: Final = "payout.quarantined"
"""Of a payout: its recipient can't be paid. Ends by a retry or a return."""
UNKNOWN: Final = "payouts.unknown"
"""Of a batch: nobody knows whether it will land, or it never will. Ends when it is settled."""
REVIEW: Final = REVIEW_ALERT
"""Of a claim that an operator is to approve or to refuse. Ends when that is done, or the claim is taken back."""
UNFUNDED: Final = "payouts.unfunded"
"""Of a treasury: payouts wait since it has too few tokens. Ends some minutes after one was last met."""
TOO_LARGE: Final = "payouts.too_large"
"""Of a treasury and program: payouts that it may never pay at once wait. Ends some minutes after they were last met."""
