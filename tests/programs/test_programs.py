"""Programs: what comes with a new one, what changes, and who may change it."""

from __future__ import annotations

import asyncio
import re

import pytest

from guerdon.kit import driver
from guerdon.programs.repository import CONFIG_CHANNEL
from tests.support.api import Running
from tests.support.postgres import Urls


async def test_a_new_program_can_be_used_at_once(api: Running) -> None:
    program = await api.program("Acme", domains=["Shop.example.com", "*.acme.example", "shop.example.com"])
    assert re.fullmatch(r"0x[0-9a-f]{40}", program["brandId"])
    assert re.fullmatch(r"[0-9a-f]{64}", program["securityKey"])
    assert program["domains"] == ["*.acme.example", "shop.example.com"]
    assert program["asset"] == "LTZ"
    assert program["automationEnabled"] is True
    assert program["unsignedReports"] is program["unsignedLookups"] is False


async def test_the_six_documented_event_types_come_with_a_new_program(api: Running) -> None:
    program = await api.program()
    answer = await api.platform("GET", f"/api/admin/rules?brandId={program['brandId']}")
    rules = {rule["eventType"]: rule for rule in answer.json()["items"]}
    assert {name: rule["reward"] for name, rule in rules.items()} == {
        "account_creation": 100,
        "complete_survey": 75,
        "newsletter_subscribe": 25,
        "rate_experience": 50,
        "subscribe_renewal": 200,
        "form_submit": 10,
    }
    assert {rule["maxClaimsPerUser"] for name, rule in rules.items() if name != "account_creation"} == {-1}
    assert rules["account_creation"]["maxClaimsPerUser"] == 1
    assert all(rule["openToBrowsers"] and rule["enabled"] and rule["cooldownHours"] == 24 for rule in rules.values())
    assert not any(rule["isCustom"] for rule in rules.values())


async def test_s8_what_is_open_to_browsers_from_the_start_is_capped(api: Running) -> None:
    program = await api.program()
    assert min(program["browserCapProgram"], program["browserCapAccount"], program["browserCapIp"]) > 0
    rules = (await api.platform("GET", "/api/admin/rules")).json()["items"]
    assert all(rule["dailyCapIp"] >= rule["reward"] for rule in rules)


async def test_brand_ids_are_compared_without_case(api: Running) -> None:
    brand_id = "0xABCDEF0000000000000000000000000000000001"
    program = await api.program(brandId=brand_id)
    assert program["brandId"] == brand_id.lower()
    again = await api.platform("POST", "/api/admin/programs", {"name": "Other", "brandId": brand_id.lower()})
    assert (again.status_code, again.json()["code"]) == (409, "BRAND_ID_TAKEN")
    for name in (brand_id, brand_id.lower(), "0x" + brand_id[2:].upper(), program["id"]):
        assert (await api.platform("GET", f"/api/admin/programs/{name}")).json()["id"] == program["id"]
    other = await api.program("Other")
    shown = await api.platform("GET", "/api/admin/rules", X_Loyalteez_Brand_Id=brand_id)
    assert shown.status_code == 200
    assert other["brandId"] != program["brandId"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": 5}, "name"),
        ({"name": "Acme", "brandId": "0x12"}, "brandId"),
        ({"name": "Acme", "domains": "shop.example.com"}, "domains"),
        ({"name": "Acme", "domains": ["https://shop.example.com"]}, "domain"),
        ({"name": "Acme", "domains": ["a.example.com"] * 101}, "domains"),
    ],
)
async def test_bad_input_is_refused_with_the_field_named(api: Running, body: object, field: str) -> None:
    answer = await api.platform("POST", "/api/admin/programs", body)
    assert answer.status_code == 400
    assert field in str(answer.json()["details"])
    assert (await api.platform("GET", "/api/admin/programs")).json()["items"] == []


async def test_an_unknown_asset_is_named(api: Running) -> None:
    answer = await api.platform("POST", "/api/admin/programs", {"name": "Acme", "asset": "XYZ"})
    assert (answer.status_code, answer.json()["code"]) == (404, "ASSET_NOT_FOUND")
    assert "XYZ" in answer.json()["message"]


async def test_settings_change_one_by_one_and_null_takes_a_cap_away(api: Running) -> None:
    program = await api.program()
    path = f"/api/admin/programs/{program['brandId']}"
    changes = {
        "automationEnabled": False,
        "unsignedReports": True,
        "reversalPolicy": "debt",
        "browserCapIp": None,
        "browserCapAccount": 7,
        "gasBudgetWei": "123456789012345678901234567890",
        "syntheticDomain": "users.example.com",
    }
    changed = (await api.platform("PATCH", path, changes)).json()
    assert {name: changed[name] for name in changes} == changes
    assert changed["browserCapProgram"] == program["browserCapProgram"]
    back = (await api.platform("PATCH", path, {"gasBudgetWei": None, "automationEnabled": True})).json()
    assert (back["gasBudgetWei"], back["automationEnabled"], back["reversalPolicy"]) == (None, True, "debt")


@pytest.mark.parametrize(
    "change",
    [
        {"reversalPolicy": "all"},
        {"gasBudgetWei": "-1"},
        {"gasBudgetWei": 1.5},
        {"gasBudgetWei": 2**53 + 1},
        {"gasBudgetWei": "9" * 79},
        {"browserCapIp": -1},
        {"automationEnabled": "perhaps"},
        {"syntheticDomain": "*.example.com"},
        {"syntheticDomain": "telegram"},
    ],
)
async def test_settings_that_make_no_sense_are_refused(api: Running, change: dict[str, object]) -> None:
    program = await api.program()
    answer = await api.platform("PATCH", f"/api/admin/programs/{program['brandId']}", change)
    assert answer.status_code == 400, answer.text
    assert (await api.platform("GET", f"/api/admin/programs/{program['brandId']}")).json()["configVersion"] == 1


async def test_s3_a_programs_key_sets_what_is_its_own_and_not_what_is_the_platforms(api: Running) -> None:
    program = await api.program()
    own = await api.operator_of(program)
    path = f"/api/admin/programs/{program['brandId']}"
    assert (await own("PATCH", path, {"automationEnabled": False})).status_code == 200
    for change in ({"gasBudgetWei": None}, {"gasBudgetWei": "1"}):
        answer = await own("PATCH", path, change)
        assert (answer.status_code, answer.json()["code"]) == (403, "PLATFORM_ONLY")


async def test_s4_a_synthetic_domain_is_set_by_the_platform_alone(api: Running) -> None:
    """Its addresses name platform users in every program, so whoever sets it could name anybody."""
    program = await api.program()
    own = await api.operator_of(program)
    path = f"/api/admin/programs/{program['brandId']}"
    for domain in ("users.example.com", None):
        answer = await own("PATCH", path, {"syntheticDomain": domain})
        assert (answer.status_code, answer.json()["code"]) == (403, "PLATFORM_ONLY")
    assert (await api.platform("PATCH", path, {"syntheticDomain": "users.example.com"})).status_code == 200


async def test_s25_a_gas_budget_is_set_by_the_platform_alone(api: Running) -> None:
    program = await api.program()
    path = f"/api/admin/programs/{program['brandId']}"
    assert (await (await api.operator_of(program))("PATCH", path, {"gasBudgetWei": "1"})).status_code == 403
    assert (await api.platform("PATCH", path, {"gasBudgetWei": "1"})).json()["gasBudgetWei"] == "1"


async def test_domains_are_added_once_and_taken_away(api: Running) -> None:
    program = await api.program(domains=["a.example.com"])
    path = f"/api/admin/programs/{program['brandId']}/domains"
    own = await api.operator_of(program)
    for _ in range(2):
        added = await own("POST", path, {"domain": "B.example.com"})
        assert (added.status_code, added.json()["domains"]) == (201, ["a.example.com", "b.example.com"])
    assert (await own("DELETE", f"{path}/a.example.com")).status_code == 204
    gone = await own("DELETE", f"{path}/a.example.com")
    assert (gone.status_code, gone.json()["code"]) == (404, "DOMAIN_NOT_FOUND")
    assert [item["domain"] for item in (await own("GET", path)).json()["items"]] == ["b.example.com"]


async def test_every_change_raises_the_version_and_tells_whoever_listens(api: Running, database_urls: Urls) -> None:
    program = await api.program()
    path = f"/api/admin/programs/{program['brandId']}"
    heard: list[str] = []
    listener = await driver.connect(database_urls.app)
    await listener.add_listener(CONFIG_CHANNEL, lambda _connection, _pid, _channel, payload: heard.append(payload))
    changes = [
        ("PATCH", path, {"name": "Other"}),
        ("POST", f"{path}/domains", {"domain": "c.example.com"}),
        ("DELETE", f"{path}/domains/c.example.com", None),
        ("POST", f"{path}/keys", {}),
        ("PUT", "/api/admin/rules/purchase", {"reward": 5}),
        ("PATCH", "/api/admin/rules/purchase", {"reward": 6}),
        ("POST", "/api/admin/rules/purchase/disable", None),
        ("DELETE", "/api/admin/rules/purchase", None),
    ]
    version = 1
    for number, (method, where, body) in enumerate(changes, 1):
        assert (await api.platform(method, where, body)).is_success
        now = (await api.platform("GET", path)).json()["configVersion"]
        assert now > version, where
        version = now
        async with asyncio.timeout(5):
            while len(set(heard)) < 1 or len(heard) < number:
                await asyncio.sleep(0.01)
    assert set(heard) == {program["id"]}
    await listener.close()


async def test_a_refused_change_tells_nobody(api: Running, database_urls: Urls) -> None:
    program = await api.program()
    heard: list[str] = []
    listener = await driver.connect(database_urls.app)
    await listener.add_listener(CONFIG_CHANNEL, lambda _connection, _pid, _channel, payload: heard.append(payload))
    path = f"/api/admin/programs/{program['brandId']}"
    assert (await api.platform("DELETE", f"{path}/domains/none.example.com")).status_code == 404
    assert (await api.platform("PATCH", "/api/admin/rules/nothing", {"reward": 1})).status_code == 404
    assert (await api.platform("GET", path)).json()["configVersion"] == 1
    await listener.execute("select 1")
    assert heard == []
    await listener.close()


async def test_lists_are_paged_by_cursor(api: Running) -> None:
    names = [f"Program {number}" for number in range(7)]
    for name in names:
        await api.program(name)
    seen: list[str] = []
    cursor = ""
    for _ in range(4):
        page = (await api.platform("GET", f"/api/admin/programs?limit=2{cursor}")).json()
        seen += [item["name"] for item in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == names
    for bad in ("x", "%00", "bm8", "..."):
        answer = await api.platform("GET", f"/api/admin/programs?cursor={bad}")
        assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_CURSOR")
