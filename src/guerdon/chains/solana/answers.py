"""What a Solana node's answers must look like: JSON into values. Pure; whatever does not fit raises `BadAnswerError`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final, cast

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from guerdon.chains.port import BadAnswerError
from guerdon.chains.solana.values import (
    COMMITMENTS,
    AccountState,
    Block,
    SignatureEntry,
    SignatureStatus,
    Simulation,
    Statuses,
)

_LARGEST: Final = 2**64 - 1
_SHOWN: Final = 80
_PRICE_PERCENT: Final = 75


def unfit(what: str, value: Any) -> BadAnswerError:
    """An answer that is not what was asked for."""
    return BadAnswerError(f"The chain's node answered with {repr(value)[:_SHOWN]} for {what}.")


def whole(value: Any, what: str) -> int:
    """A number of 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise unfit(what, value)
    return value


def text(value: Any, what: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise unfit(what, value)
    return value


def address(value: Any, what: str) -> str:
    """An address."""
    try:
        return str(Pubkey.from_string(text(value, what)))
    except ValueError:
        raise unfit(what, value) from None


def signature(value: Any, what: str) -> str:
    """A signature."""
    try:
        return str(Signature.from_string(text(value, what)))
    except ValueError:
        raise unfit(what, value) from None


def blockhash(value: Any, what: str) -> str:
    """A blockhash."""
    try:
        return str(Hash.from_string(text(value, what)))
    except ValueError:
        raise unfit(what, value) from None


def mapping(value: Any, what: str) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise unfit(what, value)
    return cast("dict[str, Any]", value)


def sequence(value: Any, what: str, length: int | None = None) -> list[Any]:
    """A list, of a length where that is known."""
    if not isinstance(value, list) or (length is not None and len(value) != length):  # pyright: ignore[reportUnknownArgumentType]
        raise unfit(what, value)
    return cast("list[Any]", value)


def in_context(value: Any, what: str, least_slot: int | None = None) -> tuple[int, Any]:
    """The slot of an answer, not before `least_slot`, and its value."""
    found = mapping(value, what)
    slot = not_before(whole(mapping(found.get("context"), what).get("slot"), f"the slot of {what}"), least_slot)
    if "value" not in found:
        raise unfit(what, value)
    return slot, found["value"]


def not_before(slot: int, least_slot: int | None) -> int:
    """A slot that an answer is of, not before `least_slot`."""
    if least_slot is not None and slot < least_slot:
        raise BadAnswerError(f"The chain's node answered of slot {slot}, though it was to be {least_slot} or later; it lags.")
    return slot


def in_base64(value: Any, what: str) -> bytes:
    """Bytes, as `[text, "base64"]`."""
    encoded, encoding = sequence(value, what, 2)
    if encoding != "base64":
        raise unfit(what, value)
    try:
        return base64.b64decode(text(encoded, what), validate=True)
    except (binascii.Error, ValueError):
        raise unfit(what, value) from None


def account(of: str, value: Any) -> AccountState | None:
    """An account; None if there is none."""
    if value is None:
        return None
    found = mapping(value, "an account")
    executable = found.get("executable")
    if not isinstance(executable, bool):
        raise unfit("an account", value)
    return AccountState(
        address=of,
        lamports=whole(found.get("lamports"), "an account's lamports"),
        owner=address(found.get("owner"), "an account's owner"),
        data=in_base64(found.get("data"), "an account's data"),
        executable=executable,
    )


def status(value: Any) -> SignatureStatus | None:
    """Where a transaction stands; None if the node does not know it."""
    if value is None:
        return None
    found = mapping(value, "a transaction's status")
    if "err" not in found:
        raise unfit("a transaction's status", value)
    commitment = found.get("confirmationStatus")
    if commitment is None:
        # Nodes of old tell confirmations only: none are counted once it is final.
        commitment = "finalized" if found.get("confirmations") is None else "processed"
    if commitment not in COMMITMENTS:
        raise unfit("a transaction's status", value)
    return SignatureStatus(whole(found.get("slot"), "a transaction's slot"), found["err"], commitment)


def entry(value: Any) -> SignatureEntry:
    """A line of an address's history."""
    found = mapping(value, "a signature")
    memo, time = found.get("memo"), found.get("blockTime")
    return SignatureEntry(
        signature=signature(found.get("signature"), "a signature"),
        slot=whole(found.get("slot"), "a transaction's slot"),
        error=found.get("err"),
        memo=None if memo is None else text(memo, "a memo"),
        block_time=None if time is None else whole(time, "a block's time"),
    )


def simulation(value: Any) -> Simulation:
    """What a transaction would do."""
    found = mapping(value, "a simulation")
    if "err" not in found:
        raise unfit("a simulation", value)
    units, told = found.get("unitsConsumed"), found.get("logs")
    logs = () if told is None else tuple(text(line, "a log") for line in sequence(told, "logs"))
    return Simulation(found["err"], 0 if units is None else whole(units, "compute units"), logs)


def block(slot: int, value: Any) -> Block:
    """A block, asked for with its signatures."""
    found = mapping(value, "a block")
    time = found.get("blockTime")
    return Block(
        slot=slot,
        height=whole(found.get("blockHeight"), "a block's height"),
        blockhash=blockhash(found.get("blockhash"), "a block's hash"),
        parent_slot=whole(found.get("parentSlot"), "a block's parent"),
        block_time=None if time is None else whole(time, "a block's time"),
        signatures=tuple(signature(one, "a block's signature") for one in sequence(found.get("signatures"), "a block")),
    )


def statuses(parts: Sequence[Sequence[str]], pages: Sequence[Any], least_slot: int | None = None) -> Statuses:
    """Where transactions stand, asked for in parts, of a node that has reached `least_slot`."""
    found: dict[str, SignatureStatus | None] = {}
    slots: list[int] = []
    for part, page in zip(parts, pages, strict=True):
        slot, value = in_context(page, "statuses", least_slot)
        slots.append(slot)
        told = sequence(value, "statuses", len(part))
        found.update({one: status(standing) for one, standing in zip(part, told, strict=True)})
    return Statuses(min(slots, default=least_slot or 0), found)


def unit_price(value: Any) -> int:
    """What three of four recent transactions offered at most, in micro-lamports a compute unit."""
    prices = sorted(whole(mapping(one, "a fee").get("prioritizationFee"), "a fee") for one in sequence(value, "fees"))
    return prices[min(len(prices) - 1, len(prices) * _PRICE_PERCENT // 100)] if prices else 0
