"""Security keys: shown once, encrypted at rest, two valid while one is rotated out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from guerdon.kit import driver
from guerdon.kit.clock import FixedClock
from guerdon.kit.database import Database
from guerdon.kit.errors import GuerdonError
from guerdon.kit.secrets import KeyRing, MasterKey, SecretError
from guerdon.programs.security_keys import add_security_key, signing_keys
from tests.support.api import Running, add_asset, running, settings_for
from tests.support.postgres import Urls

START = datetime(2026, 1, 1, tzinfo=UTC)


async def secrets_that_sign(api: Running, program_id: str, at: datetime) -> list[str]:
    async with api.runtime.database.program(UUID(program_id)) as session:
        keys = await signing_keys(session, api.runtime.secrets, UUID(program_id), at)
    return [key.secret.decode() for key in keys]


async def test_rotation_leaves_two_keys_valid_for_the_grace_time_and_one_after_it(database_urls: Urls) -> None:
    clock = FixedClock(START)
    async with running(settings_for(database_urls.app), clock=clock) as api:
        program = await api.program()
        first = program["securityKey"]
        path = f"/api/admin/programs/{program['brandId']}/keys"
        assert await secrets_that_sign(api, program["id"], clock.now()) == [first]

        second = (await api.platform("POST", path, {"graceHours": 2})).json()["securityKey"]
        assert await secrets_that_sign(api, program["id"], START + timedelta(hours=2, seconds=-1)) == [second, first]
        assert await secrets_that_sign(api, program["id"], START + timedelta(hours=2)) == [second]

        clock.advance(timedelta(hours=1))
        third = (await api.platform("POST", path, {"graceHours": 5})).json()["securityKey"]
        # Two at most: the first ends with the rotation that retires the second.
        assert await secrets_that_sign(api, program["id"], clock.now()) == [third, second]
        assert len({first, second, third}) == 3


async def test_a_leaked_key_ends_at_once(database_urls: Urls) -> None:
    clock = FixedClock(START)
    async with running(settings_for(database_urls.app), clock=clock) as api:
        program = await api.program()
        path = f"/api/admin/programs/{program['brandId']}/keys"
        await api.platform("POST", path, {"graceHours": 24})
        fresh = (await api.platform("POST", path, {"revokeOld": True})).json()["securityKey"]
        assert await secrets_that_sign(api, program["id"], clock.now()) == [fresh]


async def test_a_key_is_revoked_but_never_the_last(api: Running) -> None:
    program = await api.program()
    path = f"/api/admin/programs/{program['brandId']}/keys"
    only = program["securityKeyId"]
    refused = await api.platform("DELETE", f"{path}/{only}")
    assert (refused.status_code, refused.json()["code"]) == (409, "LAST_SECURITY_KEY")
    fresh = (await api.platform("POST", path, {})).json()["securityKey"]
    assert (await api.platform("DELETE", f"{path}/{only}")).status_code == 204
    gone = await api.platform("DELETE", f"{path}/{only}")
    assert (gone.status_code, gone.json()["code"]) == (404, "SECURITY_KEY_NOT_FOUND")
    assert await secrets_that_sign(api, program["id"], datetime.now(UTC)) == [fresh]


async def test_a_key_is_shown_once_and_stored_encrypted(api: Running, owner: driver.RawConnection) -> None:
    program = await api.program()
    listed = await api.platform("GET", f"/api/admin/programs/{program['brandId']}/keys")
    assert [key["hint"] for key in listed.json()["items"]] == [program["securityKey"][-4:]]
    shown = await api.platform("GET", f"/api/admin/programs/{program['brandId']}")
    assert program["securityKey"] not in listed.text + shown.text
    [row] = await owner.fetch("select secret_encrypted from program_keys")
    stored = bytes(row["secret_encrypted"])
    assert program["securityKey"].encode() not in stored
    assert bytes.fromhex(program["securityKey"]) not in stored


async def test_a_ciphertext_moved_to_another_program_does_not_open(database: Database) -> None:
    ring = KeyRing(MasterKey(bytes(32)))
    asset = await add_asset(database)
    one, other = UUID(int=1), UUID(int=2)
    async with database.platform() as session:
        from guerdon.programs.models import Program

        for number, program_id in enumerate((one, other), 1):
            session.add(Program(id=program_id, brand_id=f"0x{number:040x}", name="x", asset_id=asset.id, created_at=START))
    async with database.program(one) as session:
        key = await add_security_key(session, ring, one, START)
        from guerdon.programs.models import ProgramKey

        stolen = (await session.get_one(ProgramKey, (one, key.id))).secret_encrypted
    async with database.program(other) as session:
        session.add(ProgramKey(program_id=other, id=key.id, secret_encrypted=stolen, hint="x", created_at=START))
    async with database.program(other) as session:
        with pytest.raises(SecretError):
            await signing_keys(session, ring, other, START)


async def test_rotation_takes_a_grace_time_that_makes_sense(api: Running) -> None:
    program = await api.program()
    path = f"/api/admin/programs/{program['brandId']}/keys"
    for hours in (-1, 721, "soon"):
        assert (await api.platform("POST", path, {"graceHours": hours})).status_code == 400
    assert len((await api.platform("GET", path)).json()["items"]) == 1


def test_errors_of_keys_say_what_to_do_next() -> None:
    from guerdon.programs.errors import InvalidAdminKeyError, LastSecurityKeyError

    errors: list[type[GuerdonError]] = [LastSecurityKeyError, InvalidAdminKeyError]
    assert all("rotate" in error().message or "guerdon admin-key create" in error().message for error in errors)
