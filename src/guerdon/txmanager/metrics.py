"""What `/metrics` tells of chain transactions: counters of this process, and gauges read from the database when scraped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prometheus_client import Counter

from guerdon.kit.database import Database
from guerdon.kit.metrics import Gauges
from guerdon.txmanager import repository, repository_keys
from guerdon.txmanager.models import Intent, IntentState, Key

_finished = Counter("guerdon_transactions_finished", "Chain transactions whose outcome is final", ["network", "kind", "state"])
_fees = Counter("guerdon_transaction_fees_gwei", "Fees of final transactions, in whole gwei", ["network", "kind"])
_reorganised = Counter("guerdon_transactions_reorganised", "Transactions that lost their block", ["network"])
_failures = Counter("guerdon_txmanager_failures", "Turns of the engine that failed, by cause", ["network", "cause"])

_GWEI = 10**9


def count_finished(intent: Intent, state: IntentState) -> None:
    """A transaction became final."""
    _finished.labels(intent.network, intent.kind, state.value).inc()
    _fees.labels(intent.network, intent.kind).inc((intent.fee_paid_wei or 0) // _GWEI)


def count_reorganised(intent: Intent) -> None:
    """A transaction lost its block."""
    _reorganised.labels(intent.network).inc()


def count_failure(network: str, cause: str) -> None:
    """A turn of the engine failed."""
    _failures.labels(network, cause).inc()


def gauges(database: Database) -> Callable[[Gauges], Awaitable[None]]:
    """A question for `/metrics` (SAFETY S23: every state but the last ones has a gauge of its oldest)."""

    async def ask(into: Gauges) -> None:
        async with database.platform() as session:
            states = await repository.unfinished(session)
            keys = await repository_keys.keys(session)
        by_state = ("network", "state")
        into.set(
            "guerdon_transactions_unfinished", "Unfinished chain transactions",
            [((one.network, one.state), one.count) for one in states], by_state,
        )  # fmt: skip
        into.set(
            "guerdon_transactions_oldest_seconds", "How long the oldest unfinished chain transaction has been in its state",
            [((one.network, one.state), one.oldest_seconds) for one in states], by_state,
        )  # fmt: skip
        by_key = ("network", "purpose", "address")
        into.set(
            "guerdon_key_native_gwei", "Native balance of a key when last seen, in whole gwei",
            [(_names(key), key.native_balance_wei // _GWEI) for key in keys if key.native_balance_wei is not None], by_key,
        )  # fmt: skip
        into.set(
            "guerdon_key_paused", "1 while a key is paused",
            [(_names(key), int(key.paused_at is not None)) for key in keys], by_key,
        )  # fmt: skip

    return ask


def _names(key: Key) -> tuple[str, str, str]:
    return key.network, key.purpose, key.address
