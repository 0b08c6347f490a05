"""Built-in wallets: derived by HKDF for each identity, checked before they sign (SAFETY S6)."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from eth_account import Account
from eth_keys import keys as eth_keys

from guerdon.accounts import wallets as module
from guerdon.accounts.errors import WalletMismatchError
from guerdon.accounts.wallets import BuiltInWallets

MASTER = bytes(range(32))
ANNA = "email:anna@example.org"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

# Frozen: people's tokens are at these addresses.
FROZEN = [
    (ANNA, "0xCf948D38702efB764015D2e5199a41f635BDdc57"),
    ("discord:0123", "0x6749edCB37141B002fc71CE48C4B7D12f53774F6"),
    ("email:jos\u00e9@example.org", "0x9Bc2a943EDA0C3DdAD6527e645D4eE6F00Db5ddf"),
]


def test_s6_addresses_are_frozen() -> None:
    assert module.DERIVATION_VERSION == 1
    assert BuiltInWallets(MASTER).addresses([identity for identity, _ in FROZEN]) == [address for _, address in FROZEN]


@pytest.mark.parametrize("identity", [identity for identity, _ in FROZEN])
def test_s6_a_key_is_hkdf_sha256_of_the_master_secret_and_the_identity(identity: str) -> None:
    """Against the library's HKDF: keys have no parent but the master secret, and an exported one tells of no other."""
    derived = HKDF(hashes.SHA256(), 48, b"guerdon wallets 1", b"eip155 wallet:" + identity.encode()).derive(MASTER)
    key = (int.from_bytes(derived) % (ORDER - 1) + 1).to_bytes(32)
    assert BuiltInWallets(MASTER).addresses([identity]) == [Account.from_key(key).address]


def test_the_same_secret_gives_the_same_wallets_and_another_gives_others() -> None:
    one, again, other = BuiltInWallets(MASTER), BuiltInWallets(MASTER), BuiltInWallets(bytes(32))
    assert one.addresses([ANNA]) == again.addresses([ANNA]) != other.addresses([ANNA])
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    assert one.identity_hash(ANNA) == again.identity_hash(ANNA) != other.identity_hash(ANNA)


def test_s6_the_address_on_record_is_compared_before_anything_is_signed() -> None:
    wallets = BuiltInWallets(MASTER)
    [address] = wallets.addresses([ANNA])
    [other] = wallets.addresses(["email:ben@example.org"])
    digest = hashlib.sha256(b"a message").digest()
    with pytest.raises(WalletMismatchError):
        wallets.sign_hash(ANNA, other, digest)
    signature = wallets.sign_hash(ANNA, address, digest)
    assert signature[64] in {27, 28}
    recovered = eth_keys.Signature(signature[:64] + bytes([signature[64] - 27])).recover_public_key_from_msg_hash(digest)
    assert recovered.to_checksum_address() == address


def test_s6_keys_do_not_leave_the_module() -> None:
    wallets = BuiltInWallets(MASTER)
    public = [name for name in dir(wallets) if not name.startswith("_")]
    assert public == ["addresses", "fingerprint", "identity_hash", "name", "sign_hash"]
    assert MASTER.hex() not in repr(wallets)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_master_secret_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        BuiltInWallets(bytes(size))
