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


def hash_of(raw: bytes) -> str:
    """The hash that signed bytes will be known by (`0x…`, lower case)."""
    return f"0x{keccak(raw).hex()}"
