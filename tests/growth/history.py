"""History made by SQL: programs with accounts, events, payouts and all that comes with them, finished long ago; and a backlog."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from uuid import UUID

from guerdon.kit.driver import RawConnection
from guerdon.kit.ids import uuid7

# `n` is the number of the event; every third one opens a payout, every sixtieth a batch. Ids are UUIDv7 of made-up times.
_IDS = """
create or replace function pg_temp.made(n bigint, salt text) returns uuid language sql immutable as $$
    select (lpad(to_hex(1700000000000 + n), 12, '0') || '7' || substr(md5(salt || n), 1, 3)
            || '8' || substr(md5(salt || n), 4, 15))::uuid $$;
create or replace function pg_temp.hash(n bigint, salt text) returns text language sql immutable as $$
    select '0x' || md5(salt || n) || md5(n || salt) $$;
create or replace function pg_temp.at(n bigint) returns timestamptz language sql immutable as $$
    select timestamptz '2023-11-14T22:13:20Z' + make_interval(secs => n / 1000.0) $$;
"""
_ACCOUNTS = """
insert into accounts (program_id, id, wallet_address, created_at)
    select {program}, pg_temp.made(n, {salt} || 'a'), left(pg_temp.hash(n, {salt} || 'w'), 42), pg_temp.at(n) from {accounts};
insert into identities select {program}, 'email:' || {salt} || n || '@example.org', pg_temp.made(n, {salt} || 'a'), pg_temp.at(n) from {accounts};
insert into account_balances (program_id, asset_id, account_id, earned, claimed, version)
    select {program}, {asset}, pg_temp.made(n, {salt} || 'a'), 1000, 1000, 12 from {accounts};
insert into claim_counters select {program}, pg_temp.made(n, {salt} || 'a'), 'purchase', 3, pg_temp.at(n) from {accounts};
"""
_EVENTS = """
insert into events (program_id, id, account_id, identity, event_type, trust, received_at)
    select {program}, pg_temp.made(n, {salt} || 'e'), {account}, 'email:someone', 'purchase', 'server', pg_temp.at(n) from {events};
insert into accruals (program_id, id, account_id, asset_id, earned_by, points, reasons, delivery_id, accrued_at)
    select {program}, pg_temp.made(n, {salt} || 'e'), {account}, {asset}, 'purchase', 10, '[]', pg_temp.made(n - n % 3, {salt} || 'd'), pg_temp.at(n)
      from {events};
insert into event_keys
    select {program}, decode(md5({salt} || n), 'hex'), pg_temp.made(n, {salt} || 'e'), '\\x00', 'manual-event' from {events};
insert into postings
    select {program}, {asset}, 'reward_held', pg_temp.made(n, {salt} || 'e'), 'funds', 'held', 10, {account}, n, 0, pg_temp.at(n) from {events};
insert into cap_counters select {program}, '2023-11-14/' || n || '/rule', date '2023-11-14', 10 from {events} where n % 10 = 0;
insert into reversals
    select {program}, pg_temp.made(n, {salt} || 'r'), pg_temp.made(n, {salt} || 'e'), {account}, 1, 1, 0, 0, 0, 'x', pg_temp.at(n)
      from {events} where n % 30 = 0;
insert into outbox (id, program_id, kind, payload, created_at, last_seen_at)
    select pg_temp.made(n, {salt} || 'o'), {program}, 'events.accepted', '{{}}', pg_temp.at(n), pg_temp.at(n) from {events} where n % 3 = 0;
insert into outbox (id, program_id, kind, payload, severity, dedupe_key, created_at, last_seen_at, resolved_at)
    select pg_temp.made(n, {salt} || 'l'), {program}, 'work.failing', '{{}}', 'warning', {salt} || n, pg_temp.at(n), pg_temp.at(n), pg_temp.at(n)
      from {events} where n % 30 = 0;
insert into fundings (id, program_id, asset_id, kind, state, points, amount_atomic, network, transaction_hash, created_at, updated_at)
    select pg_temp.made(n, {salt} || 'f'), {program}, {asset}, 'mint', 'booked', 10, 10, 'local', pg_temp.hash(n, {salt} || 'f'), pg_temp.at(n),
           pg_temp.at(n) from {events} where n % 30 = 0;
"""
_PAYOUTS = """
insert into intents (id, key_id, network, kind, ref, data, value_wei, state, nonce, transaction_hash, block_number, succeeded,
                     created_at, updated_at)
    select pg_temp.made(n, {salt} || 'i'), {key}, 'local', case when n = 60 then 'approve' else 'pay' end, pg_temp.made(n, {salt} || 'b'),
           '\\x00', 0, 'final', {nonce}, pg_temp.hash(n, {salt} || 't'), n, true, pg_temp.at(n), pg_temp.at(n)
      from {events} where n % 60 = 0;
insert into attempts
    select pg_temp.made(n, {salt} || 'i'), 1, 'local', {nonce}, '\\x00', pg_temp.hash(n, {salt} || 't'), 1, 1, 1, 1, false, 1,
           pg_temp.at(n), pg_temp.at(n) from {events} where n % 60 = 0;
insert into nonces
    select 'local', {key}, {nonce}, pg_temp.made(n, {salt} || 'i'), pg_temp.at(n) from {events} where n % 60 = 0;
insert into batches (id, treasury_id, state, size, total_atomic, chain_batch_id, intent_id, opened_at)
    select pg_temp.made(n, {salt} || 'b'), {treasury}, 'paid', 20, 600, pg_temp.hash(n, {salt} || 'c'), pg_temp.made(n, {salt} || 'i'), pg_temp.at(n)
      from {events} where n % 60 = 0;
insert into deliveries (program_id, id, asset_id, account_id, kind, state, points, amount_atomic, destination, network, batch_id,
                        transaction_hash, block_number, requested_at, updated_at)
    select {program}, pg_temp.made(n, {salt} || 'd'), {asset}, {account}, 'automatic', 'final', 30, 30, '0x00', 'local',
           pg_temp.made(n - n % 60, {salt} || 'b'), pg_temp.hash(n - n % 60, {salt} || 't'), n, pg_temp.at(n), pg_temp.at(n)
      from {events} where n % 3 = 0;
insert into batch_members (batch_id, program_id, delivery_id, destination, amount_atomic, settled)
    select pg_temp.made(n - n % 60, {salt} || 'b'), {program}, pg_temp.made(n, {salt} || 'd'), '0x00', 30, true
      from {events} where n % 3 = 0 and n >= 60;
insert into postings
    select {program}, {asset}, 'deliver', pg_temp.made(n, {salt} || 'd'), 'held', 'delivered', 30, {account}, n + 1000000000, 0, pg_temp.at(n)
      from {events} where n % 3 = 0;
"""
_BACKLOG = """
insert into deliveries (program_id, id, asset_id, account_id, kind, state, points, requested_at, updated_at)
    select {program}, pg_temp.made(n, {salt} || 'q'), {asset}, pg_temp.made(n, {salt} || 'a'), 'automatic', 'approved', 5, pg_temp.at(n), pg_temp.at(n)
      from {accounts};
"""


@dataclass
class Past:
    """What there is, and the ids of some of it."""

    connection: RawConnection
    programs: list[UUID] = field(default_factory=lambda: [uuid7(), uuid7(), uuid7()])
    asset_id: UUID = field(default_factory=uuid7)
    other_asset_id: UUID = field(default_factory=uuid7)
    key_id: UUID = field(default_factory=uuid7)
    treasury_id: UUID = field(default_factory=uuid7)
    events: int = 0
    accounts: int = 0

    async def begin(self) -> None:
        """The platform and the programs, without any history."""
        run = self.connection.execute
        await run("insert into networks (name, chain_id, block_time_ms, created_at) values ('local', 31337, 2000, now())")
        for asset_id in (self.asset_id, self.other_asset_id):
            await run(
                "insert into assets (id, symbol, decimals, delivery, network, token_address, mintable, created_at) "
                "values ($1, $1::uuid::text, 0, 'automatic', 'local', '0x01', true, now())",
                asset_id,
            )
        await run(
            "insert into keys (id, network, purpose, address, secret_encrypted, created_at) "
            "values ($1, 'local', 'treasury', '0xaa', '\\x00', now())",
            self.key_id,
        )
        await run(
            "insert into treasuries (id, network, asset_id, key_id, token_address, token_decimals, address, created_at, "
            "paused_at, resumes_by_itself) "
            "values ($1, 'local', $2, $3, '0x01', 0, '0xaa', now(), now(), true)",
            self.treasury_id,
            self.asset_id,
            self.key_id,
        )
        for number, program_id in enumerate(self.programs):
            await run(
                "insert into programs (id, brand_id, name, asset_id, created_at) values ($1, $2, 'P', $3, now())",
                program_id,
                f"0x{number:040x}",
                self.asset_id,
            )
            await run("insert into program_domains values ($1, $2, now())", program_id, f"p{number}.example.org")
            await run(
                "insert into program_balances (program_id, asset_id, funded, funds) values ($1, $2, 1000000, 1000000)",
                program_id,
                self.asset_id,
            )

    async def add(self, events: int) -> None:
        """So many more events in the first program and a tenth of that in the second, by a fifth as many accounts, each of whom
        has a payout waiting (the treasury is paused). The third program stays as it is.
        """
        first, last = self.events + 1, self.events + events
        accounts = self.accounts + events // 5
        await self.connection.execute(f"set session_replication_role = replica; {_IDS}")
        for place, salt, step in ((0, "x", 1), (1, "y", 10)):
            words = {
                "program": f"'{self.programs[place]}'::uuid",
                "asset": f"'{self.asset_id}'::uuid",
                "key": f"'{self.key_id}'::uuid",
                "treasury": f"'{self.treasury_id}'::uuid",
                "salt": f"'{salt}'",
                "nonce": f"{place}000000 + n / 60",
                "accounts": f"generate_series({self.accounts + 1}, {accounts}, {step}) n",
                "account": f"pg_temp.made(1 + {step} * (n::bigint * 7919 % {accounts // step}), '{salt}a')",
                "events": f"generate_series({first}, {last}, {step}) n",
            }
            await self.connection.execute((_ACCOUNTS + _EVENTS + _PAYOUTS + _BACKLOG).format(**words))
        await self.connection.execute("set session_replication_role = default")
        self.events, self.accounts = last, accounts

    def made(self, number: int, salt: str) -> UUID:
        """The id of something of the first program, as the scripts make it."""
        digest = hashlib.md5(f"x{salt}{number}".encode(), usedforsecurity=False).hexdigest()
        return UUID(f"{1_700_000_000_000 + number:012x}7{digest[:3]}8{digest[3:18]}")
