"""The judge is no yes-man: shown spoiled books, each of its looks finds what is wrong. Nothing spoiled is ever committed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.prove import judge
from tests.prove.judge import Chain
from tests.prove.reporter import Reporter
from tests.prove.site import Site
from tests.prove.told import Acknowledged, Reversed, Told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def reporter(site: Site) -> Reporter:
    return site.programs[0].reporter


@pytest_asyncio.fixture(loop_scope="session")
async def books(site: Site, reporter: Reporter) -> AsyncIterator[Any]:
    """The settled books, to be spoiled inside a transaction that is rolled back; triggers and foreign keys look away."""
    if "judged-0" not in reporter.told.sent:
        await reporter.report([f"judged-{number}" for number in range(10)])
        async with reporter.client() as client:
            await reporter.reverse(client, reporter.acknowledged[-1].event_id, "judged-back", 7, float("inf"))
    assert await site.settled(60) == []
    assert await site.verdict() == []
    connection = await site.connect()
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
    sent = reporter.told.sent - {"judged-5"}
    assert "from nowhere: event judged-5 was never sent" in await judge.lost_or_doubled(books, reporter.acknowledged, sent)


async def test_an_event_that_was_refused_and_is_booked_is_found(books: Any, site: Site) -> None:
    said = await judge.told_otherwise(books, Chain(site.node.url), Told(refused={"judged-6": "no funds"}))
    assert said == ["told otherwise: event judged-6 was refused (no funds) and is booked"]


async def test_a_transaction_that_was_told_and_that_nobody_signed_is_found(books: Any, reporter: Reporter, site: Site) -> None:
    told = Told(acknowledged=[replace(reporter.acknowledged[0], transaction="0x" + "12" * 32)])
    assert any("which nobody signed" in said for said in await judge.told_otherwise(books, Chain(site.node.url), told))


async def test_a_transaction_that_was_told_and_whose_bytes_are_lost_is_ours_all_the_same(
    books: Any, reporter: Reporter, site: Site
) -> None:
    sent = await books.fetchval("select hash from attempts limit 1")
    await books.execute("delete from attempts where hash = $1", sent)
    told = Told(acknowledged=[replace(reporter.acknowledged[0], transaction=sent)])
    assert await judge.told_otherwise(books, Chain(site.node.url), told) == []


async def test_a_reversal_that_is_lost_wrong_or_doubled_is_found(books: Any, reporter: Reporter) -> None:
    (told,) = [one for one in reporter.told.reversed if one.key == "judged-back"]
    assert await judge.wrongly_reversed(books, [told]) == []
    lost = Reversed("other", str(uuid4()), told.event_id, 1, 1, 0, 0, 0)
    assert any(said.startswith("lost: reversal") for said in await judge.wrongly_reversed(books, [lost]))
    wrong = replace(told, points=told.points + 1)
    assert any(said.startswith("wrong: reversal") for said in await judge.wrongly_reversed(books, [wrong]))
    doubled = [told, replace(lost, key=told.key)]
    assert any(said.startswith("doubled: reversal") for said in await judge.wrongly_reversed(books, doubled))
    await books.execute("update accruals set reversed = 0")
    assert any("its reversals" in said for said in await judge.wrongly_reversed(books, []))


async def test_what_was_taken_back_and_what_is_owed_are_found_to_differ_from_the_postings(books: Any) -> None:
    await books.execute("delete from postings where kind in ('reverse', 'owe') or account_id is null")
    await books.execute("update account_balances set debt = debt + 3 where available = 0")
    assert any("postings say otherwise" in said for said in await judge.unbalanced(books))


async def test_a_program_that_was_funded_twice_is_found(books: Any) -> None:
    await books.execute("update program_balances set funded = funded + 5, funds = funds + 5")
    assert any("were asked for" in said for said in await judge.unbalanced(books))


async def test_tokens_that_no_funding_minted_are_found(books: Any, site: Site) -> None:
    await books.execute("update fundings set amount_atomic = amount_atomic - 1")
    assert any("fundings that are booked minted" in said for said in await judge.off_chain(books, Chain(site.node.url)))


async def test_a_recipient_who_was_set_aside_is_found(books: Any) -> None:
    await books.execute("update deliveries set state = 'quarantined' where id = (select max(id::text)::uuid from deliveries)")
    assert [said.partition(" of ")[0].split()[0] for said in await judge.quarantined(books)] == ["quarantined:"]


async def test_a_funding_that_is_never_booked_is_found(books: Any) -> None:
    await books.execute("update fundings set state = 'pending'")
    assert any(said.startswith("stuck: funding") for said in await judge.stuck(books))


async def test_a_nonce_that_two_transactions_were_signed_for_is_found(books: Any, site: Site) -> None:
    await books.execute(
        "update attempts set nonce = 0 where intent_id in (select i.id from intents i join keys k on k.id = i.key_id"
        " where k.purpose = 'treasury')"
    )
    said = await judge.odd_transactions(books, Chain(site.node.url))
    assert any(one.startswith("doubled: nonce 0 of") for one in said)


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


async def test_a_wallet_that_has_not_what_the_books_say_is_found(books: Any, site: Site) -> None:
    await books.execute("alter table account_balances drop column available")
    await books.execute(
        "update account_balances set claimed = claimed + 1 where account_id = (select max(account_id::text)::uuid from account_balances)"
    )
    said = await judge.off_chain(books, Chain(site.node.url))
    assert any(one.startswith("chain: wallet") for one in said)
    assert any("was owed" in one for one in said)


async def test_tokens_that_went_to_a_stranger_are_found(books: Any, site: Site) -> None:
    await books.execute("update accounts set wallet_address = '0x' || repeat('77', 20)")
    assert any("whom nobody knows" in said for said in await judge.off_chain(books, Chain(site.node.url)))


async def test_a_transaction_that_the_database_does_not_know_is_found(books: Any, site: Site) -> None:
    await books.execute("delete from nonces where nonce = (select max(nonce) from nonces)")
    assert any(said.startswith("unknown: nonce") for said in await judge.odd_transactions(books, Chain(site.node.url)))


async def test_a_transaction_that_is_not_on_chain_is_found(books: Any, site: Site) -> None:
    await books.execute("update intents set transaction_hash = '0x' || md5(transaction_hash) || md5(transaction_hash || 'x')")
    said = await judge.odd_transactions(books, Chain(site.node.url))
    assert any("is final in the database and not on chain" in one for one in said)
