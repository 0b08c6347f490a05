"""What a Solana node tells, as values. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

Commitment = Literal["processed", "confirmed", "finalized"]
"""How sure an answer is to be; what decides about money asks at `finalized` (SAFETY S24)."""

COMMITMENTS: Final[tuple[Commitment, ...]] = ("processed", "confirmed", "finalized")
TransactionFault = Any
"""Why a transaction failed, as Solana writes a `TransactionError`: a text or an object."""


@dataclass(frozen=True, slots=True)
class Blockhash:
    """What a transaction has to name, and until when it may."""

    blockhash: str
    last_valid_height: int
    """The last block height at which a transaction with it may land."""
    slot: int
    """Of the answer."""


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account at a slot."""

    address: str
    lamports: int
    owner: str
    """The program that it belongs to."""
    data: bytes = field(repr=False)
    executable: bool


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts that were asked for together. One that is None does not exist: the node said so, at this slot or a later one."""

    slot: int
    found: dict[str, AccountState | None]


@dataclass(frozen=True, slots=True)
class SignatureStatus:
    """Where a transaction stands that a node knows. Confirmed is not succeeded: look at `error` first."""

    slot: int
    error: TransactionFault | None
    commitment: Commitment

    @property
    def succeeded(self) -> bool:
        """Did it do what it was to do?"""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Statuses:
    """Statuses that were asked for together; None: the node does not know the signature, which proves nothing (SAFETY S18)."""

    slot: int
    found: dict[str, SignatureStatus | None]


@dataclass(frozen=True, slots=True)
class SignatureEntry:
    """A line of an address's history."""

    signature: str
    slot: int
    error: TransactionFault | None
    memo: str | None
    block_time: int | None
    """In Unix seconds."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a transaction would do at a slot."""

    slot: int
    error: TransactionFault | None
    units: int
    logs: tuple[str, ...] = field(repr=False)

    @property
    def failed_instruction(self) -> int | None:
        """The place of the instruction that fails; None if none does, or it is not an instruction's fault."""
        return failed_instruction(self.error)


class SendOutcome(StrEnum):
    """What a node said about bytes it was sent. None of these means that they won't land: look at the chain."""

    ACCEPTED = "accepted"
    ALREADY_PROCESSED = "already_processed"
    """It is in the chain, by the node's bank."""
    BLOCKHASH_NOT_FOUND = "blockhash_not_found"
    """Expired, or newer than what the node asked."""
    SIMULATION_FAILED = "simulation_failed"
    """It would fail at the commitment of the preflight."""
    NODE_BEHIND = "node_behind"
    REJECTED = "rejected"
    """Anything else; the node's words say more."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A node's answer to sent bytes."""

    outcome: SendOutcome
    words: str
    error: TransactionFault | None = None
    logs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A block, without its transactions."""

    slot: int
    height: int
    blockhash: str
    parent_slot: int
    block_time: int | None
    signatures: tuple[str, ...] = field(repr=False)


def failed_instruction(error: TransactionFault | None) -> int | None:
    """The place of the instruction that a transaction failed at."""
    if isinstance(error, dict) and isinstance(found := error.get("InstructionError"), list) and found:  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        place: Any = found[0]  # pyright: ignore[reportUnknownVariableType]
        return place if isinstance(place, int) else None
    return None
