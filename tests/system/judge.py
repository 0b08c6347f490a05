"""Says what was lost, doubled or stuck after everything was killed. Shares no code with the product.

It reads the tables by plain SQL (as superuser, past row-level security) and the chain by plain JSON-RPC, and compares both with
what the client was told. Every complaint is a sentence; an empty list is the verdict that all is well.
"""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
BALANCE_OF = "0x70a08231"
TOTAL_SUPPLY = "0x18160ddd"
NOBODY = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An answer that a client got. `name` is what the client put into the event's metadata as `n`."""

    name: str
    event_id: str
    reward: int


class Chain:
    """JSON-RPC over one connection a call."""

    def __init__(self, url: str) -> None:
        self.url = url

    def batch(self, calls: list[tuple[str, list[Any]]]) -> list[Any]:
        """The results of many calls, in their order."""
        results: list[Any] = []
        for some in _batched(calls, 200):
            body = [
                {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                for number, (method, params) in enumerate(some)
            ]
            request = urllib.request.Request(self.url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                by_id = {entry["id"]: entry for entry in json.load(answer)}
            for number in range(len(some)):
                if "error" in by_id[number]:
                    raise RuntimeError(by_id[number]["error"])
                results.append(by_id[number]["result"])
        return results

    def call(self, method: str, *params: Any) -> Any:
        """The result of one call."""
        return self.batch([(method, list(params))])[0]

    def balances(self, token: str, owners: list[str]) -> dict[str, int]:
        """Tokens of each owner (lower case), at the latest block."""
        calls = [
            ("eth_call", [{"to": token, "data": BALANCE_OF + owner[2:].lower().rjust(64, "0")}, "latest"]) for owner in owners
        ]
        return {owner.lower(): int(result, 16) for owner, result in zip(owners, self.batch(calls), strict=True)}

    def transfers(self, token: str) -> list[tuple[str, str, int, str]]:
        """Every transfer there ever was: from, to, amount, transaction."""
        logs = self.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": token, "topics": [TRANSFER]})
        return [
            ("0x" + log["topics"][1][-40:], "0x" + log["topics"][2][-40:], int(log["data"], 16), log["transactionHash"])
            for log in logs
        ]


def _batched(items: list[Any], size: int) -> Iterable[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def judge(dsn: str, rpc: str, acknowledged: Iterable[Acknowledged], *, sent: Iterable[str] = ()) -> list[str]:
    """Every complaint there is. `sent` names all that clients ever sent: nothing else may be in the books."""
    acknowledged = list(acknowledged)
    connection = await asyncpg.connect(dsn)
    try:
        return [
            *await lost_or_doubled(connection, acknowledged, set(sent)),
            *await unbalanced(connection),
            *await stuck(connection),
            *await off_chain(connection, Chain(rpc)),
            *await odd_transactions(connection, Chain(rpc)),
        ]
    finally:
        await connection.close()


async def lost_or_doubled(connection: Any, acknowledged: list[Acknowledged], sent: set[str]) -> list[str]:
    """Each acknowledged event is there once, with the reward that was told; each name once, acknowledged or not."""
    rows = await connection.fetch(
        "select e.id::text, e.metadata->>'n' as name, a.points from events e left join accruals a using (program_id, id) where e.metadata ? 'n'"
    )
    said: list[str] = []
    by_id = {row["id"]: row for row in rows}
    for name, times in Counter(row["name"] for row in rows).items():
        if times > 1:
            said.append(f"doubled: event {name} is booked {times} times")
    for told in acknowledged:
        row = by_id.get(told.event_id)
        if row is None:
            said.append(f"lost: event {told.name} was acknowledged as {told.event_id} and is not there")
        elif row["name"] != told.name:
            said.append(f"mixed up: {told.event_id} was told for {told.name} and is {row['name']}")
        elif (row["points"] or 0) != told.reward:
            said.append(f"wrong: event {told.name} was told {told.reward} and has {row['points']}")
    ids: dict[str, set[str]] = {}
    for told in acknowledged:
        ids.setdefault(told.name, set()).add(told.event_id)
    said += [
        f"doubled: {name} was acknowledged as {len(several)} different events"
        for name, several in ids.items()
        if len(several) > 1
    ]
    if sent:
        said += [f"from nowhere: event {row['name']} was never sent" for row in rows if row["name"] not in sent]
    return said


async def unbalanced(connection: Any) -> list[str]:
    """Accruals, postings and balances tell the same story, account by account and program by program."""
    accounts = await connection.fetch(
        """
        select b.program_id::text as program, b.account_id::text as account, b.earned, b.reversed, b.held, b.claimed, b.available,
               coalesce((select sum(points) from accruals a where a.program_id = b.program_id and a.account_id = b.account_id and a.asset_id = b.asset_id), 0) as accrued,
               coalesce((select sum(amount) from postings p where p.program_id = b.program_id and p.account_id = b.account_id and p.asset_id = b.asset_id and p.kind in ('reward', 'reward_held')), 0) as rewarded,
               coalesce((select sum(points) from deliveries d where d.program_id = b.program_id and d.account_id = b.account_id and d.asset_id = b.asset_id and d.state = 'final'), 0) as final,
               coalesce((select sum(points) from deliveries d where d.program_id = b.program_id and d.account_id = b.account_id and d.asset_id = b.asset_id and d.state not in ('final', 'refused', 'returned')), 0) as under_way
        from account_balances b
        """
    )
    said: list[str] = []
    for row in accounts:
        who = f"account {row['account']}"
        if not row["earned"] == row["accrued"] == row["rewarded"]:
            said.append(f"unbalanced: {who} earned {row['earned']}, accruals say {row['accrued']}, postings {row['rewarded']}")
        if row["held"] != row["under_way"]:
            said.append(f"unbalanced: {who} holds {row['held']}, and {row['under_way']} are under way")
        if row["claimed"] != row["final"]:
            said.append(f"unbalanced: {who} has {row['claimed']} delivered, and final payouts of {row['final']}")
    programs = await connection.fetch(
        """
        select p.program_id::text as program, p.funded, p.funds, p.owed, p.debt, p.delivered, p.burned, p.expired, p.adjusted,
               coalesce(sum(b.available + b.held), 0) as owed_to_accounts, coalesce(sum(b.debt), 0) as owed_by_accounts
        from program_balances p left join account_balances b using (program_id, asset_id)
        group by p.program_id, p.asset_id
        """
    )
    for row in programs:
        if row["funded"] != sum(
            row[bucket] for bucket in ("funds", "owed", "debt", "delivered", "burned", "expired", "adjusted")
        ):
            said.append(f"unbalanced: program {row['program']} does not add up: {dict(row)}")
        if row["owed"] != row["owed_to_accounts"] or row["debt"] != row["owed_by_accounts"]:
            said.append(f"unbalanced: program {row['program']} and its accounts disagree: {dict(row)}")
    return said


async def stuck(connection: Any) -> list[str]:
    """Nothing is left half-way: payouts and chain transactions have ended, no batch is open with something in it."""
    said = [
        f"stuck: payout {row['id']} of {row['points']} is {row['state']} ({row['reason']})"
        for row in await connection.fetch(
            "select id::text, points, state, reason from deliveries where state not in ('final', 'refused', 'returned')"
        )
    ]
    said += [
        f"stuck: {row['kind']} transaction {row['id']} is {row['state']} ({row['error']})"
        for row in await connection.fetch(
            "select id::text, kind, state, error from intents where state not in ('final', 'failed', 'void')"
        )
    ]
    said += [
        f"stuck: key {row['address']} is paused: {row['pause_reason']}"
        for row in await connection.fetch("select address, pause_reason from keys where paused_at is not null")
    ]
    said += [
        f"stuck: batch {row['id']} of {row['size']} is {row['state']}"
        for row in await connection.fetch(
            "select id::text, state, size from batches where state not in ('paid', 'dissolved') and size > 0"
        )
    ]
    said += [
        f"reserved for nothing: treasury {row['address']} has {row['reserved']} reserved"
        for row in await connection.fetch("select address, reserved from treasuries where reserved <> 0")
    ]
    return said


async def off_chain(connection: Any, chain: Chain) -> list[str]:
    """Every wallet has what its accounts earned and kept, no more and no less; every token is where the books say."""
    said: list[str] = []
    for asset in await connection.fetch(
        "select id, token_address, atomic_per_point from assets where delivery = 'automatic' and token_address is not null"
    ):
        token, worth = asset["token_address"], int(asset["atomic_per_point"])
        rows = await connection.fetch(
            "select lower(a.wallet_address) as wallet, sum(b.claimed) as points from accounts a join account_balances b on b.program_id = a.program_id and b.account_id = a.id"
            " where b.asset_id = $1 group by 1",
            asset["id"],
        )
        owed = {row["wallet"]: int(row["points"]) * worth for row in rows}
        balances = chain.balances(token, list(owed))
        said += [
            f"chain: wallet {wallet} has {balances[wallet]}, its accounts were paid {amount}"
            for wallet, amount in owed.items()
            if balances[wallet] != amount
        ]
        treasuries = {
            row["address"].lower()
            for row in await connection.fetch("select address from treasuries where asset_id = $1", asset["id"])
        }
        said += _strangers(chain.transfers(token), owed, treasuries)
        held = sum(balances.values()) + sum(chain.balances(token, list(treasuries)).values())
        supply = int(chain.call("eth_call", {"to": token, "data": TOTAL_SUPPLY}, "latest"), 16)
        if held != supply:
            said.append(f"chain: of {supply} tokens only {held} are in treasuries and wallets")
    return said


def _strangers(transfers: list[tuple[str, str, int, str]], wallets: Mapping[str, int], treasuries: set[str]) -> list[str]:
    said: list[str] = []
    received: Counter[str] = Counter()
    for sender, receiver, amount, transaction in transfers:
        if receiver in wallets:
            received[receiver] += amount
        elif receiver not in treasuries:
            said.append(f"chain: {amount} went from {sender} to {receiver}, whom nobody knows, in {transaction}")
        if sender not in treasuries and sender != NOBODY:
            said.append(f"chain: {amount} left {sender}, which is no treasury, in {transaction}")
    said += [
        f"chain: {wallet} received {received[wallet]} and was owed {amount}"
        for wallet, amount in wallets.items()
        if received[wallet] != amount
    ]
    return said


async def odd_transactions(connection: Any, chain: Chain) -> list[str]:
    """What is on chain of our keys is what the database knows: no nonce without an intent, no intent that landed twice."""
    said: list[str] = []
    for key in await connection.fetch("select id, network, address from keys"):
        used = int(chain.call("eth_getTransactionCount", key["address"], "latest"), 16)
        bound = {row["nonce"] for row in await connection.fetch("select nonce from nonces where key_id = $1", key["id"])}
        said += [
            f"unknown: nonce {nonce} of {key['address']} is used on chain and not in the database"
            for nonce in range(used)
            if nonce not in bound
        ]
        said += [
            f"lost: nonce {nonce} of {key['address']} is in the database and not on chain"
            for nonce in sorted(bound)
            if nonce >= used
        ]
    attempts = await connection.fetch("select intent_id::text as intent, hash, nonce from attempts")
    receipts = chain.batch([("eth_getTransactionReceipt", [row["hash"]]) for row in attempts])
    landed = Counter(row["intent"] for row, receipt in zip(attempts, receipts, strict=True) if receipt is not None)
    said += [f"doubled: intent {intent} landed {times} times" for intent, times in landed.items() if times > 1]
    finals = await connection.fetch("select id::text as id, kind from intents where state = 'final' and succeeded")
    said += [
        f"lost: {row['kind']} {row['id']} is final in the database and not on chain" for row in finals if row["id"] not in landed
    ]
    return said
