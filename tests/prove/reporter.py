"""A shop's server that does not give up: whatever it asks for has a key and is sent again, signed anew, until it is acknowledged.

Shares no code with the product.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.prove.told import Acknowledged, Reversed, Told

EVENT = "/loyalteez-api/manual-event"
BULK = "/loyalteez-api/bulk-events"
REVERSAL = "/loyalteez-api/reverse-event"
_AGAIN = {502, 503, 504}
"""Answers that tell a client to try again."""
_AGAIN_CODES = {"UNAVAILABLE", "DATABASE_UNAVAILABLE", "BOOKING_FAILED"}
"""The same for one event of a bulk."""
_PEOPLE = 40


@dataclass
class Reporter:
    """Reports events of one program, and remembers what it was told."""

    url: str
    brand_id: str
    security_key: str
    told: Told = field(default_factory=Told)
    attempts: int = 0

    @property
    def acknowledged(self) -> list[Acknowledged]:
        return self.told.acknowledged

    def client(self) -> httpx.AsyncClient:
        """A connection of its own, so that several processes on one port get their share."""
        return httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False)

    def signed(self, body: bytes) -> dict[str, str]:
        timestamp = str(time.time_ns() // 1_000_000)
        message = f"{timestamp}:{self.brand_id}:".encode() + body
        return {
            "Content-Type": "application/json",
            "X-Loyalteez-Brand-Id": self.brand_id,
            "X-Loyalteez-Timestamp": timestamp,
            "X-Loyalteez-Signature": hmac.new(self.security_key.encode(), message, hashlib.sha256).hexdigest(),
        }

    async def report(self, names: Sequence[str], *, at_once: int = 8, seconds: float = 150, pause: float = 0) -> None:
        """Report one event a name, and return when each was acknowledged."""
        waiting = list(reversed(names))
        deadline = time.monotonic() + seconds

        async def send() -> None:
            async with self.client() as client:
                while waiting:
                    await self.report_one(client, waiting.pop(), deadline)
                    await asyncio.sleep(pause)

        await asyncio.gather(*(send() for _ in range(at_once)))

    async def report_one(self, client: httpx.AsyncClient, name: str, deadline: float, *, wait_seconds: int = 0) -> None:
        """One event, until it is acknowledged; with `wait_seconds`, the answer may tell its transaction."""
        self.told.sent.add(name)
        prefer = {"Prefer": f"wait={wait_seconds}"} if wait_seconds else {}
        answer = await self._until_answered(client, EVENT, json.dumps(event_called(name)).encode(), deadline, prefer)
        if answer is not None:
            self._take(name, answer)

    async def report_twice(self, name: str, deadline: float) -> None:
        """The same event over two connections at once, as an impatient client does: it is booked once."""
        async with self.client() as one, self.client() as other:
            await asyncio.gather(*(self.report_one(client, name, deadline) for client in (one, other)))

    async def report_without_key(self, name: str, deadline: float) -> None:
        """The same event over two connections at once and without a key: one of them is refused as a duplicate.

        A client without keys repeats the very same bytes, whose signature counts once.
        """
        self.told.sent.add(name)
        event = {**event_called(name), "userEmail": f"{name}@shop.example".replace("/", ".")}
        del event["idempotencyKey"]
        async with self.client() as one, self.client() as other:
            answers = await asyncio.gather(
                *(self._once(client, event, deadline, number) for number, client in enumerate((one, other)))
            )
        booked = [answer for answer in answers if "eventId" in answer]
        for answer in booked:
            self._take(name, answer)
        if not booked:
            self.told.odd_answers.append(f"{name}, which was sent twice, was refused twice: {answers}")

    async def _once(self, client: httpx.AsyncClient, event: dict[str, Any], deadline: float, number: int) -> dict[str, Any]:
        body = json.dumps({**event, "metadata": {**event["metadata"], "turn": number}}).encode()
        headers = self.signed(body)
        return await self._until_answered(client, EVENT, body, deadline, headers, excused="DUPLICATE_EVENT") or {}

    async def report_bulk(self, client: httpx.AsyncClient, names: Sequence[str], deadline: float) -> None:
        """Events in one request, each with its key; those that were not booked are sent again, until all are."""
        self.told.sent.update(names)
        left = list(names)
        while left:
            body = json.dumps({"events": [event_called(name) for name in left]}).encode()
            answer = await self._until_answered(client, BULK, body, deadline)
            if answer is None:
                return
            again: list[str] = []
            for name, result in zip(left, answer["results"], strict=True):
                if result["success"]:
                    self._take(name, result)
                elif result.get("code") in _AGAIN_CODES:
                    again.append(name)
                else:
                    self.told.refused[name] = str(result)
            left = again

    async def reverse(self, client: httpx.AsyncClient, event_id: str, key: str, points: int | None, deadline: float) -> None:
        """Take back `points` of an event's reward, or all that is left of it."""
        body: dict[str, Any] = {"eventId": event_id, "reason": "sent back"} | ({} if points is None else {"amount": points})
        answer = await self._until_answered(
            client, REVERSAL, json.dumps(body).encode(), deadline, {"Idempotency-Key": key}, excused="REVERSAL_TOO_LARGE"
        )
        if answer is not None and answer.get("reversalId") is not None:
            parts = (answer[part] for part in ("amount", "fromPending", "fromBalance", "asDebt", "notRecovered"))
            self.told.reversed.append(Reversed(key, answer["reversalId"], answer["eventId"], *parts))

    def _take(self, name: str, answer: dict[str, Any]) -> None:
        transaction = answer.get("transactionHash")
        self.told.acknowledged.append(Acknowledged(name, answer["eventId"], answer["rewardAmount"], transaction))

    async def _until_answered(
        self,
        client: httpx.AsyncClient,
        path: str,
        body: bytes,
        deadline: float,
        headers: dict[str, str] | None = None,
        *,
        excused: str = "",
    ) -> dict[str, Any] | None:
        """The answer, as soon as it is one, or a refusal with the code `excused`; None after another one, which is remembered."""
        problem = "nobody was asked"
        while time.monotonic() < deadline:
            self.attempts += 1
            try:
                answer = await client.post(path, content=body, headers=self.signed(body) | (headers or {}))
            except httpx.TransportError as error:
                problem = repr(error)
            else:
                code = "" if answer.is_success else _code(answer)
                if answer.is_success or (code and code == excused):
                    return answer.json()
                problem = f"{answer.status_code} {answer.text}"
                # CONFLICT: another request with the same key, whose client went away, is under way.
                if answer.status_code not in _AGAIN and code != "CONFLICT":
                    self.told.odd_answers.append(f"{problem} to {body.decode()[:300]}")
                    return None
            await asyncio.sleep(0.1)
        raise NeverAcknowledgedError(f"{body.decode()[:300]} was never acknowledged: {problem}")


class NeverAcknowledgedError(AssertionError):
    """A client was not told in time that what it asked for is done."""


def _code(answer: httpx.Response) -> str:
    """The code of a refusal."""
    try:
        return str(answer.json().get("code", ""))
    except ValueError:
        return ""


def event_called(name: str) -> dict[str, Any]:
    """The event of this name. The name says who it is and what it is worth: some events a person."""
    person = int(hashlib.sha256(name.encode()).hexdigest(), 16) % _PEOPLE
    return {
        "eventType": "order",
        "userEmail": f"person-{person}@shop.example",
        "idempotencyKey": name,
        "metadata": {"cents": 100 + len(name), "n": name},
    }
