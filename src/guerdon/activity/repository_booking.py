"""The one statement that writes a batch of intake, and the message that takes the funds and commits.

Rows go in by key order: nothing waits in a cycle, and nothing that another process did meanwhile is overwritten. What must be new
is inserted plainly: a row that is there already fails the statement (23505), and the batch is decided anew. Each other part says
what it wrote; `write` compares, and the caller rolls back unless everything is as planned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from guerdon.activity.planning import Accepted, FundsChange, Loaded, Person, Plan, Posting
from guerdon.kit.driver import RawConnection
from guerdon.kit.ids import uuid7, uuid7_batch
from guerdon.kit.jobs import WAKE_SQL
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import EFFECTS

ACCEPTED: Final = "events.accepted"
"""What the outbox calls a batch of accepted events."""
RESERVE_WORK: Final = "payouts.reserve"
"""The work that moves what is booked on to the chain."""
WALLET_NAMESPACE: Final = "eip155"
NO_DELIVERY: Final = 0

_KINDS = tuple(PostingKind)
_KIND_NUMBER = {kind: number for number, kind in enumerate(_KINDS, 1)}
_KIND_NAMES = [kind.value for kind in _KINDS]
_FROM = [EFFECTS[kind].from_bucket.value for kind in _KINDS]
_TO = [EFFECTS[kind].to_bucket.value for kind in _KINDS]

# The parts are carried out in the order in which the final select, which therefore reads from no table, asks for them: balances,
# then what waits for delivery, then counters by key (SAFETY S15). A counter that changed is recognised by what it is afterwards:
# claims only ever rise, so "loaded + n" means that nobody else touched the row. A balance may have changed, as it does with each
# delivery: no decision rests on more of it than the debt, and the postings take their version and running balance from the row
# as it is written. A repayment travels as a negative `moved`: the row as proposed has to pass the table's checks even where the
# row is there already, and a negative debt would not.
_WRITE = """
with
given as materialized (
    select * from unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
        $11::text[], $12::text[], $13::uuid[], $14::bigint[], $15::text[], $16::int[])
    as g(id, account_id, identity, event_type, trust, domain, channel, source_url, client_address, metadata,
        asset_id, points, reasons, slot)
),
people as (
    insert into accounts (program_id, id, wallet_address, reported_wallet, created_at)
    select $1::uuid, n.id, n.wallet, n.hint, $2::timestamptz
    from unnest($17::uuid[], $18::text[], $19::text[]) as n(id, wallet, hint)
    returning 1
),
names as (
    insert into identities (program_id, identity, account_id, created_at)
    select $1, n.identity, n.id, $2 from unnest($20::text[], $21::uuid[]) as n(identity, id)
    returning 1
),
custody as (
    insert into wallets (identity_hash, namespace, address, provider, derivation, created_at)
    select n.hash, $22::text, n.address, $23::text, $24::bigint, $2 from unnest($25::bytea[], $26::text[]) as n(hash, address)
    on conflict do nothing returning 1
),
balanced as (
    insert into account_balances (program_id, asset_id, account_id, earned, held, moved, version)
    select $1, b.asset_id, b.account_id, b.earned, b.held, -b.repaid, b.postings
    from unnest($27::uuid[], $28::uuid[], $29::bigint[], $30::bigint[], $31::bigint[], $32::bigint[])
        as b(asset_id, account_id, earned, held, repaid, postings)
    on conflict (program_id, asset_id, account_id) do update set
        earned = account_balances.earned + excluded.earned,
        held = account_balances.held + excluded.held,
        reversed = account_balances.reversed - excluded.moved,
        debt = account_balances.debt + excluded.moved,
        version = account_balances.version + excluded.version
    returning account_id, version, available, debt
),
books as materialized (
    select array_agg(account_id) as accounts, array_agg(version) as versions, array_agg(available) as available,
        array_agg(debt) as debts from balanced
),
waiting as (
    insert into deliveries (program_id, id, asset_id, account_id, kind, state, points, requested_at, updated_at)
    select $1, d.id, d.asset_id, d.account_id, 'automatic', 'approved', d.points, $2, $2
    from unnest($33::uuid[], $34::uuid[], $35::uuid[], $36::bigint[]) as d(id, asset_id, account_id, points)
    on conflict (program_id, asset_id, account_id) where state = 'approved' and kind = 'automatic'
    do update set points = deliveries.points + excluded.points, updated_at = excluded.updated_at
    returning id, account_id
),
slots as materialized (select array_agg(id) as ids, array_agg(account_id) as accounts from waiting),
counted as (
    insert into claim_counters (program_id, account_id, event_type, claims, last_at)
    select $1, c.account_id, c.event_type, c.more, $2
    from unnest($37::uuid[], $38::text[], $39::bigint[]) as c(account_id, event_type, more)
    on conflict (program_id, account_id, event_type) do update set
        claims = claim_counters.claims + excluded.claims,
        last_at = greatest(claim_counters.last_at, excluded.last_at)
    returning claims
),
capped as (
    insert into cap_counters (program_id, cap_key, day, used)
    select $1, c.cap_key, c.day, c.more from unnest($40::text[], $41::date[], $42::bigint[]) as c(cap_key, day, more)
    on conflict (program_id, cap_key) do update set used = cap_counters.used + excluded.used
    returning cap_key, used
),
bound as (
    insert into event_keys (program_id, key_hash, event_id, body_hash, operation)
    select $1, k.hash, k.event_id, k.body, k.operation
    from unnest($43::bytea[], $44::uuid[], $45::bytea[], $46::text[]) as k(hash, event_id, body, operation)
    returning 1
),
happened as (
    insert into events (program_id, id, account_id, identity, event_type, trust, domain, channel, source_url,
        client_address, metadata, received_at)
    select $1, id, account_id, identity, event_type, trust, domain, channel, source_url, client_address, metadata::jsonb, $2
    from given
),
accrued as (
    insert into accruals (program_id, id, account_id, asset_id, earned_by, points, reasons, delivery_id, accrued_at)
    select $1, g.id, g.account_id, g.asset_id, g.event_type, g.points, g.reasons::jsonb, slots.ids[nullif(g.slot, 0)], $2
    from given g cross join slots
),
posted as (
    insert into postings (program_id, asset_id, kind, ref, from_bucket, to_bucket, amount, account_id, version,
        available_after, posted_at)
    select $1, ($27::uuid[])[p.slot], ($47::text[])[p.kind], p.ref, ($48::text[])[p.kind], ($49::text[])[p.kind], p.amount,
        ($28::uuid[])[p.slot], books.versions[p.slot] - p.later, books.available[p.slot] - p.later_change, $2
    from unnest($50::int[], $51::uuid[], $52::int[], $53::bigint[], $54::bigint[], $55::bigint[])
        as p(kind, ref, slot, amount, later, later_change) cross join books
),
told as (
    insert into outbox (id, program_id, kind, payload, created_at, last_seen_at)
    select $56::uuid, $1, $57::text, $58::text::jsonb, $2, $2 where $59::boolean
)
select (select count(*) from people) as people, (select count(*) from names) as names,
    (select count(*) from custody) as custody, (select debts from books) as debts, (select accounts from books) as balanced,
    (select ids from slots) as deliveries, (select accounts from slots) as accounts,
    (select array_agg(claims) from counted) as claims,
    (select array_agg(cap_key) from capped) as cap_keys, (select array_agg(used) from capped) as used,
    (select count(*) from bound) as bound,
    (select count(*) from unnest($25::bytea[], $26::text[]) as n(hash, address)
        cross join lateral (select address from wallets where identity_hash = n.hash and namespace = $22 offset 0) w
        where w.address <> n.address) as strange_wallets
"""


class ConflictingWriteError(Exception):
    """Something is not as it was loaded: the batch is rolled back and decided anew. Its text names the part."""


@dataclass(frozen=True, slots=True)
class Custody:
    """The wallets of a batch's newcomers, and where they come from."""

    provider: str
    derivation: int
    hashes: Mapping[str, bytes]
    """By identity: the keyed hash under which the wallet is stored."""


async def write(connection: RawConnection, program_id: UUID, plan: Plan, loaded: Loaded, custody: Custody) -> list[UUID]:
    """Write the batch. The deliveries that its rewards go out with, in the order of `plan.deliveries` sorted by key.

    Raises `ConflictingWriteError` if anything is not as it was when the batch was decided: then nothing may be committed.
    """
    accepted = plan.accepted
    newcomers = sorted(plan.newcomers.items(), key=lambda newcomer: newcomer[1].account_id)
    identities = sorted(plan.newcomers)
    hashes = sorted((custody.hashes[identity], _wallet(person)) for identity, person in newcomers)
    balances = sorted(plan.balances)
    changes = [plan.balances[key] for key in balances]
    deliveries = sorted(plan.deliveries)
    slots = {key: slot for slot, key in enumerate(deliveries, 1)}
    claims = sorted(plan.claims)
    caps = [plan.caps[key] for key in sorted(plan.caps)]
    keys = sorted(plan.keys)
    used_for = [plan.keys[key] for key in keys]
    postings = sorted(plan.postings, key=lambda posting: posting.ref)
    row = await connection.fetchrow(
        _WRITE,
        program_id,
        plan.now,
        *_columns_of_events(accepted, slots),
        [person.account_id for _, person in newcomers],
        [person.wallet_address for _, person in newcomers],
        [person.reported_wallet for _, person in newcomers],
        identities,
        [plan.newcomers[identity].account_id for identity in identities],
        WALLET_NAMESPACE,
        custody.provider,
        custody.derivation,
        [identity_hash for identity_hash, _ in hashes],
        [address for _, address in hashes],
        [asset_id for asset_id, _ in balances],
        [account_id for _, account_id in balances],
        [change.earned for change in changes],
        [change.held for change in changes],
        [change.repaid for change in changes],
        [change.postings for change in changes],
        uuid7_batch(len(deliveries)),
        [asset_id for asset_id, _ in deliveries],
        [account_id for _, account_id in deliveries],
        [plan.deliveries[key] for key in deliveries],
        [account_id for account_id, _ in claims],
        [event_type for _, event_type in claims],
        [plan.claims[claim] for claim in claims],
        [cap.key for cap in caps],
        [cap.day for cap in caps],
        [cap.amount for cap in caps],
        keys,
        [used.event_id for used in used_for],
        [used.body_hash for used in used_for],
        [used.operation for used in used_for],
        *_columns_of_postings(postings, plan, {key: slot for slot, key in enumerate(balances, 1)}),
        uuid7(),
        ACCEPTED,
        msgspec.json.encode({"events": len(accepted), "points": sum(event.points for event in accepted)}).decode("utf-8"),
        bool(accepted),
    )
    if row is None:
        raise ConflictingWriteError("nothing")
    _compare("accounts", row["people"], len(newcomers))
    _compare("identities", row["names"], len(newcomers))
    # An identity's wallet is the same in every program, for ever: nobody is paid to another one (SAFETY S6).
    _compare("wallets", row["strange_wallets"], 0)
    # Postings take version and running balance by place: the rows were written in the order in which they were asked for.
    _compare("balances", row["balanced"] or [], [account_id for _, account_id in balances])
    _compare(
        "debts", row["debts"] or [], [loaded.state.debts.get((account_id, asset_id), 0) for asset_id, account_id in balances]
    )
    _compare("deliveries", row["accounts"] or [], [account_id for _, account_id in deliveries])
    _compare("claims", row["claims"] or [], [loaded.state.claims[claim].count for claim in claims])
    _compare("caps", row["cap_keys"] or [], [cap.key for cap in caps])
    if any(used > cap.limit for used, cap in zip(row["used"] or [], caps, strict=True)):
        raise ConflictingWriteError("limits")
    _compare("keys", row["bound"], len(keys))
    return list(row["deliveries"] or ())


def _compare(part: str, written: object, planned: object) -> None:
    if written != planned:
        raise ConflictingWriteError(part)


def _wallet(person: Person) -> str:
    if person.wallet_address is None:
        message = "a newcomer's wallet is derived before the account is written"
        raise ValueError(message)
    return person.wallet_address


def _columns_of_events(accepted: Sequence[Accepted], slots: Mapping[tuple[UUID, UUID], int]) -> tuple[Sequence[object], ...]:
    reports = [event.submission for event in accepted]
    return (
        [event.event_id for event in accepted],
        [event.person.account_id for event in accepted],
        [report.identity for report in reports],
        [report.event_type for report in reports],
        [report.trust.value for report in reports],
        _sparse([report.domain for report in reports]),
        _sparse([report.channel for report in reports]),
        _sparse([report.source_url for report in reports]),
        _sparse([report.client_address for report in reports]),
        _sparse([report.metadata_json for report in reports]),
        [event.asset_id for event in accepted],
        [event.points for event in accepted],
        [event.reasons for event in accepted],
        [slots[event.asset_id, event.person.account_id] if event.is_delivered else NO_DELIVERY for event in accepted],
    )


def _sparse(values: Sequence[str | None]) -> Sequence[str | None]:
    """A column that is mostly empty; one that is altogether goes as no values, which `unnest` reads as nulls."""
    return values if any(value is not None for value in values) else []


def _columns_of_postings(
    postings: Sequence[Posting], plan: Plan, slots: Mapping[tuple[UUID, UUID], int]
) -> tuple[list[object], ...]:
    """What is left of the batch after each posting is taken off the balance as it then is: that is the balance after it."""
    keys = [(posting.asset_id, posting.account_id) for posting in postings]
    changes = [plan.balances[key] for key in keys]
    return (
        [*_KIND_NAMES],
        [*_FROM],
        [*_TO],
        [_KIND_NUMBER[posting.kind] for posting in postings],
        [posting.ref for posting in postings],
        [slots[key] for key in keys],
        [posting.amount for posting in postings],
        [change.postings - posting.nth for change, posting in zip(changes, postings, strict=True)],
        [change.available - posting.available_change for change, posting in zip(changes, postings, strict=True)],
    )


async def take_funds_and_commit(connection: RawConnection, program_id: UUID, plan: Plan) -> None:
    """The last round trip: the program's funds, which every batch of the program waits for, and the commit.

    One message of the simple protocol, so its values are literals, made from integers and UUIDs only. The database refuses
    funds below zero (SQLSTATE 23514) and then commits nothing.
    """
    program = UUID(int=program_id.int)
    statements = [_take_funds(program, asset_id, change) for asset_id, change in sorted(plan.funds.items())]
    if plan.deliveries:
        statements.append(_wake_reserve(program))
    tag = await connection.execute(";".join([*statements, "commit"]))
    if tag != "COMMIT":
        raise ConflictingWriteError("commit")


def _take_funds(program: UUID, asset_id: UUID, change: FundsChange) -> str:
    given, repaid = int(change.given), int(change.repaid)
    return (
        f"update program_balances set funds = funds - {given - repaid}, owed = owed + {given - repaid}, "
        f"debt = debt - {repaid}, adjusted = adjusted + {repaid} "
        f"where program_id = '{program}' and asset_id = '{UUID(int=asset_id.int)}'"
    )


def _wake_reserve(program: UUID) -> str:
    return WAKE_SQL.replace("$1", f"'{RESERVE_WORK}'").replace("$2", f"'{program}'").replace("$3", "null")
