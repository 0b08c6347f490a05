"""Idempotency keys of writes through the API: the first answer stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from guerdon.kit import driver
from guerdon.kit.database import Database
from guerdon.kit.errors import ConflictError, IdempotencyConflictError
from guerdon.kit.idempotency import Answer, RequestKey, once
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, uuid7
from guerdon.kit.secrets import KeyRing, MasterKey

pytestmark = pytest.mark.every_database

OURS, THEIRS = uuid7(), uuid7()
RING = KeyRing(MasterKey.generate())
KEY = RequestKey(OURS, "program.create", "admin-key:1", "order_123")


class Counting:
    """What the request would do; counts how often it was done."""

    def __init__(self, status: int = 201) -> None:
        self.done = 0
        self.status = status

    async def __call__(self) -> Answer:
        self.done += 1
        await asyncio.sleep(0.01)
        return Answer(self.status, b'{"securityKey":"shown once %d"}' % self.done)


async def ask(database: Database, run: Callable[[], Awaitable[Answer]], key: RequestKey = KEY, body: bytes = b"{}") -> Answer:
    async with database.program(key.program_id) as session:
        return await once(session, RING, key, body, run)


async def test_a_repeat_gets_the_first_answer_and_does_nothing(database: Database) -> None:
    run = Counting()
    first, second = await ask(database, run), await ask(database, run)
    assert (first.status, first.body, first.repeated) == (201, b'{"securityKey":"shown once 1"}', False)
    assert (second.status, second.body, second.repeated) == (201, first.body, True)
    assert run.done == 1


async def test_the_same_key_with_another_body_is_refused(database: Database) -> None:
    run = Counting()
    await ask(database, run)
    with pytest.raises(IdempotencyConflictError) as refused:
        await ask(database, run, body=b'{"a":1}')
    assert (refused.value.status, refused.value.code) == (409, "IDEMPOTENCY_CONFLICT")
    assert run.done == 1


async def test_many_at_once_do_it_once(database: Database) -> None:
    run = Counting()
    answers = await asyncio.gather(*(ask(database, run) for _ in range(16)))
    assert run.done == 1
    assert {answer.body for answer in answers} == {b'{"securityKey":"shown once 1"}'}
    assert sum(not answer.repeated for answer in answers) == 1


@pytest.mark.parametrize(
    "other",
    [
        RequestKey(THEIRS, KEY.operation, KEY.caller, KEY.key),
        RequestKey(OURS, "rule.set", KEY.caller, KEY.key),
        RequestKey(OURS, KEY.operation, "member:7", KEY.key),
        RequestKey(OURS, KEY.operation, KEY.caller, "order_124"),
    ],
)
async def test_s12_the_key_counts_within_program_operation_and_caller(database: Database, other: RequestKey) -> None:
    run = Counting()
    await ask(database, run)
    assert not (await ask(database, run, other)).repeated
    assert run.done == 2


async def test_s12_a_refusal_does_not_bind(database: Database) -> None:
    assert (await ask(database, Counting(status=409))).status == 409

    async def refuse() -> Answer:
        raise ConflictError

    with pytest.raises(ConflictError):
        await ask(database, refuse, body=b"another")
    run = Counting()
    assert not (await ask(database, run, body=b"a third")).repeated
    assert run.done == 1


async def test_the_platforms_own_requests_have_keys_too(database: Database) -> None:
    run, key = Counting(), RequestKey(PLATFORM_PROGRAM_ID, "program.create", "admin-key:1", "k")
    for repeated in (False, True):
        async with database.platform() as session:
            assert (await once(session, RING, key, b"{}", run)).repeated is repeated
    assert run.done == 1


async def test_a_stored_answer_is_encrypted(database: Database, owner: driver.RawConnection) -> None:
    await ask(database, Counting())
    stored = await owner.fetchrow("SELECT * FROM idempotent_requests")
    assert stored is not None
    assert b"shown once" not in stored["response"]
    assert b"order_123" not in stored["key_hash"]
