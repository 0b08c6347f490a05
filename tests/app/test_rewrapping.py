"""A secret key is rotated: everything stored is wrapped anew, and works without the older one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from guerdon import rewrapping
from guerdon.doctor import secrets as doctor
from guerdon.doctor.findings import Verdict
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from guerdon.kit.idempotency import RequestKey
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.secrets import MasterKey, SecretError, key_ring
from guerdon.programs.security_keys import signing_keys
from guerdon.settings import Settings
from guerdon.txmanager import repository_keys, service_keys
from guerdon.txmanager.chain import Payload
from guerdon.txmanager.fees import Fees
from guerdon.txmanager.models import KeyPurpose
from guerdon.txmanager.signer import Signer, UnsignedTransaction
from tests.support.api import SECRET_KEY, running, settings_for
from tests.support.books import NOW
from tests.support.members import EvmWallet, sign_in
from tests.support.postgres import Urls

NEW_KEY = MasterKey.generate().to_text()
OLD_ID = MasterKey.from_text(SECRET_KEY).id.hex()
BODY = {"name": "Acme"}
WALLET = EvmWallet()


def rotated(urls: Urls) -> Settings:
    return settings_for(urls.app, secret_key=SecretStr(NEW_KEY), older_secret_keys=(SecretStr(SECRET_KEY),))


async def told(settings: Settings, database: Database) -> list[tuple[Verdict, str]]:
    return [(finding.verdict, finding.message) for finding in await doctor.look(settings, database)]


@pytest.fixture
async def program(database_urls: Urls) -> dict[str, Any]:
    """A program, made under the old key with an idempotency key; and a key that signs transactions."""
    async with running(settings_for(database_urls.app)) as api:
        async with api.runtime.database.platform() as session:
            await service_keys.set_network(session, name="here", chain_id=7)
            await service_keys.create_key(session, Signer(api.runtime.secrets), "here", KeyPurpose.TREASURY)
        answer = await api.platform("POST", "/api/admin/programs", BODY, Idempotency_Key="once")
        assert answer.status_code == 201
        await sign_in(api, WALLET)
        return {**answer.json(), "token": api.platform.token}


async def test_everything_works_without_the_older_key(database: Database, database_urls: Urls, program: dict[str, Any]) -> None:
    both = rotated(database_urls)
    async with running(both, asset=False) as api:
        before = await told(both, database)
        assert {verdict for verdict, _ in before} == {Verdict.NOTE}
        assert len(before) == 4
        assert all(f"under the older key {OLD_ID}" in message for _, message in before)
        done = await rewrapping.rewrap(database, api.runtime.secrets)
        assert done.changed == {
            rewrapping.SIGNING_KEYS: 1, rewrapping.SECURITY_KEYS: 1, rewrapping.IDENTITIES: 1,
            rewrapping.ANSWERS: done.changed[rewrapping.ANSWERS],
        }  # fmt: skip
        assert done.changed[rewrapping.ANSWERS] >= 1
        assert not done.left
        again = await rewrapping.rewrap(database, api.runtime.secrets)
        assert (again.changed, again.left) == ({}, {})
        assert await told(both, database) == [
            (Verdict.NOTE, "everything stored is under the present one, and older ones are configured")
        ]
    alone = settings_for(database_urls.app, secret_key=SecretStr(NEW_KEY))
    async with running(alone, asset=False) as api:
        assert (await told(alone, database))[0][0] is Verdict.OK
        async with database.platform() as session:
            (key,) = await repository_keys.keys(session)
        Signer(api.runtime.secrets).sign_all(key, [UnsignedTransaction(7, 0, Payload(key.address, b"", 0), 21_000, Fees(1, 1))])
        async with database.program(UUID(program["id"])) as session:
            (security,) = await signing_keys(session, api.runtime.secrets, UUID(program["id"]), NOW)
        assert security.secret.decode() == program["securityKey"]
        headers = {"Authorization": f"Bearer {program['token']}", "Idempotency-Key": "once"}
        who = (await (await sign_in(api, WALLET))("GET", "/api/auth/session")).json()
        assert [known["address"] for known in who["identities"]] == [WALLET.address]
        repeat = await api.client.post("/api/admin/programs", json=BODY, headers=headers)
        assert repeat.json()["securityKey"] == program["securityKey"]


async def test_what_no_configured_key_opens_stays_and_is_told(
    database: Database, database_urls: Urls, owner: RawConnection, program: dict[str, Any]
) -> None:
    strange = MasterKey.generate()
    await owner.execute(
        "update program_keys set secret_encrypted = overlay(secret_encrypted placing $1 from 2 for 4)", strange.id
    )
    both = rotated(database_urls)
    done = await rewrapping.rewrap(database, key_ring(both))
    assert done.changed[rewrapping.SIGNING_KEYS] == 1
    assert done.left[rewrapping.SECURITY_KEYS, strange.id.hex()] == 1
    # The wallets' secret is wrapped anew by whatever process opens it: none was started yet.
    assert done.left[rewrapping.WALLETS, OLD_ID] == 1
    assert (Verdict.MEND, f"1 security keys of programs are under key {strange.id.hex()}, which is not configured") in await told(
        both, database
    )


async def test_many_answers_are_wrapped_a_page_at_a_time(database: Database, database_urls: Urls, owner: RawConnection) -> None:
    old, both = key_ring(settings_for(database_urls.app)), key_ring(rotated(database_urls))
    keys = [RequestKey(PLATFORM_PROGRAM_ID, f"op{number % 3}", "operator", f"k{number}") for number in range(1_203)]
    await owner.executemany(
        "insert into idempotent_requests (program_id, operation, caller, key_hash, body_hash, status, response) "
        "values ($1, $2, 'operator', $3, '\\x00', 200, $4)",
        [(one.program_id, one.operation, one.digest, old.encrypt(one.key.encode(), one.context)) for one in keys],
    )
    done = await rewrapping.rewrap(database, both)
    assert done.changed == {rewrapping.ANSWERS: len(keys)}
    new = key_ring(settings_for(database_urls.app, secret_key=SecretStr(NEW_KEY)))
    for one in keys[::100]:
        sealed = await owner.fetchval("select response from idempotent_requests where key_hash = $1", one.digest)
        assert new.decrypt(sealed, one.context) == one.key.encode()
        with pytest.raises(SecretError):
            old.decrypt(sealed, one.context)


async def test_doctor_asks_nothing_where_there_is_no_key(database: Database, tmp_path: Path, database_urls: Urls) -> None:
    settings = Settings(_env_file=None, database_url=SecretStr(database_urls.app), data_dir=tmp_path)  # pyright: ignore[reportCallIssue]
    assert await doctor.look(settings, database) == []
