"""Says what was lost, doubled or stuck after things went wrong. Shares no code with the product.

It reads the tables by plain SQL (as superuser, past row-level security) and the chain by plain JSON-RPC, and compares both with
what the clients were told (`told.py`). Every complaint is a sentence; an empty list is the verdict that all is well.
"""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from tests.prove.told import Acknowledged, Reversed, Told

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
BALANCE_OF = "0x70a08231"
TOTAL_SUPPLY = "0x18160ddd"
NOBODY = "0x" + "0" * 40


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


async def judge(dsn: str, rpc: str, told: Told) -> list[str]:
    """Every complaint there is, once nothing is under way."""
    connection = await asyncpg.connect(dsn)
    try:
        return [
            *await lost_or_doubled(connection, told.acknowledged, told.sent),
            *await told_otherwise(connection, Chain(rpc), told),
            *await wrongly_reversed(connection, told.reversed),
            *await unbalanced(connection),
            *await stuck(connection),
            *await quarantined(connection),
            *await off_chain(connection, Chain(rpc), told.minted_and_lost),
            *await odd_transactions(connection, Chain(rpc), told.from_outside),
        ]
    finally:
        await connection.close()


async def lost_or_doubled(connection: Any, acknowledged: Sequence[Acknowledged], sent: set[str]) -> list[str]:
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


async def told_otherwise(connection: Any, chain: Chain, told: Told) -> list[str]:
    """What was refused is not in the books, transactions that were told are ours, and nothing was answered that no client expects.

    A transaction is ours if we have its bytes, or if one of our keys sent it: a database restored from an older dump takes it over.
    """
    said = [f"odd answer: {answer}" for answer in told.odd_answers]
    booked = await connection.fetch(
        "select metadata->>'n' as name from events where metadata->>'n' = any($1::text[])", sorted(told.refused)
    )
    said += [f"told otherwise: event {row['name']} was refused ({told.refused[row['name']]}) and is booked" for row in booked]
    told_of = {one.transaction: one.name for one in told.acknowledged if one.transaction is not None}
    known = await connection.fetch("select hash from attempts where hash = any($1::text[])", sorted(told_of))
    strange = sorted(told_of.keys() - {row["hash"] for row in known})
    keys = {row["address"].lower() for row in await connection.fetch("select address from keys")}
    on_chain = chain.batch([("eth_getTransactionByHash", [one]) for one in strange])
    for transaction, found in zip(strange, on_chain, strict=True):
        if found is not None and found["from"].lower() in keys:
            continue
        said.append(f"told otherwise: event {told_of[transaction]} was told of transaction {transaction}, which nobody signed")
    return said


async def wrongly_reversed(connection: Any, told: Sequence[Reversed]) -> list[str]:
    """Each reversal that was told is there once, as it was told; what an event had taken back is the sum of its reversals."""
    rows = await connection.fetch(
        "select id::text, event_id::text as event, points, from_pending, from_available, as_debt, written_off from reversals"
    )
    by_id = {row["id"]: row for row in rows}
    said: list[str] = []
    for one in told:
        row = by_id.get(one.reversal_id)
        if row is None:
            said.append(f"lost: reversal {one.reversal_id} of event {one.event_id} was told and is not there")
        elif (row["event"], *(row[part] for part in ("points", "from_pending", "from_available", "as_debt", "written_off"))) != (
            one.event_id, one.points, one.from_pending, one.from_balance, one.as_debt, one.not_recovered,
        ):  # fmt: skip
            said.append(f"wrong: reversal {one.reversal_id} was told as {one} and is {dict(row)}")
    ids: dict[str, set[str]] = {}
    for one in told:
        ids.setdefault(one.key, set()).add(one.reversal_id)
    said += [
        f"doubled: reversal {key} was told as {len(several)} different ones" for key, several in ids.items() if len(several) > 1
    ]
    apart = await connection.fetch(
        """
        select a.id::text as event, a.reversed, coalesce(sum(r.points), 0) as points from accruals a
        left join reversals r on r.program_id = a.program_id and r.event_id = a.id
        group by a.program_id, a.id, a.reversed having a.reversed <> coalesce(sum(r.points), 0)
        """
    )
    said += [f"unbalanced: event {row['event']} has {row['reversed']} reversed, its reversals {row['points']}" for row in apart]
    return said


async def unbalanced(connection: Any) -> list[str]:
    """Accruals, postings and balances tell the same story, account by account and program by program."""
    accounts = await connection.fetch(
        """
        with accrued as (
            select program_id, asset_id, account_id, sum(points) as points from accruals group by 1, 2, 3
        ), posted as (
            select program_id, asset_id, account_id,
                   sum(amount) filter (where kind in ('reward', 'reward_held')) as rewarded,
                   sum(amount) filter (where kind in ('reverse', 'repay')) as taken_back,
                   sum(case kind when 'owe' then amount when 'settle_debt' then -amount end) as owing
            from postings where account_id is not null group by 1, 2, 3
        ), paid as (
            select program_id, asset_id, account_id, sum(points) filter (where state = 'final') as final,
                   sum(points) filter (where state not in ('final', 'refused', 'returned')) as under_way
            from deliveries group by 1, 2, 3
        )
        select b.account_id::text as account, b.earned, b.reversed, b.held, b.claimed, b.debt, coalesce(a.points, 0) as accrued,
               coalesce(p.rewarded, 0) as rewarded, coalesce(p.taken_back, 0) as taken_back, coalesce(p.owing, 0) as owing,
               coalesce(d.final, 0) as final, coalesce(d.under_way, 0) as under_way
        from account_balances b
        left join accrued a using (program_id, asset_id, account_id)
        left join posted p using (program_id, asset_id, account_id)
        left join paid d using (program_id, asset_id, account_id)
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
        if (row["reversed"], row["debt"]) != (row["taken_back"], row["owing"]):
            said.append(
                f"unbalanced: {who} has {row['reversed']} reversed and owes {row['debt']}, postings say otherwise: {dict(row)}"
            )
    programs = await connection.fetch(
        """
        select p.program_id::text as program, p.funded, p.funds, p.owed, p.debt, p.delivered, p.burned, p.expired, p.adjusted,
               coalesce((select sum(points) from fundings f where f.program_id = p.program_id and f.asset_id = p.asset_id and f.state = 'booked'), 0) as asked,
               coalesce(sum(b.available + b.held), 0) as owed_to_accounts, coalesce(sum(b.debt), 0) as owed_by_accounts
        from program_balances p left join account_balances b using (program_id, asset_id)
        group by p.program_id, p.asset_id
        """
    )
    for row in programs:
        if row["funded"] != row["asked"]:
            said.append(f"unbalanced: program {row['program']} was funded with {row['funded']}, {row['asked']} were asked for")
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
            "select id::text, points, state, reason from deliveries where state not in ('final', 'refused', 'returned', 'quarantined')"
        )
    ]
    said += [
        f"stuck: {row['kind']} transaction {row['id']} is {row['state']} ({row['error']})"
        for row in await connection.fetch(
            "select id::text, kind, state, error from intents where state not in ('final', 'failed', 'void')"
        )
    ]
    said += [
        f"stuck: funding {row['id']} of {row['points']} is {row['state']} ({row['reason']})"
        for row in await connection.fetch("select id::text, points, state, reason from fundings where state = 'pending'")
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


async def quarantined(connection: Any) -> list[str]:
    """Nobody is set aside: every recipient can be paid. (That who is set aside was not paid too, `off_chain` tells.)"""
    return [
        f"quarantined: payout {row['id']} of {row['points']} to {row['destination']}: {row['reason']}"
        for row in await connection.fetch(
            "select id::text, points, destination, reason from deliveries where state = 'quarantined'"
        )
    ]


async def off_chain(connection: Any, chain: Chain, minted_and_lost: int = 0) -> list[str]:
    """Every wallet has what its accounts earned and kept, no more and no less; every token is where the books say."""
    said: list[str] = []
    for asset in await connection.fetch(
        """
        select a.id, a.token_address, a.atomic_per_point, a.mintable,
               coalesce((select sum(amount_atomic) from fundings f where f.asset_id = a.id and f.state = 'booked' and f.kind = 'mint'), 0) as minted
        from assets a where a.delivery = 'automatic' and a.token_address is not null
        """
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
        if asset["mintable"] and supply != int(asset["minted"]) + minted_and_lost:
            said.append(f"chain: there are {supply} tokens, fundings that are booked minted {asset['minted']}")
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


async def odd_transactions(connection: Any, chain: Chain, from_outside: Iterable[str] = ()) -> list[str]:
    """What is on chain of our keys is what the database knows: no nonce without an intent, no intent that landed twice."""
    said: list[str] = []
    others = chain.batch([("eth_getTransactionByHash", [one]) for one in sorted(from_outside)])
    theirs = {(one["from"].lower(), int(one["nonce"], 16)) for one in others if one is not None and one["blockNumber"]}
    for key in await connection.fetch("select id, network, address from keys"):
        used = int(chain.call("eth_getTransactionCount", key["address"], "latest"), 16)
        bound = {row["nonce"] for row in await connection.fetch("select nonce from nonces where key_id = $1", key["id"])}
        said += [
            f"unknown: nonce {nonce} of {key['address']} is used on chain and not in the database"
            for nonce in range(used)
            if nonce not in bound and (key["address"].lower(), nonce) not in theirs
        ]
        said += [
            f"lost: nonce {nonce} of {key['address']} is in the database and not on chain"
            for nonce in sorted(bound)
            if nonce >= used
        ]
    attempts = await connection.fetch("select intent_id::text as intent, hash, nonce from attempts")
    shared = await connection.fetch(
        """
        select k.address, a.nonce, count(distinct a.intent_id) as intents
        from attempts a join intents i on i.id = a.intent_id join keys k on k.id = i.key_id
        group by 1, 2 having count(distinct a.intent_id) > 1
        """
    )
    said += [f"doubled: nonce {row['nonce']} of {row['address']} was signed for {row['intents']} intents" for row in shared]
    receipts = chain.batch([("eth_getTransactionReceipt", [row["hash"]]) for row in attempts])
    landed = Counter(row["intent"] for row, receipt in zip(attempts, receipts, strict=True) if receipt is not None)
    said += [f"doubled: intent {intent} landed {times} times" for intent, times in landed.items() if times > 1]
    finals = await connection.fetch(
        "select id::text as id, kind, transaction_hash from intents where state = 'final' and succeeded"
    )
    receipts = chain.batch([("eth_getTransactionReceipt", [row["transaction_hash"]]) for row in finals])
    said += [
        f"lost: {row['kind']} {row['id']} is final in the database and not on chain"
        for row, receipt in zip(finals, receipts, strict=True)
        if receipt is None
    ]
    return said
