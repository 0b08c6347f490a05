"""`/metrics`: counters as they stand, gauges asked for when somebody looks."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
from prometheus_client import CollectorRegistry, Counter

from guerdon.kit.metrics import Gauges, asked, exposition, serve_metrics


async def test_gauges_are_asked_for_at_each_scrape() -> None:
    gauges, age = Gauges(), 0

    async def ask(answer: Gauges) -> None:
        nonlocal age
        age += 1
        answer.set(asked("test_oldest_seconds", "Age", ("kind",)), [(("payouts.reserve",), age)])

    gauges.ask(ask)
    registry = CollectorRegistry()
    Counter("guerdon_things", "Things", registry=registry).inc()
    first, second = await exposition(gauges, registry), await exposition(gauges, registry)
    assert b"guerdon_things_total 1.0" in first
    assert b'test_oldest_seconds{kind="payouts.reserve"} 1.0' in first
    assert b'test_oldest_seconds{kind="payouts.reserve"} 2.0' in second


async def test_a_question_that_fails_leaves_its_gauge_out_and_is_counted() -> None:
    gauges = Gauges()
    works = True

    async def ask(answer: Gauges) -> None:
        if not works:
            raise ConnectionError
        answer.set(asked("test_queue", "Length"), [((), 7)])

    gauges.ask(ask)
    assert b"test_queue 7.0" in await exposition(gauges)
    works = False
    written = await exposition(gauges)
    assert b"test_queue " not in written
    assert b"guerdon_gauges_failed 1.0" in written


async def test_a_worker_serves_its_own_metrics() -> None:
    server = await serve_metrics("127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        metrics = await client.get("/metrics")
        assert metrics.status_code == 200
        assert metrics.headers["content-type"].startswith("text/plain")
        assert "python_info" in metrics.text
        assert (await client.get("/health")).json() == {"status": "healthy"}
        assert (await client.get("/secret")).status_code == 404
        assert (await client.post("/metrics")).status_code == 404
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x" * 20_000)  # no request at all harms nobody
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()
