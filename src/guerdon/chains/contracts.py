"""Our contracts as the rest of the house calls them: typed calls, answers, logs, errors, and the batch's id (SAFETY S17).

Coding is in `abi.py`, compiled code in `artifacts.py`. Amounts are in the token's smallest unit; addresses that come out are
checksummed, hashes and ids are `0x…` in lower case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from guerdon.chains import abi
from guerdon.chains.abi import DecodedError, decode_error, decode_uint
from guerdon.chains.artifacts import artifact, code_matches
from guerdon.chains.port import HASH_BYTES, Log

__all__ = ["DecodedError", "decode_error", "decode_uint"]

UUID_BYTES: Final = 16
MAX_PAYMENT: Final = 2**96 - 1
"""The largest amount that one payment of a batch can carry."""
DEFAULT_ADMIN_ROLE: Final = bytes(32)
MINTER_ROLE: Final = keccak(b"MINTER_ROLE")
PAUSER_ROLE: Final = keccak(b"PAUSER_ROLE")
CAP_ROLE: Final = keccak(b"CAP_ROLE")

_ADDRESS_BYTES: Final = 20
_RLP_SHORT_STRING: Final = 0x80
_RLP_SHORT_LIST: Final = 0xC0
_DISTRIBUTOR: Final = "RewardDistributor"
_MINTER: Final = "RewardMinter"
_TOKEN: Final = "RewardToken"  # noqa: S105  a contract's name
_BATCH_ID_TYPES: Final = ("uint256", "address", "address", "bytes16", "bytes32[]")

BATCH_PAID_TOPIC: Final = abi.topic_of(_DISTRIBUTOR, "BatchPaid")
TRANSFER_TOPIC: Final = abi.topic_of(_TOKEN, "Transfer")
MINTED_TOPIC: Final = abi.topic_of(_MINTER, "Minted")


class BatchStatus(IntEnum):
    """What the distributor has of a payer's batch id; paid and void are for ever (SAFETY S17)."""

    NEW = 0
    PAID = 1
    VOID = 2


@dataclass(frozen=True, slots=True)
class PayCall:
    """What the data of a `pay` transaction says."""

    token: str
    batch: bytes
    supersedes: tuple[str, ...]
    payments: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class BatchPaid:
    """A batch was paid in full."""

    distributor: str
    payer: str
    batch_id: str
    batch: bytes
    """The UUID that the batch has with us."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Tokens moved; from the zero address they were made, to it they were burned."""

    token: str
    sender: str
    recipient: str
    amount: int


@dataclass(frozen=True, slots=True)
class Minted:
    """`RewardMinter` made tokens for a request."""

    minter_contract: str
    minter: str
    id: bytes
    token: str
    recipient: str
    amount: int


@dataclass(frozen=True, slots=True)
class FailedPayment:
    """The payment that a batch fails at."""

    index: int
    recipient: str
    reason: bytes
    """What the token reverted with, or answered; empty where the distributor itself refused the payment."""


# ---- paying -------------------------------------------------------------------------------------------------------


def pay_call(token: str, batch: bytes, supersedes: Sequence[str], payments: Sequence[tuple[str, int]]) -> bytes:
    """`RewardDistributor.pay`: `batch` is our UUID, `supersedes` ids of earlier batches, `payments` recipients and amounts.

    `ValueError` for what the contract would refuse or can't carry.
    """
    ids = [_word_of_hash(value) for value in supersedes]
    return abi.call_data(_DISTRIBUTOR, "pay", _address(token), _uuid(batch), ids, _words(payments))


def read_pay_call(data: bytes) -> PayCall:
    """The contents of a `pay` transaction's data; `ValueError` if it is none."""
    token, batch, supersedes, words = abi.read_call(_DISTRIBUTOR, "pay", data)
    payments = ((to_checksum_address(word[:20]), int.from_bytes(word[20:], "big")) for word in words)
    return PayCall(to_checksum_address(token), batch, tuple(f"0x{value.hex()}" for value in supersedes), tuple(payments))


def batch_id(chain_id: int, distributor: str, token: str, batch: bytes, payments: Sequence[tuple[str, int]]) -> str:
    """The id that the distributor computes for a batch, bound to its contents (SAFETY S17)."""
    values = (chain_id, _address(distributor), _address(token), _uuid(batch), _words(payments))
    return f"0x{keccak(encode(_BATCH_ID_TYPES, values)).hex()}"


def status_of_call(payer: str, chain_batch_id: str) -> bytes:
    """`RewardDistributor.statusOf`; `read_status` reads its answer."""
    return abi.call_data(_DISTRIBUTOR, "statusOf", _address(payer), _word_of_hash(chain_batch_id))


def read_status(answer: bytes) -> BatchStatus:
    """What `statusOf` answered."""
    return BatchStatus(abi.read_answer(_DISTRIBUTOR, "statusOf", answer))


def failed_payment(revert_data: bytes) -> FailedPayment | None:
    """The payment that a simulated `pay` failed at; None if it failed for another reason."""
    error = decode_error(revert_data)
    if error is None or error.name not in {"PaymentFailed", "PaymentRefused"}:
        return None
    index, recipient, last = error.arguments
    return FailedPayment(index, to_checksum_address(recipient), last if isinstance(last, bytes) else b"")


def read_batch_paid(log: Log) -> BatchPaid | None:
    """None if the log is of another event."""
    values = abi.read_log(_DISTRIBUTOR, "BatchPaid", log)
    if values is None:
        return None
    payer, chain_batch_id, batch = values
    return BatchPaid(log.address, to_checksum_address(payer), f"0x{chain_batch_id.hex()}", batch)


# ---- tokens -------------------------------------------------------------------------------------------------------


def balance_of_call(owner: str) -> bytes:
    """ERC-20 `balanceOf`; `decode_uint` reads its answer."""
    return abi.call_data(_TOKEN, "balanceOf", _address(owner))


def allowance_call(owner: str, spender: str) -> bytes:
    """ERC-20 `allowance`; `decode_uint` reads its answer."""
    return abi.call_data(_TOKEN, "allowance", _address(owner), _address(spender))


def approve_call(spender: str, amount: int) -> bytes:
    """ERC-20 `approve`."""
    return abi.call_data(_TOKEN, "approve", _address(spender), amount)


def transfer_call(recipient: str, amount: int) -> bytes:
    """ERC-20 `transfer`."""
    return abi.call_data(_TOKEN, "transfer", _address(recipient), amount)


def total_supply_call() -> bytes:
    """ERC-20 `totalSupply`; `decode_uint` reads its answer."""
    return abi.call_data(_TOKEN, "totalSupply")


def decimals_call() -> bytes:
    """ERC-20 `decimals`; `decode_uint` reads its answer."""
    return abi.call_data(_TOKEN, "decimals")


def symbol_call() -> bytes:
    """ERC-20 `symbol`; `read_symbol` reads its answer."""
    return abi.call_data(_TOKEN, "symbol")


def read_symbol(answer: bytes) -> str:
    """What `symbol` answered."""
    return str(abi.read_answer(_TOKEN, "symbol", answer))


def read_transfer(log: Log) -> Transfer | None:
    """None if the log is of another event. Any contract can write such a log: `token` is the one that did."""
    values = abi.read_log(_TOKEN, "Transfer", log)
    if values is None:
        return None
    sender, recipient, amount = values
    return Transfer(log.address, to_checksum_address(sender), to_checksum_address(recipient), amount)


# ---- minting and roles --------------------------------------------------------------------------------------------


def mint_call(token: str, mint_id: bytes, to: str, amount: int) -> bytes:
    """`RewardMinter.mint`: once for `mint_id` (a UUID's 16 bytes, or 32), within the token's daily cap (SAFETY S29)."""
    if len(mint_id) not in {UUID_BYTES, HASH_BYTES}:
        raise ValueError(f"a mint id has {UUID_BYTES} or {HASH_BYTES} bytes, not {len(mint_id)}")
    return abi.call_data(_MINTER, "mint", _address(token), mint_id.ljust(HASH_BYTES, b"\0"), _address(to), amount)


def direct_mint_call(to: str, amount: int) -> bytes:
    """`RewardToken.mint`, for an account that holds its minter role itself; `RewardMinter` is the way with a cap."""
    return abi.call_data(_TOKEN, "mint", _address(to), amount)


def set_daily_cap_call(token: str, daily_cap: int) -> bytes:
    """`RewardMinter.setDailyCap`, for the cap admin."""
    return abi.call_data(_MINTER, "setDailyCap", _address(token), daily_cap)


def left_today_call(token: str) -> bytes:
    """`RewardMinter.leftToday`; `decode_uint` reads its answer."""
    return abi.call_data(_MINTER, "leftToday", _address(token))


def read_minted(log: Log) -> Minted | None:
    """None if the log is of another event."""
    values = abi.read_log(_MINTER, "Minted", log)
    if values is None:
        return None
    minter, mint_id, token, recipient, amount = values
    return Minted(
        log.address, to_checksum_address(minter), mint_id, to_checksum_address(token), to_checksum_address(recipient), amount
    )


def grant_role_call(role: bytes, account: str) -> bytes:
    """`grantRole` of `RewardToken` and `RewardMinter`, for their admin."""
    return abi.call_data(_TOKEN, "grantRole", role, _address(account))


def has_role_call(role: bytes, account: str) -> bytes:
    """`hasRole` of `RewardToken` and `RewardMinter`; `decode_uint` reads its answer (0 or 1)."""
    return abi.call_data(_TOKEN, "hasRole", role, _address(account))


# ---- deploying ----------------------------------------------------------------------------------------------------


def token_creation(name: str, symbol: str, decimals: int, admin: str) -> bytes:
    """The data that deploys a `RewardToken`; `admin` appoints minters and pausers."""
    return abi.creation_data(_TOKEN, name, symbol, decimals, _address(admin))


def distributor_creation() -> bytes:
    """The data that deploys a `RewardDistributor`."""
    return abi.creation_data(_DISTRIBUTOR)


def minter_creation(*, admin: str, minter: str, cap_admin: str, pauser: str) -> bytes:
    """The data that deploys a `RewardMinter`; `minter` has to be none of the others (SAFETY S29)."""
    return abi.creation_data(_MINTER, _address(admin), _address(minter), _address(cap_admin), _address(pauser))


def created_address(sender: str, nonce: int) -> str:
    """Where the contract is that an account created with this nonce."""
    # RLP of the list (address, nonce): both are short, so each length is one byte, and zero is the empty string.
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    encoded = number if nonce and nonce < _RLP_SHORT_STRING else bytes([_RLP_SHORT_STRING + len(number)]) + number
    content = bytes([_RLP_SHORT_STRING + _ADDRESS_BYTES]) + _address(sender) + encoded
    return to_checksum_address(keccak(bytes([_RLP_SHORT_LIST + len(content)]) + content)[-_ADDRESS_BYTES:])


def is_code_of(contract: str, code: bytes) -> bool:
    """Is this, as a chain has it, the code of our contract of that name, whatever its immutables are?"""
    return code_matches(artifact(contract), code)


def _words(payments: Sequence[tuple[str, int]]) -> list[bytes]:
    return [_payment(recipient, amount) for recipient, amount in payments]


def _payment(recipient: str, amount: int) -> bytes:
    if not 0 < amount <= MAX_PAYMENT:
        raise ValueError(f"a payment is at least 1 and at most 2^96 - 1, not {amount}")
    return _address(recipient) + amount.to_bytes(12, "big")


def _address(text: str) -> bytes:
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != _ADDRESS_BYTES:
        raise ValueError(f"{text!r} is no address")
    return raw


def _uuid(batch: bytes) -> bytes:
    if len(batch) != UUID_BYTES:
        raise ValueError(f"a batch is named by the {UUID_BYTES} bytes of a UUID, not {len(batch)}")
    return batch


def _word_of_hash(text: str) -> bytes:
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != HASH_BYTES:
        raise ValueError(f"{text!r} is no hash of {HASH_BYTES} bytes")
    return raw
