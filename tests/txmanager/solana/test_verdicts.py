"""What looks at a Solana mean for one intent (SAFETY S18, S24)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guerdon.chains.solana.values import Commitment, FirstLook, SecondLook, SignatureStatus
from guerdon.txmanager.models import IntentState
from guerdon.txmanager.solana.verdicts import Expiry, Finding, Form, Standing, conclude, judge

EXPIRY = Expiry(least_seconds=75)
LAST_VALID = 1_000
FORM = Form("one", LAST_VALID, 900, 200)
SECOND = Form("two", LAST_VALID + 300, 1_200, 100)
SENT = Standing(IntentState.SENT, [FORM])
TWICE = Standing(IntentState.SENT, [FORM, SECOND])
FIRST = FirstLook(confirmed_slot=960, finalized_slot=930, finalized_height=930, statuses={})
OLD = replace(FIRST, finalized_height=LAST_VALID + 33)
NOW = SecondLook(
    finalized_slot=1_500, finalized_height=LAST_VALID + 33, statuses={}, marker_exists=False, first_available_slot=10
)


def _status(commitment: Commitment, *, slot: int = 950) -> dict[str, SignatureStatus]:
    return {"one": SignatureStatus(slot, None, commitment)}


@pytest.mark.parametrize(
    ("seen", "finding"),
    [
        pytest.param(FIRST, Finding.NOTHING_NEW, id="in no block"),
        pytest.param(replace(FIRST, statuses=_status("processed")), Finding.NOTHING_NEW, id="on one fork"),
        pytest.param(replace(FIRST, statuses=_status("confirmed")), Finding.INCLUDED, id="confirmed"),
        pytest.param(replace(FIRST, statuses=_status("finalized")), Finding.LOOK_CLOSER, id="perhaps final"),
        pytest.param(replace(FIRST, finalized_height=LAST_VALID + 32), Finding.NOTHING_NEW, id="not past the margin"),
        pytest.param(OLD, Finding.LOOK_CLOSER, id="perhaps expired"),
    ],
)
def test_s24_what_a_first_look_means(seen: FirstLook, finding: Finding) -> None:
    assert judge(SENT, seen, EXPIRY).finding is finding


def test_s18_a_node_that_is_ahead_of_time_proves_no_expiry() -> None:
    young = replace(SENT, forms=[replace(FORM, age_seconds=74)])
    assert judge(young, OLD, EXPIRY).finding is Finding.NOTHING_NEW
    assert conclude(young, NOW, EXPIRY).finding is Finding.NOTHING_NEW


def test_s24_what_was_included_and_is_in_no_block_any_more_is_sent_again() -> None:
    included = replace(SENT, state=IntentState.INCLUDED, block_number=950)
    assert judge(included, replace(FIRST, confirmed_slot=981), EXPIRY).finding is Finding.NOTHING_NEW
    assert judge(included, replace(FIRST, confirmed_slot=982), EXPIRY).finding is Finding.FORKED
    assert judge(included, replace(FIRST, finalized_slot=950), EXPIRY).finding is Finding.LOOK_CLOSER
    assert conclude(included, replace(NOW, finalized_height=900), EXPIRY).finding is Finding.FORKED


def test_included_again_in_another_block_is_news_and_in_the_same_one_is_none() -> None:
    included = replace(SENT, state=IntentState.INCLUDED, block_number=950)
    assert judge(included, replace(FIRST, statuses=_status("confirmed")), EXPIRY).finding is Finding.NOTHING_NEW
    moved = replace(FIRST, statuses=_status("confirmed", slot=951))
    assert judge(included, moved, EXPIRY).finding is Finding.INCLUDED


_DEAD = {"one": SignatureStatus(950, "a fault", "finalized")}


@pytest.mark.parametrize(
    ("standing", "seen", "finding"),
    [
        pytest.param(SENT, replace(NOW, statuses=_status("finalized")), Finding.FINAL, id="final"),
        pytest.param(SENT, replace(NOW, statuses=_status("confirmed")), Finding.NOTHING_NEW, id="only confirmed"),
        pytest.param(SENT, replace(NOW, marker_exists=True), Finding.FINAL, id="only the marker is left of it"),
        pytest.param(SENT, replace(NOW, statuses=_DEAD), Finding.FAILED, id="failed"),
        pytest.param(SENT, replace(NOW, statuses=_DEAD, marker_exists=True), Finding.FINAL, id="failed, since another one paid"),
        pytest.param(SENT, NOW, Finding.EXPIRED, id="expired"),
        pytest.param(SENT, replace(NOW, finalized_height=LAST_VALID + 32), Finding.NOTHING_NEW, id="may still land"),
        pytest.param(SENT, replace(NOW, first_available_slot=900), Finding.UNCERTAIN, id="a pruned node"),
        pytest.param(
            replace(SENT, is_dying=True), replace(NOW, first_available_slot=901), Finding.EXPIRED, id="an operator wants it dead"
        ),
        pytest.param(
            replace(SENT, has_marker=False), replace(NOW, marker_exists=None, first_available_slot=901), Finding.EXPIRED,
            id="a closing may be repeated",
        ),
        pytest.param(TWICE, NOW, Finding.NOTHING_NEW, id="the second form may still land"),
        pytest.param(TWICE, replace(NOW, statuses=_DEAD), Finding.NOTHING_NEW, id="failed, and the second form may still land"),
        pytest.param(
            TWICE, replace(NOW, finalized_height=LAST_VALID + 333), Finding.EXPIRED, id="both expired"
        ),
        pytest.param(
            TWICE, replace(NOW, finalized_height=LAST_VALID + 333, statuses=_DEAD), Finding.FAILED, id="one failed, one expired"
        ),
        pytest.param(
            TWICE, replace(NOW, statuses={**_DEAD, "two": SignatureStatus(1_250, None, "finalized")}), Finding.FINAL,
            id="one failed, one paid",
        ),
    ],
)  # fmt: skip
def test_s18_what_a_second_look_means(standing: Standing, seen: SecondLook, finding: Finding) -> None:
    assert conclude(standing, seen, EXPIRY).finding is finding
