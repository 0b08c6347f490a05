"""The server itself, in a process of its own: what the application fills in while it starts is answered directly."""

from __future__ import annotations

import asyncio
import signal
import sys

import httpx

from tests.support.services import free_port

_PROGRAM = """
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
      on_ready=lambda: print("ready", flush=True), direct=routes)
"""


async def test_routes_that_are_filled_in_while_the_application_starts_are_answered_directly() -> None:
    port = free_port()
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", _PROGRAM, str(port), stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    try:
        assert await asyncio.wait_for(server.stdout.readline(), 60) == b"ready\n"
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            assert (await client.post("/direct", content=b"x")).text == "direct"
            assert (await client.post("/other", content=b"x")).text == "application"
    finally:
        server.send_signal(signal.SIGTERM)
        await asyncio.wait_for(server.wait(), 30)
