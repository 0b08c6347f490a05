"""What the steps of payouts ask of a treasury's chain, whatever kind of chain it is. The EVM's answers are in `distributor.py`.

Reserving knows nothing of it. Each method reads; what is to be sent is handed to txmanager, which keeps its own rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol
from uuid import UUID

from guerdon.payouts.payments import Payment
from guerdon.txmanager.treasuries import Finality


class BatchStatus(IntEnum):
    """What the chain has of a batch; paid and void are for ever (SAFETY S17)."""

    NEW = 0
    """Not paid. Where the chain has no word for what can't be paid any more, this says nothing of what may still land."""
    PAID = 1
    VOID = 2


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a simulated payment answered. `index` is the place of the payment that failed, where the chain said so."""

    reason: str
    index: int | None = None
    is_too_large: bool = False
    """The list is longer than one transaction can be: no recipient is to blame, and it is taken apart."""
    is_taken: bool = False
    """The chain has a batch of this name as paid already, which these books never sent (SAFETY S21)."""


@dataclass(frozen=True, slots=True)
class EnvironmentProblem:
    """Not even a known-good transfer works: no recipient is to blame."""

    reason: str
    remedy: str
    allowance_missing: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """What txmanager is to have happen: `data` to `to`, in the network's own form."""

    to: str | None
    data: bytes
    value: int = 0
    """The most native coin that it spends besides its fee, in the network's smallest unit."""
    intent_id: UUID | None = None
    """What its intent is to be called, where the chain knows the batch by that."""
    opens: Sequence[str] = ()
    """Whose token accounts it makes, at our cost."""


class Rail(Protocol):
    """One treasury's way to pay. `batch` is our UUID's 16 bytes; names of batches are what the chain knows them by."""

    @property
    def treasury_address(self) -> str:
        """Whose tokens are paid."""
        ...

    async def simulate(self, batch: bytes, supersedes: Sequence[str], payments: Sequence[Payment]) -> Refusal | None:
        """None if the batch could be paid now. Raises `ChainUnavailableError` where nobody knows."""
        ...

    async def environment_problem(self, payments: Sequence[Payment]) -> EnvironmentProblem | None:
        """What stops even a known-good transfer; None if that works (SAFETY S22)."""
        ...

    def name_of_batch(self, batch: bytes, payments: Sequence[Payment]) -> str:
        """What the chain will know the batch by: bound to its contents, or to the one mark that its payment makes."""
        ...

    def transaction(self, batch: bytes, supersedes: Sequence[str], payments: Sequence[Payment]) -> Call:
        """What pays the batch, once for its name, in place of those that it supersedes."""
        ...

    async def statuses(self, names: Sequence[str], position: int | None = None) -> dict[str, BatchStatus]:
        """What the chain has of batches of this treasury after a block or slot; after the finalized one, if none is given."""
        ...

    async def finality(self) -> Finality:
        """What the treasury holds after the finalized block or slot."""
        ...
