"""Everybody at once: three sources, the reconciler, finality and proofs of addresses. Each payment counts once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from guerdon.accounts import repository_addresses
from guerdon.accounts.models import ProofMethod
from guerdon.accounts.proofs import Proven
from guerdon.accounts.registry import make_proven
from guerdon.activity.settlements.models import HintState, SettlementState
from guerdon.activity.settlements.work import CREDIT, PROVE, READ, SWEEP, WATCH
from guerdon.kit import driver
from guerdon.kit.database import Database, transaction_time
from guerdon.programs.models import Program
from tests.activity.settlements.scene import Scene, Wallet, a_scene
from tests.activity.settlements.test_crediting import terms
from tests.fakes.rpc_proxy import ALWAYS, Fault
from tests.support.members import an_account
from tests.support.postgres import Urls

MERCHANT = "0x" + "77" * 20
DOLLAR = 1_000_000


async def test_s33_three_sources_and_the_reconciler_at_once_credit_each_payment_once(scene: Scene) -> None:
    payers = [Wallet() for _ in range(4)]
    accounts = [await scene.member(payer) for payer in payers]
    other = await scene.add_source()
    await scene.add_source("chain", fromBlock={"local": 0})
    sent = [await scene.pay(payer, MERCHANT, DOLLAR) for payer in payers for _ in range(3)]

    async def reports() -> None:
        for transaction in sent:
            await asyncio.gather(scene.report(transaction), scene.report(transaction, source=other))

    async def works(*kinds: str) -> None:
        for _ in range(6):
            await scene.work(*kinds)

    await asyncio.gather(reports(), works(PROVE), works(PROVE), works(READ, PROVE), works(WATCH), works(CREDIT))
    await scene.read()
    await scene.prove_again()
    await scene.finalise()
    assert len(await scene.settlements()) == len(sent)
    assert len(await scene.accruals()) == len(sent)
    assert {one.state for one in await scene.hints()} == {HintState.PROVEN}
    assert [((await scene.balance(one)).earned, (await scene.balance(one)).available) for one in accounts] == [(300, 300)] * 4
    await scene.check_books()


async def test_an_address_that_is_proven_while_its_payment_is_kept_is_credited_once(scene: Scene) -> None:
    await terms(scene, backdate_days=1)
    payer = Wallet()
    for _ in range(3):
        await scene.report(await scene.pay(payer, MERCHANT, DOLLAR))
    ann, *_ = await asyncio.gather(
        scene.member(payer, since=datetime.now(UTC) + timedelta(hours=1)), *(scene.work(PROVE, CREDIT) for _ in range(4))
    )
    await scene.credit()
    assert (await scene.balance(ann)).earned == 300
    assert len(await scene.accruals()) == 3
    await scene.check_books()


async def test_finality_at_once_by_several_workers_releases_once(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    for _ in range(3):
        await scene.settle(payer, MERCHANT, DOLLAR)
    await scene.node.mine(4)
    await asyncio.gather(*(scene.work(WATCH) for _ in range(4)))
    assert ((await scene.balance(ann)).available, (await scene.balance(ann)).held) == (300, 0)
    assert {one.state for one in await scene.settlements()} == {SettlementState.FINAL}
    await scene.check_books()


async def test_the_sweep_wakes_what_everybody_forgot_and_forgets_what_is_long_over(
    scene: Scene, owner: driver.RawConnection
) -> None:
    payer = Wallet()
    await scene.member(payer)
    await scene.settle(payer, MERCHANT, DOLLAR)
    await scene.report("0x" + "ab" * 32)
    await owner.execute("delete from work")
    await owner.execute("update settlement_hints set updated_at = now() - interval '40 days' where state = 'proven'")
    await scene.work(SWEEP)
    await scene.credit()
    woken = {row[0] for row in await owner.fetch("select kind from work where due_at <= now()")}
    assert woken == {PROVE, WATCH}
    assert [one.state for one in await scene.hints()] == [HintState.WAITING]
    # What was forgotten and is told again changes nothing.
    (settlement,) = await scene.settlements()
    await scene.report(settlement.transaction_hash)
    await scene.prove()
    assert len(await scene.accruals()) == 1


async def test_a_hint_that_never_lands_is_asked_about_ever_more_rarely_and_then_no_more(
    scene: Scene, owner: driver.RawConnection
) -> None:
    transaction = "0x" + "ab" * 32
    await scene.report(transaction)
    for _ in range(12):
        await scene.prove_again()
    (hint,) = await scene.hints()
    assert hint.due_at - datetime.now(UTC) > timedelta(minutes=50)
    await owner.execute("update settlement_hints set received_at = now() - interval '25 hours'")
    await scene.prove_again()
    (hint,) = await scene.hints()
    assert (hint.state, hint.reason) == (HintState.NOTHING, "never_landed")
    # Replayed for ever, it is looked at once an hour at most.
    await scene.report(transaction)
    assert [one.state for one in await scene.hints()] == [HintState.NOTHING]
    await owner.execute("update settlement_hints set updated_at = now() - interval '2 hours'")
    await scene.report(transaction)
    assert [one.state for one in await scene.hints()] == [HintState.WAITING]


async def test_a_source_can_not_have_more_looked_up_than_its_rate(database: Database, database_urls: Urls) -> None:
    async with a_scene(database, database_urls, rate_limit_settlements_a_minute=10) as scene:
        settlements = [{"network": "local", "transaction": f"0x{number:064x}"} for number in range(11)]
        answered = [(await scene.report(one["transaction"])).status_code for one in settlements]
        assert answered == [202] * 10 + [429]
        assert len(await scene.hints()) == 10


async def test_a_network_that_is_down_for_long_is_asked_ever_more_rarely(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    transaction = await scene.pay(payer, MERCHANT, DOLLAR)
    await scene.report(transaction)
    fault = scene.proxy.add(Fault("*", times=ALWAYS, status=502))
    for _ in range(12):
        await scene.prove_again()
    (hint,) = await scene.hints()
    assert timedelta(minutes=8) < hint.due_at - datetime.now(UTC) <= timedelta(minutes=10)
    fault.stop()
    await scene.prove_again()
    assert (await scene.balance(ann)).held == 100


async def test_a_proof_of_an_address_wakes_crediting(scene: Scene, owner: driver.RawConnection) -> None:
    await owner.execute("delete from work")
    account_id = await an_account(scene.database, scene.program_id)
    address = Wallet()
    body = {"account_id": str(account_id), "network": "local", "address": address.address}
    async with scene.database.program(scene.program_id) as session:
        program = await session.get_one(Program, scene.program_id)
        now = await transaction_time(session)
        row = await repository_addresses.insert_unproven(
            session, program.id, account_id, body["network"], "eip155", address.stored, now
        )
        await make_proven(session, program, row, Proven(ProofMethod.OPERATOR, None, "{}"), now)
    assert await owner.fetchval("select count(*) from work where kind = $1 and due_at <= now()", CREDIT) == 1
