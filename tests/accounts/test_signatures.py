"""Texts to sign, and signatures that an address proves itself with."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from guerdon.accounts.messages import Asked, message
from guerdon.accounts.models_members import Purpose
from guerdon.accounts.signatures import evm_bytes, is_signed_by_key, is_signed_on_solana
from guerdon.chains.networks import EIP155

with warnings.catch_warnings():
    # It imports the whole of web3, parts of which warn of others.
    warnings.simplefilter("ignore", DeprecationWarning)
    from siwe import SiweMessage

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
KEY = b"\x07" * 32
ADDRESS = Account.from_key(KEY).address
NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
SOLANA_KEY = Keypair.from_seed(b"\x07" * 32)
TEXT = "Link address"


def _signed(text: str = TEXT, key: bytes = KEY) -> bytes:
    return bytes(Account.sign_message(encode_defunct(text=text), key).signature)


def _asked(purpose: Purpose = Purpose.LINK, **changes: object) -> Asked:
    values = {
        "origin": "https://rewards.example.com:8443", "network": "base", "namespace": EIP155, "chain_id": 8453,
        "address": ADDRESS.lower(), "nonce": "0" * 32, "issued_at": NOW, "expires_at": NOW + timedelta(minutes=5),
        "program": "0x" + "ab" * 20, "account": "0191d5a0-0000-7000-8000-000000000001", **changes,
    }  # fmt: skip
    return Asked(purpose, **values)  # pyright: ignore[reportArgumentType]


def test_the_text_says_the_seeds_sentence_and_is_read_by_the_fields_own_library() -> None:
    text = message(_asked())
    parsed = SiweMessage.from_message(text)
    assert parsed.statement == (
        f"Link address {ADDRESS} to Guerdon rewards account 0191d5a0-0000-7000-8000-000000000001 at 2026-11-21T12:00:00Z"
    )
    assert (parsed.domain, parsed.address, parsed.chain_id) == ("rewards.example.com:8443", ADDRESS, 8453)
    assert (parsed.nonce, str(parsed.expiration_time)) == ("0" * 32, "2026-11-21T12:05:00Z")
    assert [str(resource) for resource in parsed.resources or ()] == [
        "urn:guerdon:purpose:link",
        "urn:guerdon:program:0x" + "ab" * 20,
        "urn:guerdon:account:0191d5a0-0000-7000-8000-000000000001",
    ]
    assert parsed.prepare_message() == text


@pytest.mark.parametrize("purpose", list(Purpose))
def test_every_purpose_has_a_text_of_its_own_that_wallets_read(purpose: Purpose) -> None:
    text = message(_asked(purpose, user="0191d5a0-0000-7000-8000-000000000002"))
    assert SiweMessage.from_message(text).prepare_message() == text
    assert f"urn:guerdon:purpose:{purpose.value}" in text
    others = {message(_asked(other, user="u")) for other in Purpose if other is not purpose}
    assert text not in others


def test_on_solana_the_text_has_the_same_form_and_keeps_the_addresses_case() -> None:
    address = str(SOLANA_KEY.pubkey())
    lines = message(_asked(network="solana-devnet", namespace="solana", chain_id=None, address=address)).split("\n")
    assert lines[0] == "rewards.example.com:8443 wants you to sign in with your Solana account:"
    assert lines[1] == address
    assert lines[3].startswith(f"Link address {address} to Guerdon rewards account ")
    assert "Chain ID: devnet" in lines


def test_an_ordinary_wallets_signature_proves_its_address_and_no_other() -> None:
    assert is_signed_by_key(TEXT, _signed(), ADDRESS.lower())
    assert not is_signed_by_key(TEXT + " ", _signed(), ADDRESS.lower())
    assert not is_signed_by_key(TEXT, _signed(key=b"\x08" * 32), ADDRESS.lower())


def test_hardware_that_writes_zero_or_one_is_understood() -> None:
    signature = _signed()
    assert is_signed_by_key(TEXT, signature[:64] + bytes([signature[64] - 27]), ADDRESS.lower())


def test_s7_the_other_form_of_a_signature_is_refused() -> None:
    signature = _signed()
    other = ORDER - int.from_bytes(signature[32:64])
    malleable = signature[:32] + other.to_bytes(32) + bytes([55 - signature[64]])
    assert Account.recover_message(encode_defunct(text=TEXT), signature=malleable) == ADDRESS
    assert not is_signed_by_key(TEXT, malleable, ADDRESS.lower())


@pytest.mark.parametrize(
    "signature",
    [b"", b"\x00" * 65, b"\xff" * 65, _signed()[:64], _signed() + b"\x00", _signed()[:64] + b"\x1d", bytes(64) + b"\x1b",
     ORDER.to_bytes(32) + (1).to_bytes(32) + b"\x1b"],
)  # fmt: skip
def test_what_is_no_signature_proves_nothing(signature: bytes) -> None:
    assert not is_signed_by_key(TEXT, signature, ADDRESS.lower())


def test_signatures_are_read_only_as_they_are_written() -> None:
    assert evm_bytes("0x" + _signed().hex()) == _signed()
    for text in ("", "0x", "0x1", _signed().hex(), "0xzz", "0x" + "00" * 20_000, "0x" + "0٠"):
        assert evm_bytes(text) is None


def test_a_solana_signature_proves_its_address_and_no_other() -> None:
    signature = str(SOLANA_KEY.sign_message(TEXT.encode()))
    assert is_signed_on_solana(TEXT, signature, str(SOLANA_KEY.pubkey()))
    assert not is_signed_on_solana(TEXT + "x", signature, str(SOLANA_KEY.pubkey()))
    assert not is_signed_on_solana(TEXT, signature, str(Keypair().pubkey()))
    for malformed in ("", "1", signature[:-1], signature + "1", signature.replace(signature[3], "0"), "1" * 64, "z" * 88):
        assert not is_signed_on_solana(TEXT, malformed, str(SOLANA_KEY.pubkey()))


def test_s7_the_other_form_of_a_solana_signature_is_refused() -> None:
    signature = bytes(SOLANA_KEY.sign_message(TEXT.encode()))
    shifted = int.from_bytes(signature[32:], "little") + ED25519_ORDER
    malleable = Signature.from_bytes(signature[:32] + shifted.to_bytes(32, "little"))
    assert not is_signed_on_solana(TEXT, str(malleable), str(SOLANA_KEY.pubkey()))


@pytest.mark.parametrize("address", [bytes(32), (1).to_bytes(32, "little")])
def test_s7_nobody_signs_for_an_address_whose_key_is_no_secret(address: bytes) -> None:
    """A key of small order: with a lax check, one in a few texts is "signed" by these bytes."""
    for first in (bytes(32), (1).to_bytes(32, "little")):
        forged = str(Signature.from_bytes(first + bytes(32)))
        assert not any(is_signed_on_solana(f"{TEXT} {number}", forged, str(Pubkey.from_bytes(address))) for number in range(100))
