"""What a Solana node tells, as values. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Commitment = Literal["processed", "confirmed", "finalized"]
"""How sure an answer is to be; what decides about money asks at `finalized` (SAFETY S24)."""

COMMITMENTS: Final[tuple[Commitment, ...]] = ("processed", "confirmed", "finalized")
TransactionFault = Any
"""Why a transaction failed, as Solana writes a `TransactionError`: a text or an object."""


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

    @property
    def known(self) -> dict[str, SignatureStatus]:
        """Those that the node knows."""
        return {signature: status for signature, status in self.found.items() if status is not None}


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
    """What a transaction would do."""

    error: TransactionFault | None
    units: int
    logs: tuple[str, ...] = field(repr=False)

    @property
    def failed_instruction(self) -> int | None:
        """The place of the instruction that fails; None if none does, or it is not an instruction's fault."""
        if isinstance(self.error, dict) and isinstance(found := self.error.get("InstructionError"), list) and found:  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            place: Any = found[0]  # pyright: ignore[reportUnknownVariableType]
            return place if isinstance(place, int) else None
        return None

    @property
    def reason(self) -> str | None:
        """Why it would fail now, in words; None if it would succeed."""
        if self.error is None:
            return None
        told = "; ".join(line for line in self.logs if "Error" in line or "failed" in line)
        return f"{self.error}{f': {told}' if told else ''}"


@dataclass(frozen=True, slots=True)
class Survey:
    """What is to be known before anything is signed."""

    slot: int
    """The confirmed one that the blockhash is of."""
    blockhash: str
    last_valid_height: int
    """The last block height at which a transaction with it may land."""
    balance: int
    """Lamports of who pays, confirmed."""
    unit_price: int
    """What three of four recent transactions offered at most, in micro-lamports a compute unit."""


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What one node said at one time, of the last slots only."""

    confirmed_slot: int
    finalized_slot: int
    finalized_height: int
    statuses: Mapping[str, SignatureStatus]
    """By signature; one that is missing was in none of the last slots, as far as the node knows."""


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What one node said that has reached the slot asked for, with its whole history."""

    finalized_slot: int
    finalized_height: int
    statuses: Mapping[str, SignatureStatus]
    marker_exists: bool | None
    """At `finalized_slot`; None if it was asked of none."""
    first_available_slot: int
    """Older transactions this node does not know."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block, without its transactions."""

    slot: int
    height: int
    blockhash: str
    parent_slot: int
    block_time: int | None
    signatures: tuple[str, ...] = field(repr=False)
