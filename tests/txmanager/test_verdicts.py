"""The verdict as a table of examples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guerdon.chains.port import Head, Receipt
from guerdon.txmanager.models import IntentState
from guerdon.txmanager.verdicts import Finding, Form, Observation, Standing, judge

FIRST, SECOND, KILL = (f"0x{digit * 64}" for digit in "abc")
OURS, OTHERS = (f"0x{digit * 64}" for digit in "12")
NONCE = 7


def _receipt(transaction_hash: str, number: int, block_hash: str = OURS) -> Receipt:
    return Receipt(transaction_hash, number, block_hash, True, 21_000, 1, 0, None, ())


def _seen(*receipts: Receipt, head: int = 10, finalized: int | None = 8, final_nonce: int | None = NONCE) -> Observation:
    return Observation(
        head=Head(head, OTHERS, 0, 1),
        finalized=finalized,
        next_nonce=NONCE,
        final_nonce=final_nonce,
        receipts={receipt.transaction_hash: receipt for receipt in receipts},
        canonical={},
    )


WAITING = Standing(IntentState.SENT, NONCE, (Form(FIRST), Form(SECOND)))
DYING = replace(WAITING, forms=(Form(FIRST), Form(KILL, kills=True)))
INCLUDED = replace(WAITING, state=IntentState.INCLUDED, block_number=9, block_hash=OURS)


@pytest.mark.parametrize(
    ("standing", "seen", "finding"),
    [
        pytest.param(WAITING, _seen(), Finding.NOTHING_NEW, id="in no block"),
        pytest.param(WAITING, _seen(_receipt(FIRST, 10)), Finding.INCLUDED, id="the first form landed"),
        pytest.param(WAITING, _seen(_receipt(SECOND, 10)), Finding.INCLUDED, id="the replacement landed"),
        pytest.param(WAITING, _seen(_receipt(FIRST, 5)), Finding.INCLUDED, id="in a final block: included first, then final"),
        pytest.param(WAITING, _seen(final_nonce=NONCE + 1), Finding.NONCE_USED, id="its nonce is finally used by another"),
        pytest.param(WAITING, _seen(final_nonce=None), Finding.NOTHING_NEW, id="the node can't tell"),
        pytest.param(WAITING, _seen(finalized=None, final_nonce=None), Finding.NOTHING_NEW, id="no finality known"),
        pytest.param(DYING, _seen(_receipt(KILL, 10)), Finding.NOTHING_NEW, id="the self-transfer is included, not final"),
        pytest.param(DYING, _seen(_receipt(KILL, 8)), Finding.KILLED, id="the self-transfer is final"),
        pytest.param(DYING, _seen(_receipt(FIRST, 10)), Finding.INCLUDED, id="it landed before it could be killed"),
        pytest.param(
            DYING, replace(_seen(_receipt(KILL, 8)), canonical={8: OTHERS}), Finding.NOTHING_NEW, id="killed, but on a fork"
        ),
        pytest.param(INCLUDED, replace(_seen(), canonical={9: OURS}), Finding.NOTHING_NEW, id="still in its block"),
        pytest.param(INCLUDED, replace(_seen(finalized=9), canonical={9: OURS}), Finding.FINAL, id="its block is final"),
        pytest.param(INCLUDED, replace(_seen(finalized=12), canonical={9: OURS}), Finding.FINAL, id="long final"),
        pytest.param(INCLUDED, replace(_seen(), canonical={9: OTHERS}), Finding.REORGANISED, id="another block is there now"),
        pytest.param(
            INCLUDED, replace(_seen(finalized=9), canonical={9: OTHERS}), Finding.REORGANISED, id="another block is final there"
        ),
        pytest.param(INCLUDED, _seen(head=8), Finding.NOTHING_NEW, id="a node that lags behind its block"),
        pytest.param(INCLUDED, _seen(finalized=9), Finding.NOTHING_NEW, id="final, but the block can't be seen"),
        pytest.param(
            INCLUDED, replace(_seen(final_nonce=NONCE + 1), canonical={9: OURS}), Finding.NOTHING_NEW, id="used by itself"
        ),
    ],
)
def test_s20_s24_what_a_look_means(standing: Standing, seen: Observation, finding: Finding) -> None:
    assert judge(standing, seen).finding is finding
