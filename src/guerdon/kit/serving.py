"""Serves the application over HTTP with uvicorn, and stops in the order that loses nothing: not ready, no new connections,
running requests to their end, then the rest. What is served is the caller's (`app.py`).
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import resource
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp

from guerdon.kit.direct_http import Routes, direct_protocol

_BACKLOG = 2048
_MOST_FILES = 65_536
_NEW_OBJECTS_A_COLLECTION = 20_000
"""A batch of reports makes thousands, nearly all of which are gone without the collector's help."""


class ListenError(Exception):
    """The address can't be listened on; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(slots=True)
class Draining:
    """Set once this process is to end: readiness says no from then on, while everything is still answered."""

    begun: bool = field(default=False)


class _Server(uvicorn.Server):
    """Ends on SIGTERM and SIGINT in two steps, and at once on a second signal."""

    def __init__(self, config: uvicorn.Config, draining: Draining, drain_seconds: float, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._draining = draining
        self._drain_seconds = drain_seconds
        self._on_ready = on_ready
        self._exit_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            # What is there by now stays: the collector need not walk through it again and again between requests.
            gc.collect()
            gc.freeze()
            gc.set_threshold(_NEW_OBJECTS_A_COLLECTION, 20, 20)
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        # Not uvicorn's: it raises the signal again at the end, and a stop that was asked for is no failure.
        if self._draining.begun:
            self.should_exit = self.force_exit = True
            return
        self._draining.begun = True
        # From now on each answer ends its connection, so that clients come back over a new one, to a process that stays.
        self.config.encoded_headers.append((b"connection", b"close"))
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        self._exit_at = time.monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        leaving = await super().on_tick(counter)
        return leaving or (self._exit_at is not None and time.monotonic() >= self._exit_at)


def listen(host: str, port: int, *, share_port: bool) -> socket.socket:
    """A listening socket. With `share_port` several processes may listen on the same port, and the kernel spreads connections
    over them: that is how one machine replaces a process without a gap. Raises `ListenError`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=share_port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} on {host} is in use by another program"
            raise ListenError(message, "stop that one (`ss -ltnp` names it), or choose another --port") from error
        # create_server makes plain errors of failed look-ups, whose numbers are below zero.
        if error.errno is None or error.errno < 0 or error.errno == errno.EADDRNOTAVAIL:
            raise ListenError(
                f"{host} is no address of this machine", "give --host an address such as 127.0.0.1 or 0.0.0.0"
            ) from error
        if error.errno == errno.EACCES:
            raise ListenError(f"port {port} needs privileges", "choose a --port above 1023 and put a proxy in front") from error
        raise ListenError(f"can't listen on {host} port {port}: {error.strerror}", "choose another --host or --port") from error


def serve(
    app: ASGIApp,
    sock: socket.socket,
    *,
    draining: Draining,
    drain_seconds: float,
    shutdown_seconds: float,
    on_ready: Callable[[], None],
    direct: Routes,
    options: Mapping[str, Any] | None = None,
) -> bool:
    """Serve until SIGTERM or SIGINT; False if the application did not start.

    After the signal readiness says no for `drain_seconds` while everything is still answered; then nothing new is accepted,
    and requests that run get `shutdown_seconds` to end. `direct` are the routes that are answered straight from their connection
    (`kit/direct_http.py`), and may be filled while the application starts. `options` are uvicorn's own.
    """
    _allow_many_connections()
    config = uvicorn.Config(
        app,
        loop="none",
        http=direct_protocol(direct),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(shutdown_seconds)),
        backlog=_BACKLOG,
        **(options or {}),
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server = _Server(config, draining, drain_seconds, on_ready)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(server.serve(sockets=[sock]))
        except SystemExit:
            # uvicorn leaves so when the lifespan failed, after saying why in the log.
            return False
    return server.started


def _allow_many_connections() -> None:
    """Each connection is a file, and a shell's limit (1,024 as a rule) is far below what the system allows a process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(_MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
