"""Answers of a Solana's node, read: what is not what it should be raises, and nothing may follow from it. No I/O."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from guerdon.chains.port import BadAnswerError
from guerdon.txmanager.solana import messages
from guerdon.txmanager.solana.verdicts import Commitment, Status

_PRICE_PERCENT: Final = 75


@dataclass(frozen=True, slots=True)
class Survey:
    """What is to be known before anything is signed."""

    slot: int
    """The confirmed one that the blockhash is of."""
    height: int
    """Of the chain, confirmed."""
    blockhash: str
    last_valid_height: int
    balance: int
    """Lamports of the key, confirmed."""
    unit_price: int
    """What three of four recent transactions offered at most, in micro-lamports a compute unit."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a simulated transaction."""

    units: int
    error: str | None
    """Why it would fail now; None if it would succeed."""
    place: int | None = None
    """Of the instruction that failed."""
    code: int | None = None
    """The program's own number for why."""
    lamports: int = 0
    """What the key would have left; 0 if it is not told."""


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction as the chain has it."""

    signature: str
    slot: int
    failed: bool
    error: str | None
    fee: int
    """Lamports."""
    units: int
    spent: int
    """Lamports that the fee payer has less after it, with the fee."""
    raw: bytes
    signers: tuple[str, ...]
    """Those that signed it; the first paid."""
    accounts: tuple[str, ...]
    moved: Mapping[tuple[str, str], int]
    """By mint and owner, what was more (or less) of a token after it, in the smallest unit."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of an address's history."""

    signature: str
    slot: int
    failed: bool


def landed_of(signature: str, answer: Any) -> Landed:
    """A transaction, as `getTransaction` tells it in base64."""
    meta, raw = answer["meta"], base64.b64decode(answer["transaction"][0], validate=True)
    message = messages.message_in(raw)
    if messages.signature_in(raw) != signature:
        raise ValueError("another transaction than the one asked for")
    loaded: dict[str, list[str]] = meta.get("loadedAddresses") or {}
    keys = [str(key) for key in message.account_keys]
    accounts = (*keys, *loaded.get("writable", []), *loaded.get("readonly", []))
    moved: dict[tuple[str, str], int] = {}
    for sign, balances in ((-1, meta.get("preTokenBalances")), (1, meta.get("postTokenBalances"))):
        for one in balances or ():
            of = (str(one["mint"]), str(one["owner"]))
            moved[of] = moved.get(of, 0) + sign * int(one["uiTokenAmount"]["amount"])
    return Landed(
        signature=signature,
        slot=int(answer["slot"]),
        failed=meta["err"] is not None,
        error=None if meta["err"] is None else str(meta["err"]),
        fee=int(meta["fee"]),
        units=int(meta.get("computeUnitsConsumed") or 0),
        spent=int(meta["preBalances"][0]) - int(meta["postBalances"][0]),
        raw=raw,
        signers=tuple(keys[: message.header.num_required_signatures]),
        accounts=accounts,
        moved=moved,
    )


def bad(what: str) -> BadAnswerError:
    """What is raised over an answer that is not what it should be."""
    return BadAnswerError(f"The chain's node answered with something that is not {what}.")


def integer(answer: Any) -> int:
    """A number that is not negative."""
    if isinstance(answer, bool) or not isinstance(answer, int) or answer < 0:
        raise bad("a number")
    return answer


def text(answer: Any, what: str) -> str:
    """A text that is not empty."""
    if not isinstance(answer, str) or not answer:
        raise bad(what)
    return answer


def listed(answer: Any) -> list[Any]:
    """A list."""
    if not isinstance(answer, list):
        raise bad("a list")
    return answer  # pyright: ignore[reportUnknownVariableType]


def number(answer: Any, name: str) -> int:
    """A number that is not negative, by its name."""
    if not isinstance(answer, dict):
        raise bad("an object")
    return integer(answer.get(name))  # pyright: ignore[reportUnknownMemberType]


def in_context(answer: Any) -> tuple[int, Any]:
    """A value, and the slot that it is of."""
    try:
        return integer(answer["context"]["slot"]), answer["value"]
    except (KeyError, TypeError):
        raise bad("a value of a slot") from None


def statuses(parts: Sequence[Sequence[str]], pages: Sequence[Any], slot: int) -> dict[str, Status]:
    """What a node says of signatures, asked in parts; those that it knows. It has to have reached `slot`."""
    found: dict[str, Status] = {}
    for part, page in zip(parts, pages, strict=True):
        told_at, values = in_context(page)
        if told_at < slot or len(listed(values)) != len(part):
            raise BadAnswerError(f"The chain's node told what it knew at slot {told_at}, not at {slot}.")
        found |= {one: status_of(value) for one, value in zip(part, values, strict=True) if value is not None}
    return found


def status_of(value: Any) -> Status:
    """What a node says of one signature."""
    try:
        return Status(integer(value["slot"]), Commitment(value["confirmationStatus"]), value["err"] is not None)
    except (KeyError, TypeError, ValueError):
        raise bad("the status of a transaction") from None


def price(answer: Any) -> int:
    """What three of four recent transactions offered at most, in micro-lamports a compute unit."""
    prices = sorted(number(one, "prioritizationFee") for one in listed(answer))
    return prices[min(len(prices) - 1, len(prices) * _PRICE_PERCENT // 100)] if prices else 0


def is_marker(address: str, value: Any) -> bool:
    """Is an account, as it is told, a marker of the key?"""
    if value is None:
        return False
    try:
        return messages.is_marker(address, value["owner"], base64.b64decode(value["data"][0], validate=True))
    except (KeyError, TypeError, IndexError, binascii.Error):
        raise bad("an account") from None


def trial(value: Any) -> Trial:
    """What became of a simulated transaction."""
    try:
        error, units = value["err"], integer(value.get("unitsConsumed") or 0)
        logs: list[str] = [str(line) for line in value.get("logs") or ()]
        (payer,) = value.get("accounts") or (None,)
        lamports = 0 if payer is None else integer(payer["lamports"])
    except (KeyError, TypeError, ValueError):
        raise bad("a simulation") from None
    if error is None:
        return Trial(units, None, lamports=lamports)
    place, code = _where(error)
    told = "; ".join(line for line in logs if "Error" in line or "failed" in line)
    return Trial(units, f"{error}{f': {told}' if told else ''}", place, code, lamports)


def _where(error: Any) -> tuple[int | None, int | None]:
    """The place of the instruction that failed, and the program's number for why, as far as they are told."""
    try:
        place, reason = error["InstructionError"]
        return int(place), int(reason["Custom"]) if isinstance(reason, dict) and "Custom" in reason else None  # pyright: ignore[reportUnknownArgumentType]
    except (KeyError, TypeError, ValueError):
        return None, None
