"""Signing, against the library's own reading of what was signed."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from guerdon.chains.signing import address_of, decode_transaction, hash_of, sign_transaction

KEY = bytes(range(1, 33))
FIELDS: dict[str, Any] = {
    "chain_id": 1868,
    "nonce": 7,
    "to": "0x5B38Da6a701c568545dCfcB03FcB875f56beddC4",
    "data": b"\1\2\3",
    "value": 5,
    "gas_limit": 60_000,
    "max_fee_per_gas": 2_000_000_007,
    "max_priority_fee_per_gas": 1_000_000,
}


def test_a_known_key_has_its_known_address() -> None:
    assert address_of((1).to_bytes(32, "big")) == "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"


def test_signed_bytes_decode_to_what_was_signed() -> None:
    raw, transaction_hash = sign_transaction(KEY, **FIELDS)
    decoded = decode_transaction(raw)
    assert {name: getattr(decoded, name) for name in FIELDS} == FIELDS
    assert decoded.sender == address_of(KEY) == Account.recover_transaction(raw)
    assert decoded.hash == transaction_hash == hash_of(raw)


def test_a_contract_creation_has_no_recipient() -> None:
    raw, _ = sign_transaction(KEY, **{**FIELDS, "to": None})
    assert decode_transaction(raw).to is None


def test_a_lower_case_recipient_is_the_same_transaction() -> None:
    assert sign_transaction(KEY, **FIELDS) == sign_transaction(KEY, **{**FIELDS, "to": FIELDS["to"].lower()})


@given(st.integers(1, 2**200).map(lambda number: number.to_bytes(32, "big")), st.integers(0, 2**63), st.binary(max_size=200))
def test_signing_is_deterministic_and_names_its_sender(key: bytes, nonce: int, data: bytes) -> None:
    fields = {**FIELDS, "nonce": nonce, "data": data}
    raw, _ = sign_transaction(key, **fields)
    assert raw == sign_transaction(key, **fields)[0]
    decoded = decode_transaction(raw)
    assert (decoded.sender, decoded.nonce, decoded.data) == (address_of(key), nonce, data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": -1},
        {"value": -1},
        {"gas_limit": -1},
        {"max_priority_fee_per_gas": FIELDS["max_fee_per_gas"] + 1},
        {"to": "0x12"},
    ],
)
def test_a_value_out_of_range_is_never_signed(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        sign_transaction(KEY, **{**FIELDS, **wrong})


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, b"\1" * 31])
def test_what_is_no_private_key_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError):
        address_of(key)


@pytest.mark.parametrize("raw", [b"", b"\2", b"\1\2\3", b"\2" + b"\xc0", b"\2" * 100])
def test_other_bytes_are_no_transaction(raw: bytes) -> None:
    with pytest.raises(ValueError, match="EIP-1559"):
        decode_transaction(raw)
