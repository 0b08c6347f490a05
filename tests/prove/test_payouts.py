"""The long proof of payouts (`python -m tests.prove payouts`), in short."""

from __future__ import annotations

import pytest

from tests.prove.payouts import Plan, portions, prove

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


async def test_s19_payouts_are_paid_once_while_whoever_holds_the_key_is_killed() -> None:
    proof = await prove(Plan(count=200, workers=3, kills=1, seed=1), print)
    assert proof.complaints == []
    assert proof.kills == 1
    assert proof.takeovers >= 2
    assert proof.transactions >= 2


def test_every_payout_is_in_one_portion() -> None:
    parts = portions(Plan(count=301, workers=3, kills=3, seed=1))
    assert [number for part in parts for number in part] == list(range(301))
    assert len(parts) == 4
