"""ABI coding driven by the artifacts: calls, answers, errors and logs by their names in the contract. Pure.

What each contract's functions mean in Python is in `contracts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from guerdon.chains.artifacts import CONTRACTS, artifact
from guerdon.chains.port import HASH_BYTES, BadAnswerError, Log

_SELECTOR_BYTES: Final = 4
_LANGUAGE_ERRORS: Final[Sequence[tuple[str, tuple[str, ...]]]] = (("Error", ("string",)), ("Panic", ("uint256",)))


@dataclass(frozen=True, slots=True)
class DecodedError:
    """What a contract reverted with: the error's name and its arguments in order (addresses in lower case)."""

    name: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        shown = ", ".join(f"0x{value.hex()}" if isinstance(value, bytes) else str(value) for value in self.arguments)
        return f"{self.name}({shown})"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A function, event or error of an ABI."""

    name: str
    inputs: tuple[str, ...]
    indexed: tuple[bool, ...]
    outputs: tuple[str, ...]

    @property
    def hash(self) -> bytes:
        return keccak(f"{self.name}({','.join(self.inputs)})".encode("ascii"))


@cache
def _entry(contract: str, kind: str, name: str) -> _Entry:
    found = [
        _Entry(
            name,
            tuple(str(part["type"]) for part in described.get("inputs", ())),
            tuple(bool(part.get("indexed")) for part in described.get("inputs", ())),
            tuple(str(part["type"]) for part in described.get("outputs", ())),
        )
        for described in artifact(contract).abi
        if described["type"] == kind and described.get("name", "") == name
    ]
    if len(found) != 1:
        raise KeyError(f"{contract} has {len(found)} entries {name!r} of kind {kind}")
    return found[0]


def call_data(contract: str, function: str, *arguments: Any) -> bytes:
    """The call of a function. `KeyError` if the contract has none, `EncodingError` if an argument does not fit."""
    entry = _entry(contract, "function", function)
    return entry.hash[:_SELECTOR_BYTES] + encode(entry.inputs, arguments)


def read_call(contract: str, function: str, data: bytes) -> tuple[Any, ...]:
    """The arguments of a call of a function; `ValueError` if `data` calls something else."""
    entry = _entry(contract, "function", function)
    if data[:_SELECTOR_BYTES] != entry.hash[:_SELECTOR_BYTES]:
        raise ValueError(f"not a call of {function}")
    try:
        return decode(entry.inputs, data[_SELECTOR_BYTES:])
    except DecodingError as error:
        raise ValueError(f"not a call of {function}") from error


def read_answer(contract: str, function: str, data: bytes) -> Any:
    """The one value that a function answered. Raises `BadAnswerError`, also where there is no contract at all."""
    entry = _entry(contract, "function", function)
    (value,) = _decoded(entry.outputs, data, f"{contract}.{function}")
    return value


def creation_data(contract: str, *arguments: Any) -> bytes:
    """The data of a transaction that deploys a contract."""
    constructor = _entry(contract, "constructor", "") if _has_constructor(contract) else None
    return artifact(contract).creation_code + (b"" if constructor is None else encode(constructor.inputs, arguments))


def topic_of(contract: str, event: str) -> str:
    """The first topic of an event's logs."""
    return f"0x{_entry(contract, 'event', event).hash.hex()}"


def read_log(contract: str, event: str, log: Log) -> tuple[Any, ...] | None:
    """An event's arguments in the order of their declaration; None if the log is of another event.

    A log has this shape or not whoever wrote it: the caller looks at `log.address`. Raises `BadAnswerError` for a log that
    carries the event's topic and can't be decoded.
    """
    entry = _entry(contract, "event", event)
    if not log.topics or log.topics[0] != topic_of(contract, event) or len(log.topics) != 1 + sum(entry.indexed):
        return None
    types = list(zip(entry.inputs, entry.indexed, strict=True))
    what = f"the log {event}"
    plain = iter(_decoded(tuple(kind for kind, indexed in types if not indexed), log.data, what))
    topics = iter(log.topics[1:])
    return tuple(
        _decoded((kind,), bytes.fromhex(next(topics)[2:]), what)[0] if indexed else next(plain) for kind, indexed in types
    )


def decode_error(data: bytes) -> DecodedError | None:
    """What revert data says, as an error of one of our contracts or of the language; None if it is neither."""
    known = _errors().get(data[:_SELECTOR_BYTES])
    if known is None:
        return None
    name, types = known
    try:
        return DecodedError(name, tuple(decode(types, data[_SELECTOR_BYTES:])))
    except DecodingError:
        return None


def decode_uint(data: bytes) -> int:
    """The one number that a call answered. Raises `BadAnswerError`, also where there is no contract at all."""
    return int(_decoded(("uint256",), data, "a number")[0])


def _decoded(types: Sequence[str], data: bytes, what: str) -> tuple[Any, ...]:
    if not data and types:
        raise BadAnswerError(f"Nothing was answered for {what}: there is no such contract at this address on this network.")
    if len(data) % HASH_BYTES:
        raise BadAnswerError(f"{len(data)} bytes were answered for {what}, which is no whole number of words.")
    try:
        return tuple(decode(types, data))
    except DecodingError as error:
        raise BadAnswerError(f"The answer for {what} can't be decoded: {error}.") from error


def _has_constructor(contract: str) -> bool:
    return any(described["type"] == "constructor" for described in artifact(contract).abi)


@cache
def _errors() -> dict[bytes, tuple[str, tuple[str, ...]]]:
    names: set[tuple[str, tuple[str, ...]]] = set(_LANGUAGE_ERRORS)
    for contract in CONTRACTS:
        for described in artifact(contract).abi:
            if described["type"] == "error":
                names.add((described["name"], tuple(str(part["type"]) for part in described["inputs"])))
    return {keccak(f"{name}({','.join(types)})".encode("ascii"))[:_SELECTOR_BYTES]: (name, types) for name, types in names}
