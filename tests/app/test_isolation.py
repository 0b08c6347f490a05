"""Another program's rows are invisible, whatever is sent (DESIGN section 4, SAFETY S1 to S3)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from guerdon.accounts.models import Account, Address, Identity
from guerdon.activity.models import Event
from guerdon.app import openapi_document
from guerdon.earning.models import Accrual
from guerdon.kit import driver, outbox
from guerdon.kit.ids import uuid7
from tests.support.api import Caller, Running

FOREIGN_MARK = "Zebra"
"""Stands in every text of the other program, and must be in no answer."""
TABLES = (
    "programs", "program_domains", "program_keys", "admin_keys", "rules", "accounts", "identities", "events", "accruals", "outbox",
    "fundings", "treasuries", "assets", "deliveries", "claims", "payout_options", "idempotent_requests", "addresses",
)  # fmt: skip

BODIES: dict[tuple[str, str], Any] = {
    ("patch", "/api/admin/programs/{program}"): {"name": "taken"},
    ("post", "/api/admin/programs/{program}/domains"): {"domain": "evil.example.com"},
    ("post", "/api/admin/programs/{program}/keys"): {"revokeOld": True},
    ("post", "/api/admin/programs"): {"name": "another"},
    ("post", "/api/admin/addresses/{address_id}/approve"): {"reason": "because", "move": True},
    ("post", "/api/admin/rules"): {"eventType": "taken", "reward": 1},
    ("put", "/api/admin/rules/{event_type}"): {"reward": 1},
    ("patch", "/api/admin/rules/{event_type}"): {"reward": 1},
    ("post", "/api/admin/admin-keys"): {"name": "taken", "role": "platform"},
    ("post", "/api/admin/programs/{program}/fundings"): {"points": 5},
    ("post", "/api/admin/treasuries/{treasury}/pause"): {"reason": "because"},
    ("put", "/api/admin/treasuries/{treasury}/limit"): {},
    ("put", "/api/admin/payout-options/{asset}/{network}"): {"tokenAddress": "0x" + "1" * 40, "atomicNumerator": "1"},
    ("post", "/api/admin/denied-addresses"): {"address": "0x" + "1" * 40, "reason": "mine"},
    ("post", "/api/admin/claims/{claim_id}/approve"): {"reason": "mine"},
    ("post", "/api/admin/claims/{claim_id}/refuse"): {"reason": "mine"},
}


async def other_program(api: Running) -> dict[str, str]:
    """A program with something in every table, and the ids of it all."""
    program = await api.program(FOREIGN_MARK, domains=["zebra.example.com"])
    headers = {"X_Loyalteez_Brand_Id": program["brandId"]}
    rule = {"eventType": "foreign_event", "reward": 7, "name": FOREIGN_MARK, "description": f"{FOREIGN_MARK} rewards."}
    assert (await api.platform("POST", "/api/admin/rules", rule, **headers)).status_code == 201
    key = {"name": FOREIGN_MARK, "role": "program", "brandId": program["brandId"]}
    admin_key = (await api.platform("POST", "/api/admin/admin-keys", key)).json()
    now, program_id = datetime.now(UTC), UUID(program["id"])
    account_id, event_id = uuid7(), uuid7()
    async with api.runtime.database.program(program_id) as session:
        session.add(Account(program_id=program_id, id=account_id, wallet_address="0x" + "1" * 40, created_at=now))
        await session.flush()
        session.add(Identity(program_id=program_id, identity="email:zebra@example.com", account_id=account_id, created_at=now))
        session.add(
            Event(
                program_id=program_id, id=event_id, account_id=account_id, identity="email:zebra@example.com",
                event_type="foreign_event", trust="server", metadata_={"mark": FOREIGN_MARK}, received_at=now,
            )
        )  # fmt: skip
        asset_id = (await api.platform("GET", "/api/admin/assets")).json()["items"][0]["id"]
        session.add(
            Accrual(
                program_id=program_id, id=event_id, account_id=account_id, asset_id=UUID(asset_id),
                earned_by="foreign_event", points=7, reasons=[], accrued_at=now,
            )
        )  # fmt: skip
        session.add(
            Address(
                program_id=program_id, id=event_id, account_id=account_id, network=FOREIGN_MARK, namespace="eip155",
                address="0x" + "2" * 40, created_at=now,
            )
        )  # fmt: skip
        await outbox.raise_alert(
            session, "zebra", "zebra", severity=outbox.Severity.WARNING, message=FOREIGN_MARK, remedy=FOREIGN_MARK,
            program_id=program_id,
        )  # fmt: skip
    alert = (await api.platform("GET", "/api/admin/alerts")).json()["items"][0]
    return {
        "program": program["brandId"],
        "program_id": program["id"],
        "security_key": program["securityKeyId"],
        "event_type": "foreign_event",
        "event_id": str(event_id),
        "account_id": str(account_id),
        "alert_id": alert["id"],
        "admin_key": admin_key["id"],
        "domain": "zebra.example.com",
    }


def filled(path: str, foreign: dict[str, str], program: str) -> str:
    values = {
        "program": program,
        "key_id": foreign["security_key"] if "/programs/" in path else foreign["admin_key"],
        "funding_id": str(uuid7()),
        "payout_id": foreign["event_id"],
        "address_id": foreign["event_id"],
        "treasury": "LTZ",
        "claim_id": foreign["event_id"],
        "asset": "LTZ",
        "network": "local",
        "address": "0x" + "1" * 40,
        **{name: foreign[name] for name in ("event_type", "event_id", "alert_id", "domain")},
    }
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    return path


def admin_operations() -> list[tuple[str, str]]:
    return [
        (method, path)
        for path, operations in openapi_document()["paths"].items()
        if path.startswith("/api/admin/")
        for method in operations
    ]


async def everything_of(owner: driver.RawConnection, program_id: str) -> str:
    found: dict[str, Any] = {}
    for table in TABLES:
        columns = await owner.fetch("select column_name from information_schema.columns where table_name = $1", table)
        has_program = "program_id" in {column["column_name"] for column in columns}
        where = (
            f"where program_id = '{program_id}'" if has_program else f"where id = '{program_id}'" if table == "programs" else ""
        )
        found[table] = [dict(row) for row in await owner.fetch(f"select * from {table} {where} order by 1, 2")]
    return json.dumps(found, default=str, sort_keys=True)


@pytest.mark.parametrize(("method", "path"), admin_operations())
async def test_s2_s3_a_foreign_programs_rows_are_invisible_and_untouched(
    api: Running, owner: driver.RawConnection, method: str, path: str
) -> None:
    foreign = await other_program(api)
    mine = await api.program("Mine")
    own = await api.operator_of(mine)
    before = await everything_of(owner, foreign["program_id"])
    body = BODIES.get((method, path))
    attempts: list[tuple[str, dict[str, str], Any]] = []
    for named in (foreign["program"], foreign["program_id"], foreign["program"].upper().replace("0X", "0x")):
        attempts.append((filled(path, foreign, named), {}, body))
        attempts.append((filled(path, foreign, named), {"X_Loyalteez_Brand_Id": mine["brandId"]}, body))
    attempts += [
        (filled(path, foreign, mine["brandId"]), {"X_Loyalteez_Brand_Id": foreign["program"]}, body),
        (f"{filled(path, foreign, mine['brandId'])}?brandId={foreign['program']}", {}, body),
        (filled(path, foreign, mine["brandId"]), {}, body),
    ]
    if isinstance(body, dict):
        attempts.append((filled(path, foreign, mine["brandId"]), {}, {**body, "brandId": foreign["program"]}))
    for where, headers, sent in attempts:
        answer = await own(method.upper(), where, sent, **headers)
        assert answer.status_code < 500, (where, answer.text)
        assert FOREIGN_MARK.lower() not in answer.text.lower(), (where, answer.text)
        assert foreign["account_id"] not in answer.text
        assert foreign["program_id"] not in answer.text
    assert await everything_of(owner, foreign["program_id"]) == before


@pytest.mark.parametrize(("method", "path"), admin_operations())
async def test_nothing_is_administered_without_a_key(api: Running, method: str, path: str) -> None:
    foreign = dict.fromkeys(("security_key", "event_id", "alert_id", "admin_key"), "01a1fdef-b400-751e-9289-d658a22ff1c0")
    foreign |= {"event_type": "purchase", "domain": "a.example.com"}
    where = filled(path, foreign, "0x" + "1" * 40)
    answer = await Caller(api.client)(method.upper(), where, BODIES.get((method, path)))
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_ADMIN_KEY")


async def test_a_foreign_program_and_one_that_is_not_there_get_the_same_answer(api: Running) -> None:
    foreign = await api.program(FOREIGN_MARK)
    own = await api.operator_of(await api.program("Mine"))
    for name in (foreign["brandId"], foreign["id"], "0x" + "9" * 40, str(uuid7())):
        answer = await own("GET", f"/api/admin/programs/{name}")
        assert (answer.status_code, answer.json()["code"]) == (400, "PROGRAM_MISMATCH")


async def test_the_program_of_a_request_is_the_keys_then_the_named_then_the_only_one(api: Running) -> None:
    only = await api.program("Only")
    own = await api.operator_of(only)
    assert (await api.platform("GET", "/api/admin/rules")).status_code == 200
    other = await api.program("Other")
    none = await api.platform("GET", "/api/admin/rules")
    assert (none.status_code, none.json()["code"]) == (400, "PROGRAM_REQUIRED")
    assert (await own("GET", "/api/admin/rules")).status_code == 200
    assert (await api.platform("GET", f"/api/admin/rules?brandId={other['brandId']}")).status_code == 200
    two = await api.platform("GET", f"/api/admin/rules?brandId={other['brandId']}", X_Loyalteez_Brand_Id=only["brandId"])
    assert (two.status_code, two.json()["code"]) == (400, "PROGRAM_MISMATCH")
    body = {"reward": 1, "brandId": other["brandId"]}
    two = await api.platform("PUT", "/api/admin/rules/purchase", body, X_Loyalteez_Brand_Id=only["brandId"])
    assert (two.status_code, two.json()["code"]) == (400, "PROGRAM_MISMATCH")
    unknown = await api.platform("GET", "/api/admin/rules", X_Loyalteez_Brand_Id="0x" + "9" * 40)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "PROGRAM_NOT_FOUND")
    assert (
        await own("GET", "/api/admin/rules", X_Loyalteez_Brand_Id=only["brandId"].upper().replace("0X", "0x"))
    ).status_code == 200


async def test_a_program_lists_itself_alone(api: Running) -> None:
    mine = await api.program("Mine")
    await api.program(FOREIGN_MARK)
    listed = (await (await api.operator_of(mine))("GET", "/api/admin/programs")).json()["items"]
    assert [item["id"] for item in listed] == [mine["id"]]
