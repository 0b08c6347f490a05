"""Who may report what (DESIGN section 7): signatures, origins, unsigned bots, admin keys; which program; which pages may ask."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import httpx
import pytest

from guerdon.kit.clients import client_address
from guerdon.kit.clock import FixedClock
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from guerdon.programs.admin_keys import create_admin_key, revoke_admin_key
from guerdon.programs.models import AdminRole
from guerdon.programs.schemas import NewAdminKey, Rotation
from guerdon.programs.security_keys import rotate_security_key
from guerdon.programs.service import add_domain
from tests.activity.house import MANUAL, ORIGIN, RING, House, a_house, an_event, count
from tests.support.books import NOW

BODY = json.dumps(an_event()).encode()


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def trust_of(owner: RawConnection, response: httpx.Response) -> tuple[str, str | None, str | None]:
    """(trust, domain, client address) of the event that was booked."""
    row = await owner.fetchrow("select trust, domain, client_address from events where id = $1", UUID(response.json()["eventId"]))
    assert row is not None
    return row["trust"], row["domain"], row["client_address"]


async def test_a_signature_is_compared_without_case(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        headers = house.signature(BODY)
        headers["X-Loyalteez-Signature"] = headers["X-Loyalteez-Signature"].upper()
        response = await house.client.post(MANUAL, content=BODY, headers=headers)
        assert await trust_of(owner, response) == ("server", None, None)


async def test_the_brand_id_is_signed_as_it_was_written(database: Database) -> None:
    async with a_house(database) as house:
        house.brand_id = house.brand_id.upper().replace("0X", "0x")
        assert (await house.signed(MANUAL, BODY)).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"X-Loyalteez-Signature": "0" * 64},
        {"X-Loyalteez-Signature": "0" * 63},
        {"X-Loyalteez-Signature": "sha256=" + "0" * 64},
        {"X-Loyalteez-Signature": "z" * 64},
        {"X-Loyalteez-Timestamp": ""},
        {"X-Loyalteez-Timestamp": "1.5"},
        {"X-Loyalteez-Timestamp": "9" * 16},
        {"X-Loyalteez-Timestamp": "-1"},
        {"X-Loyalteez-Brand-Id": ""},
        {"X-Loyalteez-Brand-Id": "0x" + "0" * 40},
    ],
)
async def test_a_wrong_signature_is_401_and_never_passed_over(
    database: Database, owner: RawConnection, change: dict[str, str]
) -> None:
    async with a_house(database) as house:
        await house.set_program(unsigned_reports=True)
        # Each would be accepted as a report of a page, if the proof that is offered did not count first.
        body = json.dumps(an_event(event_type="visit")).encode()
        headers = {**house.signature(body), "Origin": ORIGIN, **change}
        assert code(await house.client.post(MANUAL, content=body, headers=headers)) == (401, "INVALID_SIGNATURE")
        assert await count(owner, "events", house.program_id) == 0


async def test_another_body_or_key_does_not_fit_the_signature(database: Database) -> None:
    async with a_house(database) as house, a_house(database) as other:
        signed = house.signature(BODY)
        assert code(await house.client.post(MANUAL, content=BODY + b" ", headers=signed)) == (401, "INVALID_SIGNATURE")
        foreign = house.signature(BODY, key=other.security_key)
        assert code(await house.client.post(MANUAL, content=BODY, headers=foreign)) == (401, "INVALID_SIGNATURE")


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(minutes=5), 200),
        (timedelta(minutes=5, milliseconds=1), 401),
        (timedelta(minutes=-5), 200),
        (timedelta(minutes=-6), 401),
    ],
)
async def test_a_signature_is_good_for_five_minutes_either_way(database: Database, age: timedelta, expected: int) -> None:
    clock = FixedClock(NOW)
    async with a_house(database, clock=clock) as house:
        response = await house.signed(MANUAL, BODY, at=NOW - age)
        assert response.status_code == expected
        if expected == 401:
            assert code(response) == (401, "STALE_SIGNATURE")


async def test_two_keys_are_valid_while_one_is_rotated_out(database: Database) -> None:
    clock = FixedClock(NOW)
    async with a_house(database, clock=clock) as house:
        old = house.security_key
        async with database.program(house.program_id) as session:
            new = await rotate_security_key(session, RING, house.program_id, Rotation(grace_hours=1), NOW)
        await house.api.reception.directory.by_id(house.program_id)
        house.api.reception.directory._changed(str(house.program_id))

        async def status(key: str, person: str) -> int:
            body = json.dumps(an_event(person)).encode()
            headers = house.signature(body, at=clock.now(), key=key)
            return (await house.client.post(MANUAL, content=body, headers=headers)).status_code

        assert [await status(old, "a"), await status(new.security_key, "b")] == [200, 200]
        # The old key ends by the clock, though nothing was read again since.
        clock.advance(timedelta(hours=1))
        assert [await status(old, "c"), await status(new.security_key, "d")] == [401, 200]


async def test_a_browser_is_known_by_its_origin(database: Database, owner: RawConnection) -> None:
    async with a_house(database, domains=("shop.example.com", "*.example.org")) as house:
        for person, origin in (("ann", ORIGIN), ("bob", "https://SHOP.example.com:8443"), ("cid", "https://a.b.example.org")):
            response = await house.browse(an_event(person, "visit"), origin)
            assert (await trust_of(owner, response))[0] == "browser"
        assert response.headers["access-control-allow-origin"] == "https://a.b.example.org"
        assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "https://shop.example.com.evil.example",
        "https://notshop.example.com",
        "https://shop.example.com@evil.example",
        "file://shop.example.com",
        "shop.example.com",
    ],
)
async def test_s8_a_field_of_the_body_never_overrides_the_origin(database: Database, origin: str) -> None:
    async with a_house(database) as house:
        await house.set_program(unsigned_reports=True)
        event = an_event(event_type="visit", domain="shop.example.com", sourceUrl="https://shop.example.com/")
        response = await house.browse(event, origin)
        assert code(response) == (403, "DOMAIN_NOT_AUTHORIZED")
        assert "access-control-allow-origin" not in response.headers


async def test_a_page_of_one_program_is_no_page_of_another(database: Database) -> None:
    async with a_house(database) as house, a_house(database, domains=("other.example",)):
        response = await house.browse(an_event(event_type="visit"), "https://other.example")
        assert code(response) == (403, "DOMAIN_NOT_AUTHORIZED")
        # Its page may read why: some program has registered it.
        assert response.headers["access-control-allow-origin"] == "https://other.example"


@pytest.mark.parametrize(("environment", "expected"), [("development", 200), ("production", 403)])
async def test_localhost_is_a_domain_in_development_only(database: Database, environment: str, expected: int) -> None:
    async with a_house(database, domains=("localhost",), environment=environment) as house:
        assert (await house.browse(an_event(event_type="visit"), "http://localhost:3000")).status_code == expected


async def test_s8_what_servers_may_report_is_closed_to_browsers(database: Database) -> None:
    async with a_house(database) as house:
        assert code(await house.browse(an_event())) == (403, "NOT_OPEN_TO_BROWSERS")


async def test_an_existing_bot_reports_unsigned_only_where_the_program_allows_it(
    database: Database, owner: RawConnection
) -> None:
    async with a_house(database, domains=("shop.example.com", "telegram")) as house:

        async def report(person: str, **fields: Any) -> httpx.Response:
            return await house.client.post(MANUAL, json={"brandId": house.brand_id, **an_event(person, "visit"), **fields})

        assert code(await report("ann", domain="shop.example.com")) == (401, "PROOF_REQUIRED")
        await house.set_program(unsigned_reports=True)
        house.api.reception.directory._changed("")
        assert await trust_of(owner, await report("ann", domain="Shop.example.com.")) == (
            "browser",
            "shop.example.com",
            "198.51.100.7",
        )
        assert (await trust_of(owner, await report("bob", domain="telegram")))[1] == "telegram"
        assert (await trust_of(owner, await report("cid", sourceUrl="https://shop.example.com/x")))[1] == "shop.example.com"
        # The domain that is named counts, not whichever fits.
        foreign = await report("dan", domain="evil.example", sourceUrl="https://shop.example.com/x")
        assert code(foreign) == (403, "DOMAIN_NOT_AUTHORIZED")
        assert code(await report("dan")) == (403, "DOMAIN_NOT_AUTHORIZED")


async def an_admin_key(database: Database, brand_id: str | None) -> tuple[UUID, str]:
    role = AdminRole.PLATFORM if brand_id is None else AdminRole.PROGRAM
    async with database.platform() as session:
        created = await create_admin_key(session, NewAdminKey(name="test", role=role, brand_id=brand_id), NOW)
    return created.id, created.token


async def test_an_operator_reports_with_an_admin_key(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house, a_house(database, domains=("other.example",)) as other:
        _, own = await an_admin_key(database, house.brand_id)
        _, platform = await an_admin_key(database, None)

        async def report(token: str, person: str, **fields: Any) -> httpx.Response:
            return await house.client.post(
                MANUAL, json={**an_event(person), **fields}, headers={"Authorization": f"Bearer {token}"}
            )

        assert (await trust_of(owner, await report(own, "ann")))[0] == "operator"
        assert (await report(own, "bob", brandId=house.brand_id)).status_code == 200
        assert code(await report(own, "cid", brandId=other.brand_id)) == (400, "PROGRAM_MISMATCH")
        assert (await report(platform, "dan", brandId=other.brand_id)).status_code == 200
        assert code(await report(platform, "eve")) == (400, "PROGRAM_REQUIRED")
        assert code(await report(own[:-1] + ("0" if own[-1] != "0" else "1"), "fay")) == (401, "INVALID_ADMIN_KEY")
        assert code(await report("nonsense", "fay")) == (401, "INVALID_ADMIN_KEY")


async def test_a_revoked_admin_key_ends_within_a_second(database: Database) -> None:
    async with a_house(database) as house:
        key_id, token = await an_admin_key(database, house.brand_id)
        headers = {"Authorization": f"Bearer {token}"}
        assert (await house.client.post(MANUAL, json=an_event("ann"), headers=headers)).status_code == 200
        async with database.platform() as session:
            await revoke_admin_key(session, key_id, NOW)
        deadline = datetime.now(UTC) + timedelta(seconds=1)
        while (await house.client.post(MANUAL, json=an_event("ann"), headers=headers)).status_code != 401:
            assert datetime.now(UTC) < deadline


async def test_two_programs_that_differ_are_refused(database: Database) -> None:
    async with a_house(database) as house, a_house(database) as other:
        assert code(await house.send(an_event(brandId=other.brand_id))) == (400, "PROGRAM_MISMATCH")
        mixed = await house.browse(an_event(event_type="visit"), X_Loyalteez_Brand_Id=other.brand_id)
        assert code(mixed) == (400, "PROGRAM_MISMATCH")
        assert (await house.send(an_event(brandId=house.brand_id.upper().replace("0X", "0x")))).status_code == 200


async def test_a_report_without_a_program_is_the_only_programs_if_there_is_one(database: Database) -> None:
    async with a_house(database) as house:
        first = await house.client.post(MANUAL, json=an_event(event_type="visit"), headers={"Origin": ORIGIN})
        assert first.status_code == 200
        async with a_house(database):
            house.api.reception.directory._changed("")
            second = await house.client.post(MANUAL, json=an_event("bob", "visit"), headers={"Origin": ORIGIN})
            assert code(second) == (400, "PROGRAM_REQUIRED")


async def test_an_unknown_program_is_404_and_known_a_moment_after_it_is_made(database: Database) -> None:
    async with a_house(database) as house:
        unknown = "0x" + "12" * 20
        event = {**an_event(event_type="visit"), "brandId": unknown}
        response = await house.client.post(MANUAL, json=event, headers={"Origin": ORIGIN})
        assert code(response) == (404, "PROGRAM_NOT_FOUND")
        async with a_house(database, domains=("new.example",)) as made:
            deadline = datetime.now(UTC) + timedelta(seconds=1)
            event["brandId"] = made.brand_id
            while (await house.client.post(MANUAL, json=event, headers={"Origin": "https://new.example"})).status_code != 200:
                assert datetime.now(UTC) < deadline


async def preflight(house: House, origin: str) -> httpx.Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    return await house.client.options(MANUAL, headers=headers)


async def test_a_preflight_allows_any_origin_that_some_program_has_registered(database: Database) -> None:
    async with a_house(database) as house, a_house(database, domains=("*.other.example",)):
        for origin in (ORIGIN, "https://deep.in.other.example"):
            response = await preflight(house, origin)
            assert (response.status_code, response.headers["access-control-allow-origin"]) == (204, origin)
            assert "POST" in response.headers["access-control-allow-methods"]
            assert "idempotency-key" in response.headers["access-control-allow-headers"]
        refused = await preflight(house, "https://evil.example")
        assert code(refused) == (403, "DOMAIN_NOT_AUTHORIZED")
        assert "access-control-allow-origin" not in refused.headers


async def test_a_new_domain_is_allowed_within_a_second(database: Database) -> None:
    async with a_house(database) as house:
        assert (await preflight(house, "https://late.example")).status_code == 403
        async with database.program(house.program_id) as session:
            await add_domain(session, house.program_id, "late.example", NOW, development=False)
        deadline = datetime.now(UTC) + timedelta(seconds=1)
        while (await preflight(house, "https://late.example")).status_code != 204:
            assert datetime.now(UTC) < deadline
        assert (await house.browse(an_event(event_type="visit"), "https://late.example")).status_code == 200


async def test_cors_headers_are_on_the_other_endpoints_too(database: Database) -> None:
    async with a_house(database) as house:
        response = await house.client.get("/loyalteez-api/event-config", headers={"Origin": ORIGIN})
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-origin" not in (await house.client.get("/elsewhere", headers={"Origin": ORIGIN})).headers


PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.7", None, "198.51.100.7"),
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("fd00::1", "203.0.113.9, 10.0.0.2, fd00::3", "203.0.113.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "nonsense", "unknown"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("", None, "unknown"),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", None, "2001:db8:1:2::/64"),
        ("10.0.0.1", "2001:db8:9:9::1", "2001:db8:9:9::/64"),
        ("::ffff:198.51.100.7", None, "198.51.100.7"),
    ],
)
def test_s8_the_clients_address_comes_from_configured_proxies_only(peer: str, forwarded: str | None, address: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == address


async def test_s8_caps_count_by_the_address_that_a_trusted_proxy_tells(database: Database) -> None:
    async with a_house(database, trusted_proxies=("198.51.100.0/24",)) as house:
        await house.set_program(browser_cap_ip=5)
        answers = [
            await house.browse(an_event(person, "visit"), X_Forwarded_For=address)
            for person, address in (("a", "2001:db8::1"), ("b", "2001:db8::2"), ("c", "2001:db8:0:1::1"), ("d", "203.0.113.1"))
        ]
        assert [answer.status_code for answer in answers] == [200, 429, 200, 200]
