"""What payouts look like over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from guerdon.kit.api import AtomicText, Wire
from guerdon.ledger.models import Delivery, DeliveryState
from guerdon.payouts.models import Batch, BatchMember

PublicState = Literal["pending", "processing", "completed", "failed"]

_PUBLIC: dict[DeliveryState, PublicState] = {
    DeliveryState.REQUESTED: "pending",
    DeliveryState.IN_REVIEW: "pending",
    DeliveryState.APPROVED: "pending",
    DeliveryState.CONFIRMED: "completed",
    DeliveryState.FINAL: "completed",
    DeliveryState.REFUSED: "failed",
    DeliveryState.RETURNED: "failed",
}


class PayoutView(Wire):
    """A payout. `status` is the public view of its state (DESIGN section 6)."""

    id: UUID
    account_id: UUID
    kind: str
    state: DeliveryState
    status: PublicState
    final: bool
    points: int
    amount_atomic: AtomicText | None
    destination: str | None
    network: str | None
    batch_id: UUID | None
    transaction_hash: str | None
    block_number: int | None
    reason: str | None
    requested_at: datetime
    updated_at: datetime


class BatchView(Wire):
    """A batch that a payout was or is in; `chain_batch_id` is its id in the distributor."""

    id: UUID
    state: str
    size: int
    destination: str
    amount_atomic: AtomicText
    chain_batch_id: str | None
    supersedes: list[str]
    opened_at: datetime
    frozen_at: datetime | None


class PayoutStory(PayoutView):
    """A payout with every batch that it was in, oldest first."""

    batches: list[BatchView]


def payout_view(delivery: Delivery) -> PayoutView:
    """A payout as it is shown."""
    return PayoutView.model_validate(_fields(delivery))


def payout_story(delivery: Delivery, batches: list[tuple[Batch, BatchMember]]) -> PayoutStory:
    """A payout with its batches."""
    return PayoutStory.model_validate({**_fields(delivery), "batches": [_batch_view(*row) for row in batches]})


def public_state(state: DeliveryState) -> PublicState:
    """What the public sees of a state: what is reserved, signed, sent or stuck is being processed."""
    return _PUBLIC.get(state, "processing")


def _fields(delivery: Delivery) -> dict[str, object]:
    state = DeliveryState(delivery.state)
    return {
        "id": delivery.id,
        "account_id": delivery.account_id,
        "kind": delivery.kind,
        "state": state,
        "status": public_state(state),
        "final": state is DeliveryState.FINAL,
        "points": delivery.points,
        "amount_atomic": delivery.amount_atomic,
        "destination": delivery.destination,
        "network": delivery.network,
        "batch_id": delivery.batch_id,
        "transaction_hash": delivery.transaction_hash,
        "block_number": delivery.block_number,
        "reason": delivery.reason,
        "requested_at": delivery.requested_at,
        "updated_at": delivery.updated_at,
    }


def _batch_view(batch: Batch, member: BatchMember) -> BatchView:
    return BatchView(
        id=batch.id,
        state=batch.state,
        size=batch.size,
        destination=member.destination,
        amount_atomic=member.amount_atomic,
        chain_batch_id=batch.chain_batch_id,
        supersedes=batch.supersedes,
        opened_at=batch.opened_at,
        frozen_at=batch.frozen_at,
    )
