"""`guerdon doctor` on a database that is right, and on one that somebody spoiled."""

from __future__ import annotations

import pytest

from guerdon.doctor import database as doctor
from guerdon.doctor.findings import Finding, Verdict
from guerdon.kit import driver
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from tests.support.postgres import Urls


def to_mend(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.message for finding in findings if finding.verdict is Verdict.MEND}


@pytest.mark.every_database
async def test_a_database_that_is_right_needs_nothing(database_urls: Urls) -> None:
    findings = await doctor.look(database_urls.app)
    assert to_mend(findings) == {}
    assert {finding.check for finding in findings} == {
        "reachable",
        "clock",
        "migrated",
        "role",
        "row-level security",
        "append-only",
    }


async def test_the_platforms_own_rows_are_no_programs(database_urls: Urls, owner: driver.RawConnection) -> None:
    await owner.execute(
        "insert into idempotent_requests (program_id, operation, caller, key_hash, body_hash, status, response)"
        " values ($1, 'o', 'c', 'k', 'b', 200, '')",
        PLATFORM_PROGRAM_ID,
    )
    assert to_mend(await doctor.look(database_urls.app)) == {}


async def test_a_role_that_owns_or_bypasses_is_told(database_urls: Urls) -> None:
    assert "is a superuser and bypasses row-level security" in to_mend(await doctor.look(database_urls.superuser))["role"]
    assert "owns" in to_mend(await doctor.look(database_urls.owner))["role"]


async def test_a_database_without_tables_is_told(blank_database_urls: Urls) -> None:
    assert to_mend(await doctor.look(blank_database_urls.app)) == {"migrated": "the database is empty"}


async def test_a_server_that_is_not_there_is_told(port: int) -> None:
    findings = await doctor.look(f"postgresql://guerdon_app@127.0.0.1:{port}/guerdon")
    assert list(to_mend(findings)) == ["reachable"]


async def test_a_table_that_lost_its_protection_is_told(database_urls: Urls, owner: driver.RawConnection) -> None:
    await owner.execute("alter table events disable row level security")
    try:
        assert to_mend(await doctor.look(database_urls.app))["row-level security"] == "missing or without protection: events"
    finally:
        await owner.execute("alter table events enable row level security")


async def test_s1_a_policy_that_lets_everything_through_is_found_by_trying(
    database_urls: Urls, owner: driver.RawConnection
) -> None:
    await owner.execute("create policy oops on cap_counters using (true)")
    await owner.execute("set session_replication_role = replica")
    await owner.execute(
        "insert into cap_counters (program_id, cap_key, used) values ('00000000-0000-7000-8000-000000000001', 'x', 1)"
    )
    try:
        assert (
            "rows are seen without a program: cap_counters" in to_mend(await doctor.look(database_urls.app))["row-level security"]
        )
    finally:
        await owner.execute("drop policy oops on cap_counters")


async def test_books_that_may_be_changed_are_told(database_urls: Urls, owner: driver.RawConnection) -> None:
    await owner.execute("grant update on postings to guerdon_app")
    try:
        assert to_mend(await doctor.look(database_urls.app)) == {"append-only": "may be changed: postings"}
    finally:
        await owner.execute("revoke update on postings from guerdon_app")
