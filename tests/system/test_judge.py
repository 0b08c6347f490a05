"""The judge is no yes-man: shown spoiled books, each of its looks finds what is wrong. Nothing spoiled is ever committed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.system import judge
from tests.system.conftest import verdict
from tests.system.house import House
from tests.system.judge import Acknowledged, Chain
from tests.system.reporter import Reporter

pytestmark = pytest.mark.slow


@pytest.fixture
async def books(house: House, reporter: Reporter) -> AsyncIterator[Any]:
    """The settled books, to be spoiled inside a transaction that is rolled back; triggers and foreign keys look away."""
    await reporter.report([f"judged-{number}" for number in range(10)])
    assert await verdict(house, reporter) == []
    connection = await asyncpg.connect(house.superuser_dsn)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("set local session_replication_role = replica")
    yield connection
    await transaction.rollback()
    await connection.close()


async def test_a_lost_event_is_found(books: Any, reporter: Reporter) -> None:
    told = [*reporter.acknowledged, Acknowledged("never-booked", str(uuid4()), 5)]
    (complaint,) = await judge.lost_or_doubled(books, told, set())
    assert complaint.startswith("lost: event never-booked")


async def test_a_doubled_event_is_found(books: Any, reporter: Reporter) -> None:
    await books.execute(
        "insert into events select (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid()))).* from events e"
        " where metadata->>'n' = 'judged-3'"
    )
    assert "doubled: event judged-3 is booked 2 times" in await judge.lost_or_doubled(books, reporter.acknowledged, set())


async def test_a_reward_that_is_not_what_was_told_is_found(books: Any, reporter: Reporter) -> None:
    await books.execute(
        "update accruals a set points = points + 1 from events e where e.id = a.id and e.program_id = a.program_id"
        " and e.metadata->>'n' = 'judged-4'"
    )
    assert any(
        said.startswith("wrong: event judged-4") for said in await judge.lost_or_doubled(books, reporter.acknowledged, set())
    )
    assert any("accruals say" in said for said in await judge.unbalanced(books))


async def test_what_nobody_sent_is_found(books: Any, reporter: Reporter) -> None:
    sent = reporter.sent - {"judged-5"}
    assert "from nowhere: event judged-5 was never sent" in await judge.lost_or_doubled(books, reporter.acknowledged, sent)


async def test_a_program_that_does_not_add_up_is_found(books: Any) -> None:
    await books.execute("alter table program_balances drop constraint ck_program_balances_balanced")
    await books.execute("update program_balances set funds = funds + 1")
    assert any("does not add up" in said for said in await judge.unbalanced(books))


async def test_a_payout_that_stopped_half_way_is_found(books: Any) -> None:
    await books.execute("update deliveries set state = 'sent' where id = (select max(id::text)::uuid from deliveries)")
    await books.execute("update intents set state = 'signed' where id = (select max(id::text)::uuid from intents)")
    said = await judge.stuck(books)
    assert any(one.startswith("stuck: payout") for one in said)
    assert any("transaction" in one for one in said)


async def test_a_wallet_that_has_not_what_the_books_say_is_found(books: Any, house: House) -> None:
    await books.execute("alter table account_balances drop column available")
    await books.execute(
        "update account_balances set claimed = claimed + 1 where account_id = (select max(account_id::text)::uuid from account_balances)"
    )
    said = await judge.off_chain(books, Chain(house.rpc))
    assert any(one.startswith("chain: wallet") for one in said)
    assert any("was owed" in one for one in said)


async def test_tokens_that_went_to_a_stranger_are_found(books: Any, house: House) -> None:
    await books.execute("update accounts set wallet_address = '0x' || repeat('77', 20)")
    assert any("whom nobody knows" in said for said in await judge.off_chain(books, Chain(house.rpc)))


async def test_a_transaction_that_the_database_does_not_know_is_found(books: Any, house: House) -> None:
    await books.execute("delete from nonces where nonce = (select max(nonce) from nonces)")
    assert any(said.startswith("unknown: nonce") for said in await judge.odd_transactions(books, Chain(house.rpc)))


async def test_a_transaction_that_is_not_on_chain_is_found(books: Any, house: House) -> None:
    await books.execute("update attempts set hash = '0x' || md5(hash) || md5(hash || 'x')")
    said = await judge.odd_transactions(books, Chain(house.rpc))
    assert any("is final in the database and not on chain" in one for one in said)
