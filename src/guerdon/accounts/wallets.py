"""Custodial wallets: which address an identity has, and signing with it. Private keys never leave this module.

Storing addresses is `accounts/repository.py`; the master secret is opened by `accounts/master_secret.py`.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final, Protocol

import coincurve
from eth_utils.crypto import keccak

from guerdon.accounts.errors import WalletMismatchError

DERIVATION_VERSION: Final = 1
"""Of `BuiltInWallets`; stored with each wallet and frozen (SAFETY S6)."""

MASTER_SECRET_BYTES: Final = 32

_CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_SALT: Final = b"guerdon wallets 1"
_DIGEST_BYTES: Final = 32
_SECRET_BYTES: Final = 32


class WalletProvider(Protocol):
    """Gives every identity one wallet, the same whenever and from wherever it is asked."""

    @property
    def name(self) -> str:
        """What `wallets.provider` says."""
        ...

    def addresses(self, identities: Sequence[str]) -> list[str]:
        """The checksummed EVM addresses of the identities, in their order. Computed: nobody is asked."""
        ...

    def identity_hash(self, identity: str) -> bytes:
        """A keyed hash of 32 bytes: tells identities apart and, without the key, tells nothing else."""
        ...


class BuiltInWallets:
    """Wallets derived from one master secret: HKDF-SHA256 for each identity, so that no key is the parent of another."""

    name = "built-in"

    def __init__(self, master_secret: bytes) -> None:
        """`master_secret` is 32 random bytes; the same bytes give the same wallets for ever."""
        if len(master_secret) != MASTER_SECRET_BYTES:
            message = f"the master secret has {MASTER_SECRET_BYTES} bytes, not {len(master_secret)}"
            raise ValueError(message)
        # HKDF-Extract (RFC 5869); each use below is one HKDF-Expand with its own info.
        self.__extracted = hmac.digest(_SALT, master_secret, "sha256")
        self.__identity_key = self.__expand(b"identity hash", 32)

    def __repr__(self) -> str:
        return f"BuiltInWallets(fingerprint={self.fingerprint()!r})"

    def fingerprint(self) -> str:
        """Tells one master secret from another and reveals nothing of either; 32 hexadecimal digits."""
        return self.__expand(b"fingerprint", 16).hex()

    def addresses(self, identities: Sequence[str]) -> list[str]:
        """The checksummed EVM addresses of the identities, in their order; some 35 microseconds each."""
        # The public key alone: a whole private key object would be made for nothing.
        return [_address(coincurve.PublicKey.from_secret(self.__secret(identity))) for identity in identities]

    def identity_hash(self, identity: str) -> bytes:
        """A keyed hash of 32 bytes, for directories that must not list identities."""
        return hmac.digest(self.__identity_key, identity.encode("utf-8"), "sha256")

    def sign_hash(self, identity: str, expected_address: str, digest: bytes) -> bytes:
        """The recoverable signature (r, s, v with v 27 or 28; 65 bytes) of a 32-byte hash by the identity's wallet.

        `expected_address` is the one stored when the wallet was made; `WalletMismatchError` if it is not the one derived
        now, before anything is signed (SAFETY S6).
        """
        if len(digest) != _DIGEST_BYTES:
            message = f"a hash of {_DIGEST_BYTES} bytes is signed, not {len(digest)}"
            raise ValueError(message)
        key = coincurve.PrivateKey(self.__secret(identity))
        if _address(key.public_key).lower() != expected_address.lower():
            raise WalletMismatchError
        signature = key.sign_recoverable(digest, hasher=None)  # pyright: ignore[reportUnknownMemberType]
        return signature[:64] + bytes([signature[64] + 27])

    def __secret(self, identity: str) -> bytes:
        # 48 bytes reduced by the order are uniform to within 2^-128; zero is no key.
        seed = int.from_bytes(self.__expand(b"eip155 wallet:" + identity.encode("utf-8"), 48))
        return (seed % (_CURVE_ORDER - 1) + 1).to_bytes(_SECRET_BYTES)

    def __expand(self, info: bytes, length: int) -> bytes:
        """HKDF-Expand (RFC 5869, section 2.3)."""
        output, block, counter = b"", b"", 0
        while len(output) < length:
            counter += 1
            block = hmac.digest(self.__extracted, block + info + bytes([counter]), "sha256")
            output += block
        return output[:length]


def _address(key: coincurve.PublicKey) -> str:
    return checksummed(keccak(key.format(compressed=False)[1:])[-20:])


def checksummed(address: bytes) -> str:
    """An EVM address of 20 bytes in mixed case (EIP-55)."""
    digits = address.hex()
    checks = keccak(digits.encode("ascii")).hex()
    return "0x" + "".join(digit.upper() if check >= "8" else digit for digit, check in zip(digits, checks, strict=False))
