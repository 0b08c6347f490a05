"""The requests that the load client sends, as bytes, signed before the time that is measured. Signatures live five minutes."""

from __future__ import annotations

import hmac
import random
import time
from collections.abc import Iterator

import msgspec

SINGLE = "/loyalteez-api/manual-event"
BULK = "/loyalteez-api/bulk-events"
EVENT_TYPE = "purchase"
NEWCOMER_EVERY = 10
"""Each tenth event is of a person whom nobody has reported before."""


class Shop(msgspec.Struct, frozen=True):
    """One program that reports, and how it signs."""

    brand_id: str
    security_key: str


class Crowd(msgspec.Struct, frozen=True):
    """Whom the events are about."""

    run: str
    """Makes the newcomers and the idempotency keys of one run differ from every other's."""
    members: int
    """Known members, `member-0` to `member-(n - 1)`; 0: everybody is new, as when the members are made."""


def members_event(number: int) -> bytes:
    """The first event of a known member: with it the member is made."""
    return _event(f"member-{number}", f"join-{number}", 100)


def events(crowd: Crowd, count: int, seed: int) -> Iterator[bytes]:
    """So many events as they are sent, spread evenly over the known members, each tenth by somebody new."""
    chance = random.Random(f"{crowd.run} {seed}")
    for number in range(count):
        key = f"{crowd.run}-{number}"
        is_new = crowd.members == 0 or number % NEWCOMER_EVERY == 0
        person = f"new-{key}" if is_new else f"member-{chance.randrange(crowd.members)}"
        yield _event(person, key, chance.randrange(100, 10_000))


def _event(person: str, key: str, cents: int) -> bytes:
    return (
        f'{{"eventType":"{EVENT_TYPE}","userEmail":"{person}@bench.example","idempotencyKey":"{key}",'
        f'"metadata":{{"amount_cents":{cents},"order":"{key}"}}}}'
    ).encode()


def signed_headers(shop: Shop, path: str, body: bytes) -> dict[str, str]:
    """The headers of a report: HMAC-SHA256 over `timestamp:brandId:body`."""
    timestamp = str(time.time_ns() // 1_000_000)
    message = b"%b:%b:%b" % (timestamp.encode(), shop.brand_id.encode(), body)
    return {
        "Content-Type": "application/x-ndjson" if path == BULK else "application/json",
        "X-Loyalteez-Brand-Id": shop.brand_id,
        "X-Loyalteez-Timestamp": timestamp,
        "X-Loyalteez-Signature": hmac.digest(shop.security_key.encode(), message, "sha256").hex(),
    }


def signed(shop: Shop, path: str, body: bytes, *, host: str) -> bytes:
    """A whole HTTP request."""
    told = {"Host": host, "Content-Length": len(body), **signed_headers(shop, path, body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body
