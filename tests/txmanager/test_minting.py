"""When a treasury's key may make tokens of a Solana."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guerdon.chains.solana.programs import TOKEN_2022
from guerdon.chains.solana.tokens import Mint
from guerdon.txmanager import minting
from guerdon.txmanager.models import Treasury

OURS = Treasury(token_address="mint", token_decimals=6, address="treasury")
MINTABLE = Mint("mint", TOKEN_2022, 6, (18,), "treasury")


def test_the_keys_own_token_is_minted_up_to_what_an_account_can_hold() -> None:
    assert minting.why_not(MINTABLE, OURS, 2**64 - 1) is None
    assert "larger" in str(minting.why_not(MINTABLE, OURS, 2**64))


@pytest.mark.parametrize(
    ("mint", "reason"),
    [
        (replace(MINTABLE, address="other"), "another token by now"),
        (replace(MINTABLE, decimals=9), "9 decimals, and not 6"),
        (replace(MINTABLE, authority="somebody"), "is somebody, and not the treasury"),
        (replace(MINTABLE, authority=None), "no mint authority"),
        (replace(MINTABLE, extensions=(18, 26)), "a pause switch"),
        (replace(MINTABLE, extensions=(1,)), "a transfer fee"),
        (replace(MINTABLE, extensions=(99,)), "number 99"),
    ],
)
def test_s35_what_is_not_minted_says_why(mint: Mint, reason: str) -> None:
    assert reason in str(minting.why_not(mint, OURS, 1))
