"""Campaigns and terms of volume over HTTP, as an operator uses them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from guerdon.earning.repository_volume import campaigns as campaigns_of
from guerdon.earning.volume_booking import credit
from guerdon.earning.volume_state import SettlementEarned
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.programs import repository as programs
from tests.earning.house import paid
from tests.support.api import Caller, Running, add_asset
from tests.support.members import a_member

PATH = "/api/admin/rewards/campaigns"
DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


def a_draft(**changes: Any) -> dict[str, Any]:
    """Twice the points for ten days, as the seed writes it."""
    return {
        "facilitator_id": None,
        "name": "Double week",
        "description": "Twice the points.",
        "type": "multiplier",
        "config": {"multiplier": 2.0, "max_budget_points": "1000", "max_participants": 50},
        "start_at": (now() - DAY).isoformat(),
        "end_at": (now() + 10 * DAY).isoformat(),
        **changes,
    }


async def an_operator(api: Running) -> Caller:
    await add_asset(api.runtime.database, "PTS", network=None, token_address=None)
    async with api.runtime.database.platform() as session:
        await session.execute(text("update assets set delivery = 'on_claim' where symbol = 'PTS'"))
    return await api.operator_of(await api.program())


async def made(caller: Caller, **changes: Any) -> dict[str, Any]:
    answer = await caller("POST", PATH, a_draft(**changes))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_campaign_is_drafted_published_paused_resumed_changed_and_ended(api: Running) -> None:
    caller = await an_operator(api)
    campaign = await made(caller)
    assert (campaign["state"], campaign["active"], campaign["version"], campaign["spent_points"]) == ("draft", False, 0, "0")
    assert campaign["config"]["multiplier"] == 2
    assert campaign["config"]["max_budget_points"] == "1000"
    own = f"{PATH}/{campaign['id']}"
    states: list[tuple[str, bool, int]] = []
    for step in ("publish", "pause", "resume", "end"):
        answer = await caller("POST", f"{own}/{step}")
        assert answer.status_code == 200, answer.text
        states.append((answer.json()["state"], answer.json()["active"], answer.json()["version"]))
    assert states == [("published", True, 1), ("paused", False, 2), ("published", True, 3), ("ended", False, 4)]
    assert (await caller("POST", f"{own}/resume")).json()["code"] == "CAMPAIGN_STATE"
    assert (await caller("PUT", own, {"name": "Again"})).json()["code"] == "CAMPAIGN_STATE"
    assert (await caller("GET", own)).json()["state"] == "ended"


async def test_x402_defect_14_ending_early_ends_it_now(api: Running) -> None:
    caller = await an_operator(api)
    campaign = await made(caller, active=True)
    ended = (await caller("POST", f"{PATH}/{campaign['id']}/end")).json()
    assert datetime.fromisoformat(ended["end_at"]) <= now() + timedelta(seconds=5)
    assert not ended["active"]


async def test_x402_defect_15_what_was_earned_before_a_change_stays_and_the_change_counts_from_now(api: Running) -> None:
    caller = await an_operator(api)
    await caller("PUT", "/api/admin/rewards/volume", {"asset": "PTS", "tiers": [{"name": "bronze", "volume_micro_usd": "0"}]})
    campaign = await made(caller, active=True)
    program = await the_program(api)
    database = api.runtime.database
    async with database.program(program) as session:
        asset = await session.scalar(text("select id from assets where symbol = 'PTS'"))
        await ledger.post(session, program, [Movement(PostingKind.FUND, uuid7(), asset, 10**6)], now())
        first = await credit(session, program, [paid(10_000, at=now())], now())
    answer = await caller("PUT", f"{PATH}/{campaign['id']}", {"config": {"multiplier": "5"}})
    assert answer.json()["version"] == 2
    async with database.program(program) as session:
        found = (await campaigns_of(session, program, [UUID(campaign["id"])]))[0]
        assert [version.multiplier for version in found.versions] == [20_000, 50_000]
        changed_at = found.versions[1].effective_from
        late = await credit(session, program, [paid(10_000, at=changed_at - timedelta(microseconds=1))], now())
        after = await credit(session, program, [paid(10_000, at=changed_at)], now())
    assert [one.points for one in (*first, *late, *after) if isinstance(one, SettlementEarned)] == [2, 2, 5]
    shown = (await caller("GET", f"{PATH}/{campaign['id']}")).json()
    assert (shown["spent_points"], shown["participants"]) == ("6", 1)


async def the_program(api: Running) -> UUID:
    async with api.runtime.database.platform() as session:
        return (await programs.programs_after(session, None, 1))[0].id


async def test_the_seeds_active_publishes_pauses_and_resumes(api: Running) -> None:
    caller = await an_operator(api)
    campaign = await made(caller, active=True)
    assert campaign["active"]
    own = f"{PATH}/{campaign['id']}"
    assert [(await caller("PUT", own, {"active": active})).json()["active"] for active in (False, True)] == [False, True]


async def test_only_drafts_are_deleted(api: Running) -> None:
    caller = await an_operator(api)
    draft, published = await made(caller), await made(caller, active=True)
    assert (await caller("DELETE", f"{PATH}/{draft['id']}")).status_code == 204
    refused = await caller("DELETE", f"{PATH}/{published['id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "CAMPAIGN_STATE")
    listed = (await caller("GET", PATH)).json()
    assert [one["id"] for one in listed["items"]] == [published["id"]]


async def test_s12_a_repeated_write_has_the_first_answer_and_another_body_is_refused(api: Running) -> None:
    caller = await an_operator(api)
    body = a_draft()
    first, again = [await caller("POST", PATH, body, Idempotency_Key="one") for _ in range(2)]
    assert first.json()["id"] == again.json()["id"]
    assert (await caller("POST", PATH, {**body, "name": "Other"}, Idempotency_Key="one")).status_code == 409
    own = f"{PATH}/{first.json()['id']}"
    for step in ("publish", "pause"):
        answers = [await caller("POST", f"{own}/{step}", Idempotency_Key=step) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
    assert (await caller("GET", own)).json()["version"] == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"config": {}}, "multiplier"),
        ({"config": {"multiplier": 1}}, "multiplier"),
        ({"config": {"multiplier": 0.5}}, "multiplier"),
        ({"config": {"multiplier": 2, "pool_points": "5"}}, "pool_points"),
        ({"type": "bonus", "config": {}}, "milestones"),
        ({"type": "bonus", "config": {"bonus_points": 10, "milestones": [{"count": 1, "bonus_points": 5}]}}, "milestones"),
        ({"type": "bonus", "config": {"bonus_points": 10, "max_budget_points": "9"}}, "max_budget_points"),
        ({"type": "threshold", "config": {"threshold_points": 5}}, "threshold_volume"),
        ({"type": "pool", "config": {"multiplier": 2}}, "multiplier"),
        ({"type": "pool", "config": {"pool_points": "10", "max_budget_points": "10"}}, "max_budget_points"),
        ({"end_at": "2020-01-01T00:00:00Z"}, "end_at"),
    ],
)
async def test_a_campaign_that_makes_no_sense_is_refused_by_field(api: Running, changes: dict[str, Any], field: str) -> None:
    answer = await (await an_operator(api))("POST", PATH, a_draft(**changes))
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_CAMPAIGN")
    assert field in {problem["field"] for problem in answer.json()["details"]}


@pytest.mark.parametrize(
    "config",
    [
        {"multiplier": 1.00001},
        {"multiplier": "2.5.1"},
        {"multiplier": 1e9},
        {"multiplier": True},
        {"multiplier": 2, "max_budget_points": -1},
        {"multiplier": 2, "max_budget_points": "1.5"},
        {"multiplier": 2, "max_budget_points": 1.5},
        {"multiplier": 2, "max_budget_points": str(2**63)},
        {"multiplier": 2, "max_participants": 0},
        {"multiplier": 2, "max_participants": 2**63},
        {"multiplier": 2, "stacking": "often"},
    ],
)
async def test_x402_defect_17_numbers_that_are_not_exact_are_refused(api: Running, config: dict[str, Any]) -> None:
    answer = await (await an_operator(api))("POST", PATH, a_draft(config=config))
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] in {"VALIDATION_FAILED", "INVALID_REQUEST"}, answer.text


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1999-12-31T23:59:59Z", "2026-11-21T12:00:00"]
)
async def test_times_that_nothing_can_be_counted_from_are_refused(api: Running, at: str) -> None:
    caller = await an_operator(api)
    campaign = await made(caller)
    answers = [
        await caller("POST", PATH, a_draft(start_at=at)),
        await caller("POST", PATH, a_draft(end_at=at)),
        await caller("PUT", f"{PATH}/{campaign['id']}", {"end_at": at}),
        await caller("POST", f"{PATH}/{campaign['id']}/simulate", {"since": at}),
        await caller("POST", f"{PATH}/{campaign['id']}/simulate", {"until": at}),
    ]
    assert [answer.status_code for answer in answers] == [400] * 5


async def test_x402_defect_13_points_have_one_unit_everywhere(api: Running) -> None:
    caller = await an_operator(api)
    pool = str(20_000_000 * 10**9)
    campaign = await made(caller, type="pool", config={"pool_points": pool})
    assert campaign["config"]["pool_points"] == pool
    program = await the_program(api)
    await caller("POST", f"{PATH}/{campaign['id']}/publish")
    async with api.runtime.database.program(program) as session:
        found = (await campaigns_of(session, program, [UUID(campaign["id"])]))[0]
    assert str(found.versions[0].pool_points) == pool


async def test_a_published_pool_may_become_better_and_not_worse(api: Running) -> None:
    caller = await an_operator(api)
    config = {"pool_points": "1000", "threshold_volume": "500"}
    campaign = await made(caller, type="pool", config=config, active=True)
    own = f"{PATH}/{campaign['id']}"
    for worse in ({"pool_points": "999"}, {"threshold_volume": "501"}, {"max_points_per_account": "10"}):
        answer = await caller("PUT", own, {"config": {**config, **worse}})
        assert (answer.status_code, answer.json()["code"]) == (409, "CAMPAIGN_PROMISED"), worse
    longer = await caller("PUT", own, {"end_at": (now() + 11 * DAY).isoformat()})
    assert longer.json()["details"] == {"fields": ["end_at"]}
    assert (await caller("PUT", own, {"config": {"pool_points": "1001"}})).status_code == 200


async def test_another_program_sees_and_changes_nothing(api: Running) -> None:
    caller = await an_operator(api)
    campaign = await made(caller, active=True)
    stranger = await api.operator_of(await api.program("Other"))
    own = f"{PATH}/{campaign['id']}"
    answers: list[httpx.Response] = [
        await stranger("GET", own),
        await stranger("PUT", own, {"name": "Mine"}),
        await stranger("POST", f"{own}/end"),
        await stranger("DELETE", own),
    ]
    assert {answer.json()["code"] for answer in answers} == {"CAMPAIGN_NOT_FOUND"}
    assert (await stranger("GET", PATH)).json()["items"] == []


async def test_campaigns_are_listed_by_pages(api: Running) -> None:
    caller = await an_operator(api)
    ids = [(await made(caller, name=f"Number {number}"))["id"] for number in range(3)]
    first = (await caller("GET", f"{PATH}?limit=2")).json()
    second = (await caller("GET", f"{PATH}?limit=2&cursor={first['next_cursor']}")).json()
    assert [one["id"] for page in (first, second) for one in page["items"]] == ids
    assert second["next_cursor"] is None


async def test_terms_of_volume_have_defaults_and_are_changed_field_by_field(api: Running) -> None:
    caller = await an_operator(api)
    path = "/api/admin/rewards/volume"
    defaults = (await caller("GET", path)).json()
    assert (defaults["points_per_unit"], defaults["unit_micro_usd"], defaults["version"]) == ("1", "10000", 0)
    assert [tier["name"] for tier in defaults["tiers"]] == ["bronze", "silver", "gold", "platinum"]
    changed = await caller("PUT", path, {"asset": "PTS", "points_per_unit": 3, "cap_account": "500", "holding_seconds": 60})
    assert changed.status_code == 200, changed.text
    again = (await caller("PUT", path, {"cap_account": None, "downgrade": "one_step"})).json()
    assert (again["points_per_unit"], again["cap_account"], again["holding_seconds"], again["downgrade"]) == (
        "3",
        None,
        60,
        "one_step",
    )
    assert (again["asset"], again["version"]) == ("PTS", 2)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"asset": "LTZ"}, "ASSET_NOT_CLAIMABLE"),
        ({"asset": "PTS", "tiers": [{"name": "gold", "volume_micro_usd": "5"}]}, "INVALID_VOLUME_TERMS"),
        (
            {"asset": "PTS", "tiers": [{"name": "a", "volume_micro_usd": "0"}, {"name": "a", "volume_micro_usd": "1"}]},
            "INVALID_VOLUME_TERMS",
        ),
        ({"asset": "PTS", "expire_after_days": 10, "warn_days": 10}, "INVALID_VOLUME_TERMS"),
    ],
)
async def test_terms_that_make_no_sense_are_refused(api: Running, body: dict[str, Any], code: str) -> None:
    answer = await (await an_operator(api))("PUT", "/api/admin/rewards/volume", body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_members_see_what_is_published_and_nothing_of_its_costs(api: Running) -> None:
    caller = await an_operator(api)
    await made(caller, name="Draft")
    published = await made(caller, active=True, name="Now")
    coming = await made(caller, active=True, name="Soon", start_at=(now() + DAY).isoformat())
    paused = await made(caller, active=True, name="Paused")
    await caller("POST", f"{PATH}/{paused['id']}/pause")
    member, _ = await a_member(api)
    listed = (await member("GET", "/api/rewards/campaigns")).json()["items"]
    assert [(one["id"], one["active"]) for one in listed] == [(published["id"], True), (coming["id"], False)]
    assert not {"spent_points", "participants", "state", "version"} & listed[0].keys()
    assert (listed[0]["config"]["multiplier"], listed[0]["config"]["max_budget_points"]) == (2.0, None)
    assert (await Caller(api.client)("GET", "/api/rewards/campaigns")).status_code == 401


async def test_a_campaign_is_simulated_before_it_is_made_and_after(api: Running) -> None:
    caller = await an_operator(api)
    campaign = await made(caller)
    draft = await caller("POST", f"{PATH}/simulate", {"campaign": a_draft(), "since": (now() - DAY).isoformat()})
    known = await caller("POST", f"{PATH}/{campaign['id']}/simulate", {"until": now().isoformat()})
    assert (draft.status_code, known.status_code) == (200, 200), draft.text + known.text
    assert {answer.json()["cost_points"] for answer in (draft, known)} == {"0"}
    backwards = await caller(
        "POST", f"{PATH}/{campaign['id']}/simulate", {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}
    )
    assert (backwards.status_code, backwards.json()["code"]) == (400, "INVALID_CAMPAIGN")
