"""EIP-1559 transactions: built and signed from a private key's bytes, decoded, their sender recovered. Pure; keeps no key.

Signatures are deterministic (RFC 6979): the same transaction and key give the same bytes and hash.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_keys.datatypes import PrivateKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes

_DYNAMIC_FEE = 2
_KEY_BYTES = 32
_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_MAX_UINT64 = 2**64 - 1
_MAX_UINT256 = 2**256 - 1


@dataclass(frozen=True, slots=True)
class DecodedTransaction:
    """What signed bytes say. Fees and value in wei; `sender` is recovered from the signature; addresses are checksummed."""

    hash: str
    sender: str
    chain_id: int
    nonce: int
    to: str | None
    data: bytes
    value: int
    gas_limit: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int


def address_of(private_key: bytes) -> str:
    """The checksummed address of a private key of 32 bytes; `ValueError` if it is none."""
    if len(private_key) != _KEY_BYTES or not 0 < int.from_bytes(private_key, "big") < _CURVE_ORDER:
        raise ValueError("not a private key")
    return PrivateKey(private_key).public_key.to_checksum_address()


def sign_transaction(  # noqa: PLR0913  a transaction has these fields
    private_key: bytes,
    *,
    chain_id: int,
    nonce: int,
    to: str | None,
    data: bytes,
    value: int,
    gas_limit: int,
    max_fee_per_gas: int,
    max_priority_fee_per_gas: int,
) -> tuple[bytes, str]:
    """The bytes to send and their hash (`0x…`, lower case). Without `to` a contract is created from `data`.

    `ValueError` or `TypeError` for a value out of range, before anything is signed.
    """
    numbers = {"chain_id": chain_id, "value": value, "max_fee_per_gas": max_fee_per_gas, "priority fee": max_priority_fee_per_gas}
    for name, number in numbers.items():
        _check(name, number, _MAX_UINT256)
    _check("nonce", nonce, _MAX_UINT64 - 1)
    _check("gas_limit", gas_limit, _MAX_UINT64)
    if max_priority_fee_per_gas > max_fee_per_gas:
        raise ValueError("the priority fee is above the fee cap; no node takes that")
    signed = Account.sign_transaction(  # pyright: ignore[reportUnknownMemberType]
        {
            "type": _DYNAMIC_FEE,
            "chainId": chain_id,
            "nonce": nonce,
            "to": b"" if to is None else to_checksum_address(to),
            "data": data,
            "value": value,
            "gas": gas_limit,
            "maxFeePerGas": max_fee_per_gas,
            "maxPriorityFeePerGas": max_priority_fee_per_gas,
        },
        private_key,
    )
    return bytes(signed.raw_transaction), f"0x{bytes(signed.hash).hex()}"


def decode_transaction(raw: bytes) -> DecodedTransaction:
    """What signed EIP-1559 bytes say; `ValueError` for anything else."""
    if raw[:1] != bytes([_DYNAMIC_FEE]):
        raise ValueError("not an EIP-1559 transaction")
    try:
        transaction = TypedTransaction.from_bytes(HexBytes(raw))
        fields = transaction.as_dict()
        sender = str(Account.recover_transaction(raw))  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:  # the library lets errors of its many parts through
        raise ValueError("not a signed EIP-1559 transaction") from error
    to = bytes(fields["to"])
    return DecodedTransaction(
        hash=hash_of(raw),
        sender=sender,
        chain_id=int(fields["chainId"]),
        nonce=int(fields["nonce"]),
        to=to_checksum_address(to) if to else None,
        data=bytes(fields["data"]),
        value=int(fields["value"]),
        gas_limit=int(fields["gas"]),
        max_fee_per_gas=int(fields["maxFeePerGas"]),
        max_priority_fee_per_gas=int(fields["maxPriorityFeePerGas"]),
    )


def _check(name: str, number: int, largest: int) -> None:
    if not 0 <= number <= largest:
        raise ValueError(f"{name} is between 0 and {largest}, not {number}")


def hash_of(raw: bytes) -> str:
    """The hash that signed bytes will be known by (`0x…`, lower case)."""
    return f"0x{keccak(raw).hex()}"
