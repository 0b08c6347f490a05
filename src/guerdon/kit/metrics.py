"""Metrics: each process has its own registry and serves its own `/metrics`; Prometheus scrapes web and worker apart.

Counters and histograms are declared where they count; gauges that need a question to the database are asked at scrape time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_REQUEST_SECONDS = 5
_LONGEST_REQUEST = 8192

Sample = tuple[tuple[str, ...], float]
"""Label values, and the value."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a metric is: for the page that lists them, and for whoever names one in a rule."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help_text: str


_asked: dict[str, Description] = {}


def asked(name: str, help_text: str, labels: tuple[str, ...] = ()) -> Description:
    """Declare a gauge that is asked for when somebody looks; it is filled by `Gauges.set`."""
    _asked[name] = Description(name, "gauge", labels, help_text)
    return _asked[name]


_FAILED = asked("guerdon_gauges_failed", "Questions for gauges that failed at this scrape")


def described() -> list[Description]:
    """Every metric of ours that the imported modules declare, by name."""
    found = dict(_asked)
    for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - it lists them nowhere else
        if isinstance(collector, MetricWrapperBase):
            for family in collector.describe():
                name = f"{family.name}_total" if family.type == "counter" else family.name
                labels = cast("tuple[str, ...]", tuple(collector._labelnames))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportUnknownArgumentType]
                found[name] = Description(name, family.type, labels, family.documentation)
    return sorted((one for name, one in found.items() if name.startswith("guerdon_")), key=lambda one: one.name)


class Gauges(Collector):
    """Gauges that are asked for when somebody looks: `refresh` fills them, then they are rendered as they stand."""

    def __init__(self) -> None:
        self._questions: list[Callable[[Gauges], Awaitable[None]]] = []
        self._families: dict[Description, list[Sample]] = {}

    def ask(self, question: Callable[[Gauges], Awaitable[None]]) -> None:
        """Have `question` called before each scrape; it answers by `set`."""
        self._questions.append(question)

    def set(self, gauge: Description, samples: Iterable[Sample]) -> None:
        """Replace all samples of a gauge that was declared by `asked`."""
        self._families[gauge] = list(samples)

    async def refresh(self) -> None:
        """Ask all questions. One that fails leaves its gauges out and is counted: an old value would pass for a new one."""
        self._families.clear()
        failed = 0
        for question in self._questions:
            try:
                await question(self)
            except Exception:  # noqa: BLE001 - whatever it is, the other metrics have to come through
                failed += 1
        self.set(_FAILED, [((), failed)])

    def collect(self) -> Iterable[Metric]:
        """What Prometheus's registry calls."""
        for gauge, samples in self._families.items():
            family = GaugeMetricFamily(gauge.name, gauge.help_text, labels=gauge.labels)
            for values, value in samples:
                family.add_metric(values, value)
            yield family


async def exposition(gauges: Gauges | None = None, registry: CollectorRegistry = REGISTRY) -> bytes:
    """The body of `/metrics`."""
    if gauges is None:
        return generate_latest(registry)
    await gauges.refresh()
    own = CollectorRegistry()
    own.register(gauges)
    return generate_latest(registry) + generate_latest(own)


async def serve_metrics(host: str, port: int, gauges: Gauges | None = None) -> asyncio.Server:
    """Serve `/metrics` (and `/health`) from a process that serves nothing else, such as a worker. Port 0: any."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].partition(b"?")[0] if head.startswith(b"GET ") else b""
                if path == b"/metrics":
                    status, kind, body = b"200 OK", CONTENT_TYPE, await exposition(gauges)
                elif path == b"/health":
                    status, kind, body = b"200 OK", "application/json", b'{"status":"healthy"}'
                else:
                    status, kind, body = b"404 Not Found", "text/plain", b"only /metrics and /health are here\n"
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
                    % (status, kind.encode(), len(body))
                )
                writer.write(body)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    return await asyncio.start_server(answer, host, port, limit=_LONGEST_REQUEST)
