"""Sources that are read: a facilitator's databases, and the chain by its signers. What nobody reported is found."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from guerdon.activity.settlements import rows
from guerdon.kit import driver
from tests.activity.settlements.scene import Scene, Wallet
from tests.fakes.rpc_proxy import ALWAYS, Fault
from tests.support.postgres import Urls

MERCHANT = "0x" + "77" * 20
DOLLAR = 1_000_000
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TABLE = """
create table transactions (id text primary key, facilitator_id text, type text, network text, from_address text, to_address text,
    amount text, asset text, transaction_hash text, status text, error_message text, created_at text)
"""


def a_file(folder: Path) -> Path:
    path = folder / "openfacilitator.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute(TABLE)
    return path


def add_row(
    path: Path, name: str, transaction: str | None, *, status: str = "success", kind: str = "settle", at: str | None = None
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        values = (name, kind, transaction, status, at or NOW.strftime("%Y-%m-%d %H:%M:%S"))
        database.execute("insert into transactions values (?, 'f', ?, 'local', '0x1', 'userid', '1', 'a', ?, ?, null, ?)", values)


async def test_a_facilitators_file_is_read_by_keyset_and_failed_rows_that_landed_are_found(scene: Scene, tmp_path: Path) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    path = a_file(tmp_path)
    for number, status in enumerate(["success", "failed"]):
        add_row(path, f"r{number}", await scene.pay(payer, MERCHANT, DOLLAR), status=status)
    add_row(path, "twice", (await scene.pay(payer, MERCHANT, DOLLAR)))
    add_row(path, "empty", "")
    add_row(path, "verify", "0x" + "ee" * 32, kind="verify")
    add_row(path, "forged", "0x" + "dd" * 32)
    source = await scene.add_source("sqlite", location=str(path), facilitatorId="f")
    for _ in range(2):
        await scene.read()
    await scene.prove()
    assert (await scene.balance(ann)).earned == 300
    assert len(await scene.hints()) == 4
    (shown,) = [one for one in (await scene.admin("GET", "/sources"))["items"] if one["id"] == source["id"]]
    assert (shown["readError"], shown["hasLocation"]) == (None, True)
    path.unlink()
    await scene.read()
    (shown,) = [one for one in (await scene.admin("GET", "/sources"))["items"] if one["id"] == source["id"]]
    assert "can't be read" in shown["readError"]


async def test_a_row_that_is_pending_is_not_passed_over_and_deleted_rows_start_the_file_anew(tmp_path: Path) -> None:
    path = a_file(tmp_path)
    add_row(path, "first", "0xa")
    add_row(path, "pending", None, status="pending")
    add_row(path, "later", "0xb")
    page = await rows.read_sqlite(str(path), None, {}, NOW)
    assert ([one.transaction for one in page.reports], page.cursor, page.more) == (["0xa", "0xb"], {"rowid": 1}, False)
    page = await rows.read_sqlite(str(path), None, page.cursor, NOW + timedelta(hours=1))
    assert page.cursor == {"rowid": 3}
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("delete from transactions")
    add_row(path, "again", "0xc")
    page = await rows.read_sqlite(str(path), None, page.cursor, NOW)
    assert [one.transaction for one in page.reports] == ["0xc"]


async def test_a_row_of_tomorrow_stands_in_nobodys_way(owner: driver.RawConnection, database_urls: Urls, tmp_path: Path) -> None:
    path = a_file(tmp_path)
    add_row(path, "pending", None, status="pending", at="2099-01-01 00:00:00")
    add_row(path, "later", "0xb")
    assert (await rows.read_sqlite(str(path), None, {}, NOW)).cursor == {"rowid": 2}
    await owner.execute("drop schema if exists facilitator cascade; create schema facilitator; set search_path to facilitator")
    await owner.execute(TABLE)
    add = "insert into transactions values ($1, 'f', 'settle', 'base', '', '', '1', 'a', $1, 'success', null, $2)"
    url = f"{database_urls.superuser}{'&' if '?' in database_urls.superuser else '?'}options=-csearch_path%3Dfacilitator"
    try:
        for name, at in (("0xa", "2099-01-01 00:00:00"), ("0xb", "infinity"), ("0xc", "2026-01-01 00:00:00")):
            await owner.execute(add, name, at)
        page = await rows.read_postgres(url, None, {})
        await owner.execute(add, "0xd", "2026-01-01 00:00:01")
        page = await rows.read_postgres(url, None, page.cursor)
        assert [one.transaction for one in page.reports] == ["0xc", "0xd"]
    finally:
        await owner.execute("drop schema facilitator cascade")


async def test_a_postgres_table_is_read_in_pages_and_what_was_committed_late_is_found(
    scene: Scene, owner: driver.RawConnection, database_urls: Urls
) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await owner.execute("drop schema if exists facilitator cascade; create schema facilitator; set search_path to facilitator")
    await owner.execute(TABLE.replace("created_at text", "created_at timestamptz"))
    add = "insert into transactions values ($1, 'f', 'settle', 'eip155:31337', '', '', '1', 'a', $2, 'success', null, $3)"
    now = datetime.now(UTC)
    await owner.execute(add, "b", await scene.pay(payer, MERCHANT, DOLLAR), now)
    url = f"{database_urls.superuser}{'&' if '?' in database_urls.superuser else '?'}options=-csearch_path%3Dfacilitator"
    try:
        page = await rows.read_postgres(url, "f", {})
        assert (len(page.reports), page.more) == (1, False)
        # Committed after it was read, with an earlier time.
        await owner.execute(add, "a", await scene.pay(payer, MERCHANT, DOLLAR), now - timedelta(minutes=1))
        page = await rows.read_postgres(url, "f", page.cursor)
        assert len(page.reports) == 2
        await scene.add_source("postgres", location=url, facilitatorId="f")
        for _ in range(2):
            await scene.read()
        await scene.prove()
        assert (await scene.balance(ann)).earned == 200
    finally:
        await owner.execute("drop schema facilitator cascade")


async def test_what_nobody_reported_is_found_on_the_chain_by_who_sent_it(scene: Scene) -> None:
    payer, stranger = Wallet(), Wallet()
    ann = await scene.member(payer)
    first = await scene.pay(payer, MERCHANT, DOLLAR)
    await scene.pay(payer, MERCHANT, DOLLAR, by=stranger)
    source = await scene.add_source("chain", fromBlock={"local": 0})
    await scene.read()
    assert [one.transaction_hash for one in await scene.hints()] == [first]
    # What is new is seen at once, and again when it is final; read again, nothing changes.
    await scene.pay(payer, MERCHANT, DOLLAR)
    for _ in range(3):
        await scene.read()
        await scene.node.mine(3)
    await scene.prove()
    assert len(await scene.hints()) == 2
    assert (await scene.balance(ann)).earned == 200
    assert source["readsChain"]


async def test_ranges_shrink_where_a_node_refuses_them(scene: Scene) -> None:
    payer = Wallet()
    await scene.member(payer)
    await scene.pay(payer, MERCHANT, DOLLAR)
    await scene.add_source("chain", fromBlock={"local": 0})
    refuse = Fault("eth_getLogs", times=3, error={"code": -32005, "message": "more than 10000 results"})
    scene.proxy.add(refuse)
    await scene.read()
    assert len(await scene.hints()) == 1


async def test_a_chain_that_can_not_be_asked_moves_no_cursor(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.pay(payer, MERCHANT, DOLLAR)
    source = await scene.add_source("chain", fromBlock={"local": 0})
    fault = scene.proxy.add(Fault("eth_getLogs", times=ALWAYS, status=502))
    await scene.read()
    (shown,) = [one for one in (await scene.admin("GET", "/sources"))["items"] if one["id"] == source["id"]]
    assert shown["readError"]
    fault.stop()
    await scene.read()
    await scene.prove()
    assert (await scene.balance(ann)).earned == 100
