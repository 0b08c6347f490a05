"""What single and bulk intake share: their parts, rate limits, and how a report becomes a submission and an answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import msgspec

from guerdon.activity import keys
from guerdon.activity.authentication import Authenticator, Caller
from guerdon.activity.batcher import MAX_WAITING, Batcher
from guerdon.activity.calls import Headers, headers_as_bytes
from guerdon.activity.cors import Origins
from guerdon.activity.directory import Directory
from guerdon.activity.schemas import ReportBody, canonical_report
from guerdon.activity.submissions import Booked, Submission
from guerdon.activity.waiting import TransactionWatch
from guerdon.kit.ratelimit import Rate, RateLimiter

MINUTE_SECONDS: Final = 60
_MOST_WAITING: Final = (b"x-ratelimit-limit", b"%d" % MAX_WAITING)


class EventAnswer(msgspec.Struct, rename="camel"):
    """What is answered to an accepted event. Clients read the reward under either name."""

    success: bool
    event_id: str
    message: str
    reward_amount: int
    ltz_distributed: int
    event_type: str
    wallet_address: str
    wallet_created: bool
    transaction_hash: str | None
    replayed: bool


@dataclass(frozen=True, slots=True)
class Reception:
    """The parts of intake in a running process."""

    directory: Directory
    authenticator: Authenticator
    batcher: Batcher
    watch: TransactionWatch
    origins: Origins
    limiter: RateLimiter
    unsigned_rate: Rate
    max_bulk_bytes: int
    bulk_slots: asyncio.Semaphore
    """Bulk requests at once: each may hold a body of `max_bulk_bytes`."""

    async def allowance(self, caller: Caller, cost: int = 1) -> Headers:
        """The `X-RateLimit-*` headers for this caller. Raises `RateLimitedError` where anyone could send too much."""
        if caller.client_address is None:
            return self.known_allowance()
        key = f"{caller.program.id}:{caller.client_address}"
        state = await self.limiter.hit("events", key, self.unsigned_rate, cost=cost)
        state.require()
        return headers_as_bytes(state.headers())

    def known_allowance(self) -> Headers:
        """The same for who is known, and held back by nothing but what this process can take now."""
        return [
            _MOST_WAITING,
            (b"x-ratelimit-remaining", b"%d" % self.batcher.room),
            (b"x-ratelimit-reset", b"%d" % (int(time.time()) + 1)),
        ]


def submission_of(
    caller: Caller, body: ReportBody, operation: str, header_key: str | None, *, line: int | None = None
) -> Submission:
    """The report as it goes into a batch; `line` is its place in a bulk. Raises what naming the person can raise."""
    identity = body.identity(caller.program.synthetic_domains)
    trust = caller.trust
    key: bytes | None = None
    if body.idempotency_key is not None:
        key = keys.idempotency_key_hash(trust, keys.EVENT, body.idempotency_key, identity)
    elif header_key is not None:
        key = (
            keys.idempotency_key_hash(trust, keys.EVENT, header_key, identity)
            if line is None
            else keys.line_key_hash(trust, header_key, line, identity)
        )
    signature: bytes | None = None
    # A line with a key of its own is known by that: the signature covers it. Only the first line needs the signature as
    # well, since alone it could be sent to the other path (SAFETY S11).
    if caller.signature is not None and (line is None or line == 0 or body.idempotency_key is None):
        signature = keys.line_signature_hash(caller.signature, line or 0)
    return Submission(
        identity=identity,
        event_type=body.event_type,
        trust=trust,
        operation=operation,
        body_hash=keys.body_hash(canonical_report(body, identity)),
        key=key,
        key_is_signed=body.idempotency_key is not None,
        signature=signature,
        channel=body.channel,
        domain=caller.domain,
        source_url=body.source_url,
        client_address=caller.client_address,
        metadata=body.metadata,
        metadata_json=body.metadata_json,
        wallet_hint=body.wallet_hint,
    )


def event_answer(booked: Booked, transaction_hash: str | None = None) -> EventAnswer:
    """The answer to a booked event; to a repeat the same as to the first."""
    return EventAnswer(
        success=True,
        event_id=str(booked.event_id),
        message="Event processed",
        reward_amount=booked.points,
        ltz_distributed=booked.points,
        event_type=booked.event_type,
        wallet_address=booked.wallet_address,
        wallet_created=booked.wallet_created,
        transaction_hash=booked.transaction_hash or transaction_hash,
        replayed=booked.is_repeat,
    )


def rate_of(events_a_minute: int) -> Rate:
    """So many events a minute."""
    return Rate(events_a_minute, MINUTE_SECONDS)
