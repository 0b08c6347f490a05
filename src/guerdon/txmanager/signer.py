"""Where private keys of the platform live: made, sealed and used here, and nowhere else. They are never logged or returned."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from guerdon.chains.networks import EIP155, SOLANA
from guerdon.chains.signing import address_of, sign_transaction
from guerdon.chains.solana import keys
from guerdon.kit.secrets import KeyRing, SecretError
from guerdon.txmanager.chain import Payload
from guerdon.txmanager.errors import InvalidKeyError, SigningError
from guerdon.txmanager.fees import Fees
from guerdon.txmanager.models import Key

_SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_KEY_BYTES = 32
_Form = TypeVar("_Form")


@dataclass(frozen=True, slots=True)
class UnsignedTransaction:
    """An EIP-1559 transaction, complete but for the signature."""

    chain_id: int
    nonce: int
    payload: Payload
    gas_limit: int
    fees: Fees


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """The bytes that may be sent, and the hash they will be known by (lower case)."""

    raw: bytes
    hash: str


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A private key as it is stored."""

    address: str
    secret_encrypted: bytes


class Signer:
    """Signs with keys that are sealed under the platform's key ring."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def generate(self, key_id: UUID, network: str, namespace: str = EIP155) -> SealedKey:
        """A new key, sealed for its row."""
        while True:
            secret = randomness.token_bytes(_KEY_BYTES)
            if namespace == SOLANA:
                return self._seal(key_id, network, secret, keys.address_of(secret))
            if _is_valid(secret):
                return self._seal(key_id, network, secret, address_of(secret))

    def seal(self, key_id: UUID, network: str, private_key: str, namespace: str = EIP155) -> SealedKey:
        """An existing key, sealed for its row; raises `InvalidKeyError`. Hexadecimal, or on Solana as wallets write it."""
        if namespace == SOLANA:
            seed = keys.read_seed(private_key)
            if seed is None:
                raise InvalidKeyError
            return self._seal(key_id, network, seed, keys.address_of(seed))
        try:
            secret = bytes.fromhex(private_key.strip().removeprefix("0x"))
        except ValueError:
            raise InvalidKeyError from None
        if not _is_valid(secret):
            raise InvalidKeyError
        return self._seal(key_id, network, secret, address_of(secret))

    def rewrap(self, key: Key) -> bytes | None:
        """The same key under the ring's current master key; None if the ring does not have the one that it is under."""
        if not self._ring.opens(key.secret_encrypted):
            return None
        return self._ring.rewrap(key.secret_encrypted, _context(key.id, key.network, key.address))

    def sign_all(self, key: Key, transactions: Sequence[UnsignedTransaction]) -> list[SignedTransaction]:
        """Sign with a key; raises `SigningError` if its secret can't be opened or is not the key of its address."""
        return self._sign_with(key, address_of, lambda secret: [_sign(secret, transaction) for transaction in transactions])

    def sign_messages(self, key: Key, messages: Sequence[bytes]) -> list[bytes]:
        """The ed25519 signatures of messages with a key of a Solana; raises `SigningError` as above."""
        return self._sign_with(key, keys.address_of, lambda secret: [keys.sign(secret, one) for one in messages])

    def _sign_with(self, key: Key, address: Callable[[bytes], str], sign: Callable[[bytes], list[_Form]]) -> list[_Form]:
        signed, problem = self._try_to_sign(key, address, sign)
        if signed is None:
            raise SigningError(f"key {key.id} ({key.address}) can't sign: {problem}")
        return signed

    def _try_to_sign(
        self, key: Key, address: Callable[[bytes], str], sign: Callable[[bytes], list[_Form]]
    ) -> tuple[list[_Form] | None, str]:
        # Nothing is raised from here: the frames of a traceback show their variables in some logs.
        try:
            secret = self._ring.decrypt(key.secret_encrypted, _context(key.id, key.network, key.address))
        except SecretError as error:
            return None, str(error)
        try:
            if address(secret) != key.address:
                return None, "the stored secret belongs to another address"
            return sign(secret), ""
        except (ValueError, TypeError) as error:
            return None, str(error)

    def _seal(self, key_id: UUID, network: str, secret: bytes, address: str) -> SealedKey:
        return SealedKey(address, self._ring.encrypt(secret, _context(key_id, network, address)))


def _sign(secret: bytes, transaction: UnsignedTransaction) -> SignedTransaction:
    raw, transaction_hash = sign_transaction(
        secret,
        chain_id=transaction.chain_id,
        nonce=transaction.nonce,
        to=transaction.payload.to,
        data=transaction.payload.data,
        value=transaction.payload.value_wei,
        gas_limit=transaction.gas_limit,
        max_fee_per_gas=transaction.fees.max_fee_per_gas,
        max_priority_fee_per_gas=transaction.fees.max_priority_fee_per_gas,
    )
    return SignedTransaction(raw, transaction_hash)


def _context(key_id: UUID, network: str, address: str) -> bytes:
    # A ciphertext that is moved to another row does not open.
    return f"guerdon/txmanager/keys/{key_id}/{network}/{address}".encode()


def _is_valid(secret: bytes) -> bool:
    return len(secret) == _KEY_BYTES and 0 < int.from_bytes(secret, "big") < _SECP256K1_ORDER
