"""A past: what intake and delivery would have left behind had a program's members reported for months, written by fast SQL.

All tables that intake writes and whose rows stay (the worker forgets counters of past days, and the outbox), in consistent
form: `ledger verify` finds nothing. Each member reports again and again, a point each time, and each nine points were delivered;
what the chain would have to show for it is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bench.house import House, Program
from bench.requests import EVENT_TYPE
from guerdon.kit import driver

_ROUNDS = 9
"""Events a member in one go; together they are one delivery."""
_DAYS = 300
_LOADS = 5
"""At most, in one house."""

_STAGING = """
create unlogged table if not exists bench_history (
    id uuid, delivery_id uuid, is_last boolean, account_id uuid, identity text, key text, version bigint, at timestamptz)
"""
# A member's events follow each other in rounds, and ids rise with time, as they do in the product.
_STAGE = f"""
with people as (
    select row_number() over (order by i.identity) - 1 as member, i.account_id, i.identity, b.version
    from identities i join account_balances b on b.program_id = i.program_id and b.account_id = i.account_id
    where i.program_id = '{{program}}'::uuid and i.identity like 'email:member-%'),
numbered as (
    select p.*, r as round, {{done}}::bigint + r::bigint * {{members}} + p.member as n
    from people p cross join generate_series(0, {_ROUNDS - 1}) as r),
placed as (select *, n + ({_ROUNDS - 1} - round) * {{members}} as last_n from numbered),
timed as (select *, {{at}} as at, {{last_at}} as last_at from placed)
insert into bench_history
select {{id}}, {{delivery_id}}, round = {_ROUNDS - 1}, account_id, identity, '{{load}}-' || n, version + round + 1, at
from timed order by n
"""


def _at(n: str) -> str:
    """When the event of this number was: spread evenly over the time of its load."""
    days = f"interval '{_DAYS} days'"
    return f"now() - {days} * {{ago}} + {days} * ({n}::float8 / {{total}})"


def _id(at: str, n: str, mark: str) -> str:
    """Ordered by time, and one for each number."""
    milliseconds = f"(extract(epoch from {at}) * 1000)::bigint"
    number = f"'7' || lpad(to_hex({n} % 4096), 3, '0') || '{mark}' || lpad(to_hex({n}), 15, '0')"
    return f"(lpad(to_hex({milliseconds}), 12, '0') || {number})::uuid"


_FIRST = (
    f"""
insert into events (program_id, id, account_id, identity, event_type, trust, metadata, received_at)
select '{{program}}'::uuid, id, account_id, identity, '{EVENT_TYPE}', 'server',
    jsonb_build_object('amount_cents', 100, 'order', key), at from bench_history
""",
    """
insert into event_keys (program_id, key_hash, event_id, body_hash, operation)
select '{program}'::uuid, decode(md5(key), 'hex'), id, decode(md5(id::text), 'hex'), 'bulk-events'
from bench_history order by md5(key)
""",
)
_SECOND = (
    f"""
insert into accruals (program_id, id, account_id, asset_id, earned_by, points, reasons, delivery_id, accrued_at)
select '{{program}}'::uuid, id, account_id, '{{asset}}'::uuid, '{EVENT_TYPE}', 1,
    '[{{{{"rule": "{EVENT_TYPE}", "version": 1, "points": 1}}}}]'::jsonb, delivery_id, at from bench_history
""",
    f"""
insert into postings (program_id, asset_id, kind, ref, from_bucket, to_bucket, amount, account_id, version, available_after,
    posted_at)
select '{{program}}'::uuid, '{{asset}}'::uuid, 'reward_held', id, 'funds', 'held', 1, account_id, version, 0, at
from bench_history
union all
select '{{program}}'::uuid, '{{asset}}'::uuid, 'deliver', delivery_id, 'held', 'delivered', {_ROUNDS}, account_id, version + 1, 0,
    at from bench_history where is_last
""",
    f"""
insert into deliveries (program_id, id, asset_id, account_id, kind, state, points, amount_atomic, destination, network, batch_id,
    transaction_hash, block_number, requested_at, updated_at)
select '{{program}}'::uuid, delivery_id, '{{asset}}'::uuid, account_id, 'automatic', 'final', {_ROUNDS}, {_ROUNDS},
    '0x' || md5(account_id::text) || '00000000', 'local', md5(at::date::text)::uuid,
    '0x' || md5(at::date::text) || md5(at::date::text), 1, at, at from bench_history where is_last
""",
)
_BALANCES = (
    f"""
update account_balances set earned = earned + {_ROUNDS}, claimed = claimed + {_ROUNDS}, version = version + {_ROUNDS + 1}
where program_id = '{{program}}'::uuid and account_id in (select account_id from bench_history where is_last)
""",
    f"""
update claim_counters set claims = claims + {_ROUNDS} where program_id = '{{program}}'::uuid and event_type = '{EVENT_TYPE}'
and account_id in (select account_id from bench_history where is_last)
""",
    """
update program_balances set funds = funds - n, delivered = delivered + n
from (select count(*) as n from bench_history) h where program_id = '{program}'::uuid and asset_id = '{asset}'::uuid
""",
    "truncate bench_history",
)


async def load(house: House, program: Program, rounds: int, progress: Callable[[int], None]) -> int:
    """Have each known member report `rounds` (a multiple of nine) times more in the past; how many events that were."""
    first, second = await driver.connect(house.superuser_url), await driver.connect(house.superuser_url)
    try:
        for connection in (first, second):
            await connection.execute("set synchronous_commit = off; set work_mem = '256MB'")
        await first.execute(_STAGING)
        house.loads += 1
        total = rounds * house.members
        for done in range(0, total, _ROUNDS * house.members):
            await first.execute(_staged(house, program, done, total))
            await first.execute("analyze bench_history")
            await asyncio.gather(_all(first, program, _FIRST), _all(second, program, _SECOND))
            await _all(first, program, _BALANCES)
            progress(done + _ROUNDS * house.members)
        await first.execute("drop table bench_history")
    finally:
        await first.close()
        await second.close()
    await house.quiet()
    return total


def _staged(house: House, program: Program, done: int, total: int) -> str:
    # An earlier load lies further back.
    ago = _LOADS - house.loads + 1
    return _STAGE.format(
        program=program.id, done=done, members=house.members, load=house.loads,
        at=_at("n").format(ago=ago, total=total), last_at=_at("last_n").format(ago=ago, total=total),
        id=_id("at", "n", "8"), delivery_id=_id("last_at", "last_n", "9"),
    )  # fmt: skip


async def _all(connection: driver.RawConnection, program: Program, statements: tuple[str, ...]) -> None:
    for statement in statements:
        await connection.execute(statement.format(program=program.id, asset=program.asset_id))
