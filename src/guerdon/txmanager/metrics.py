"""What `/metrics` tells of chain transactions: counters of this process, and gauges read from the database when scraped.

How many intents and attempts are in each state is told with everything else that moves (`status/gauges.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from prometheus_client import Counter

from guerdon.chains.networks import EIP155
from guerdon.kit.database import Database
from guerdon.kit.metrics import Gauges, Sample, asked
from guerdon.ledger.models import Asset
from guerdon.txmanager import repository, repository_keys, repository_treasuries
from guerdon.txmanager.models import Intent, IntentState, Key, Network, Treasury

_finished = Counter("guerdon_transactions_finished", "Chain transactions whose outcome is final", ["network", "kind", "state"])
_fees = Counter(
    "guerdon_transaction_fees_gwei", "Fees of final transactions, in whole gwei; on Solana lamports", ["network", "kind"]
)
_gas = Counter("guerdon_transaction_gas_used", "Gas of final transactions", ["network", "kind"])
_reorganised = Counter("guerdon_transactions_reorganised", "Transactions that lost their block", ["network"])
_signed = Counter(
    "guerdon_attempts_signed", "Signed forms that were stored: a first one, a replacement, or a killing one", ["network", "form"]
)
_failures = Counter("guerdon_txmanager_failures", "Turns of the engine that failed, by cause", ["network", "cause"])

_NETWORK = ("network",)
_HEAD = asked("guerdon_chain_head_block", "Newest block of the chain when a worker last looked", _NETWORK)
_HEAD_AGE = asked("guerdon_chain_head_age_seconds", "How old that block is: grows while the chain or its node stands", _NETWORK)
_FINAL_LAG = asked("guerdon_chain_finalized_lag_blocks", "Blocks from the finalized one to the newest", _NETWORK)
_BASE_FEE = asked("guerdon_chain_base_fee_gwei", "Base fee of the newest block", _NETWORK)
_SEEN_AGE = asked("guerdon_chain_seen_seconds", "How long ago a worker last saw the chain", _NETWORK)
_FEE_CAP = asked("guerdon_chain_fee_cap_gwei", "What a unit of gas may cost at most, where a cap is set", _NETWORK)

_KEY = ("network", "purpose", "address")
_NATIVE = asked("guerdon_key_native_gwei", "Native balance of a key when last seen, in whole gwei; on Solana lamports", _KEY)
_PAUSED = asked("guerdon_key_paused", "1 while a key is paused", _KEY)
_IN_FLIGHT = asked("guerdon_key_in_flight", "Transactions of a key that have a nonce and are in no block", _KEY)
_EPOCH = asked("guerdon_key_lease_epoch", "How often the key's lease was taken: it rises when another worker takes over", _KEY)
_LEASED = asked("guerdon_key_leased", "1 while a worker holds the key's lease", _KEY)

_TREASURY = ("network", "asset")
_BALANCE = asked("guerdon_treasury_balance_atomic", "What a treasury holds at finality, in the token's smallest unit", _TREASURY)
_RESERVED = asked("guerdon_treasury_reserved_atomic", "What of it is reserved for payouts", _TREASURY)
_LOW = asked("guerdon_treasury_low_atomic", "Below this much unreserved an alert is raised", _TREASURY)
_TREASURY_PAUSED = asked("guerdon_treasury_paused", "1 while a treasury is paused", _TREASURY)
_PROMISED = asked("guerdon_program_promised_points", "What all programs together may still give or owe", ("asset",))

_GWEI = 10**9


def count_finished(intent: Intent, state: IntentState) -> None:
    """A transaction became final."""
    _finished.labels(intent.network, intent.kind, state.value).inc()
    # A Solana's intents have no nonce, and lamports are as small a part of their coin as gwei.
    fee = int(intent.fee_paid_wei or 0)
    _fees.labels(intent.network, intent.kind).inc(fee if intent.nonce is None else fee // _GWEI)
    _gas.labels(intent.network, intent.kind).inc(intent.gas_used or 0)


def count_reorganised(intent: Intent) -> None:
    """A transaction lost its block."""
    _reorganised.labels(intent.network).inc()


def count_signed(network: str, number: int, *, kills: bool) -> None:
    """A signed form was stored."""
    _signed.labels(network, "killing" if kills else "first" if number == 1 else "replacement").inc()


def count_failure(network: str, cause: str) -> None:
    """A turn of the engine failed."""
    _failures.labels(network, cause).inc()


def gauges(database: Database) -> Callable[[Gauges], Awaitable[None]]:
    """A question for `/metrics`: networks, keys and treasuries as the database knows them."""

    async def ask(into: Gauges) -> None:
        async with database.platform() as session:
            now = await repository_keys.database_time(session)
            networks = await repository_keys.networks(session)
            keys = await repository_keys.keys(session)
            in_flight = await repository_keys.in_flight_by_key(session, repository.IN_FLIGHT)
            treasuries = await repository_treasuries.treasuries(session)
            promised = await repository_treasuries.promised_by_asset(session)
        _set_networks(into, networks, now)
        evm = {one.name for one in networks if one.namespace == EIP155}
        native = [(one, int(one.native_balance_wei)) for one in keys if one.native_balance_wei is not None]
        into.set(_NATIVE, [(_key(one), amount // _GWEI if one.network in evm else amount) for one, amount in native])
        into.set(_PAUSED, [(_key(one), int(one.paused_at is not None)) for one in keys])
        into.set(_IN_FLIGHT, [(_key(one), in_flight.get(one.id, 0)) for one in keys])
        into.set(_EPOCH, [(_key(one), one.lease_epoch) for one in keys])
        into.set(_LEASED, [(_key(one), int(one.lease_until is not None and one.lease_until > now)) for one in keys])
        _set_treasuries(into, [(treasury, asset) for treasury, asset, _ in treasuries])
        into.set(_PROMISED, [((symbol,), float(points)) for symbol, points in promised.items()])

    return ask


def _set_networks(into: Gauges, networks: Iterable[Network], now: datetime) -> None:
    seen = [one for one in networks if one.seen_at is not None and one.head_block is not None and one.head_at is not None]
    into.set(_HEAD, [((one.name,), one.head_block or 0) for one in seen])
    into.set(_HEAD_AGE, [((one.name,), _age(one.head_at, now)) for one in seen])
    into.set(_FINAL_LAG, [((one.name,), (one.head_block or 0) - one.final_block) for one in seen if one.final_block is not None])
    into.set(_BASE_FEE, [((one.name,), one.base_fee_wei / _GWEI) for one in seen if one.base_fee_wei is not None])
    into.set(_SEEN_AGE, [((one.name,), _age(one.seen_at, now)) for one in seen])
    into.set(_FEE_CAP, [((one.name,), one.max_fee_per_gas / _GWEI) for one in networks if one.max_fee_per_gas is not None])


def _set_treasuries(into: Gauges, treasuries: Iterable[tuple[Treasury, Asset]]) -> None:
    def samples(value: Callable[[Treasury], int]) -> list[Sample]:
        return [((treasury.network, asset.symbol), float(value(treasury))) for treasury, asset in treasuries]

    into.set(_BALANCE, samples(lambda one: one.balance_final))
    into.set(_RESERVED, samples(lambda one: one.reserved))
    into.set(_LOW, samples(lambda one: one.low_balance))
    into.set(_TREASURY_PAUSED, samples(lambda one: int(one.paused_at is not None)))


def _age(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (now - moment).total_seconds())


def _key(key: Key) -> tuple[str, str, str]:
    return key.network, key.purpose, key.address
