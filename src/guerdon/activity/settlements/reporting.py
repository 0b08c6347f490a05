"""A report comes in: authenticated, understood, kept as a hint, answered. Asking the chain is the worker's."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from guerdon.activity.settlements import repository_hints, repository_sources, sources, webhooks
from guerdon.activity.settlements.errors import NoWebhookError, SourceDisabledError, SourceNotFoundError
from guerdon.activity.settlements.models import Source, SourceKind
from guerdon.activity.settlements.names import Networks, transaction_on
from guerdon.activity.settlements.repository_hints import NewHint
from guerdon.activity.settlements.webhooks import Delivery, Headers, Report
from guerdon.activity.settlements.work import PROVE
from guerdon.kit.database import Database, ProgramSession
from guerdon.kit.jobs import wake
from guerdon.kit.secrets import KeyRing

UNKNOWN_NETWORK = "unknown_network"
NO_TRANSACTION = "no_transaction"
BATCH_SETTLEMENT = "batch_settlement"
_BATCH_SCHEME = "batch-settlement"


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a delivery."""

    event: str
    accepted: int = 0
    """Transactions that the chain will be asked about, or was."""
    ignored: list[str] = field(default_factory=list[str])
    """Why others will not be."""


@dataclass(frozen=True, slots=True)
class Reception:
    """Takes reports in."""

    database: Database
    ring: KeyRing

    async def source(self, source_id: UUID) -> Source:
        """The source that a webhook names. Raises `SourceNotFoundError`, `NoWebhookError`, `SourceDisabledError`."""
        async with self.database.platform() as session:
            found = await repository_sources.source_anywhere(session, source_id)
        if found is None:
            raise SourceNotFoundError
        if SourceKind(found.kind) not in sources.REPORTING:
            raise NoWebhookError
        if not found.enabled:
            raise SourceDisabledError
        return found

    async def authenticate(self, source: Source, headers: Headers, body: bytes, now: datetime) -> None:
        """Raises `WebhookSignatureError`, `StaleWebhookError`."""
        async with self.database.program(source.program_id) as session:
            secrets = await sources.open_secrets(session, self.ring, source.program_id, source.id, now)
        webhooks.check_signature(SourceKind(source.kind), secrets, headers, body, now)

    async def receive(self, source: Source, delivery: Delivery, now: datetime) -> Received:
        """Keep what an authenticated delivery tells."""
        if not delivery.reports:
            return Received(delivery.event, 0, [NO_TRANSACTION] * delivery.without_transaction)
        async with self.database.program(source.program_id) as session:
            return await _keep(session, source, delivery, now)


async def _keep(session: ProgramSession, source: Source, delivery: Delivery, now: datetime) -> Received:
    networks = (await sources.known_networks(session)).renamed(source.network_names)
    found = [hint_of(source.id, networks, report) for report in delivery.reports]
    hints = [one for one in found if isinstance(one, NewHint)]
    await repository_hints.put_hints(session, source.program_id, hints, now)
    await repository_sources.touch(session, source.program_id, source.id, now)
    if hints:
        await wake(session, PROVE, source.program_id)
    ignored = [one for one in found if isinstance(one, str)]
    return Received(delivery.event, len(hints), [*ignored, *[NO_TRANSACTION] * delivery.without_transaction])


def hint_of(source_id: UUID, networks: Networks, report: Report) -> NewHint | str:
    """What to ask the chain, or why there is nothing to ask."""
    if report.reported.get("scheme") == _BATCH_SCHEME:
        # A voucher on a channel: nothing has moved yet, and what moves later is not this payment.
        return BATCH_SETTLEMENT
    network = networks.find(report.network)
    if network is None:
        return UNKNOWN_NETWORK
    # A channel's commitment, or whatever a scheme calls its settlement, is no transaction of the network.
    transaction = transaction_on(network.namespace, report.transaction)
    return NO_TRANSACTION if transaction is None else NewHint(source_id, network.name, transaction, report.reported)
