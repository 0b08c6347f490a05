"""Bare SQL that writes what the product writes for an event: the same rows in the same tables, with the same indexes.

No HTTP, no signature, no look-up, no decision, no check of what was there before; and not the row of the program's funds, for
which single transactions would queue (the product takes it once a batch). So this is what PostgreSQL gives at most here.
The words are pgbench's: it puts its variables in place of `:member` and `:cents`.
"""

from __future__ import annotations

from bench.house import Program
from bench.requests import EVENT_TYPE

_CAP = f"to_char(current_date, 'YYYY-MM-DD') || '/' || account_id || '/rule {EVENT_TYPE} a day and account'"
_IDENTITY = "'email:' || 'member-' || number || '@bench.example'"

_BALANCES = """
    insert into account_balances (program_id, asset_id, account_id, earned, held, version)
    select {program}, {asset}, account_id, cents / 100, cents / 100, 1 from e
    on conflict (program_id, asset_id, account_id) do update set earned = account_balances.earned + excluded.earned,
        held = account_balances.held + excluded.held, version = account_balances.version + excluded.version
"""
_DELIVERIES = """
    insert into deliveries (program_id, id, asset_id, account_id, kind, state, points, requested_at, updated_at)
    select {program}, id, {asset}, account_id, 'automatic', 'approved', cents / 100, now(), now() from e
    on conflict (program_id, asset_id, account_id) where state = 'approved' and kind = 'automatic'
    do update set points = deliveries.points + excluded.points, updated_at = excluded.updated_at
"""
_CLAIMS = f"""
    insert into claim_counters (program_id, account_id, event_type, claims, last_at)
    select {{program}}, account_id, '{EVENT_TYPE}', 1, now() from e
    on conflict (program_id, account_id, event_type)
    do update set claims = claim_counters.claims + excluded.claims, last_at = excluded.last_at
"""
_CAPS = f"""
    insert into cap_counters (program_id, cap_key, day, used) select {{program}}, {_CAP}, current_date, cents / 100 from e
    on conflict (program_id, cap_key) do update set used = cap_counters.used + excluded.used
"""
_KEYS = """
    insert into event_keys (program_id, key_hash, event_id, body_hash, operation)
    select {program}, decode(md5(id::text || k), 'hex'), id, decode(md5(k || id::text), 'hex'), 'manual-event'
    from e cross join unnest({keys}) as k
"""
_EVENTS = f"""
    insert into events (program_id, id, account_id, identity, event_type, trust, metadata, received_at)
    select {{program}}, id, account_id, {_IDENTITY}, '{EVENT_TYPE}', 'server',
        jsonb_build_object('amount_cents', cents, 'order', id), now() from e
"""
_ACCRUALS = f"""
    insert into accruals (program_id, id, account_id, asset_id, earned_by, points, reasons, delivery_id, accrued_at)
    select {{program}}, id, account_id, {{asset}}, '{EVENT_TYPE}', cents / 100,
        '[{{{{"rule": "{EVENT_TYPE}", "version": 1, "points": 1}}}}]'::jsonb, id, now() from e
"""
_POSTINGS = """
    insert into postings (program_id, asset_id, kind, ref, from_bucket, to_bucket, amount, account_id, version, available_after,
        posted_at)
    select {program}, {asset}, 'reward_held', id, 'funds', 'held', cents / 100, account_id, 1, 0, now() from e
"""
_ACCOUNTS = """
    insert into accounts (program_id, id, wallet_address, created_at)
    select {program}, account_id, '0x' || lpad(to_hex(number), 40, '0'), now() from e
"""
_IDENTITIES = f"""
    insert into identities (program_id, identity, account_id, created_at)
    select {{program}}, {_IDENTITY}, account_id, now() from e
"""
_WALLETS = """
    insert into wallets (identity_hash, namespace, address, provider, derivation, created_at)
    select sha256(account_id::text::bytea), 'eip155', '0x' || lpad(to_hex(number), 40, '0'), 'built-in', 1, now() from e
"""
_SETTLEMENTS = """
    insert into settlements (program_id, id, network, transaction_hash, place, source_id, asset_address, payer, payee,
        amount_atomic, volume_micro_usd, block_number, block_hash, settled_at, state, account_id, credited_at, found_at,
        updated_at)
    select {program}, id, 'local', hash, 1, account_id, '0x' || repeat('cc', 20), '0x' || lpad(to_hex(number), 40, '0'),
        '0xff' || lpad(to_hex(number % 2000), 38, '0'), cents * 10000, cents * 10000, number, hash, now(), 'final', account_id,
        now(), now(), now() from e
"""
_PAID_ACCRUALS = """
    insert into accruals (program_id, id, account_id, asset_id, earned_by, points, reasons, accrued_at, millionths,
        volume_micro_usd, settled_at, counted, final_at)
    select {program}, id, account_id, {asset}, 'settlement', cents, jsonb_build_array(
            jsonb_build_object('kind', 'rate', 'version', 1, 'volume_micro_usd', (cents * 10000)::text,
                'payer', 'eip155:0x' || lpad(to_hex(number), 40, '0'), 'points', '5.4321',
                'text', '1 point per 0.01 USD, for 0.054321 USD.'),
            jsonb_build_object('kind', 'carried', 'points', '5', 'fraction', '0.4321',
                'text', '5 whole with what was left before; 0.4321 is left for the next.')),
        now(), cents * 1000000, cents * 10000, now(),
        jsonb_build_object('payer', 'eip155:0x' || lpad(to_hex(number), 40, '0'), 'uses', '[]'::jsonb, 'caps', '{{}}'::jsonb),
        now() from e
"""
_FRACTIONS = """
    insert into point_fractions (program_id, account_id, asset_id, millionths)
    select {program}, account_id, {asset}, 432100 from e
    on conflict (program_id, account_id, asset_id) do update set millionths = excluded.millionths
"""
_VOLUMES = """
    insert into account_volumes (program_id, account_id, day, volume_micro_usd, settlements)
    select {program}, account_id, current_date, cents * 10000, 1 from e
    on conflict (program_id, account_id, day) do update
        set volume_micro_usd = account_volumes.volume_micro_usd + excluded.volume_micro_usd,
            settlements = account_volumes.settlements + excluded.settlements
"""
_PAID_BALANCES = _BALANCES.replace("cents / 100, cents / 100", "cents, 0")
_PAID_POSTINGS = _POSTINGS.replace("'reward_held'", "'reward'").replace("'held', cents / 100", "'available', cents")
_OF_A_PAYMENT = (_PAID_BALANCES, _SETTLEMENTS, _PAID_ACCRUALS, _FRACTIONS, _VOLUMES, _PAID_POSTINGS)
_OF_AN_EVENT = (_BALANCES, _DELIVERIES, _CLAIMS, _CAPS, _EVENTS, _ACCRUALS, _POSTINGS)
_OF_A_NEWCOMER = (_ACCOUNTS, _IDENTITIES, _WALLETS)


def account(number: str) -> str:
    """A known member's account, by the member's number."""
    return f"('00000000-0000-7000-8000-' || lpad(to_hex(({number})::bigint), 12, '0'))::uuid"


def _new_id(number: str) -> str:
    """An id as the product makes them: ordered by time."""
    milliseconds = "(extract(epoch from clock_timestamp()) * 1000)::bigint"
    chance = f"md5((random() + ({number})::bigint)::text)"
    return f"(lpad(to_hex({milliseconds}), 12, '0') || '7' || substr({chance}, 1, 3) || '8' || substr({chance}, 4, 15))::uuid"


def event(program: Program) -> str:
    """A pgbench script: one event a transaction, in one statement; each tenth is a newcomer's, with the rows of an account."""
    known = (
        f"select {_new_id(':member')} as id, {account(':member')} as account_id, "
        ":member::bigint as number, :cents::bigint as cents"
    )
    # Somebody new has a number that nobody has: of all that there are, one at random.
    newcomer = known.replace(account(":member"), _new_id(":member")).replace(
        ":member::bigint as number", "(random() * 9e15)::bigint as number"
    )
    keys = "array['key', 'signature']"
    return (
        "\\set tenth random(1, 10)\n\\if :tenth = 1\n"
        f"{_statement(program, newcomer, (*_OF_A_NEWCOMER, *_OF_AN_EVENT, _KEYS), keys)}\n\\else\n"
        f"{_statement(program, known, (*_OF_AN_EVENT, _KEYS), keys)}\n\\endif\n"
    )


def events(program: Program, count: int) -> str:
    """The same for `count` known members in a row, in one statement; a line of a bulk has one key."""
    number = "(:member::bigint + line)"
    given = (
        f"select {_new_id('line')} as id, {account(number)} as account_id, "
        f"{number} as number, :cents::bigint as cents from generate_series(1, {count}) as line"
    )
    return _statement(program, given, (*_OF_AN_EVENT, _KEYS), "array['key']")


def payments(program: Program, count: int, members: int) -> str:
    """What `count` settled payments write, in one statement: of so many members, none of them twice."""
    number = f"((:member::bigint + line * {max(members // count - 1, 1)}) % {members})"
    given = (
        f"select {_new_id('line')} as id, {account(number)} as account_id, {number} as number, 1 + :cents::bigint % 10 as cents, "
        f"'0x' || md5(random()::text) || md5((line + random())::text) as hash from generate_series(1, {count}) as line"
    )
    return _statement(program, given, _OF_A_PAYMENT, "")


def posting(program: Program) -> str:
    """One posting of a reward a transaction: the posting and the account's balance."""
    given = f"select {_new_id(':member')} as id, {account(':member')} as account_id, :cents::bigint as cents"
    return _statement(program, given, (_BALANCES, _POSTINGS), "")


def members(program: Program, count: int) -> str:
    """Known members, each with one event booked, so that what follows changes rows as it does in the product."""
    whose = account("number")
    given = f"select {whose} as id, {whose} as account_id, number, 100 as cents from generate_series(0, {count - 1}) as number"
    return _statement(program, given, (_ACCOUNTS, _IDENTITIES, _BALANCES, _DELIVERIES, _CLAIMS, _CAPS), "")


def _statement(program: Program, given: str, parts: tuple[str, ...], keys: str) -> str:
    named = {"program": f"'{program.id}'::uuid", "asset": f"'{program.asset_id}'::uuid", "keys": keys}
    written = ",\n".join(f"part_{number} as ({part.format(**named)})" for number, part in enumerate(parts))
    return f"with e as materialized ({given}),\n{written}\nselect 1;"
