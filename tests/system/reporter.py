"""A shop's server that does not give up: every event has a key and is sent again, signed anew, until it is acknowledged.

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

import httpx

from tests.system.judge import Acknowledged


@dataclass
class Reporter:
    """Reports events of one program, and remembers what it was told."""

    url: str
    brand_id: str
    security_key: str
    acknowledged: list[Acknowledged] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)
    attempts: int = 0

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
        """Report one event a name, and return when each was acknowledged. The name says who it is: three events a person."""
        waiting = list(reversed(names))
        deadline = time.monotonic() + seconds

        async def send() -> None:
            # A connection a sender, so that several processes on one port get their share.
            async with httpx.AsyncClient(base_url=self.url, timeout=10, trust_env=False) as client:
                while waiting:
                    await self._until_acknowledged(client, waiting.pop(), deadline)
                    await asyncio.sleep(pause)

        await asyncio.gather(*(send() for _ in range(at_once)))

    async def _until_acknowledged(self, client: httpx.AsyncClient, name: str, deadline: float) -> None:
        self.sent.add(name)
        person = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 40
        event = {
            "eventType": "order",
            "userEmail": f"person-{person}@shop.example",
            "idempotencyKey": name,
            "metadata": {"cents": 100 + len(name), "n": name},
        }
        body = json.dumps(event).encode()
        problem = ""
        while time.monotonic() < deadline:
            self.attempts += 1
            try:
                answer = await client.post("/loyalteez-api/manual-event", content=body, headers=self.signed(body))
            except httpx.TransportError as error:
                problem = repr(error)
            else:
                if answer.status_code == 200:
                    told = answer.json()
                    self.acknowledged.append(Acknowledged(name, told["eventId"], told["rewardAmount"]))
                    return
                problem = f"{answer.status_code} {answer.text}"
                assert answer.status_code in {502, 503, 504}, problem
            await asyncio.sleep(0.1)
        raise AssertionError(f"{name} was never acknowledged: {problem}")
