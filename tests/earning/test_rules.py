"""Rules over the API: every field, what contradicts itself, and who may set them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from guerdon.earning.defaults import DEFAULT_RULES
from tests.support.api import Running, add_asset


async def rule_of(api: Running, event_type: str) -> dict[str, Any]:
    return (await api.platform("GET", f"/api/admin/rules/{event_type}")).json()


async def test_every_field_of_a_rule_is_kept_as_it_was_said(api: Running) -> None:
    await api.program()
    await add_asset(api.runtime.database, "GEM")
    fields = {
        "name": "Large order",
        "description": "Rewards an order above a hundred dollars.",
        "category": "Commerce",
        "reward": 40,
        "asset": "GEM",
        "maxClaimsPerUser": 3,
        "maxClaimsTotal": 1000,
        "cooldownHours": 5,
        "enabled": False,
        "openToBrowsers": True,
        "requiresEmail": True,
        "channels": ["#support", "123456789012345678"],
        "detection": [
            {"method": "url_pattern", "config": {"urlPatterns": ["/thanks"]}},
            {"method": "form_submission", "config": {}},
        ],
        "dailyCapAccount": 400,
        "dailyCapIp": 800,
        "dailyCapProgram": 100_000,
    }
    made = await api.platform("PUT", "/api/admin/rules/large_order", fields)
    assert made.status_code == 200, made.text
    shown = await rule_of(api, "large_order")
    assert {name: shown[name] for name in fields} == fields
    assert (shown["isCustom"], shown["version"]) == (True, 1)


async def test_a_rate_is_for_servers_and_has_no_cooldown_unless_told(api: Running) -> None:
    await api.program()
    rate = {"field": "amount_cents", "unit": 100, "reward": 1, "min": 500, "max": 100_000}
    made = (await api.platform("PUT", "/api/admin/rules/purchase", {"reward": rate})).json()
    assert made["reward"] == rate
    assert (made["openToBrowsers"], made["cooldownHours"]) == (False, 0)
    fixed = (await api.platform("PUT", "/api/admin/rules/visit", {"reward": 1})).json()
    assert (fixed["openToBrowsers"], fixed["cooldownHours"]) == (False, 24)


async def test_s8_an_amount_from_a_browser_is_refused_by_service_and_database(api: Running) -> None:
    program = await api.program()
    rate = {"field": "amount_cents", "unit": 100, "reward": 1}
    refused = await api.platform("PUT", "/api/admin/rules/purchase", {"reward": rate, "openToBrowsers": True})
    assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_RULE")
    assert refused.json()["details"][0]["field"] == "openToBrowsers"
    # Neither order of changes gets there.
    await api.platform("PUT", "/api/admin/rules/purchase", {"reward": rate})
    assert (await api.platform("PATCH", "/api/admin/rules/purchase", {"openToBrowsers": True})).status_code == 400
    assert (await api.platform("PATCH", "/api/admin/rules/form_submit", {"reward": rate})).status_code == 400
    from uuid import UUID

    from guerdon.earning import repository

    with pytest.raises(IntegrityError, match="no_amount_from_browsers"):
        async with api.runtime.database.program(UUID(program["id"])) as session:
            await repository.update_rule(session, UUID(program["id"]), "purchase", {"open_to_browsers": True})


@pytest.mark.parametrize("spelled", [-1, 999_999])
async def test_both_spellings_of_unlimited_are_one(api: Running, spelled: int) -> None:
    await api.program()
    body = {"reward": 1, "maxClaimsPerUser": spelled, "maxClaimsTotal": spelled}
    made = (await api.platform("PUT", "/api/admin/rules/visit", body)).json()
    assert (made["maxClaimsPerUser"], made["maxClaimsTotal"]) == (-1, -1)


async def test_another_spelling_of_form_submission_is_understood(api: Running) -> None:
    await api.program()
    body = {"reward": 1, "detection": [{"method": "form_submit"}]}
    made = (await api.platform("PUT", "/api/admin/rules/visit", body)).json()
    assert made["detection"] == [{"method": "form_submission", "config": {}}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reward"),
        ({"reward": -1}, "reward"),
        ({"reward": 2**63}, "reward"),
        ({"reward": 1.5}, "reward"),
        ({"reward": "many"}, "reward"),
        ({"reward": {"field": "cents", "unit": 0, "reward": 1}}, "unit"),
        ({"reward": {"field": "cents", "unit": 100, "reward": -1}}, "reward"),
        ({"reward": {"field": "", "unit": 100, "reward": 1}}, "field"),
        ({"reward": {"unit": 100, "reward": 1}}, "field"),
        ({"reward": {"field": "cents", "unit": 100, "reward": 1, "min": 9, "max": 8}}, "reward"),
        ({"reward": 1, "name": "ab"}, "name"),
        ({"reward": 1, "name": "  ab  "}, "name"),
        ({"reward": 1, "description": "too short"}, "description"),
        ({"reward": 1, "category": "Fun"}, "category"),
        ({"reward": 1, "maxClaimsPerUser": 0}, "maxClaimsPerUser"),
        ({"reward": 1, "maxClaimsPerUser": -2}, "maxClaimsPerUser"),
        ({"reward": 1, "maxClaimsTotal": 0}, "maxClaimsTotal"),
        ({"reward": 1, "cooldownHours": -1}, "cooldownHours"),
        ({"reward": 1, "cooldownHours": 10**9}, "cooldownHours"),
        ({"reward": 1, "channels": [""]}, "channels"),
        ({"reward": 1, "channels": ["a"] * 101}, "channels"),
        ({"reward": 1, "detection": [{"method": "telepathy"}]}, "detection"),
        ({"reward": 1, "detection": [{"method": "webhook", "config": {"a": "x" * 9000}}]}, "detection"),
        ({"reward": 10, "dailyCapAccount": 9}, "dailyCapAccount"),
        ({"reward": 10, "dailyCapIp": 0}, "dailyCapIp"),
        ({"reward": 10, "dailyCapProgram": 5}, "dailyCapProgram"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused_with_the_field_named(api: Running, body: object, field: str) -> None:
    await api.program()
    answer = await api.platform("PUT", "/api/admin/rules/visit", body)
    assert answer.status_code == 400, answer.text
    details = answer.json()["details"]
    assert field in " ".join(problem["field"] for problem in details)
    assert all(len(problem["message"]) > 8 for problem in details)
    assert (await api.platform("GET", "/api/admin/rules/visit")).status_code == 404


@pytest.mark.parametrize("event_type", ["a-b", "a b", "x" * 51, "größe", "a.b"])
async def test_an_event_type_is_letters_digits_and_underscores(api: Running, event_type: str) -> None:
    await api.program()
    assert (await api.platform("PUT", f"/api/admin/rules/{event_type}", {"reward": 1})).status_code == 400
    assert (await api.platform("POST", "/api/admin/rules", {"eventType": event_type, "reward": 1})).status_code == 400


async def test_a_custom_rule_gets_an_id_that_existing_clients_know(api: Running) -> None:
    await api.program()
    made = await api.platform("POST", "/api/admin/rules", {"name": "Found an egg", "reward": 3})
    assert made.status_code == 201
    assert re.fullmatch(r"custom_[0-9a-f]{10}_[0-9]{13}", made.json()["eventType"])
    again = await api.platform("POST", "/api/admin/rules", {"eventType": made.json()["eventType"], "reward": 3})
    assert (again.status_code, again.json()["code"]) == (409, "RULE_EXISTS")


async def test_put_replaces_patch_keeps(api: Running) -> None:
    await api.program()
    first = {"reward": 5, "cooldownHours": 7, "dailyCapIp": 50, "channels": ["a"]}
    await api.platform("PUT", "/api/admin/rules/visit", first)
    kept = (await api.platform("PATCH", "/api/admin/rules/visit", {"reward": 6, "dailyCapIp": None})).json()
    assert (kept["reward"], kept["cooldownHours"], kept["dailyCapIp"], kept["channels"], kept["version"]) == (
        6,
        7,
        None,
        ["a"],
        2,
    )
    replaced = (await api.platform("PUT", "/api/admin/rules/visit", {"reward": 8})).json()
    assert (replaced["reward"], replaced["cooldownHours"], replaced["channels"], replaced["version"]) == (8, 24, [], 3)


async def test_a_rule_is_switched_off_and_on_and_removed(api: Running) -> None:
    own = await api.operator_of(await api.program())
    path = "/api/admin/rules/form_submit"
    assert (await own("POST", f"{path}/disable")).json()["enabled"] is False
    assert (await own("POST", f"{path}/enable")).json()["enabled"] is True
    assert (await own("DELETE", path)).status_code == 204
    for method, where in (("GET", path), ("DELETE", path), ("PATCH", path), ("POST", f"{path}/enable")):
        answer = await own(method, where, {} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "RULE_NOT_FOUND")


async def test_an_asset_that_is_not_there_is_named(api: Running) -> None:
    await api.program()
    answer = await api.platform("PUT", "/api/admin/rules/visit", {"reward": 1, "asset": "XYZ"})
    assert (answer.status_code, answer.json()["code"]) == (404, "ASSET_NOT_FOUND")


async def test_rules_are_paged_by_event_type(api: Running) -> None:
    await api.program()
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await api.platform("GET", f"/api/admin/rules?limit=4{cursor}")).json()
        seen += [rule["eventType"] for rule in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == sorted(rule.event_type for rule in DEFAULT_RULES)


async def test_what_nobody_knows_is_ignored(api: Running) -> None:
    await api.program()
    made = await api.platform("PUT", "/api/admin/rules/visit", {"reward": 1, "colour": "red", "version": 99})
    assert (made.status_code, made.json()["version"]) == (200, 1)
