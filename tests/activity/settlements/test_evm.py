"""Which transfers of a receipt are payments: by the schemes' shapes, and nothing else (SAFETY S33)."""

from __future__ import annotations

import pytest

from guerdon.activity.settlements.assets import Listed
from guerdon.activity.settlements.evm import AUTHORIZATION_USED_TOPIC, CHANNELS, PERMIT2_PROXIES, payments_of
from guerdon.activity.settlements.proofs import Reason
from guerdon.chains.contracts import TRANSFER_TOPIC
from guerdon.chains.port import Log, Receipt

USDC, OTHER = "0x" + "0a" * 20, "0x" + "0b" * 20
ANN, BOB, SHOP = "0x" + "a1" * 20, "0x" + "b0" * 20, "0x" + "50" * 20
BLOCK, HASH = "0x" + "22" * 32, "0x" + "11" * 32
ASSETS = {USDC: Listed(USDC, "USDC", 6, 1_000_000)}


def word(address: str) -> str:
    return "0x" + address[2:].rjust(64, "0")


def transfer(payer: str, payee: str, amount: int, token: str = USDC) -> tuple[str, tuple[str, ...], bytes]:
    return token, (TRANSFER_TOPIC, word(payer), word(payee)), amount.to_bytes(32)


def used(payer: str, token: str = USDC) -> tuple[str, tuple[str, ...], bytes]:
    return token, (AUTHORIZATION_USED_TOPIC, word(payer), "0x" + "33" * 32), b""


def receipt(*logs: tuple[str, tuple[str, ...], bytes], succeeded: bool = True) -> Receipt:
    entries = tuple(
        Log(address, topics, data, place, 100 + place, HASH, 7, BLOCK) for place, (address, topics, data) in enumerate(logs)
    )
    return Receipt(HASH, 7, BLOCK, succeeded, 1, 1, 0, None, entries)


@pytest.mark.parametrize(
    ("logs", "places", "reason"),
    [
        ((), [], Reason.NO_LISTED_ASSET),
        ((transfer(ANN, SHOP, 5, OTHER), used(ANN, OTHER)), [], Reason.NO_LISTED_ASSET),
        ((transfer(ANN, SHOP, 5),), [], Reason.NOT_A_PAYMENT),
        ((used(ANN), transfer(ANN, SHOP, 5)), [1], None),
        ((transfer(ANN, SHOP, 5), used(ANN)), [0], None),
        # Somebody else's logs between are no matter; somebody else's authorization is.
        ((used(ANN), transfer(BOB, SHOP, 9, OTHER), transfer(ANN, SHOP, 5)), [2], None),
        ((used(BOB), transfer(ANN, SHOP, 5)), [], Reason.NOT_A_PAYMENT),
        ((used(ANN, OTHER), transfer(ANN, SHOP, 5)), [], Reason.NOT_A_PAYMENT),
        # One authorization stands for one transfer.
        ((used(ANN), transfer(ANN, SHOP, 5), transfer(ANN, SHOP, 5)), [1], None),
        ((used(ANN), transfer(ANN, SHOP, 5), used(ANN), transfer(ANN, SHOP, 6)), [1, 3], None),
        ((used(ANN), transfer(ANN, SHOP, 0)), [], Reason.ZERO_AMOUNT),
        ((used(ANN), transfer(ANN, min(CHANNELS), 5)), [], Reason.CHANNEL),
        ((used(ANN), transfer(ANN, SHOP, 5), used(BOB), transfer(BOB, min(CHANNELS), 5)), [1], None),
        # A token that has the event with another number of topics, or without an amount.
        (((USDC, (TRANSFER_TOPIC, word(ANN), word(SHOP), word(BOB)), b""), used(ANN)), [], Reason.NO_LISTED_ASSET),
        (((USDC, (TRANSFER_TOPIC, word(ANN), word(SHOP)), b"\1"), used(ANN)), [], Reason.NO_LISTED_ASSET),
    ],
)
def test_s33_a_transfer_is_a_payment_beside_its_own_authorization(
    logs: tuple[tuple[str, tuple[str, ...], bytes], ...], places: list[int], reason: Reason | None
) -> None:
    found, why = payments_of(receipt(*logs), USDC, ASSETS)
    assert ([one.place for one in found], why) == (places, reason)
    assert payments_of(receipt(*logs, succeeded=False), USDC, ASSETS) == ([], Reason.FAILED)


@pytest.mark.parametrize("proxy", sorted(PERMIT2_PROXIES))
def test_s33_exact_and_upto_by_permit2_are_payments_of_what_was_moved_and_only_through_their_proxy(proxy: str) -> None:
    moved = receipt(transfer(ANN, SHOP, 3))
    (payment,), reason = payments_of(moved, proxy, ASSETS)
    assert (payment.payer, payment.payee, payment.amount, reason) == (ANN, SHOP, 3, None)
    assert payments_of(moved, OTHER, ASSETS) == ([], Reason.NOT_A_PAYMENT)
    assert payments_of(moved, None, ASSETS) == ([], Reason.NOT_A_PAYMENT)


@pytest.mark.parametrize("to", [USDC, min(PERMIT2_PROXIES)])
def test_s33_what_comes_back_within_the_transaction_was_paid_by_nobody(to: str) -> None:
    # A lender's money in a circle, as often as it likes: a facilitator calls whatever asset, or factory, it is told to.
    lent, returned = transfer(BOB, ANN, 9), transfer(SHOP, BOB, 9)
    circle = (used(ANN), transfer(ANN, SHOP, 9), used(SHOP), transfer(SHOP, ANN, 9))
    assert payments_of(receipt(lent, *circle, *circle, used(ANN), transfer(ANN, SHOP, 9), returned), to, ASSETS)[0] == []
    assert payments_of(receipt(*circle), to, ASSETS) == ([], Reason.CAME_BACK)
    # What goes on to others was paid once, by who is the poorer for it.
    on = receipt(used(ANN), transfer(ANN, SHOP, 9), used(SHOP), transfer(SHOP, BOB, 9))
    assert [(one.payer, one.payee, one.amount) for one in payments_of(on, to, ASSETS)[0]] == [(ANN, SHOP, 9)]
