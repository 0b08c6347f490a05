"""What a look at the chain means for one intent: a pure function over its nonce and all its hashes (SAFETY S20, S24)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from guerdon.chains.port import Head, Receipt
from guerdon.txmanager.models import IntentState


@dataclass(frozen=True, slots=True)
class Observation:
    """What one node said at one time."""

    head: Head
    finalized: int | None
    """Number of the block that the network calls finalized; None where the node could not tell."""
    next_nonce: int
    """Of the key, at the head: every lower nonce is used."""
    final_nonce: int | None
    """The same at the finalized block; None where the node could not tell."""
    receipts: Mapping[str, Receipt]
    """By transaction hash; a hash without one is in no block that this node knows."""
    canonical: Mapping[int, str]
    """Hashes of the blocks that intents were included in, as the chain is now; without those the node does not have."""


@dataclass(frozen=True, slots=True)
class Form:
    """One signed form of an intent, as far as a verdict needs it."""

    hash: str
    kills: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an intent stands before a look."""

    state: IntentState
    nonce: int
    forms: Sequence[Form]
    block_number: int | None = None
    block_hash: str | None = None


class Finding(Enum):
    """What a look means for one intent."""

    NOTHING_NEW = auto()
    INCLUDED = auto()
    FINAL = auto()
    KILLED = auto()
    """The self-transfer at its nonce is final: the intent can never land."""
    REORGANISED = auto()
    """Its block is not in the chain any more."""
    NONCE_USED = auto()
    """Its nonce is finally used, as far as this node knows by none of its hashes; to be proven by finding the one that did."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding, with the receipt that it rests on."""

    finding: Finding
    receipt: Receipt | None = None


_NOTHING = Verdict(Finding.NOTHING_NEW)


def judge(standing: Standing, seen: Observation) -> Verdict:
    """What `seen` means for an intent. It becomes final only from included: then its block has been seen twice."""
    if standing.state is IntentState.INCLUDED:
        return _judge_included(standing, seen)
    landed = next((form for form in standing.forms if form.hash in seen.receipts), None)
    if landed is None:
        finally_used = seen.final_nonce is not None and seen.final_nonce > standing.nonce
        return Verdict(Finding.NONCE_USED) if finally_used else _NOTHING
    receipt = seen.receipts[landed.hash]
    if not landed.kills:
        return Verdict(Finding.INCLUDED, receipt)
    # A self-transfer is shown to nobody as inclusion; before it is final, neither may stay.
    return Verdict(Finding.KILLED, receipt) if _is_final(receipt.block_number, receipt.block_hash, seen) else _NOTHING


def _judge_included(standing: Standing, seen: Observation) -> Verdict:
    if standing.block_number is None or standing.block_hash is None:
        message = "an included intent has a block"
        raise AssertionError(message)
    now = seen.canonical.get(standing.block_number)
    if now is None:
        # A node that has not reached that block knows nothing about it.
        return _NOTHING
    if now != standing.block_hash:
        return Verdict(Finding.REORGANISED)
    return Verdict(Finding.FINAL) if _is_final(standing.block_number, standing.block_hash, seen) else _NOTHING


def _is_final(number: int, block_hash: str, seen: Observation) -> bool:
    return seen.finalized is not None and number <= seen.finalized and seen.canonical.get(number, block_hash) == block_hash
