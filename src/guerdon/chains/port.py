"""What the rest of the house needs of a chain: its values, its errors, and what sending can answer. No I/O.

GuerdonError
└── ChainUnavailableError        no answer, or none that can be understood: no proof of anything (DESIGN section 6, rule 6)
    ├── BadAnswerError           an answer that is not what was asked for: a lagging, lying or wrong node
    └── WrongChainError          a chain answers, but not the one that was meant (SAFETY S21)
Exception
├── RpcError                     the node refused one call of a batch; a value there, `ChainUnavailableError` elsewhere
└── CallRevertedError            the call would revert: knowledge about the call at that block

Times are Unix seconds, amounts of native coin are in wei, hashes are `0x…` in lower case, addresses are checksummed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from guerdon.kit.errors import GuerdonError

BlockTag = Literal["latest", "safe", "finalized"] | int
"""At which block a question is asked; what decides about money asks at `finalized` (SAFETY S24)."""

HASH_BYTES: Final = 32
_GETH_REVERTED: Final = 3


@dataclass(frozen=True, slots=True)
class Head:
    """A block without its transactions. `timestamp` is in Unix seconds, the fee in wei (None before EIP-1559)."""

    number: int
    hash: str
    timestamp: int
    base_fee_per_gas: int | None


@dataclass(frozen=True, slots=True)
class Log:
    """One entry of a receipt."""

    address: str
    """Checksummed."""
    topics: tuple[str, ...]
    data: bytes
    place: int
    """Among the transaction's own logs, from 0: it does not change when the chain reorganises (SAFETY S34)."""
    index_in_block: int
    """Among all logs of the block, as nodes number them; it may change."""
    transaction_hash: str
    block_number: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an included transaction. Fees are in wei."""

    transaction_hash: str
    block_number: int
    block_hash: str
    succeeded: bool
    gas_used: int
    effective_gas_price: int
    l1_fee: int
    """What a roll-up charges on top for its parent chain's data; 0 elsewhere."""
    contract_address: str | None
    logs: tuple[Log, ...] = field(repr=False)

    @property
    def fee_paid(self) -> int:
        """All that its sender paid for it, in wei."""
        return self.gas_used * self.effective_gas_price + self.l1_fee


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction as a node has it; the block is None while it waits in a pool."""

    hash: str
    sender: str
    to: str | None
    nonce: int
    data: bytes = field(repr=False)
    value: int
    block_number: int | None
    block_hash: str | None


@dataclass(frozen=True, slots=True)
class Block:
    """A block with the hashes of its transactions, or with the transactions themselves where they were asked for."""

    head: Head
    parent_hash: str
    transaction_hashes: tuple[str, ...]
    transactions: tuple[Transaction, ...] | None


@dataclass(frozen=True, slots=True)
class Fees:
    """What the next block asks, in wei a unit of gas."""

    base_fee: int
    priority_fee: int


class SendOutcome(StrEnum):
    """What a node said about bytes it was sent. None of these means failed: look at the chain (SAFETY S20)."""

    ACCEPTED = "accepted"
    ALREADY_KNOWN = "already_known"
    NONCE_TOO_LOW = "nonce_too_low"
    """Something is included at this nonce; it may be these bytes."""
    UNDERPRICED = "underpriced"
    """Below what the pool takes, or another form with higher fees is in it."""
    INSUFFICIENT_FUNDS = "insufficient_funds"
    REJECTED = "rejected"
    """Anything else; the node's words say more."""


class ChainUnavailableError(GuerdonError, status=503, code="CHAIN_UNAVAILABLE", title="Service unavailable"):
    """The chain's node gave no usable answer. Nothing is known and nothing was changed; ask again."""


class BadAnswerError(ChainUnavailableError, status=503, code="CHAIN_ANSWER_UNUSABLE", title="Service unavailable"):
    """The chain's node answered something else than it was asked for; it may lag, or not be a node of this network."""


class WrongChainError(ChainUnavailableError, status=503, code="WRONG_CHAIN", title="Service unavailable"):
    """Another chain answers than the one that this network stands for. Check the network's RPC address."""


class RpcError(Exception):
    """A node's refusal of one call."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    @property
    def reverted(self) -> bool:
        """Does the node say that the call ran and reverted? Everything else says nothing about the call."""
        return self.code == _GETH_REVERTED or "revert" in self.message.lower()

    @property
    def revert_data(self) -> bytes:
        """What the call reverted with, as far as the node tells."""
        found = self.data
        if isinstance(found, dict):  # some nodes wrap it
            found = found.get("data")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if not isinstance(found, str):
            return b""
        digits = found.rpartition("0x")[2]  # some say "Reverted 0x…"
        try:
            return bytes.fromhex(digits)
        except ValueError:
            return b""


class CallRevertedError(Exception):
    """A call would revert at the block that it was asked for."""

    def __init__(self, data: bytes, reason: str) -> None:
        super().__init__(reason)
        self.data = data
        """What it reverts with; `contracts.decode_error` reads it."""
        self.reason = reason
        """The node's words."""


_PHRASES: Final[Sequence[tuple[SendOutcome, Sequence[str]]]] = (
    (
        SendOutcome.ALREADY_KNOWN,
        ("already known", "already imported", "known transaction", "already exists", "alreadyknown", "same hash"),
    ),
    (SendOutcome.NONCE_TOO_LOW, ("nonce too low", "nonce is too low", "oldnonce", "old nonce")),
    (
        SendOutcome.UNDERPRICED,
        ("underpriced", "less than block base fee", "fee too low", "feetoolow", "lower than the minimum", "max fee per gas less"),
    ),
    (SendOutcome.INSUFFICIENT_FUNDS, ("insufficient funds", "insufficient balance", "insufficientfunds")),
)


def send_outcome(answer: RpcError | str) -> SendOutcome:
    """What a node's answer to sent bytes hints at: nodes agree neither on codes nor on words."""
    if isinstance(answer, str):
        return SendOutcome.ACCEPTED
    words = answer.message.lower()
    for outcome, phrases in _PHRASES:
        if any(phrase in words for phrase in phrases):
            return outcome
    return SendOutcome.REJECTED
