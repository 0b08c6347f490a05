"""The statements of an intake batch on a raw connection, in a program's scope: load, answers, caps.

Each is planned once for all (`plan_cache_mode = force_generic_plan`), perhaps while its tables are empty. The laterals with
`offset 0` make every row an index look-up by its whole key: as a plain join, the plan made on empty tables reads
all rows of the program for each event. What is written is `repository_booking.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from guerdon.activity.planning import KnownKey, Loaded, Person
from guerdon.activity.submissions import Booked
from guerdon.earning.decision import Claims, State
from guerdon.kit.driver import RawConnection

Asked = tuple[str, str, UUID]
"""(identity, event type, asset)."""

# Read in a statement of its own, before which nothing is locked: what is decided on it is checked by the write (SAFETY S10).
# Nobody has a debt in a program that has none: then no balance is looked at.
_LOAD = """
with asked as materialized (
    select u.ord, i.account_id, a.wallet_address, a.reported_wallet, c.claims, c.last_at, b.debt
    from unnest($2::text[], $3::text[], $4::uuid[]) with ordinality as u(identity, event_type, asset_id, ord)
    left join lateral (
        select account_id from identities where program_id = $1 and identity = u.identity offset 0) i on true
    left join lateral (
        select wallet_address, reported_wallet from accounts where program_id = $1 and id = i.account_id offset 0) a on true
    left join lateral (
        select claims, last_at from claim_counters
        where program_id = $1 and account_id = i.account_id and event_type = u.event_type offset 0) c on true
    left join lateral (
        select debt from account_balances
        where program_id = $1 and asset_id = u.asset_id and account_id = i.account_id
            and (select sum(debt) from program_balances where program_id = $1) > 0 offset 0) b on true
    order by u.ord
),
known as materialized (
    select k.key_hash, e.event_id, e.body_hash, e.operation
    from unnest($5::bytea[]) as k(key_hash)
    cross join lateral (
        select event_id, body_hash, operation from event_keys
        where program_id = $1 and key_hash = k.key_hash offset 0) e
),
funds as materialized (select asset_id, funds from program_balances where program_id = $1)
select statement_timestamp() as now,
    (select config_version from programs where id = $1) as config_version,
    p.*, q.*, f.*
from (select array_agg(account_id) as accounts, array_agg(wallet_address) as wallets, array_agg(reported_wallet) as hints,
        array_agg(claims) as claims, array_agg(last_at) as last_at, array_agg(debt) as debts from asked) p
cross join (select array_agg(key_hash) as keys, array_agg(event_id) as events, array_agg(body_hash) as bodies,
        array_agg(operation) as operations from known) q
cross join (select array_agg(asset_id) as assets, array_agg(funds) as funds from funds) f
"""

_LOAD_CAPS = """
select array_agg(k.cap_key) as keys, array_agg(c.used) as used
from unnest($2::text[]) as k(cap_key)
cross join lateral (select used from cap_counters where program_id = $1 and cap_key = k.cap_key offset 0) c
"""

_ANSWERS = """
select e.id, e.event_type, e.account_id, a.wallet_address, r.points, r.delivery_id, d.transaction_hash
from unnest($2::uuid[]) as k(id)
cross join lateral (select id, event_type, account_id from events where program_id = $1 and id = k.id offset 0) e
cross join lateral (select wallet_address from accounts where program_id = $1 and id = e.account_id offset 0) a
cross join lateral (select points, delivery_id from accruals where program_id = $1 and id = k.id offset 0) r
left join lateral (
    select transaction_hash from deliveries where program_id = $1 and id = r.delivery_id offset 0) d on true
"""


async def load(connection: RawConnection, program_id: UUID, asked: Sequence[Asked], keys: Sequence[bytes]) -> Loaded | None:
    """What deciding needs to know of these people and keys, and the program's funds; None if the program is gone."""
    identities = [identity for identity, _, _ in asked]
    row = await connection.fetchrow(
        _LOAD, program_id, identities, [event_type for _, event_type, _ in asked], [asset for _, _, asset in asked], keys
    )
    if row is None or row["config_version"] is None:
        return None
    loaded = Loaded(row["now"], row["config_version"])
    state = loaded.state
    columns = (row["accounts"], row["wallets"], row["hints"], row["claims"], row["last_at"], row["debts"])
    rows = zip(asked, *(column or () for column in columns), strict=True)
    for (identity, event_type, asset_id), account, wallet, hint, claims, last_at, debt in rows:
        if account is None:
            continue
        loaded.people[identity] = Person(account, wallet, hint)
        if claims is not None:
            state.claims[account, event_type] = Claims(claims, last_at)
        if debt:
            state.debts[account, asset_id] = debt
    if row["keys"]:
        known = zip(row["keys"], row["events"], row["bodies"], row["operations"], strict=True)
        loaded.keys = {key: KnownKey(event_id, body, operation) for key, event_id, body, operation in known}
    state.funds = dict(zip(row["assets"] or (), row["funds"] or (), strict=True))
    return loaded


async def load_caps(connection: RawConnection, program_id: UUID, keys: Sequence[str], state: State) -> None:
    """Read how much of these caps is used, into `state`."""
    row = await connection.fetchrow(_LOAD_CAPS, program_id, keys)
    if row is not None and row["keys"]:
        state.used = dict(zip(row["keys"], row["used"], strict=True))


async def answers(connection: RawConnection, program_id: UUID, event_ids: Sequence[UUID]) -> dict[UUID, Booked]:
    """What was answered to these events, with the transaction as it is known now."""
    return {
        row["id"]: Booked(
            event_id=row["id"],
            event_type=row["event_type"],
            points=row["points"],
            account_id=row["account_id"],
            wallet_address=row["wallet_address"],
            delivery_id=row["delivery_id"],
            transaction_hash=row["transaction_hash"],
            is_repeat=True,
        )
        for row in await connection.fetch(_ANSWERS, program_id, event_ids)
    }


async def note_hints(connection: RawConnection, program_id: UUID, hints: Sequence[tuple[UUID, str]]) -> None:
    """Store what was reported as these accounts' wallets, in the order of their ids (SAFETY S5, S15)."""
    await connection.executemany(
        "update accounts set reported_wallet = $3 where program_id = $1 and id = $2",
        [(program_id, account_id, hint) for account_id, hint in hints],
    )


async def transactions(connection: RawConnection, program_id: UUID, delivery_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The transactions of those of these deliveries that were sent."""
    rows = await connection.fetch(
        "select d.id, d.transaction_hash from unnest($2::uuid[]) as k(id) cross join lateral "
        "(select id, transaction_hash from deliveries where program_id = $1 and id = k.id offset 0) d "
        "where d.transaction_hash is not null",
        program_id,
        delivery_ids,
    )
    return {row["id"]: row["transaction_hash"] for row in rows}
