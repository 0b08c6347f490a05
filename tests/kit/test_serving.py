"""The server itself, in a process of its own."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx

from tests.support.services import free_port

_PROGRAM = """
import resource
import sys
from guerdon.kit.direct_http import Direct
from guerdon.kit.serving import Draining, listen, serve

routes = {}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        def handle(exchange):
            exchange.answer(200, b"content-length: 6\\r\\n", b"direct")
            return True
        routes[b"/direct"] = Direct(b"POST", 100, handle)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"application"})

serve(app, listen("127.0.0.1", int(sys.argv[1]), share_port=False), draining=Draining(), drain_seconds=0, shutdown_seconds=5,
      on_ready=lambda: print("ready", resource.getrlimit(resource.RLIMIT_NOFILE)[0], flush=True), direct=routes)
"""


@asynccontextmanager
async def a_server() -> AsyncGenerator[tuple[httpx.AsyncClient, int]]:
    """It, and how many files it may open; begun with as few as a shell allows."""
    port, (_, hard) = free_port(), resource.getrlimit(resource.RLIMIT_NOFILE)
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, str(port), stdout=asyncio.subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard)),
    )  # fmt: skip
    assert server.stdout is not None
    try:
        ready, files = (await asyncio.wait_for(server.stdout.readline(), 60)).split()
        assert ready == b"ready"
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            yield client, int(files)
    finally:
        server.send_signal(signal.SIGTERM)
        await asyncio.wait_for(server.wait(), 30)


async def test_routes_that_are_filled_in_while_the_application_starts_are_answered_directly() -> None:
    async with a_server() as (client, _):
        assert (await client.post("/direct", content=b"x")).text == "direct"
        assert (await client.post("/other", content=b"x")).text == "application"


async def test_as_many_connections_are_held_as_the_system_allows() -> None:
    async with a_server() as (_, files):
        assert files == min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
