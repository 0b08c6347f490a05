"""Reports purchases as a shop's server would: signed NDJSON over HTTP, the row number as idempotency key.

Whatever got no answer, or one to come back later, is sent again with the same keys: a purchase is booked once however often
this runs. What becomes of the rewards is in `outcome.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import httpx

from guerdon.demo.errors import DemoError
from guerdon.demo.purchases import Purchase

EVENT_TYPE = "place_order"
_PATH = "/loyalteez-api/bulk-events"
_LINES_A_REQUEST = 1000
_REQUESTS_AT_ONCE = 2
_PATIENCE_SECONDS = 120
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_LATER = frozenset({429, 502, 503, 504})
_LATER_CODES = frozenset({"UNAVAILABLE", "DATABASE_UNAVAILABLE", "BOOKING_FAILED", "RATE_LIMITED"})


@dataclass(frozen=True, slots=True)
class Shop:
    """The program that reports, and how it signs."""

    url: str
    brand_id: str
    security_key: str

    def signed(self, body: bytes) -> dict[str, str]:
        """Headers of a server's report: HMAC-SHA256 over `timestamp:brandId:body`."""
        timestamp = str(time.time_ns() // 1_000_000)
        message = f"{timestamp}:{self.brand_id}:".encode() + body
        return {
            "Content-Type": "application/x-ndjson",
            "X-Loyalteez-Brand-Id": self.brand_id,
            "X-Loyalteez-Timestamp": timestamp,
            "X-Loyalteez-Signature": hmac.new(self.security_key.encode(), message, hashlib.sha256).hexdigest(),
        }


async def replay(shop: Shop, purchases: Iterable[Purchase], on_booked: Callable[[int], None]) -> None:
    """Report every purchase and return once each is booked; `on_booked` is told how many more are. Raises `DemoError`."""
    limits = httpx.Limits(max_connections=_REQUESTS_AT_ONCE)
    async with httpx.AsyncClient(base_url=shop.url, timeout=60, limits=limits, trust_env=False) as client:
        groups = _groups(purchases, _LINES_A_REQUEST)

        async def send_groups() -> None:
            for group in groups:
                await _send(client, shop, group)
                on_booked(len(group))

        senders = [asyncio.create_task(send_groups()) for _ in range(_REQUESTS_AT_ONCE)]
        try:
            await asyncio.gather(*senders)
        finally:
            for sender in senders:
                sender.cancel()


def _groups(purchases: Iterable[Purchase], size: int) -> Iterator[list[Purchase]]:
    rest = iter(purchases)
    while group := list(islice(rest, size)):
        yield group


def line(purchase: Purchase) -> bytes:
    """One event as it is sent."""
    event = {
        "eventType": EVENT_TYPE,
        "userEmail": purchase.email,
        "idempotencyKey": str(purchase.row),
        "metadata": {
            "amount_cents": purchase.amount_cents,
            "quantity": purchase.quantity,
            "date": purchase.date,
            "row": purchase.row,
        },
    }
    return json.dumps(event, separators=(",", ":")).encode()


async def _send(client: httpx.AsyncClient, shop: Shop, group: Sequence[Purchase]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    waiting = list(group)
    reason = "no answer"
    while time.monotonic() < deadline:
        body = b"\n".join(map(line, waiting))
        try:
            answer = await client.post(_PATH, content=body, headers=shop.signed(body))
        except httpx.TransportError as error:
            reason = f"{type(error).__name__} {error}".strip()
        else:
            if answer.is_success:
                refused = _refused(answer.json(), waiting)
                if len(refused) < len(waiting):
                    pause = _FIRST_PAUSE_SECONDS
                    deadline = time.monotonic() + _PATIENCE_SECONDS
                waiting = refused
                if not waiting:
                    return
                reason = "asked to come back later"
            elif answer.status_code not in _LATER:
                message = f"the web answered {answer.status_code}: {answer.text[:500]}"
                raise DemoError(message)
            else:
                reason = f"the web answered {answer.status_code}"
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
    message = f"purchase {waiting[0].row} was not taken for {_PATIENCE_SECONDS} s: {reason}"
    raise DemoError(message)


def _refused(answer: Any, sent: Sequence[Purchase]) -> list[Purchase]:
    """Those of `sent` that are to come again later; `DemoError` for one that never will be taken."""
    results = cast("list[dict[str, Any]]", answer["results"])
    if len(results) != len(sent):
        message = f"{len(sent)} purchases were sent and {len(results)} answered"
        raise DemoError(message)
    again: list[Purchase] = []
    for purchase, result in zip(sent, results, strict=True):
        if result["success"]:
            if result.get("rewardAmount") != purchase.tokens:
                earned = result.get("rewardAmount")
                message = f"purchase {purchase.row} of {purchase.amount_cents} cents earned {earned}, not {purchase.tokens}"
                raise DemoError(message)
        elif result.get("code") in _LATER_CODES:
            again.append(purchase)
        else:
            message = f"purchase {purchase.row} was refused: {result}"
            raise DemoError(message)
    return again
