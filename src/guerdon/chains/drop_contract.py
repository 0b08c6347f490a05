"""`MerkleDrop` as the rest of the house calls it: typed calls, answers, logs and leaves (SAFETY S31). Pure.

Amounts are in the token's smallest unit, times are Unix seconds, addresses that come out are checksummed, hashes are `0x…`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from guerdon.chains import abi
from guerdon.chains.port import BadAnswerError, Log

NAME: Final = "MerkleDrop"
_LEAF_TYPES: Final = ("uint256", "address", "address", "address", "uint256")
_SEASON_ID_TYPES: Final = ("uint256", "address", "address", "address", "bytes16")
_SEASON_TYPES: Final = ("address", "uint64", "bool", "address", "uint64", "uint32", "bytes32", "uint256", "uint256")
_ADDRESS_BYTES: Final = 20

CLAIMED_TOPIC: Final = abi.topic_of(NAME, "Claimed")
CLOSED_TOPIC: Final = abi.topic_of(NAME, "SeasonClosed")


@dataclass(frozen=True, slots=True)
class Root:
    """A root to publish: number `number` of its season."""

    number: int
    root: str
    total: int
    opens: int
    closes: int


@dataclass(frozen=True, slots=True)
class ChainSeason:
    """A season as the contract has it; `number` is 0 for one that does not exist."""

    number: int
    root: str
    total: int
    paid: int
    opens: int
    closes: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """An account was paid `amount`, and with it `cumulative` in all."""

    account: str
    cumulative: int
    amount: int


def creation() -> bytes:
    """The data that deploys it."""
    return abi.creation_data(NAME)


def season_id(chain_id: int, contract: str, funder: str, token: str, name: bytes) -> str:
    """The id that the contract computes for a season; `name` is a UUID's 16 bytes."""
    parts = (chain_id, _raw(contract), _raw(funder), _raw(token), name)
    return f"0x{keccak(encode(_SEASON_ID_TYPES, parts)).hex()}"


class Leaves:
    """Leaves of one token on one contract: double hashes that bind chain, contract, token, account and amount."""

    def __init__(self, chain_id: int, contract: str, token: str) -> None:
        self._prefix = encode(_LEAF_TYPES[:3], (chain_id, _raw(contract), _raw(token)))

    def leaf(self, account: str, cumulative: int) -> bytes:
        """The leaf of an account."""
        # The same as encoding all five words, but the first three were encoded once.
        return keccak(keccak(self._prefix + _raw(account).rjust(32, b"\0") + cumulative.to_bytes(32)))


def publish_call(token: str, name: bytes, root: Root) -> bytes:
    """`publish`: takes what the root needs beyond the one before."""
    return abi.call_data(NAME, "publish", _raw(token), name, root.number, _hash(root.root), root.total, root.opens, root.closes)


def claim_call(season: str, account: str, cumulative: int, proof: Sequence[bytes]) -> bytes:
    """`claim`: anyone may send it, the account is paid."""
    return abi.call_data(NAME, "claim", _hash(season), _raw(account), cumulative, list(proof))


def close_call(season: str) -> bytes:
    """`close`: anyone may send it once the window is over."""
    return abi.call_data(NAME, "close", _hash(season))


def season_of_call(season: str) -> bytes:
    """`seasonOf`; `read_season` reads its answer."""
    return abi.call_data(NAME, "seasonOf", _hash(season))


def read_season(answer: bytes) -> ChainSeason:
    """What `seasonOf` answered."""
    try:
        _, opens, closed, _, closes, number, root, total, paid = decode(_SEASON_TYPES, answer)
    except DecodingError as error:
        raise BadAnswerError(f"The answer for {NAME}.seasonOf can't be decoded: {error}.") from error
    return ChainSeason(number, f"0x{root.hex()}", total, paid, opens, closes, closed)


def read_claimed(log: Log) -> Claimed | None:
    """None if the log is of another event."""
    values = abi.read_log(NAME, "Claimed", log)
    if values is None:
        return None
    _, account, cumulative, amount = values
    return Claimed(to_checksum_address(account), cumulative, amount)


def is_closed(log: Log) -> bool:
    """Whether the log says that the season is over."""
    return abi.read_log(NAME, "SeasonClosed", log) is not None


def _raw(address: str) -> bytes:
    raw = bytes.fromhex(address.removeprefix("0x"))
    if len(raw) != _ADDRESS_BYTES:
        raise ValueError(f"{address!r} is no address")
    return raw


def _hash(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
