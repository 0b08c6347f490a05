"""What backs points that several treasuries pay (SAFETY S3), as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.ledger.rates import Rate
from guerdon.txmanager.backing import Promised, Vault, missing_points


@pytest.mark.parametrize(
    ("promised", "vaults", "missing"),
    [
        (Promised(100, 0), [Vault(Rate(1), 100)], 0),
        (Promised(100, 0), [Vault(Rate(1), 99)], 1),
        # Two treasuries back the points together, each at its rate.
        (Promised(100, 0), [Vault(Rate(10), 600), Vault(Rate(1, 2), 20)], 0),
        (Promised(101, 0), [Vault(Rate(10), 600), Vault(Rate(1, 2), 20)], 1),
        # What a claim fixed is owed by its treasury, whatever the rate is by now.
        (Promised(100, 40), [Vault(Rate(1), 100, claimed_atomic=40)], 0),
        (Promised(100, 40), [Vault(Rate(1), 100, claimed_atomic=80)], 40),
        # One that can't pay its claims is made up for by the others.
        (Promised(50, 40), [Vault(Rate(1), 30, claimed_atomic=40), Vault(Rate(1), 20)], 0),
        (Promised(50, 40), [Vault(Rate(1), 30, claimed_atomic=40), Vault(Rate(1), 19)], 1),
        # One that is not offered any more pays its claims and backs nothing else.
        (Promised(50, 0), [Vault(Rate(1), 100, is_open=False)], 50),
        (Promised(50, 50), [Vault(Rate(1), 40, claimed_atomic=50, is_open=False)], 10),
    ],
)
def test_s3_examples(promised: Promised, vaults: list[Vault], missing: int) -> None:
    assert missing_points(promised, vaults) == missing


@given(st.integers(1, 10**18), st.integers(1, 10**6), st.integers(0, 10**12), st.lists(st.integers(1, 10**6), max_size=6))
def test_s3_what_is_backed_can_be_claimed_to_the_last_point(
    numerator: int, denominator: int, held: int, claims: list[int]
) -> None:
    rate = Rate(numerator, denominator)
    points = sum(claims)
    if missing_points(Promised(points, 0), [Vault(rate, held)]) <= 0:
        assert sum(rate.atomic(claim) for claim in claims) <= held
