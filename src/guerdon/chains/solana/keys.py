"""Keys of a Solana: their addresses, how wallets write them, signatures. Pure; keeps no key."""

from __future__ import annotations

import json
from typing import Final

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

SEED_BYTES: Final = 32
_PAIR_BYTES: Final = 64


def is_address(text: str) -> bool:
    """Is this how a Solana writes an address?"""
    try:
        Pubkey.from_string(text)
    except ValueError:
        return False
    return True


def is_on_curve(address: str) -> bool:
    """Can somebody hold a key for this address? One off the curve is a program's, which has to know how to spend."""
    return Pubkey.from_string(address).is_on_curve()


def address_of(seed: bytes) -> str:
    """The address of a private key's 32 bytes."""
    return str(Keypair.from_seed(seed).pubkey())


def sign(seed: bytes, message: bytes) -> bytes:
    """The signature of a message, 64 bytes. It is deterministic."""
    return bytes(Keypair.from_seed(seed).sign_message(message))


def read_seed(text: str) -> bytes | None:
    """The 32 bytes of a private key written as base58 or as a list of 64 numbers, as wallets do, or in hexadecimal; else None.

    Of the first two forms the second half is the public key, which has to be the right one.
    """
    written = text.strip()
    try:
        if written.startswith("["):
            pair = bytes(json.loads(written))
        elif len(written.removeprefix("0x")) == 2 * SEED_BYTES:
            return bytes.fromhex(written.removeprefix("0x"))
        else:
            # As long as a signature, and written like one; the class for keys panics over a wrong letter.
            pair = bytes(Signature.from_string(written))
        return bytes(Keypair.from_bytes(pair))[:SEED_BYTES] if len(pair) == _PAIR_BYTES else None
    except (ValueError, TypeError):
        return None
