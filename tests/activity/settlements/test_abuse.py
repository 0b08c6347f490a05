"""Payments that are made for their points: what they look like, that they are held, and what an operator does about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from guerdon.activity.settlements.abuse import Edge, Known, Paid, Pattern, Thresholds, look_at
from guerdon.activity.settlements.assets import listed
from guerdon.activity.settlements.crediting import Proven, Surroundings, credit_proven
from guerdon.activity.settlements.models import SettlementFlag
from guerdon.activity.settlements.proofs import Landed, Payment
from guerdon.activity.settlements.repository_sources import settlement_assets, sources
from guerdon.activity.settlements.sources import known_networks
from guerdon.earning.volume_terms import Held
from tests.activity.settlements.scene import Scene, Wallet
from tests.support.books import a_program

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MERCHANT = "0x" + "77" * 20
DOLLAR = 1_000_000


def paid(payer: str = "ann", payee: str = "shop", volume: int = DOLLAR, *, before: float = 0) -> Paid:
    return Paid(uuid4(), payer, payee, volume, NOW - timedelta(seconds=before))


def known(payment: Paid, *others: Paid, edges: str = "", same: bool = False, before: float = 60) -> Known:
    every = sorted([payment, *others], key=lambda one: one.at)
    made: dict[str, list[Edge]] = {}
    for one in edges.split():
        edge = Edge(*one.split(">"), NOW - timedelta(seconds=before))
        made.setdefault(edge.payer, []).append(edge)
    return Known(
        {one.payer: [two for two in every if two.payer == one.payer] for one in every},
        {one.payee: [two for two in every if two.payee == one.payee] for one in every},
        made,
        {payment.id} if same else set[UUID](),
    )


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        ("", []),
        ("ann>shop shop>bank bank>house", []),
        ("shop>ann", [Pattern.FUNDED_BY_PAYEE]),
        ("shop>bob bob>ann", [Pattern.LOOP]),
        ("shop>bob bob>cat cat>ann", [Pattern.LOOP]),
        ("shop>bob bob>cat cat>dan dan>ann", []),
        ("shop>shop shop>bob bob>shop", []),
    ],
)
def test_what_comes_back_to_the_payer_within_so_many_hops_is_a_loop(edges: str, found: list[Pattern]) -> None:
    payment = paid()
    assert [one.pattern for one in look_at(payment, known(payment, edges=edges), Thresholds())] == found


def test_what_came_back_long_ago_is_none_and_a_pattern_can_be_turned_off() -> None:
    payment = paid()
    old = known(payment, edges="shop>ann", before=80 * 3600)
    assert look_at(payment, old, Thresholds()) == []
    assert look_at(payment, known(payment, edges="shop>ann"), Thresholds(loop_hops=0)) == []


def test_the_evidence_of_a_loop_names_the_way() -> None:
    payment = paid()
    (found,) = look_at(payment, known(payment, edges="shop>bob bob>ann shop>cat"), Thresholds())
    assert found.evidence == {"way": ["ann", "shop", "bob", "ann"], "hops": 2}


def test_payer_and_payee_of_one_account_are_told() -> None:
    payment = paid()
    assert [one.pattern for one in look_at(payment, known(payment, same=True), Thresholds())] == [Pattern.SAME_ACCOUNT]


@pytest.mark.parametrize(
    ("of_ann", "of_others", "volume", "found"),
    [
        (19, 0, 10 * DOLLAR, True),
        (18, 0, 10 * DOLLAR, False),
        (19, 1, 10 * DOLLAR, True),
        (19, 3, 10 * DOLLAR, False),
        (19, 0, DOLLAR, False),
    ],
)
def test_nearly_all_from_one_payer_is_concentration(of_ann: int, of_others: int, volume: int, found: bool) -> None:
    payment = paid(volume=volume)
    others = [paid(volume=volume, before=3600 + n) for n in range(of_ann)]
    others += [paid("bob", volume=volume, before=3600 + n) for n in range(of_others)]
    patterns = [one.pattern for one in look_at(payment, known(payment, *others), Thresholds())]
    assert (Pattern.CONCENTRATION in patterns) == found


@pytest.mark.parametrize(("others", "found"), [(59, True), (58, False)])
def test_more_payments_than_people_make_are_a_burst(others: int, found: bool) -> None:
    payment = paid(volume=1_000)
    many = [paid(payee=f"p{n}", volume=1_000, before=n) for n in range(1, others + 1)]
    patterns = [one.pattern for one in look_at(payment, known(payment, *many), Thresholds())]
    assert (Pattern.BURST in patterns) == found


async def a_flag(scene: Scene, payer: Wallet) -> dict[str, Any]:
    (flag,) = (await scene.admin("GET", "/settlement-flags"))["items"]
    assert flag["evidence"]["payer"] == payer.stored
    return flag


async def test_a_suspicious_payment_is_held_until_an_operator_approves_it(scene: Scene) -> None:
    payer, merchant = Wallet(), Wallet()
    ann = await scene.member(payer)
    await scene.prove_address(ann, merchant)
    await scene.settle(payer, merchant.address, DOLLAR)
    await scene.finalise()
    assert (await scene.balance(ann)).held == 100
    flag = await a_flag(scene, payer)
    assert (flag["pattern"], flag["verdict"]) == ("same_account", None)
    alerts = (await scene.admin("GET", "/alerts"))["items"]
    assert [one["kind"] for one in alerts] == ["settlements.review"]
    await scene.admin("POST", f"/settlement-flags/{flag['id']}/approve", {"note": "a friend"})
    assert (await scene.balance(ann)).available == 100
    again = await scene.operator(
        "POST", f"/api/admin/settlement-flags/{flag['id']}/reject", {"note": "x"}, X_Loyalteez_Brand_Id=scene.brand_id
    )
    assert (again.status_code, again.json()["code"]) == (409, "SETTLEMENT_FLAG_DECIDED")
    assert (await scene.admin("GET", "/settlement-flags"))["items"] == []
    assert (await scene.admin("GET", "/alerts"))["items"] == []


async def test_a_burst_that_comes_in_one_batch_is_seen_as_if_it_had_come_one_by_one(scene: Scene) -> None:
    payer = Wallet()
    await scene.member(payer)
    begin = datetime.now(UTC) - timedelta(hours=1)
    async with scene.database.program(scene.program_id) as session:
        networks = await known_networks(session)
        around = Surroundings(
            networks, await sources(session, scene.program_id), listed(await settlement_assets(session)), datetime.now(UTC)
        )
        proven = [
            Proven(
                networks.by_name["local"],
                UUID(scene.source["id"]),
                Landed(
                    f"0x{number:064x}", "0x1", number, f"0x{number:064x}", begin + timedelta(milliseconds=300 * number), True,
                    (Payment(0, scene.token.lower(), payer.stored, MERCHANT, DOLLAR),), None,
                ),
            )
            for number in range(180)
        ]  # fmt: skip
        assert await credit_proven(session, scene.program_id, proven, around) == 180
        flags = await session.scalar(select(func.count()).select_from(SettlementFlag).where(SettlementFlag.pattern == "burst"))
    assert flags == 180 - 59


async def test_what_comes_with_a_payment_counts_for_it_whoever_it_belongs_to(scene: Scene) -> None:
    payer, merchant = Wallet(), Wallet()
    await scene.member(payer)
    for one, other in ((merchant, payer), (payer, merchant)):
        await scene.report(await scene.pay(one, other.address, DOLLAR))
    await scene.prove()
    (flag,) = (await scene.admin("GET", "/settlement-flags"))["items"]
    assert (flag["pattern"], flag["evidence"]["way"][0]) == (Pattern.FUNDED_BY_PAYEE, payer.stored)


async def test_concentration_is_counted_over_what_was_kept_before(scene: Scene) -> None:
    await scene.admin("PUT", "/settlement-thresholds", {"concentrationPayments": 3, "concentrationMicroUsd": 3 * DOLLAR})
    payer = Wallet()
    await scene.member(payer)
    for found in (0, 0, 1):
        await scene.settle(payer, MERCHANT, DOLLAR)
        assert len((await scene.admin("GET", "/settlement-flags"))["items"]) == found
    assert (await a_flag(scene, payer))["pattern"] == Pattern.CONCENTRATION


async def test_a_rejected_payment_is_taken_back_and_all_of_a_payer_are_decided_at_once(scene: Scene) -> None:
    payer, merchant = Wallet(), Wallet()
    ann = await scene.member(payer)
    # The merchant pays the payer, which pays the merchant: gas is the facilitator's, and so it costs nothing.
    await scene.settle(merchant, payer.address, DOLLAR)
    for _ in range(2):
        await scene.settle(payer, merchant.address, DOLLAR)
    await scene.finalise()
    assert ((await scene.balance(ann)).held, (await scene.balance(ann)).available) == (200, 0)
    flags = (await scene.admin("GET", "/settlement-flags"))["items"]
    assert {one["pattern"] for one in flags} == {"funded_by_payee"}
    body = {"payer": payer.address, "verdict": "rejected", "note": "a loop"}
    assert len((await scene.admin("POST", "/settlement-reviews", body))["settlementIds"]) == 2
    assert ((await scene.balance(ann)).held, (await scene.balance(ann)).available) == (0, 0)
    assert {one.held_for for one in await scene.accruals()} == {Held.REJECTED}
    await scene.check_books()


async def test_s1_another_programs_operator_sees_decides_and_changes_nothing(scene: Scene) -> None:
    payer, merchant = Wallet(), Wallet()
    ann = await scene.member(payer)
    await scene.prove_address(ann, merchant)
    await scene.settle(payer, merchant.address, DOLLAR)
    flag, source = await a_flag(scene, payer), scene.source["id"]
    await scene.admin("POST", "/denied-addresses", {"address": MERCHANT, "reason": "x"})
    other = await a_program(scene.database, scene.asset_id)
    stranger = await scene.api.operator_of({"brandId": "0x" + other.hex.rjust(40, "0")})
    for path in ("settlements", f"settlements?address={payer.stored}", "settlement-flags", "denied-addresses", "sources"):
        assert (await stranger("GET", f"/api/admin/{path}")).json()["items"] == []
    said = {"payer": payer.address, "verdict": "approved"}
    assert (await stranger("POST", "/api/admin/settlement-reviews", said)).json() == {"settlementIds": []}
    assert (await stranger("DELETE", f"/api/admin/denied-addresses/{MERCHANT}")).status_code == 204
    for method, path, body in (
        ("POST", f"settlement-flags/{flag['id']}/approve", {}),
        ("GET", f"sources/{source}", None),
        ("PATCH", f"sources/{source}", {"signers": {"local": [payer.address]}}),
        ("POST", f"sources/{source}/secrets", {}),
    ):
        answer = await stranger(method, f"/api/admin/{path}", body)
        assert answer.status_code == 404, answer.text
    assert (await a_flag(scene, payer))["verdict"] is None
    assert len((await scene.admin("GET", "/denied-addresses"))["items"]) == 1


async def test_thresholds_are_the_programs_own(scene: Scene) -> None:
    await scene.admin("PUT", "/settlement-thresholds", {"burstPayments": 2, "burstSeconds": 3600})
    assert (await scene.admin("GET", "/settlement-thresholds"))["burstPayments"] == 2
    payer = Wallet()
    ann = await scene.member(payer)
    for _ in range(2):
        await scene.settle(payer, MERCHANT, DOLLAR)
    await scene.finalise()
    assert ((await scene.balance(ann)).available, (await scene.balance(ann)).held) == (100, 100)
