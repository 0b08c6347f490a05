"""Signatures with which an address proves itself, nobody being asked: ECDSA as wallets sign texts (EIP-191), ed25519. Pure.

A signature has one form: what could be written in another way and still be valid is refused.
"""

from __future__ import annotations

import re
from typing import Final

from eth_keys.datatypes import Signature as EcdsaSignature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from solders.pubkey import Pubkey
from solders.signature import Signature

MAX_SIGNATURE_BYTES: Final = 16_384
"""Contract wallets have long ones; ERC-6492 adds how the wallet is made."""
MAX_SIGNATURE_CHARACTERS: Final = 2 * MAX_SIGNATURE_BYTES + 2

_ECDSA_BYTES: Final = 65
_HALF_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2
_V: Final = {0: 0, 1: 1, 27: 0, 28: 1}
"""Most wallets write 27 or 28, some hardware 0 or 1."""
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})+")
_BASE58: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{64,88}")


def evm_bytes(text: str) -> bytes | None:
    """A signature of an EVM wallet as bytes; None if it is not written as one."""
    if len(text) > MAX_SIGNATURE_CHARACTERS or _HEX.fullmatch(text) is None:
        return None
    return bytes.fromhex(text[2:])


def personal_hash(message: str) -> bytes:
    """What an EVM wallet signs of a text (EIP-191, version 0x45)."""
    text = message.encode("utf-8")
    return keccak(b"\x19Ethereum Signed Message:\n%d" % len(text) + text)


def is_signed_by_key(message: str, signature: bytes, address: str) -> bool:
    """Did the private key of this EVM address (in lower case) sign the text?"""
    if len(signature) != _ECDSA_BYTES or signature[64] not in _V:
        return False
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    if s > _HALF_ORDER:
        return False
    try:
        key = EcdsaSignature(vrs=(_V[signature[64]], r, s)).recover_public_key_from_msg_hash(personal_hash(message))
    except (BadSignature, ValidationError):
        return False
    return key.to_address() == address


def is_signed_on_solana(message: str, signature: str, address: str) -> bool:
    """Did the key of this Solana address sign the text? The signature is in base58.

    Checked strictly: with keys of small order, such as the System Program's address, others accept signatures that anybody makes.
    """
    if _BASE58.fullmatch(signature) is None:
        return False
    try:
        return Signature.from_string(signature).verify(Pubkey.from_string(address), message.encode("utf-8"))
    except ValueError:
        return False
