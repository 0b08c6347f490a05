"""Taking a call's parameters apart: each function returns a value of the right type or raises the error that a node would."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from solders.signature import Signature
from solders.transaction import SanitizeError, VersionedTransaction

from guerdon.chains.localsolana.errors import RpcFaultError, invalid, too_early
from guerdon.chains.localsolana.slots import COMMITMENTS, Slots
from guerdon.chains.solana.base58 import from_base58

LARGEST_TRANSACTION: Final = 1_232
_LARGEST_ENCODED: Final = {"base58": 1_683, "base64": 1_644}
_LARGEST_U64: Final = 2**64 - 1
_FORMER: Final = {
    "recent": "processed",
    "single": "confirmed",
    "singleGossip": "confirmed",
    "root": "finalized",
    "max": "finalized",
}
_TYPE: Final = "solana_transaction::versioned::VersionedTransaction"


class Parameters:
    """The parameters of one call."""

    def __init__(self, method: str, given: list[Any], slots: Slots) -> None:
        self.method = method
        self._given = given
        self._slots = slots

    def at(self, place: int) -> Any:
        """A parameter that has to be there."""
        if place >= len(self._given):
            raise invalid(f"`params` should have at least {place + 1} argument(s)")
        return self._given[place]

    def integer(self, place: int) -> int:
        """A number."""
        return _integer(self.at(place))

    def listed(self, place: int, most: int, what: str) -> list[Any]:
        """A list of at most so many."""
        found = self.at(place)
        if not isinstance(found, list):
            raise invalid("Invalid params: invalid type: expected a sequence.")
        if len(found) > most:  # pyright: ignore[reportUnknownArgumentType]
            raise invalid(f"Too many {what} provided; max {most}")
        return found  # pyright: ignore[reportUnknownVariableType]

    def options(self, place: int) -> Options:
        """The object with options, which may be left out."""
        found = self._given[place] if place < len(self._given) else None
        if isinstance(found, str) and self.method in {"getBlock", "getTransaction"}:
            found = {"encoding": found}
        if found is not None and not isinstance(found, dict):
            raise invalid("Invalid params: invalid type: expected an object.")
        return Options(found or {}, self._slots)  # pyright: ignore[reportUnknownArgumentType]


class Options:
    """What a call may say besides its parameters."""

    def __init__(self, given: dict[str, Any], slots: Slots) -> None:
        self._given = given
        self._slots = slots

    def get(self, name: str) -> Any:
        """An option; None if it is left out."""
        return self._given.get(name)

    def flag(self, name: str) -> bool:
        """A yes or no; no if it is left out."""
        found = self._given.get(name)
        if found is not None and not isinstance(found, bool):
            raise invalid(f"Invalid params: invalid type for {name}: expected a boolean.")
        return bool(found)

    def integer(self, name: str) -> int | None:
        """A number."""
        found = self._given.get(name)
        return None if found is None else _integer(found)

    def choice(self, name: str, among: tuple[str, ...]) -> str | None:
        """One of several words."""
        found = self._given.get(name)
        if found is not None and found not in among:
            expected = ", ".join(f"`{one}`" for one in among)
            raise invalid(f"Invalid params: unknown variant `{found}`, expected one of {expected}.")
        return found

    def commitment(self, *, name: str = "commitment", otherwise: str = "finalized") -> str:
        """The commitment that is asked for."""
        found = self._given.get(name)
        found = _FORMER.get(found, found) if isinstance(found, str) else found
        if found is not None and found not in COMMITMENTS:
            expected = ", ".join(f"`{one}`" for one in COMMITMENTS)
            raise invalid(f"Invalid params: unknown variant `{found}`, expected one of {expected}.")
        return found or otherwise

    def slot(self, **commitment: Any) -> int:
        """The slot to answer of, by the commitment; not before `minContextSlot`."""
        slot = self._slots.at(self.commitment(**commitment))
        least = self.integer("minContextSlot")
        if least is not None and slot < least:
            raise too_early(slot)
        return slot

    def rooted(self) -> int:
        """The same for what is told of confirmed blocks only."""
        if self.commitment() == "processed":
            raise invalid("Method does not support commitment below `confirmed`")
        return self.slot()


def signature(value: Any) -> Signature:
    """A signature."""
    if not isinstance(value, str):
        raise invalid("Invalid params: invalid type: expected a string.")
    raw = from_base58(value)
    if raw is None:
        raise invalid("Invalid param: Invalid")
    if len(raw) != Signature.LENGTH:
        raise invalid("Invalid param: WrongSize")
    return Signature(raw)


def decoded(value: Any, encoding: str) -> bytes:
    """The bytes of an encoded transaction or message."""
    if not isinstance(value, str):
        raise invalid("Invalid params: invalid type: expected a string.")
    if encoding not in _LARGEST_ENCODED:
        raise invalid(f"unsupported encoding: {encoding}. Supported encodings: base58, base64")
    limit = _LARGEST_ENCODED[encoding]
    if len(value) > limit:
        raise invalid(
            f"{encoding} encoded {_TYPE} too large: {len(value)} bytes (max: encoded/raw {limit}/{LARGEST_TRANSACTION})"
        )
    raw = _decoded(value, encoding)
    if len(raw) > LARGEST_TRANSACTION:
        raise invalid(f"decoded {_TYPE} too large: {len(raw)} bytes (max: {LARGEST_TRANSACTION} bytes)")
    return raw


def transaction(value: Any, encoding: str) -> VersionedTransaction:
    """A transaction that is one."""
    raw = decoded(value, encoding)
    try:
        found = VersionedTransaction.from_bytes(raw)
    except ValueError as error:
        raise invalid(f"failed to deserialize {_TYPE}: {error}") from None
    if bytes(found) != raw:
        raise invalid(f"failed to deserialize {_TYPE}: it is followed by other bytes")
    try:
        found.sanitize()
    except SanitizeError as error:
        raise invalid(f"invalid transaction: {error}") from error
    return found


def _decoded(value: str, encoding: str) -> bytes:
    if encoding == "base58":
        raw = from_base58(value)
        if raw is None:
            raise invalid("invalid base58 encoding")
        return raw
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"invalid base64 encoding: {error}") from None


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_U64:
        raise RpcFaultError(-32602, f"Invalid params: invalid type or value: {value!r}, expected u64.")
    return value
